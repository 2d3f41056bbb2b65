"""SQLite, the embedded default: one file, write-ahead log, every commit on the disk before it is acknowledged."""

from __future__ import annotations

import contextlib
import random
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from calibrig.errors import (
    CorruptRecordError,
    InvalidInputError,
    MissingFileError,
    RefusedError,
    StoreError,
    StoreUnavailableError,
    VersionConflictError,
)
from calibrig.store.backend import Heads, HistoryQuery, Stored
from calibrig.store.backends import sqlite_observations
from calibrig.store.backends.inotify import FolderWatch
from calibrig.store.backends.system_errors import translate_os_error
from calibrig.store.backends.turns import turn
from calibrig.store.observations import Observation, ObservationQuery
from calibrig.store.record import Sealed
from calibrig.store.urls import file_path

__all__ = ["SQLiteBackend"]

BUSY_TIMEOUT_S = 5.0
APPLICATION_ID = 0x43414C42  # "CALB"
_PAUSE_S = 0.0002  # between looks at the commit counter after the log was written
_SETTLE_S = 0.02
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})

# One entry per schema number: what turns number n-1 into n. Never edit an entry that has been released.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE store (
            name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID""",
        """CREATE TABLE versions (
            change INTEGER PRIMARY KEY,
            kind TEXT NOT NULL, symbol TEXT NOT NULL, version_id INTEGER NOT NULL,
            updated_at INTEGER NOT NULL, updated_by TEXT NOT NULL, comment TEXT NOT NULL, origin TEXT NOT NULL,
            hash TEXT NOT NULL, payload TEXT NOT NULL,
            UNIQUE (kind, symbol, version_id)) STRICT""",
        """CREATE TABLE heads (
            kind TEXT NOT NULL, symbol TEXT NOT NULL, version_id INTEGER NOT NULL, hash TEXT NOT NULL,
            change INTEGER NOT NULL UNIQUE, PRIMARY KEY (kind, symbol)) STRICT, WITHOUT ROWID""",
        """CREATE TRIGGER versions_are_never_changed BEFORE UPDATE ON versions
            BEGIN SELECT RAISE(ABORT, 'history is immutable'); END""",
        """CREATE TRIGGER versions_are_never_deleted BEFORE DELETE ON versions
            BEGIN SELECT RAISE(ABORT, 'history is immutable'); END""",
    ),
    sqlite_observations.OBSERVATION_TABLES,
)
SCHEMA = len(MIGRATIONS)


def translate(error: sqlite3.Error, path: Path) -> StoreError:
    """Return the typed error for what SQLite said, with the file and the next step."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StoreError(
            f"the disk that holds {path} is full; nothing was written: free space and try again"
        )
    if code in _BUSY:
        return StoreUnavailableError(
            f"{path} has been locked by another writer for {BUSY_TIMEOUT_S:g} s; try again"
        )
    if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}:
        return RefusedError(f"{path} cannot be written by this user ({error}); check owner and mode")
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return CorruptRecordError(
            f"{path} is no calibrig store or is damaged ({error}); restore it from a backup or an export"
        )
    if code == sqlite3.SQLITE_CANTOPEN:
        return StoreUnavailableError(
            f"{path} cannot be opened ({error}); check that the folder can be written"
        )
    return StoreError(f"{path}: {error}")


def _use_write_ahead_log(connection: sqlite3.Connection) -> str:
    """Return the journal mode after asking for a write-ahead log, trying again while others open the same new file.

    SQLite answers "busy" at once, without its own timeout, when two connections turn a new file to a write-ahead log
    together: each holds the shared lock the other waits for. The one that is answered so lets go and asks again.
    """
    until = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _BUSY or time.monotonic() >= until:
                raise
        time.sleep(random.uniform(0.001, 0.01))


