"""Doubles for store backends: one that is slow, and one that fails by script or from a seed; around any backend."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from calibrig.errors import StoreUnavailableError
from calibrig.store import Backend, HistoryQuery, Stored
from calibrig.store.backend import Heads
from calibrig.store.record import Sealed

__all__ = ["FlakyBackend", "SlowBackend"]

Fault = Literal["", "refuse", "lose answer"]


class SlowBackend:
    """A backend that answers late; a `Backend`.

    Only the six functions are passed on: hand edits, roles and observations are not.

    Parameters
    ----------
    backend : Backend
        What answers in the end; it is closed with this one.
    delay_s : float or callable
        Before each call but ``wait`` and ``close``; a callable is given the function's name.

    Examples
    --------
    >>> import tempfile
    >>> from calibrig import ModelStore
    >>> from calibrig.store import open_backend
    >>> folder = tempfile.TemporaryDirectory()
    >>> slow = SlowBackend(open_backend(f"sqlite:///{folder.name}/a.db"), 0.001)
    >>> with ModelStore(backend=slow) as store:
    ...     store.fetch("risk", "A"), slow.calls["as_of"]
    (None, 1)
    >>> folder.cleanup()
    """

    def __init__(self, backend: Backend, delay_s: float | Callable[[str], float]) -> None:
        self._backend = backend
        self._delay_s = delay_s
        self.calls: dict[str, int] = {}

    def _before(self, call: str) -> None:
        self.calls[call] = self.calls.get(call, 0) + 1
        delay_s = self._delay_s(call) if callable(self._delay_s) else self._delay_s
        if delay_s > 0:
            time.sleep(delay_s)

    def load_heads(self, after: int) -> Heads:
        """Wait, then ask."""
        self._before("load_heads")
        return self._backend.load_heads(after)

    def append(self, records: Sequence[Sealed]) -> int | None:
        """Wait, then append."""
        self._before("append")
        return self._backend.append(records)

    def history(self, query: HistoryQuery) -> Iterator[Stored]:
        """Wait, then yield."""
        self._before("history")
        return self._backend.history(query)

    def as_of(self, kind: str, symbol: str, time_ns: int | None) -> Stored | None:
        """Wait, then ask."""
        self._before("as_of")
        return self._backend.as_of(kind, symbol, time_ns)

    def wait(self, timeout_s: float) -> bool:
        """Ask at once: it waits by itself."""
        return self._backend.wait(timeout_s)

    def close(self) -> None:
        """Close what is behind."""
        self._backend.close()


class FlakyBackend:
    """A backend that is unavailable now and then; a `Backend`.

    A failing append may have been done all the same: only its answer is lost, as when a connection breaks. What fails
    raises StoreUnavailableError. Only the six functions are passed on.

    Parameters
    ----------
    backend : Backend
        What answers where nothing fails; it is closed with this one.
    rate : float
        Share of calls that fail, 0 to 1.
    seed : int
        Of the dice.

    Examples
    --------
    >>> import tempfile
    >>> from calibrig import ModelStore
    >>> from calibrig.errors import StoreUnavailableError
    >>> from calibrig.store import open_backend
    >>> folder = tempfile.TemporaryDirectory()
    >>> flaky = FlakyBackend(open_backend(f"sqlite:///{folder.name}/a.db"))
    >>> with ModelStore(backend=flaky) as store, flaky.down():
    ...     try:
    ...         store.fetch("risk", "A")
    ...     except StoreUnavailableError as error:
    ...         print(error)
    the double fails this as_of; try again
    >>> folder.cleanup()
    """

    def __init__(self, backend: Backend, *, rate: float = 0.0, seed: int = 0) -> None:
        self._backend = backend
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._script: list[Fault] = []
        self._down = False
        self.rate = rate
        self.faults = 0

    def script_appends(self, *faults: Fault) -> None:
        """Say what the next appends do: ``""`` (well), ``"refuse"`` or ``"lose answer"``; then the dice go on."""
        with self._lock:
            self._script = list(faults)

    @contextmanager
    def down(self) -> Iterator[None]:
        """Fail every call inside the block; an append is not done."""
        self._down = True
        try:
            yield
        finally:
            self._down = False

    def _fault(self, call: str) -> Fault:
        with self._lock:
            if self._down:
                return "refuse"
            if call == "append" and self._script:
                return self._script.pop(0)
            if self._chance.random() >= self.rate:
                return ""
            return "lose answer" if call == "append" and self._chance.random() < 0.5 else "refuse"

    def _fail(self, call: str) -> StoreUnavailableError:
        with self._lock:
            self.faults += 1
        return StoreUnavailableError(f"the double fails this {call}; try again")

    def load_heads(self, after: int) -> Heads:
        """Ask, or fail."""
        if self._fault("load_heads"):
            raise self._fail("load_heads")
        return self._backend.load_heads(after)

    def append(self, records: Sequence[Sealed]) -> int | None:
        """Append, or fail before or after it."""
        fault = self._fault("append")
        if fault == "refuse":
            raise self._fail("append")
        change = self._backend.append(records)
        if fault == "lose answer":
            raise self._fail("append")
        return change

    def history(self, query: HistoryQuery) -> Iterator[Stored]:
        """Yield, or fail at the beginning."""
        if self._fault("history"):
            raise self._fail("history")
        return self._backend.history(query)

    def as_of(self, kind: str, symbol: str, time_ns: int | None) -> Stored | None:
        """Ask, or fail."""
        if self._fault("as_of"):
            raise self._fail("as_of")
        return self._backend.as_of(kind, symbol, time_ns)

    def wait(self, timeout_s: float) -> bool:
        """Wait, or fail."""
        if self._fault("wait"):
            raise self._fail("wait")
        return self._backend.wait(timeout_s)

    def close(self) -> None:
        """Close what is behind."""
        self._backend.close()
