"""Tells a callback about changes of status, off the hot path."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from calibrig.bridge.health import StatusChange

__all__ = ["StatusWatcher"]


class StatusWatcher:
    """A thread that reads the ring of changes and calls back for each, in order, once.

    What the callback raises goes to ``threading.excepthook`` and ends neither the watching nor the bridge. If more
    than 256 changes happen within one poll, the oldest are missed; the index of `StatusChange` shows the gap.
    """

    def __init__(
        self,
        read_changes: Callable[[int], list[StatusChange]],
        callback: Callable[[StatusChange], None],
        *,
        poll_s: float,
    ) -> None:
        self._read_changes = read_changes
        self._callback = callback
        self._poll_s = poll_s
        changes = read_changes(0)
        self._last = changes[-1].index if changes else 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="calibrig-status", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(self._poll_s):
            self._deliver()
        self._deliver()

    def _deliver(self) -> None:
        for change in self._read_changes(self._last):
            self._last = change.index
            try:
                self._callback(change)
            except Exception as error:  # noqa: BLE001 - a stranger's callback must not end the watching
                threading.excepthook(
                    threading.ExceptHookArgs((type(error), error, error.__traceback__, self._thread))
                )

    def close(self) -> None:
        """Deliver what has happened and stop; safe twice."""
        self._stop.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
