"""Ctrl-C is raised outside locks and finalizers, soon, and is never lost."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

from calibrig.cli.interrupts import interrupts_between_locks


def _inside_threading() -> Callable[[Callable[[], object]], object]:
    """Return a function that stands, for a traceback, in the file of `threading`."""
    names: dict[str, Callable[[Callable[[], object]], object]] = {}
    code = "def call(function):\n    function()\n    return 'left'\n"
    exec(compile(code, threading.__file__, "exec"), names)
    return names["call"]


def _interrupted(block: Callable[[], object]) -> bool:
    """Whether the block ends by Ctrl-C, within half a minute after it is done if not before."""
    try:
        with interrupts_between_locks():
            block()
            ends = time.monotonic() + 30.0
            while time.monotonic() < ends:
                pass
    except KeyboardInterrupt:
        return True
    return False


def test_a_place_in_threading_is_left_first() -> None:
    call, seen = _inside_threading(), []
    assert _interrupted(lambda: seen.append(call(lambda: signal.raise_signal(signal.SIGINT))))
    assert seen == ["left"]


def test_a_finalizer_does_not_swallow_it() -> None:
    """Python's own handler raises inside ``__del__``, where exceptions are only printed."""
    finished = []

    class Finalized:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)
            finished.append(True)

    assert _interrupted(Finalized)
    assert finished == [True]


def test_a_long_wait_in_threading_is_interrupted() -> None:
    main, waited = threading.get_ident(), []
    sender = threading.Timer(0.05, lambda: signal.pthread_kill(main, signal.SIGINT))
    sender.start()
    assert _interrupted(lambda: waited.append(threading.Event().wait(60.0)))
    assert waited == []
    sender.join()


def test_ordinary_code_is_interrupted_at_once() -> None:
    after: list[bool] = []

    def block() -> None:
        signal.raise_signal(signal.SIGINT)
        after.append(True)

    assert _interrupted(block)
    assert after == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_another_handler_stays() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts_between_locks():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
