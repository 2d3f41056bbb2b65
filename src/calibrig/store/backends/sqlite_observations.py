"""Observations in a SQLite store: one table, read by time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence

from calibrig.store.observations import Observation, ObservationQuery

__all__ = ["OBSERVATION_TABLES", "expire", "insert", "select"]

OBSERVATION_TABLES: tuple[str, ...] = (
    "CREATE TABLE migrations (number INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT",
    """CREATE TABLE observations (
        kind TEXT NOT NULL, symbol TEXT NOT NULL, metric TEXT NOT NULL, time_ns INTEGER NOT NULL,
        value REAL NOT NULL, source TEXT NOT NULL,
        PRIMARY KEY (kind, symbol, metric, time_ns, source, value)) STRICT, WITHOUT ROWID""",
    "CREATE INDEX observations_by_time ON observations (time_ns)",
    """CREATE VIEW observed AS SELECT kind, symbol, metric,
        strftime('%Y-%m-%d %H:%M:%f', time_ns / 1e9, 'unixepoch') AS observed_time, value, source, time_ns
        FROM observations""",
    """CREATE VIEW history AS SELECT kind, symbol, version_id,
        strftime('%Y-%m-%d %H:%M:%f', updated_at / 1e9, 'unixepoch') AS updated_time, updated_at, updated_by, comment,
        origin, json_extract(content, '$.parameters') AS parameters,
        json_extract(content, '$.evidence.verdict') AS verdict, hash
        FROM (SELECT *, coalesce(json_extract(payload, '$.signed'), payload) AS content FROM versions)
        WHERE kind IN ('hawkes', 'quoting', 'risk', 'signal')""",
)


def insert(connection: sqlite3.Connection, observations: Sequence[Observation]) -> None:
    """Write what is not there yet; the caller's transaction makes it all or none."""
    connection.executemany(
        "INSERT INTO observations VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            (one.kind, one.symbol, one.metric, one.time_ns, float(one.value), one.source)
            for one in observations
        ),
    )


def select(connection: sqlite3.Connection, query: ObservationQuery) -> Iterator[Observation]:
    """Yield the newest asked for, by time."""
    clauses = {
        "kind = ?": query.kind,
        "symbol = ?": query.symbol,
        "metric = ?": query.metric,
        "time_ns >= ?": query.since,
        "time_ns <= ?": query.until,
    }
    used = {clause: value for clause, value in clauses.items() if value is not None}
    where = f"WHERE {' AND '.join(used)} " if used else ""
    rows = connection.execute(
        f"SELECT kind, symbol, metric, time_ns, value, source FROM observations {where}"
        "ORDER BY time_ns DESC, symbol DESC, metric DESC, source DESC, kind DESC LIMIT ?",
        (*used.values(), query.limit),
    ).fetchall()
    return (Observation(*row) for row in reversed(rows))


def expire(connection: sqlite3.Connection, before_ns: int) -> None:
    """Delete what is older."""
    connection.execute("DELETE FROM observations WHERE time_ns < ?", (before_ns,))
