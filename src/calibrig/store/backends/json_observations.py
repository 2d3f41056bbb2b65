"""Observations beside a JSON store: one line each in ``name.json.observations``."""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from calibrig.errors import CorruptRecordError, StoreUnavailableError
from calibrig.store.backends.system_errors import translate_os_error
from calibrig.store.observations import Observation, ObservationQuery

__all__ = ["ObservationFile"]

LOCK_TIMEOUT_S = 5.0
_Line = tuple[str, str, str, int, float, str]


class ObservationFile:
    """A file of observations, and the lock beside it. Nothing is made before the first observation.

    A line that a crash cut short has no end: readers leave it out, the next writer cuts it off.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock_path = path.with_name(path.name + ".lock")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
        except OSError as error:
            raise translate_os_error(error, self._lock_path) from None
        try:
            until = time.monotonic() + LOCK_TIMEOUT_S
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise StoreUnavailableError(
                            f"{self._lock_path} has been held for {LOCK_TIMEOUT_S:g} s; try again"
                        ) from None
                    time.sleep(0.001)
            yield
        except OSError as error:
            if isinstance(error, StoreUnavailableError | CorruptRecordError):
                raise
            raise translate_os_error(error, self.path) from None
        finally:
            os.close(lock)

    def append(self, observations: Sequence[Observation]) -> None:
        """Write all in one write; on the disk when this returns. What is there twice is read once."""
        with self._locked():
            data = b"".join(_encode(one) for one in observations)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
            try:
                end = _whole_length(file)
                os.ftruncate(file, end)
                try:
                    _write_all(file, data, end)
                    os.fdatasync(file)
                except OSError:
                    os.ftruncate(file, end)
                    raise
            finally:
                os.close(file)

    def read(self, query: ObservationQuery) -> Iterator[Observation]:
        """Yield the newest asked for, by time."""
        try:
            newest = heapq.nlargest(query.limit, set(self._wanted(query)), key=_order)
        except FileNotFoundError:
            newest = []
        except OSError as error:
            if isinstance(error, CorruptRecordError):
                raise
            raise translate_os_error(error, self.path) from None
        return reversed(newest)

    def _wanted(self, query: ObservationQuery) -> Iterator[Observation]:
        decoder = msgspec.json.Decoder(_Line)
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    return
                try:
                    one = Observation(*decoder.decode(line))
                except (msgspec.MsgspecError, ValueError) as error:
                    raise CorruptRecordError(
                        f"{self.path} line {number} is no observation ({error}); remove that line"
                    ) from None
                if query.wants(one):
                    yield one

    def expire(self, before_ns: int) -> None:
        """Write the file anew without what is older."""
        with self._locked():
            if not self.path.exists():
                return
            if all(one.time_ns >= before_ns for one in self._wanted(ObservationQuery())):
                return
            kept = sorted(set(self._wanted(ObservationQuery(since=before_ns))), key=_order)
            temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.tmp")
            try:
                with temporary.open("wb") as file:
                    file.write(b"".join(_encode(one) for one in kept))
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(self.path)
            finally:
                temporary.unlink(missing_ok=True)


def _encode(one: Observation) -> bytes:
    return (
        msgspec.json.encode((one.kind, one.symbol, one.metric, one.time_ns, float(one.value), one.source))
        + b"\n"
    )


def _order(one: Observation) -> tuple[int, str, str, str, str]:
    return one.time_ns, one.symbol, one.metric, one.source, one.kind


def _whole_length(file: int) -> int:
    """Return the length up to the end of the last whole line."""
    end = os.fstat(file).st_size
    while end > 0:
        start = max(0, end - 65_536)
        at = os.pread(file, end - start, start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        end = start
    return 0


def _write_all(file: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written
