"""The card's file in shared memory, as both ends of the emulator see it."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from pathlib import Path

from calibrig.errors import DeviceUnavailableError

__all__ = ["CardMemory"]


class CardMemory:
    """A mapped file of 4096 bytes: the BAR below 0x200, the mailbox at 0x300, request line 0x400, reply line 0x800.

    Parameters
    ----------
    path : str
        File, best below ``/dev/shm``.
    create : bool
        Make it; it must not exist.
    """

    SIZE = 0x1000
    IDENTITY, SERVER_PID = 0x100, 0x200
    MAILBOX, TICKET, DONE = 0x300, 0x310, 0x318
    REQUEST, REPLY = 0x400, 0x800

    def __init__(self, path: str, *, create: bool = False) -> None:
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if create else 0)
        try:
            file = os.open(path, flags, 0o600)
        except FileExistsError:
            raise DeviceUnavailableError(
                f"{path} exists already; another card serves it, or one was killed: remove the file or take another name"
            ) from None
        except OSError as error:
            raise DeviceUnavailableError(f"cannot open {path}: {error.strerror}") from error
        try:
            if create:
                os.ftruncate(file, self.SIZE)
            self._map = mmap.mmap(file, self.SIZE)
        except (OSError, ValueError) as error:
            raise DeviceUnavailableError(f"{path} is not a card's memory: {error}") from error
        finally:
            os.close(file)
        self.path = path
        self._created = create
        self.buffer = (ctypes.c_char * self.SIZE).from_buffer(self._map)

    def close(self) -> None:
        """Unmap, and remove the file where this end made it; safe twice."""
        if not self._map.closed:
            del self.buffer
            self._map.close()
            if self._created:
                Path(self.path).unlink(missing_ok=True)

    def load32(self, offset: int) -> int:
        """Read a 32-bit word."""
        return int.from_bytes(self._map[offset : offset + 4], "little")

    def load64(self, offset: int) -> int:
        """Read a 64-bit word."""
        return int.from_bytes(self._map[offset : offset + 8], "little")

    def store32(self, offset: int, value: int) -> None:
        """Write a 32-bit word."""
        struct.pack_into("<I", self._map, offset, value & 0xFFFFFFFF)

    def store64(self, offset: int, value: int) -> None:
        """Write a 64-bit word."""
        struct.pack_into("<Q", self._map, offset, value)

    def load_line(self, offset: int) -> bytes:
        """Read 64 bytes."""
        return self._map[offset : offset + 64]

    def store_line(self, offset: int, line: bytes) -> None:
        """Write 64 bytes, the first eight last: they hold the sequence that says the rest is there."""
        self._map[offset + 8 : offset + 64] = line[8:]
        self._map[offset : offset + 8] = line[:8]
