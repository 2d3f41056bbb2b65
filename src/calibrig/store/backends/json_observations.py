"""Observations beside a JSON store: one checksummed line per batch in ``name.json.observations``."""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import os
import secrets
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from calibrig.errors import CorruptRecordError, StoreUnavailableError
from calibrig.store.backends.system_errors import translate_os_error
from calibrig.store.observations import MAX_BATCH, Observation, ObservationQuery

__all__ = ["ObservationFile"]

LOCK_TIMEOUT_S = 5.0
_CHECKSUM = 9  # eight hexadecimal digits and a space
_DECODER = msgspec.json.Decoder(list[tuple[str, str, str, int, float, str]])


class ObservationFile:
    """A file of observations, and the lock beside it. Nothing is made before the first observation.

    A batch is one line, so a crash leaves all of it or none: a last line that is not whole is left out by readers, and
    cut off by the next writer.
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
        """Write the batch; on the disk when this returns. What is there twice is read once."""
        with self._locked():
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
            try:
                end = _whole_length(file)
                os.ftruncate(file, end)
                try:
                    _write_all(file, _encode(observations), end)
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
        torn = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if torn:
                    raise CorruptRecordError(f"{self.path} is damaged at line {torn}; remove that line")
                batch = _decode(line)
                if batch is None:
                    torn = number  # fine for the last line only
                    continue
                yield from (one for one in batch if query.wants(one))

    def expire(self, before_ns: int) -> None:
        """Write the file anew without what is older, where anything is."""
        with self._locked():
            everything = ObservationQuery()
            if not self.path.exists() or all(one.time_ns >= before_ns for one in self._wanted(everything)):
                return
            kept = sorted(set(self._wanted(ObservationQuery(since=before_ns))), key=_order)
            temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.tmp")
            try:
                with temporary.open("wb") as file:
                    for start in range(0, len(kept), MAX_BATCH):
                        file.write(_encode(kept[start : start + MAX_BATCH]))
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(self.path)
            finally:
                temporary.unlink(missing_ok=True)


def _encode(observations: Sequence[Observation]) -> bytes:
    rows = [
        (one.kind, one.symbol, one.metric, one.time_ns, float(one.value), one.source) for one in observations
    ]
    body = msgspec.json.encode(rows)
    return b"%08x %b\n" % (zlib.crc32(body), body)


def _decode(line: bytes) -> list[Observation] | None:
    """Return the batch of a line, or None where it is not what was written."""
    body = line[_CHECKSUM:-1]
    if not line.endswith(b"\n") or line[:_CHECKSUM] != b"%08x " % zlib.crc32(body):
        return None
    try:
        return [Observation(*row) for row in _DECODER.decode(body)]
    except (msgspec.MsgspecError, ValueError):
        return None


def _order(one: Observation) -> tuple[int, str, str, str, str]:
    return one.time_ns, one.symbol, one.metric, one.source, one.kind


def _whole_length(file: int) -> int:
    """Return the length up to the end of the last whole line; looks at the last two lines only."""
    size = os.fstat(file).st_size
    end = _line_end(file, size)
    if end == 0:
        return 0
    start = _line_end(file, end - 1)
    return end if _decode(os.pread(file, end - start, start)) is not None else start


def _line_end(file: int, before: int) -> int:
    """Return the offset behind the last newline before ``before``; 0 where there is none."""
    while before > 0:
        start = max(0, before - 65_536)
        at = os.pread(file, before - start, start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        before = start
    return 0


def _write_all(file: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written
