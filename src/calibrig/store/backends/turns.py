"""Whose turn it is to write to a file: openers queue in the order in which they came, whichever process they are in."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["PATIENCE_S", "turn"]

PATIENCE_S = 1.0  # a queue that does not move for so long is not waited for
_LONGEST_PAUSE_S = 0.003
_FLOCK = struct.Struct("@hhqqi0q")  # struct flock: type, whence, start, length, pid
_SET_LOCK: int | None = getattr(fcntl, "F_OFD_SETLK", None)
_GET_LOCK: int | None = getattr(fcntl, "F_OFD_GETLK", None)


@contextlib.contextmanager
def turn(path: Path, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Wait until all who came before have had their turn; hold the turn while the block runs.

    A courtesy, not a lock: SQLite's own wait and polling for a lock are unfair, and where a commit takes long they let
    the one who has just written write again and again while another waits in vain. What keeps writers apart stays as it
    is, so where there is no queue (no such file, no such locks) the block runs at once.

    Each opener locks, for reading, the one byte whose offset is the time at which it came (the monotonic clock, ns, is
    the same for all processes of a machine), and waits while anybody holds a byte before its own. The kernel lets go of
    the bytes of a process that dies; nothing is written.

    Parameters
    ----------
    path : Path
        A file that all openers can read, and on which nobody else sets record locks.
    patience_s : float
        How long to wait while the first in the queue stays the same: it may have been stopped.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.NamedTemporaryFile() as file, turn(pathlib.Path(file.name)):
    ...     pass  # write
    """
    taken = _take_ticket(path)
    if taken is None:
        yield
        return
    file, ticket = taken
    try:
        _wait(file, ticket, patience_s)
        yield
    finally:
        # not by closing alone: a child that was forked meanwhile holds the file open
        with contextlib.suppress(OSError):
            _lock(file, fcntl.F_UNLCK, ticket)
        os.close(file)


def _take_ticket(path: Path) -> tuple[int, int] | None:
    if _SET_LOCK is None or _GET_LOCK is None:
        return None
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    ticket = time.monotonic_ns()
    try:
        _lock(file, fcntl.F_RDLCK, ticket)
    except OSError:
        os.close(file)
        return None
    return file, ticket


def _lock(file: int, kind: int, ticket: int) -> None:
    assert _SET_LOCK is not None
    fcntl.fcntl(file, _SET_LOCK, _FLOCK.pack(kind, os.SEEK_SET, ticket, 1, 0))


def _wait(file: int, ticket: int, patience_s: float) -> None:
    first: int | None = None
    until, pause_s = 0.0, 0.0002
    while (ahead := _first_before(file, ticket)) is not None:
        now = time.monotonic()
        if ahead != first:
            first, until = ahead, now + patience_s
        elif now > until:
            return
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.3, _LONGEST_PAUSE_S)


def _first_before(file: int, ticket: int) -> int | None:
    """Return the earliest ticket before ``ticket`` that somebody holds."""
    assert _GET_LOCK is not None
    earliest = None
    while ticket > 0:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, ticket, 0)
        kind, _, start, _, _ = _FLOCK.unpack(fcntl.fcntl(file, _GET_LOCK, asked))
        if kind == fcntl.F_UNLCK:
            break
        earliest = ticket = start
    return earliest
