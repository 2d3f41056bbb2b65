"""When Ctrl-C may interrupt: not inside a lock of `threading`, not inside a finalizer.

CPython raises KeyboardInterrupt between any two instructions of the main thread. Between the two that take a lock and
remember it, the lock stays taken: a thread that is just being started then waits for it, and the process for the
thread, for ever. Inside a finalizer the exception is swallowed, and Ctrl-C has done nothing. Here it is raised a few
milliseconds later instead, when the main thread has left such a place.
"""

from __future__ import annotations

import _thread
import contextlib
import signal
import threading
import time
import weakref
from collections.abc import Iterator
from types import FrameType

__all__ = ["interrupts_between_locks"]

_FRAGILE_FILES = frozenset({threading.__file__, weakref.__file__})
_PAUSE_S = 0.002
_LONGEST_S = 0.05  # a main thread that is there for longer waits for something, and may be interrupted


def _is_fragile(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename in _FRAGILE_FILES or frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


class _Interrupts:
    def __init__(self) -> None:
        self._since_s: float | None = None  # when the interrupt that is deferred now came

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now_s = time.monotonic()
        since_s = now_s if self._since_s is None else self._since_s
        if now_s - since_s < _LONGEST_S and _is_fragile(frame):
            self._since_s = since_s
            _thread.start_new_thread(_ask_again, (number,))
            return
        self._since_s = None
        raise KeyboardInterrupt


def _ask_again(number: int) -> None:
    time.sleep(_PAUSE_S)
    main = threading.main_thread().ident
    if main is not None:
        signal.pthread_kill(main, number)


@contextlib.contextmanager
def interrupts_between_locks() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt only where it can do no harm, for the time of a block.

    Does nothing outside the main thread, and where Ctrl-C is ignored or handled by somebody else.

    Examples
    --------
    >>> with interrupts_between_locks():
    ...     threading.Thread(target=print, args=("started",)).start()
    started
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _Interrupts())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
