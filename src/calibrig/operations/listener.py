"""Who is told how a long job is getting on."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Listener", "Silent"]


class Listener(Protocol):
    """Told when a stage begins and, with what came out, when it is done."""

    def begin(self, stage: str) -> None:
        """Hear that ``stage`` begins."""

    def advance(self, stage: str, detail: str) -> None:
        """Hear that ``stage`` is done."""


class Silent:
    """A listener that hears nothing."""

    def begin(self, stage: str) -> None:
        """Ignore it."""

    def advance(self, stage: str, detail: str) -> None:
        """Ignore it."""
