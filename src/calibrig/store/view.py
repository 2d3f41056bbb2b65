"""The heads as readers see them: immutable, replaced as a whole, so that reading takes no lock."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from calibrig.errors import CorruptRecordError, StoreError
from calibrig.parameters import (
    AvellanedaStoikovParameters,
    HawkesParameters,
    RiskParameters,
    SignalModel,
)
from calibrig.store.backend import Stored
from calibrig.store.record import RECORD_TYPES, Content, VersionRecord, decode_content, decode_record

__all__ = ["Head", "NoView", "View", "merge_heads"]

Key = tuple[str, str]


class Head:
    """Newest version of a key: number and hash for the next write, the record where it is a public kind."""

    __slots__ = ("content", "hash", "payload", "record", "seen_ns", "version_id")

    def __init__(self, stored: Stored, seen_ns: int = 0) -> None:
        self.seen_ns = seen_ns  # on the monotonic clock of this process
        if hashlib.sha256(stored.payload).hexdigest() != stored.hash:
            raise CorruptRecordError(
                "the head of a key does not have the hash it was stored with; run `calibrig store verify`"
            )
        self.payload = stored.payload
        self.content: Content = decode_content(stored.payload)[0]
        self.version_id = self.content.version_id
        self.hash = stored.hash
        self.record: VersionRecord | None = None
        if self.content.kind in RECORD_TYPES:
            self.record = decode_record(stored.payload)


class View:
    """One immutable state of all heads; a dictionary per kind, because that is the fastest read."""

    __slots__ = ("change", "hawkes", "heads", "newest_ns", "quoting", "risk", "signal", "store_id")

    def __init__(self, heads: Mapping[Key, Head], change: int, store_id: str) -> None:
        self.heads = heads
        self.change = change
        self.store_id = store_id
        self.newest_ns = max((head.content.updated_at for head in heads.values()), default=0)
        by_kind: dict[str, dict[str, Any]] = {kind: {} for kind in RECORD_TYPES}
        for (kind, symbol), head in heads.items():
            if head.record is not None:
                by_kind[kind][symbol] = head.record.parameters
        self.hawkes: dict[str, HawkesParameters] = by_kind["hawkes"]
        self.quoting: dict[str, AvellanedaStoikovParameters] = by_kind["quoting"]
        self.risk: dict[str, RiskParameters] = by_kind["risk"]
        self.signal: dict[str, SignalModel] = by_kind["signal"]

    def advance(self, changed: Mapping[Key, Head], change: int) -> View:
        """Return a new view with ``changed`` heads in place; copies only the dictionaries it changes."""
        view = object.__new__(View)
        view.heads = {**self.heads, **changed}
        view.change = max(self.change, change)
        view.store_id = self.store_id
        view.newest_ns = max(
            self.newest_ns, max((head.content.updated_at for head in changed.values()), default=0)
        )
        for kind in RECORD_TYPES:
            fresh = {
                symbol: head.record.parameters
                for (head_kind, symbol), head in changed.items()
                if head_kind == kind and head.record is not None
            }
            present = getattr(self, kind)
            setattr(view, kind, {**present, **fresh} if fresh else present)
        return view


class NoView:
    """Stands where a view will be: every read says what is missing."""

    __slots__ = ("_why",)

    def __init__(self, why: str) -> None:
        self._why = why

    def __getattr__(self, name: str) -> NoReturn:
        raise StoreError(self._why)


def merge_heads(view: View, stored: Iterable[Stored], seen_ns: int) -> dict[Key, Head]:
    """Decode heads that are newer than the view's; a version never goes back."""
    changed: dict[Key, Head] = {}
    for one in stored:
        head = Head(one, seen_ns)
        key = (head.content.kind, head.content.symbol)
        known = view.heads.get(key)
        if known is None or head.version_id > known.version_id:
            changed[key] = head
        elif head.version_id == known.version_id and head.hash != known.hash:
            raise CorruptRecordError(
                f"{key[0]}/{key[1]} version {head.version_id} has changed its content; run `calibrig store verify`"
            )
        elif head.version_id < known.version_id:
            raise CorruptRecordError(
                f"{key[0]}/{key[1]} went back from version {known.version_id} to {head.version_id}: the backend "
                f"has lost versions; restore it or open another store"
            )
    return changed
