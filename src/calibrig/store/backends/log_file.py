"""The append-only log under the JSON backend: one checksummed line per transaction, acknowledged when it is on disk."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import secrets
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from calibrig.errors import (
    CorruptRecordError,
    MissingFileError,
    StoreError,
    StoreUnavailableError,
)
from calibrig.store.backends.system_errors import translate_os_error

__all__ = ["LogFile", "LogLine"]

LOCK_TIMEOUT_S = 5.0
_MAGIC = b"calibrig-log 1 "
_HEX = 64
_LINE = msgspec.json.Decoder(list[msgspec.Raw])
_COMMITTED = struct.Struct("<Q")
_CHUNK = 1 << 20
_LOG = logging.getLogger("calibrig.store")


class LogLine(msgspec.Struct, frozen=True):
    """One transaction: where its line starts, and the payloads in it."""

    offset: int
    payloads: tuple[bytes, ...]


def parse_line(line: bytes) -> tuple[bytes, ...] | None:
    """Return the payloads of a line (without its newline), or None where its checksum does not hold."""
    if len(line) < _HEX + 3 or line[_HEX : _HEX + 1] != b" ":
        return None
    body = line[_HEX + 1 :]
    if hashlib.sha256(body).hexdigest().encode() != line[:_HEX]:
        return None
    try:
        return tuple(bytes(raw) for raw in _LINE.decode(body))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def make_line(payloads: list[bytes]) -> bytes:
    """Return the line of one transaction."""
    body = b"[" + b",".join(payloads) + b"]"
    return hashlib.sha256(body).hexdigest().encode() + b" " + body + b"\n"


class LogFile:
    """A log and the lock beside it, which also holds how many bytes of the log are committed.

    Readers take lines only up to the committed length, so they never see what is not on the disk yet. The length is a
    hint that needs no sync: after a crash the next writer reads the log itself.
    """

    def __init__(self, path: Path, *, create: bool) -> None:
        self.path = path
        self.lock_path = path.with_suffix(".lock")
        self._log = self._lock = -1
        self.store_id = ""
        self.start = 0
        try:
            self._open(create)
        except OSError as error:
            self.close()
            if isinstance(error, StoreError | MissingFileError):
                raise
            raise translate_os_error(error, path) from None
        except BaseException:
            self.close()
            raise

    def _open(self, create: bool) -> None:
        if not create and not self.path.exists():
            raise MissingFileError(f"there is no store at {self.path}; run: calibrig store init")
        self._lock = os.open(self.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
        with self.locked():
            self._log = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
            header = os.pread(self._log, 256, 0)
            if b"\n" not in header:
                self._begin(header)
                header = os.pread(self._log, 256, 0)
        line, _, _ = header.partition(b"\n")
        if not line.startswith(_MAGIC):
            raise CorruptRecordError(f"{self.path} is no calibrig log; give another path or restore a backup")
        self.store_id = line[len(_MAGIC) :].decode(errors="replace")
        self.start = len(line) + 1

    def _begin(self, header: bytes) -> None:
        """Write the first line; a crash may have left a piece of one, but never more than that."""
        if header and not (_MAGIC.startswith(header[: len(_MAGIC)]) or not header.strip(b"\0")):
            raise CorruptRecordError(f"{self.path} is no calibrig log; give another path or restore a backup")
        os.ftruncate(self._log, 0)
        self._write_all(_MAGIC + secrets.token_hex(16).encode() + b"\n", 0)
        os.fsync(self._log)
        self.sync_folder()

    def sync_folder(self) -> None:
        """Make the names in the folder durable."""
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock that one writer has at a time; give up after 5 s."""
        until = time.monotonic() + LOCK_TIMEOUT_S
        pause = 0.0002
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise StoreUnavailableError(
                        f"{self.lock_path} has been held by another writer for {LOCK_TIMEOUT_S:g} s; try again"
                    ) from None
                time.sleep(pause)
                pause = min(pause * 1.5, 0.005)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def committed(self) -> int:
        """Return how many bytes readers may take."""
        raw = os.pread(self._lock, _COMMITTED.size, 0)
        return int(_COMMITTED.unpack(raw)[0]) if len(raw) == _COMMITTED.size else 0

    def commit(self, length: int) -> None:
        """Let readers take the log up to ``length``; this is also what wakes them."""
        os.pwrite(self._lock, _COMMITTED.pack(length), 0)

    def size(self) -> int:
        """Return the length of the log as it is."""
        return os.fstat(self._log).st_size

    def read_lines(self, start: int, end: int) -> Iterator[LogLine]:
        """Yield the transactions between two offsets; stops at the first line that is not whole.

        The iterator's return value is not used: compare the last offset with ``end`` to know whether all was read.
        """
        offset, rest = start, b""
        position = start
        while position < end:
            chunk = os.pread(self._log, min(_CHUNK, end - position), position)
            if not chunk:
                return
            position += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                payloads = parse_line(line)
                if payloads is None:
                    return
                yield LogLine(offset, payloads)
                offset += len(line) + 1

    def read_line(self, offset: int) -> LogLine | None:
        """Return the transaction that starts at ``offset``, or None where there is none."""
        data = b""
        while b"\n" not in data:
            chunk = os.pread(self._log, 16384, offset + len(data))
            if not chunk:
                return None
            data += chunk
        payloads = parse_line(data[: data.index(b"\n")])
        return LogLine(offset, payloads) if payloads is not None else None

    def line_end(self, line: LogLine) -> int:
        """Return the offset after ``line``."""
        return line.offset + _HEX + 1 + 2 + sum(map(len, line.payloads)) + len(line.payloads) - 1 + 1

    def append(self, payloads: list[bytes], offset: int) -> int:
        """Write one transaction at ``offset`` (under the lock) and return the offset after it, once it is on disk."""
        line = make_line(payloads)
        try:
            self._write_all(line, offset)
            os.fdatasync(self._log)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._log, offset)
            raise translate_os_error(error, self.path) from None
        return offset + len(line)

    def _write_all(self, data: bytes, offset: int) -> None:
        while data:
            written = os.pwrite(self._log, data, offset)
            data, offset = data[written:], offset + written

    def sync(self) -> None:
        """Bring what a killed writer left to the disk."""
        os.fdatasync(self._log)

    def cut_torn_tail(self, offset: int) -> Path:
        """Move what follows ``offset`` (a write that a crash interrupted) aside; return where."""
        tail = os.pread(self._log, self.size() - offset, offset)
        aside = self.path.with_suffix(f".torn-{time.time_ns()}")
        aside.write_bytes(tail)
        os.ftruncate(self._log, offset)
        os.fdatasync(self._log)
        _LOG.warning("%s: an interrupted write of %d bytes was moved to %s", self.path, len(tail), aside)
        return aside

    def close(self) -> None:
        """Close both files; safe twice."""
        for name in ("_log", "_lock"):
            descriptor = getattr(self, name)
            setattr(self, name, -1)
            if descriptor >= 0:
                os.close(descriptor)
