"""PostgreSQL: the enterprise backend. One function appends, triggers refuse any change, notifications are hints."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import psycopg
from psycopg import errors as pg
from psycopg import pq
from psycopg.rows import tuple_row

from calibrig.errors import (
    CalibrigError,
    CorruptRecordError,
    InvalidInputError,
    MissingFileError,
    RefusedError,
    StoreError,
    StoreUnavailableError,
    VersionConflictError,
)
from calibrig.store.backend import Heads, HistoryQuery, Stored
from calibrig.store.backends import postgres_observations
from calibrig.store.backends.postgres_link import TIMEOUT_S, TimedConnection
from calibrig.store.backends.postgres_schema import MIGRATIONS
from calibrig.store.observations import Observation, ObservationQuery
from calibrig.store.record import Sealed
from calibrig.store.urls import redact, take_options

__all__ = ["PostgresBackend"]

WRITE_TIMEOUT_S = 10.0  # an append may queue behind other writers
SCHEMA = len(MIGRATIONS)
_PAGE = 512
Row = tuple[Any, ...]
_T = TypeVar("_T")
# What is asked often; prepared once on each connection.
_HEADS = (
    b"SELECT s.change, s.store_id, h.hash, v.payload FROM store s LEFT JOIN heads h ON h.change > $1 "
    b"LEFT JOIN versions v ON v.change = h.change ORDER BY h.change"
)
# One column instead of two: a tenth less of the time that the server and libpq take.
_HEAD = (
    b"SELECT hash || payload FROM versions WHERE kind = $1 AND symbol = $2 ORDER BY version_id DESC LIMIT 1"
)
_HEX = 64


class _DoesNotFollowError(StoreError):
    """A record of a batch is not the next of its key."""

    def __init__(self, index: int, present: int) -> None:
        super().__init__("a record is not the next of its key")
        self.index = index
        self.present = present


class PostgresBackend:
    """Versions in the schema ``calibrig`` of a PostgreSQL database.

    Parameters
    ----------
    url : str
        ``postgresql://user@host:5432/database?sslmode=verify-full``; libpq's options and ``~/.pgpass`` apply.
        ``schema=calibrig`` after ``?`` names another schema.
    create : bool
        Make the schema where there is none.
    """

    def __init__(self, url: str, *, create: bool = True) -> None:
        self._shown = redact(url)
        self._conninfo, self._schema = _take_schema(url)
        self._lock = threading.RLock()
        self._waiting = threading.Lock()
        self._closed = False
        self._connection: TimedConnection | None = None
        self._listener: TimedConnection | None = None
        self._seen = 0  # the newest change that load_heads has answered with
        try:
            self._migrate(create)
        except BaseException:
            self.close()
            raise

    # -- connections --------------------------------------------------------------------------------------------------

    def _connect(self) -> TimedConnection:
        with self._errors():
            return TimedConnection.connect(
                self._conninfo,
                autocommit=True,
                row_factory=tuple_row,
                prepare_threshold=1,
                connect_timeout=2,  # the driver's shortest; ours ends sooner
                application_name="calibrig",
                client_encoding="utf8",
                options=f"-c statement_timeout={int(WRITE_TIMEOUT_S * 1000)} -c timezone=UTC "
                f"-c search_path={self._schema},pg_catalog -c plan_cache_mode=force_generic_plan "
                f"-c lock_timeout={int(WRITE_TIMEOUT_S * 1000)}",
                keepalives_idle=5,
                keepalives_interval=2,
                keepalives_count=2,
            )

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except psycopg.DatabaseError as error:
            if error.sqlstate == "CB001":
                wrong, present = str(error.diag.message_primary).split()
                raise _DoesNotFollowError(int(wrong) - 1, int(present)) from None
            raise self._translate(error) from None
        except psycopg.Error as error:
            raise self._unreachable(error) from None

    def _translate(self, error: psycopg.DatabaseError) -> CalibrigError:
        """Return the typed error for what the server or the driver said."""
        if isinstance(error, pg.UniqueViolation):
            return VersionConflictError(f"somebody else wrote first ({_words(error)})")
        words = f"({_words(error)})"
        if isinstance(error, pg.DiskFull | pg.OutOfMemory):
            return StoreError(f"{self._shown} has no space left {words}; nothing was written: free some")
        if isinstance(
            error, pg.InsufficientPrivilege | pg.InvalidPassword | pg.InvalidAuthorizationSpecification
        ):
            return RefusedError(
                f"{self._shown} does not let this user do that {words}; check user, password and role"
            )
        if isinstance(error, pg.UndefinedTable | pg.InvalidSchemaName | pg.UndefinedFunction):
            return StoreError(f"{self._shown} holds no calibrig store {words}; run: calibrig store init")
        if isinstance(error, pg.InvalidCatalogName):
            return InvalidInputError(f"{self._shown}: {_words(error)}; create the database first")
        if isinstance(error, pg.LockNotAvailable | pg.QueryCanceled):
            return StoreUnavailableError(f"{self._shown} is too busy {words}; try again")
        if isinstance(error, pg.RaiseException):
            return RefusedError(f"{self._shown}: {_words(error)}")
        if isinstance(error, psycopg.OperationalError):
            return self._unreachable(error)
        if isinstance(error, psycopg.ProgrammingError) and error.sqlstate is None:
            return InvalidInputError(f"{self._shown} is no PostgreSQL URL: {_words(error)}")
        return StoreError(f"{self._shown}: {_words(error)}")

    def _unreachable(self, error: psycopg.Error) -> CalibrigError:
        words = _words(error)
        if any(
            part in words for part in ("password authentication", "no password", "role", "no pg_hba.conf")
        ):
            return RefusedError(f"{self._shown} refuses the user or the password ({words}); check both")
        if "does not exist" in words and "database" in words:
            return InvalidInputError(f"{self._shown}: {words}; create the database first")
        if "invalid" in words and "value" in words:
            return InvalidInputError(f"{self._shown} is no PostgreSQL URL: {words}; mend that option")
        what = "check the host's name" if "resolve host" in words else "try again"
        return StoreUnavailableError(f"{self._shown} cannot be reached or does not answer ({words}); {what}")

    @contextlib.contextmanager
    def _working(self, limit_s: float = TIMEOUT_S) -> Iterator[TimedConnection]:
        """Lend the connection to one thread; a broken one is thrown away, the next call makes another."""
        with self._lock:
            if self._closed:
                raise StoreError(f"the store at {self._shown} is closed; open it again")
            if self._connection is None or self._connection.closed:
                self._connection = self._connect()
            connection = self._connection
            connection.limit_s = limit_s
            try:
                with self._errors():
                    yield connection
            except StoreUnavailableError:
                self._connection = None
                connection.throw_away()
                raise

    def _twice(self, question: Callable[[TimedConnection], _T]) -> _T:
        """Ask; once more on a fresh connection, because the server may have been restarted since."""
        for again in (True, False):
            had = self._connection
            try:
                with self._working() as connection:
                    return question(connection)
            except StoreUnavailableError as error:
                if not again or had is None or "timeout" in str(error):
                    raise
        raise AssertionError("not reached")

    def _read(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        return self._twice(lambda connection: connection.execute(sql, values).fetchall())

    def _ask(self, name: bytes, sql: bytes, values: Sequence[bytes]) -> pq.abc.PGresult:
        """Run a statement that is prepared once on each connection."""
        with self._lock:
            connection = self._connection
            if connection is None or self._closed:
                return self._twice(lambda fresh: fresh.ask(name, sql, values))
            connection.limit_s = TIMEOUT_S
            try:
                return connection.ask(name, sql, values)
            except psycopg.Error as error:
                failed: list[psycopg.Error] = [error]

            def question(connection: TimedConnection) -> pq.abc.PGresult:
                if failed:
                    raise failed.pop()
                return connection.ask(name, sql, values)

            return self._twice(question)

    # -- schema -------------------------------------------------------------------------------------------------------

    def _migrate(self, create: bool) -> None:
        present = self._present_schema()
        if present > SCHEMA:
            raise RefusedError(
                f"{self._shown} has store schema {present}, this calibrig knows {SCHEMA}; upgrade calibrig"
            )
        if present == SCHEMA:
            return
        if present == 0 and not create:
            raise MissingFileError(f"there is no store at {self._shown}; run: calibrig store init")
        try:
            self._apply_migrations()
        except RefusedError as error:
            if present == 0:
                raise
            raise RefusedError(
                f"{self._shown} has store schema {present} and this calibrig needs {SCHEMA}, but this user may not change "
                f"it ({error}); open it once as its owner: calibrig store init"
            ) from None

    def _apply_migrations(self) -> None:
        """Bring the schema up to date in one transaction: one that is broken off leaves what was there."""
        with self._working(WRITE_TIMEOUT_S) as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 7))", [self._schema])
            present = self._present_schema(connection)
            for number in range(present + 1, SCHEMA + 1):
                connection.execute(MIGRATIONS[number - 1].replace("{schema}", self._schema))
                connection.execute(
                    f"UPDATE {self._schema}.store SET schema_number = %s",
                    [number],
                )
            for number in range(present + 1, SCHEMA + 1):
                connection.execute(f"INSERT INTO {self._schema}.migrations (number) VALUES (%s)", [number])

    def _present_schema(self, connection: TimedConnection | None = None) -> int:
        # Asked of the tables, not by to_regclass: that may answer from a cache older than the lock just taken.
        sql = (
            "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s AND c.relname = 'store'"
        )
        read = (lambda s, v=(): connection.execute(s, v).fetchall()) if connection else self._read
        if not read(sql, [self._schema])[0][0]:
            return 0
        return int(read(f"SELECT schema_number FROM {self._schema}.store")[0][0])

    # -- Backend ------------------------------------------------------------------------------------------------------

    def load_heads(self, after: int) -> Heads:
        """Read the heads that changed after ``after``, in one statement and so in one snapshot."""
        found = self._ask(b"heads", _HEADS, (b"%d" % after,))
        value = found.get_value
        if not found.ntuples:
            raise CorruptRecordError(f"{self._shown} has lost its store row; restore a backup")
        heads = []
        for row in range(found.ntuples):
            digest, payload = value(row, 2), value(row, 3)
            if digest is not None and payload is None:
                raise CorruptRecordError(
                    f"{self._shown} has a head whose version is missing; restore a backup"
                )
            if digest is not None and payload is not None:
                heads.append(Stored(payload, digest.decode()))
        self._seen = int.from_bytes(value(0, 0) or b"")
        return Heads(self._seen, tuple(heads), (value(0, 1) or b"").decode())

    def append(self, records: Sequence[Sealed]) -> None:
        """Append all records or none, in one function; on the server's disk when this returns."""
        columns = [
            [getattr(one, name) for one in records]
            for name in ("kind", "symbol", "version_id", "updated_at", "updated_by", "comment", "origin")
        ]
        columns += [[one.previous_hash for one in records], [one.hash for one in records]]
        columns.append([one.payload.decode() for one in records])
        try:
            with self._working(WRITE_TIMEOUT_S) as connection:
                connection.execute(
                    "SELECT append_versions(%s::text[], %s::text[], %s::bigint[], %s::bigint[], "
                    "%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])",
                    columns,
                )
        except _DoesNotFollowError as error:
            record = records[error.index]
            raise VersionConflictError(
                f"{record.kind}/{record.symbol} is at version {error.present}, not {record.version_id - 1}"
            ) from None

    def history(self, query: HistoryQuery) -> Iterator[Stored]:
        """Yield versions by key and number, page by page: no transaction stays open."""
        clauses = {
            "kind = %s": query.kind,
            "symbol = %s": query.symbol,
            "updated_at >= %s": query.since,
            "updated_at <= %s": query.until,
            "updated_by = %s": query.updated_by,
            "version_id = %s": query.version_id,
        }
        used = {clause: value for clause, value in clauses.items() if value is not None}
        where = " AND ".join(["(kind, symbol, version_id) > (%s, %s, %s)", *used])
        place: Row = ("", "", 0)
        while True:
            rows = self._read(
                "SELECT payload, hash, kind, symbol, version_id, updated_at, updated_by, comment, origin "
                f"FROM versions WHERE {where} ORDER BY kind, symbol, version_id LIMIT {_PAGE}",
                [*place, *used.values()],
            )
            for row in rows:
                yield Stored(row[0].encode(), row[1], row[2:])
            if len(rows) < _PAGE:
                return
            place = rows[-1][2:5]

    def as_of(self, kind: str, symbol: str, time_ns: int | None) -> Stored | None:
        """Read the head, or the newest version of ``time_ns`` or before."""
        if time_ns is None:
            found = self._ask(b"head", _HEAD, (kind.encode(), symbol.encode()))
            if not found.ntuples:
                return None
            element = found.get_value(0, 0) or b""
            return Stored(element[_HEX:], element[:_HEX].decode())
        rows = self._read(
            "SELECT payload, hash FROM versions WHERE kind = %s AND symbol = %s AND updated_at <= %s "
            "ORDER BY version_id DESC LIMIT 1",
            (kind, symbol, time_ns),
        )
        return Stored(rows[0][0].encode(), rows[0][1]) if rows else None

    def append_observations(self, observations: Sequence[Observation]) -> None:
        """Append all or none, in one function."""
        with self._working(WRITE_TIMEOUT_S) as connection:
            connection.execute(postgres_observations.APPEND, postgres_observations.columns_of(observations))

    def read_observations(self, query: ObservationQuery) -> Iterator[Observation]:
        """Yield the newest asked for, by time."""
        rows = self._read(postgres_observations.SELECT, postgres_observations.select_values(query))
        return (Observation(*row) for row in reversed(rows))

    def expire_observations(self, before_ns: int) -> None:
        """Drop whole weeks that are older, delete the rest."""
        with self._working(WRITE_TIMEOUT_S) as connection:
            connection.execute(postgres_observations.EXPIRE, [before_ns])

    def end_listeners(self) -> int:
        """End the connections that wait for notifications (for fault campaigns); return how many."""
        rows = self._read(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE query LIKE 'LISTEN %%' AND pid <> pg_backend_pid()"
        )
        return len(rows)

    def create_roles(self) -> tuple[str, ...]:
        """Make a role that may append through the function, and one that may look; neither can log in by itself."""
        names = (f"{self._schema}_writer", f"{self._schema}_reader")
        with self._working(WRITE_TIMEOUT_S) as connection, connection.transaction():
            for name in names:
                found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone()
                if found is None:
                    connection.execute(f"CREATE ROLE {name} NOLOGIN")
            connection.execute(f"GRANT USAGE ON SCHEMA {self._schema} TO {', '.join(names)}")
            connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {self._schema} TO {', '.join(names)}")
            for function in ("append_versions", "append_observations", "expire_observations"):
                connection.execute(f"GRANT EXECUTE ON FUNCTION {self._schema}.{function} TO {names[0]}")
        return names

    def wait(self, timeout_s: float) -> bool:
        """Wait for news on a connection of its own.

        A notification of this opener's own is no news, and neither is one of a change that ``load_heads`` has answered
        with.
        """
        until = time.monotonic() + timeout_s
        with self._waiting:
            if self._closed:
                return False
            if self._listener is None:
                self._listener = self._connect()
                with self._errors():
                    self._listener.execute(f"LISTEN {self._schema}_changed")
                return True  # something may have been missed while nobody listened
            try:
                with self._errors():
                    while (left := until - time.monotonic()) > 0:
                        told = self._listener.newest_notification(left)
                        if told is None:
                            return False
                        if self._is_news(*told):
                            return True
                return False
            except StoreError:
                listener, self._listener = self._listener, None
                listener.throw_away()
                if self._has_closed():
                    return False
                raise

    def _is_news(self, change: bytes, process: int) -> bool:
        own = self._connection
        if own is not None and not own.closed and own.pgconn.backend_pid == process:
            return False
        return change.isdigit() and int(change) > self._seen

    def _has_closed(self) -> bool:
        return self._closed  # another thread may have closed it meanwhile

    def close(self) -> None:
        """Close the connections; safe twice; ends a ``wait`` in another thread."""
        if self._closed:
            return
        self._closed = True
        listener = self._listener
        if listener is not None:
            listener.shut()
        with self._waiting:
            if self._listener is not None:
                self._listener.throw_away()
                self._listener = None
        with self._lock:
            if self._connection is not None:
                self._connection.throw_away()
                self._connection = None


def _take_schema(url: str) -> tuple[str, str]:
    """Split our option from libpq's."""
    conninfo, options = take_options(url, "postgresql", {"schema"})
    schema = options.get("schema", "calibrig")
    if not schema.isidentifier() or not schema.isascii() or schema != schema.lower() or len(schema) > 50:
        raise InvalidInputError(f"schema is {schema!r}; give lower-case letters, digits and _, at most 50")
    return conninfo, schema


def _words(error: psycopg.Error) -> str:
    return redact(" ".join(str(error).split()))[:500]
