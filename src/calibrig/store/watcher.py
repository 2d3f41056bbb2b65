"""The thread that keeps a store's view fresh, and knows how long ago it last heard from the backend."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from calibrig.errors import CorruptRecordError, StoreError

__all__ = ["HEARTBEAT_S", "STALE_AFTER_S", "Watcher"]

HEARTBEAT_S = 0.2  # heads are compared this often even if nobody said that they changed
STALE_AFTER_S = 0.8  # without contact for this long, what is served is called stale
RETRY_S = 0.1
_LOG = logging.getLogger("calibrig.store")


class Watcher:
    """Waits for hints of the backend and refreshes; keeps the last contact.

    Parameters
    ----------
    wait : callable
        ``Backend.wait``.
    refresh : callable
        Compares the heads; raises StoreError while the backend cannot be read.
    monotonic_ns : callable
        Clock of the contact times.
    on_contact : callable, optional
        Told of every answer, and whether it was damaged.
    """

    def __init__(
        self,
        wait: Callable[[float], bool],
        refresh: Callable[[], None],
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        on_contact: Callable[[bool], object] = bool,
    ) -> None:
        self._wait = wait
        self._on_contact = on_contact
        self._refresh = refresh
        self._monotonic_ns = monotonic_ns
        self._stop = threading.Event()
        self._last_contact_ns = monotonic_ns()
        self._problem: str | None = None
        self._corrupt = False
        self._thread = threading.Thread(target=self._run, name="calibrig-store", daemon=True)

    def start(self) -> None:
        """Start the thread; the heads have just been loaded."""
        self.touch()
        self._thread.start()

    def touch(self) -> None:
        """Note that the backend has just answered."""
        self._last_contact_ns = self._monotonic_ns()
        self._problem = None
        self._corrupt = False
        self._on_contact(False)

    @property
    def contact_age_s(self) -> float:
        """Seconds since the backend last answered."""
        return max(0, self._monotonic_ns() - self._last_contact_ns) / 1e9

    @property
    def problem(self) -> str | None:
        """What the last attempt to read the heads ran into; None while all is well."""
        return self._problem

    @property
    def stale(self) -> bool:
        """Whether what is served may no longer be what is stored; true also when this thread has died."""
        return self._corrupt or self.contact_age_s > STALE_AFTER_S

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._wait(HEARTBEAT_S)
                if self._stop.is_set():
                    return
                self._refresh()
                if self._problem is not None:
                    _LOG.warning("the store answers again")
                self.touch()
            except StoreError as error:
                self._note(error)
                self._stop.wait(RETRY_S)

    def _note(self, error: StoreError) -> None:
        if self._stop.is_set():
            return
        if self._problem is None:
            _LOG.warning("the store cannot be read, the last good versions are served: %s", error)
        self._problem = str(error)
        self._corrupt = isinstance(error, CorruptRecordError)
        if self._corrupt:
            self._on_contact(True)

    def stop(self) -> None:
        """Ask the thread to end; ``join`` waits for it."""
        self._stop.set()

    def join(self) -> None:
        """Wait until the thread has ended (not from the thread itself)."""
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout=10.0)