class SQLiteBackend:
    """Versions in a SQLite file.

    Parameters
    ----------
    url : str
        ``sqlite:///relative.db``, ``sqlite:////absolute.db`` or a path.
    create : bool
        Make the file where there is none.
    """

    def __init__(self, url: str, *, create: bool = True) -> None:
        self.path = file_path(url)
        if self.path.is_dir():
            raise InvalidInputError(
                f"{self.path} is a folder; give a file in it, like {self.path / 'calibrig.db'}"
            )
        if not self.path.exists():
            if not create:
                raise MissingFileError(f"there is no store at {self.path}; run: calibrig store init")
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise translate_os_error(error, self.path.parent) from None
        self._lock = threading.RLock()  # who writes
        self._reading = threading.RLock()  # on a connection of its own: no read waits for a commit
        self._waiting = threading.Lock()
        self._closed = False
        self._connection = self._connect()
        try:
            with self._errors():
                self._migrate()
            self._reader = self._connect()
            self._watch = FolderWatch(self.path.parent, self.path.name)
            self._seen_commit = self._commit_counter()
        except BaseException:
            self._connection.close()
            raise

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(
                self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise translate(error, self.path) from None
        try:
            mode = _use_write_ahead_log(connection)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
        except sqlite3.Error as error:
            connection.close()
            raise translate(error, self.path) from None
        if mode != "wal":
            connection.close()
            raise StoreError(
                f"{self.path} cannot use a write-ahead log (it uses {mode}); put it on a local disk"
            )
        return connection

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        if self._closed:
            raise StoreError(f"the store at {self.path} is closed; open it again")
        try:
            yield
        except sqlite3.Error as error:
            raise translate(error, self.path) from None

    def _migrate(self) -> None:
        present = self._schema()
        if present == SCHEMA:
            return
        with self._transaction():
            present = self._schema()
            if present == 0 and self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                raise CorruptRecordError(
                    f"{self.path} is a SQLite file of another program; give another path"
                )
            for number, statements in enumerate(MIGRATIONS[present:], start=present + 1):
                for statement in statements:
                    self._connection.execute(statement)
                if number == 1:
                    self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    self._connection.execute(
                        "INSERT INTO store VALUES ('store_id', ?)", (secrets.token_hex(16),)
                    )
                self._connection.execute(f"PRAGMA user_version = {number}")
            now_ns = time.time_ns()
            self._connection.executemany(
                "INSERT INTO migrations VALUES (?, ?)",
                [(number, now_ns) for number in range(present + 1, SCHEMA + 1)],
            )

    def _schema(self) -> int:
        present = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        if present > SCHEMA:
            raise RefusedError(
                f"{self.path} has store schema {present}, this calibrig knows {SCHEMA}; upgrade calibrig"
            )
        return present

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def turn(self) -> contextlib.AbstractContextManager[None]:
        """Queue at the write-ahead log, of which SQLite itself locks no byte; its own wait may let a writer starve."""
        return turn(self.path.with_name(self.path.name + "-wal"))

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock, self._errors(), self._transaction():
            yield

    def load_heads(self, after: int) -> Heads:
        """Read the heads that changed after ``after`` in one transaction."""
        with self._reading, self._errors():
            self._reader.execute("BEGIN")
            try:
                (change,) = self._reader.execute("SELECT coalesce(max(change), 0) FROM versions").fetchone()
                (store_id,) = self._reader.execute(
                    "SELECT value FROM store WHERE name = 'store_id'"
                ).fetchone()
                rows = self._reader.execute(
                    "SELECT CAST(v.payload AS BLOB), h.hash FROM heads h LEFT JOIN versions v "
                    "ON v.change = h.change WHERE h.change > ? ORDER BY h.change",
                    (after,),
                ).fetchall()
            finally:
                self._reader.execute("COMMIT")
        if any(payload is None for payload, _ in rows):
            raise CorruptRecordError(f"{self.path} has a head whose version is missing; restore a backup")
        return Heads(change, tuple(Stored(*row) for row in rows), store_id)

    def append(self, records: Sequence[Sealed]) -> int:
        """Append all records or none; on the disk when this returns."""
        change = 0
        with self._writing():
            for record in records:
                change = self._append_one(record)
        return change

    def _append_one(self, record: Sealed) -> int:
        head = self._connection.execute(
            "SELECT version_id, hash FROM heads WHERE kind = ? AND symbol = ?", (record.kind, record.symbol)
        ).fetchone()
        present = head[0] if head else 0
        if present != record.version_id - 1 or (head and head[1] != record.previous_hash):
            raise VersionConflictError(
                f"{record.kind}/{record.symbol} is at version {present}, not {record.version_id - 1}"
            )
        cursor = self._connection.execute(
            "INSERT INTO versions (kind, symbol, version_id, updated_at, updated_by, comment, origin, hash, payload) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                record.kind,
                record.symbol,
                record.version_id,
                record.updated_at,
                record.updated_by,
                record.comment,
                record.origin,
                record.hash,
                record.payload.decode(),
            ),
        )
        self._connection.execute(
            "INSERT INTO heads VALUES (?, ?, ?, ?, ?) ON CONFLICT (kind, symbol) DO UPDATE SET "
            "version_id = excluded.version_id, hash = excluded.hash, change = excluded.change",
            (record.kind, record.symbol, record.version_id, record.hash, cursor.lastrowid),
        )
        return int(cursor.lastrowid or 0)

    def history(self, query: HistoryQuery) -> Iterator[Stored]:
        """Yield versions by key and number, with a connection of their own."""
        clauses = {
            "kind = ?": query.kind,
            "symbol = ?": query.symbol,
            "updated_at >= ?": query.since,
            "updated_at <= ?": query.until,
            "updated_by = ?": query.updated_by,
            "version_id = ?": query.version_id,
        }
        used = {clause: value for clause, value in clauses.items() if value is not None}
        where = f"WHERE {' AND '.join(used)} " if used else ""
        with self._errors():
            connection = self._connect()
            try:
                rows = connection.execute(
                    "SELECT CAST(payload AS BLOB), hash, kind, symbol, version_id, updated_at, updated_by, comment, "
                    f"origin FROM versions {where}ORDER BY kind, symbol, version_id",
                    tuple(used.values()),
                )
                for row in rows:
                    yield Stored(row[0], row[1], row[2:])
            finally:
                connection.close()

    def as_of(self, kind: str, symbol: str, time_ns: int | None) -> Stored | None:
        """Read the newest version of ``time_ns`` or before, or the head."""
        sql = "SELECT CAST(payload AS BLOB), hash FROM versions WHERE kind = ? AND symbol = ? "
        values: tuple[Any, ...] = (kind, symbol)
        if time_ns is not None:
            sql, values = sql + "AND updated_at <= ? ", (*values, time_ns)
        with self._reading, self._errors():
            row = self._reader.execute(sql + "ORDER BY version_id DESC LIMIT 1", values).fetchone()
        return Stored(*row) if row else None

    def append_observations(self, observations: Sequence[Observation]) -> None:
        """Append all or none."""
        with self.turn(), self._writing():
            sqlite_observations.insert(self._connection, observations)

    def read_observations(self, query: ObservationQuery) -> Iterator[Observation]:
        """Yield the newest asked for, by time."""
        with self._reading, self._errors():
            return sqlite_observations.select(self._reader, query)

    def expire_observations(self, before_ns: int) -> None:
        """Delete what is older."""
        with self.turn(), self._writing():
            sqlite_observations.expire(self._connection, before_ns)

    def _commit_counter(self) -> int:
        with self._reading:
            return int(self._reader.execute("PRAGMA data_version").fetchone()[0])

    def wait(self, timeout_s: float) -> bool:
        """Wait for a write to the log, then for its commit to become visible."""
        until = time.monotonic() + timeout_s
        with self._waiting:
            while not self._closed:
                left = until - time.monotonic()
                if left <= 0:
                    return False
                if self._watch.wait(left) and self._settled():
                    return True
        return False

    def _settled(self) -> bool:
        """Look at the commit counter until it moves: the log is written before its commit is visible."""
        until = time.monotonic() + _SETTLE_S
        while not self._closed:
            with self._errors():
                counter = self._commit_counter()
            if counter != self._seen_commit:
                self._seen_commit = counter
                return True
            if time.monotonic() >= until:
                return False
            time.sleep(_PAUSE_S)
        return False

    def close(self) -> None:
        """Close the file; safe twice; ends a ``wait`` in another thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._connection.close()
        self._watch.wake()
        with self._waiting, self._reading:
            self._watch.close()
            self._reader.close()
