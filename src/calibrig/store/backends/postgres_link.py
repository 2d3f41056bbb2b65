"""A connection to PostgreSQL whose every wait ends, and that asks what is asked often in one round trip.

A psycopg cursor spends about 60 us of Python on each query (adaptation, row factory, generators) where the server takes
20. Prepared statements with binary results are sent here by the driver's own wrapper of libpq, ``psycopg.pq``.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import pq

__all__ = ["CONNECT_TIMEOUT_S", "TIMEOUT_S", "TimedConnection"]

TIMEOUT_S = 0.5  # for every answer; psycopg alone would wait for ever
CONNECT_TIMEOUT_S = 0.6
Row = tuple[Any, ...]
_BINARY, _TUPLES = int(pq.Format.BINARY), int(pq.ExecStatus.TUPLES_OK)


class TimedConnection(psycopg.Connection[Row]):
    """A connection whose every wait ends: psycopg's own default is to wait for ever."""

    limit_s: float = TIMEOUT_S

    def __init__(self, pgconn: pq.abc.PGconn, *rest: Any, **more: Any) -> None:
        super().__init__(pgconn, *rest, **more)
        self._statements: set[bytes] = set()
        self._readable = select.poll()
        self._readable.register(pgconn.socket, select.POLLIN)

    @classmethod
    def _connect_gen(cls, conninfo: str = "") -> Any:
        """Connect within our own limit: the driver's shortest is two seconds, and one must be back sooner."""
        steps = super()._connect_gen(conninfo)
        until = time.monotonic() + CONNECT_TIMEOUT_S
        try:
            wanted = next(steps)
            while True:
                ready = yield wanted
                if time.monotonic() > until:
                    steps.close()
                    raise psycopg.OperationalError(f"no connection within {CONNECT_TIMEOUT_S:g} s")
                wanted = steps.send(ready)
        except StopIteration as end:
            return end.value

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait at most ``limit_s``."""
        return super().wait(gen, interval, self.limit_s if timeout is None else timeout)

    def ask(self, name: bytes, sql: bytes, values: Sequence[bytes]) -> pq.abc.PGresult:
        """Run a statement, prepared under ``name`` on first use; the result holds values as the server sends them (binary).

        Raises
        ------
        psycopg.Error
            What the server or the driver says.
        """
        pgconn = self.pgconn
        if name not in self._statements:
            pgconn.send_prepare(name, sql)
            self._answer(pq.ExecStatus.COMMAND_OK)
            self._statements.add(name)
        pgconn.send_query_prepared(name, values, None, _BINARY)  # libpq sends what the socket takes at once
        result: pq.abc.PGresult | None = None
        if self._readable.poll(self.limit_s * 1000):  # as a rule the whole answer comes at once
            pgconn.consume_input()
            if not pgconn.is_busy():
                result = pgconn.get_result()
                if (
                    result is not None
                    and result.status == _TUPLES
                    and not pgconn.is_busy()
                    and pgconn.get_result() is None
                ):
                    return result
        return self._answer(pq.ExecStatus.TUPLES_OK, result)

    def _answer(self, expected: pq.ExecStatus, result: pq.abc.PGresult | None = None) -> pq.abc.PGresult:
        """Take the one result of what was sent; libpq is never asked for more than has arrived, or it would block."""
        pgconn = self.pgconn
        until = time.monotonic() + self.limit_s
        while pgconn.flush():  # as a rule all has been sent
            self._wait_readable(until, pause_s=0.001)
        while True:
            while pgconn.is_busy():
                self._wait_readable(until)
            more = pgconn.get_result()
            if more is None:
                break
            result = more
        if result is None or result.status != expected:
            raise _error(pgconn, result)
        return result

    def _wait_readable(self, until: float, pause_s: float = 1e9) -> None:
        left_s = until - time.monotonic()
        if left_s <= 0 or (not self._readable.poll(min(left_s, pause_s) * 1000) and left_s < pause_s):
            raise psycopg.OperationalError(f"no answer within {self.limit_s:g} s (timeout)")
        self.pgconn.consume_input()

    def newest_notification(self, timeout_s: float) -> tuple[bytes, int] | None:
        """Wait for notifications; return what the newest says and the server process it is from, None after ``timeout_s``.

        Empty words where something else has come.
        """
        pgconn = self.pgconn
        newest = None
        while (found := pgconn.notifies()) is not None:
            newest = found
        if newest is None:
            if not self._readable.poll(max(timeout_s, 0.0) * 1000):
                return None
            pgconn.consume_input()
            while (found := pgconn.notifies()) is not None:
                newest = found
        return (newest.extra, newest.be_pid) if newest is not None else (b"", 0)

    def shut(self) -> None:
        """Shut the socket that another thread waits on, so that its wait ends."""
        with (
            contextlib.suppress(OSError, psycopg.Error),
            socket.socket(fileno=os.dup(self.fileno())) as link,
        ):
            link.shutdown(socket.SHUT_RDWR)

    def throw_away(self) -> None:
        """Close without a word."""
        with contextlib.suppress(psycopg.Error, OSError):
            self.close()


def _error(pgconn: pq.abc.PGconn, result: pq.abc.PGresult | None) -> psycopg.Error:
    """Return what the server said as the driver's own kind of error."""
    said = (result.error_message if result is not None else b"") or pgconn.error_message
    words = said.decode(errors="replace").strip()
    state = result.error_field(pq.DiagnosticField.SQLSTATE) if result is not None else None
    if state is None:
        return psycopg.OperationalError(words or "the connection is lost")
    try:
        return psycopg.errors.lookup(state.decode())(words)
    except KeyError:
        return psycopg.DatabaseError(words)
