"""What a backend must do: six functions on opaque bytes; all logic lives in ModelStore."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, runtime_checkable

import msgspec

from calibrig.store.record import Sealed

__all__ = [
    "Backend",
    "EditableBackend",
    "HandEdit",
    "Heads",
    "HistoryQuery",
    "QueueingBackend",
    "RoleBackend",
    "Stored",
]


class Stored(msgspec.Struct, frozen=True, gc=False):
    """One version as a backend keeps it.

    Attributes
    ----------
    payload : bytes
        The version; only ModelStore reads it.
    hash : str
        What it was appended with.
    columns : tuple or None
        ``(kind, symbol, version_id, updated_at, updated_by, comment, origin)`` where ``history`` reads them from
        columns of their own, so that ``verify`` can compare them with the payload.
    """

    payload: bytes
    hash: str
    columns: tuple[str | int, ...] | None = None


class Heads(msgspec.Struct, frozen=True):
    """The heads that changed, read in one transaction.

    Attributes
    ----------
    change : int
        Number of the last append in this store; counts appends, in the order in which they became visible.
    heads : tuple of Stored
        Newest version of every key that changed after the number asked for.
    store_id : str
        Made once per store; another id at the same URL is another store.
    """

    change: int
    heads: tuple[Stored, ...]
    store_id: str


class HistoryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which versions to read; None means every.

    ``since`` and ``until`` are nanoseconds since 1970 UTC, both inclusive.
    """

    kind: str | None = None
    symbol: str | None = None
    since: int | None = None
    until: int | None = None
    updated_by: str | None = None
    version_id: int | None = None


@runtime_checkable
class Backend(Protocol):
    """Where versions are kept. Every call may come from any thread."""

    def load_heads(self, after: int) -> Heads:
        """Read, in one transaction, the heads of all keys that changed after change number ``after``."""
        ...

    def append(self, records: Sequence[Sealed]) -> int | None:
        """Append all records or none, durably; return the change number of the last one.

        None is allowed: the store then reads the heads again instead of taking its own records over.

        Raises
        ------
        VersionConflictError
            If the head of a record's key is not ``version_id - 1`` with hash ``previous_hash``.
        """
        ...

    def history(self, query: HistoryQuery) -> Iterator[Stored]:
        """Yield the versions asked for, per key in the order of their numbers."""
        ...

    def as_of(self, kind: str, symbol: str, time_ns: int | None) -> Stored | None:
        """Read the newest version written at ``time_ns`` or before (None: the head)."""
        ...

    def wait(self, timeout_s: float) -> bool:
        """Block until something may have changed (True) or ``timeout_s`` has passed (False); only a hint."""
        ...

    def close(self) -> None:
        """Let go of everything; safe twice; ends a ``wait`` in another thread."""
        ...


class HandEdit(msgspec.Struct, frozen=True, kw_only=True):
    """What a person changed in a file behind the store's back.

    Attributes
    ----------
    kind, symbol : str
        The key.
    base_version : int
        The version the edit was made from; 0 for a new key.
    values : dict
        All fields as they now stand in the file.
    updated_by, comment : str
        Who and why, as far as the file says so.
    """

    kind: str
    symbol: str
    base_version: int
    values: dict[str, Any]
    updated_by: str
    comment: str


@runtime_checkable
class EditableBackend(Protocol):
    """A backend whose heads people may edit by hand."""

    def take_edits(self) -> tuple[HandEdit, ...]:
        """Return what was edited since the last look.

        Raises
        ------
        FileFormatError
            If the edited file cannot be read; ``refuse_edits`` then puts it aside.
        """
        ...

    def refuse_edits(self, reason: str) -> str:
        """Put the edited file aside with the reason, bring back the last good one; return where it is now."""
        ...

    def settle_edits(self) -> None:
        """Note that the edits have become versions."""
        ...


@runtime_checkable
class QueueingBackend(Protocol):
    """A backend whose writers queue in front of it, so that none is overtaken again and again."""

    def turn(self) -> AbstractContextManager[None]:
        """Wait for this caller's turn and hold it: to read the heads, seal the next versions and append them."""
        ...


@runtime_checkable
class RoleBackend(Protocol):
    """A backend whose server knows roles."""

    def create_roles(self) -> tuple[str, ...]:
        """Make the roles of writers and readers; return their names."""
        ...
