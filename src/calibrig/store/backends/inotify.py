"""Waits until files of a folder change: Linux inotify by ctypes, or a plain pause where there is none."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import struct
from pathlib import Path

__all__ = ["FolderWatch"]

_MODIFY, _CLOSE_WRITE, _MOVED_TO, _CREATE = 0x2, 0x8, 0x80, 0x100
_OVERFLOW = 0x4000  # events were dropped
_NONBLOCK, _CLOEXEC = 0o4000, 0o2000000
_EVENT = struct.Struct("iIII")


def _open_inotify(folder: Path) -> int:
    """Return an inotify descriptor that watches ``folder``, or -1 where the kernel has none to give."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        descriptor = int(libc.inotify_init1(_NONBLOCK | _CLOEXEC))
        if descriptor < 0:
            return -1
        mask = _MODIFY | _CLOSE_WRITE | _MOVED_TO | _CREATE
        if libc.inotify_add_watch(descriptor, os.fsencode(folder), mask) < 0:
            os.close(descriptor)
            return -1
    except AttributeError:
        return -1
    return descriptor


class FolderWatch:
    """Waits for changes of files in ``folder`` whose names start with ``prefix``.

    The kernel is asked to watch by the first ``wait``, which therefore returns True at once: something may have
    changed before. (Letting go of a watch takes the kernel two milliseconds; who never waits never pays.)

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     watch = FolderWatch(pathlib.Path(folder), "a.db")
    ...     first = watch.wait(0.0)
    ...     _ = pathlib.Path(folder, "a.db-wal").write_text("x")
    ...     seen = watch.wait(1.0)
    ...     watch.close()
    >>> first, seen
    (True, True)
    """

    def __init__(self, folder: Path, prefix: str) -> None:
        self._folder = folder
        self._prefix = os.fsencode(prefix)
        self._inotify = -1
        self._started = False
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._wake_read, select.POLLIN)
        self.closed = False

    @property
    def notifies(self) -> bool:
        """Whether the kernel tells of changes; without it ``wait`` is only a pause of at most 5 ms."""
        return self._inotify >= 0

    def wait(self, timeout_s: float) -> bool:
        """Return True when a watched file may have changed, False after ``timeout_s`` or ``wake``."""
        if self.closed:
            return False
        if not self._started:
            self._started = True
            self._inotify = _open_inotify(self._folder)
            if self._inotify >= 0:
                self._poll.register(self._inotify, select.POLLIN)
            return True
        if not self.notifies:
            return not self._poll.poll(min(timeout_s, 0.005) * 1000)
        ready = self._poll.poll(max(timeout_s, 0.0) * 1000)
        if not any(descriptor == self._inotify for descriptor, _ in ready):
            return False
        return self._drain()

    def _drain(self) -> bool:
        try:
            data = os.read(self._inotify, 65536)
        except BlockingIOError:
            return False
        offset, seen = 0, False
        while offset < len(data):
            _, mask, _, length = _EVENT.unpack_from(data, offset)
            name = data[offset + _EVENT.size : offset + _EVENT.size + length].rstrip(b"\0")
            seen = seen or name.startswith(self._prefix) or bool(mask & _OVERFLOW)
            offset += _EVENT.size + length
        return seen

    def wake(self) -> None:
        """End a ``wait`` in another thread."""
        with contextlib.suppress(OSError):
            os.write(self._wake_write, b"x")

    def close(self) -> None:
        """Let go of the descriptors; safe twice; no thread may be in ``wait`` (``wake`` it first)."""
        if self.closed:
            return
        self.closed = True
        for descriptor in (self._inotify, self._wake_read, self._wake_write):
            if descriptor >= 0:
                os.close(descriptor)
