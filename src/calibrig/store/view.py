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
from calibrig.store.record import (
    RECORD_TYPES,
    Content,
    Parameters,
    VersionRecord,
    decode_content,
    parameters_of,
    record_of,
)

__all__ = ["Head", "NoView", "View", "merge_heads", "read_fetched"]

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
        content, signatures = decode_content(stored.payload)
        self.content: Content = content
        self.version_id = content.version_id
        self.hash = stored.hash
        self.record: VersionRecord | None = None
        if content.kind in RECORD_TYPES:
            self.record = record_of(content, signatures, stored.hash)


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


def check_no_step_back(kind: str, symbol: str, version_id: int, digest: str, known: Head) -> None:
    """Refuse a head that is older than ``known``, or the same number with another content."""
    if version_id < known.version_id:
        raise CorruptRecordError(
            f"{kind}/{symbol} went back from version {known.version_id} to {version_id}: the backend has lost "
            f"versions; restore it or open another store"
        )
    if version_id == known.version_id and digest != known.hash:
        raise CorruptRecordError(
            f"{kind}/{symbol} version {version_id} has changed its content; run `calibrig store verify`"
        )


def merge_heads(view: View, stored: Iterable[Stored], seen_ns: int) -> dict[Key, Head]:
    """Decode heads that are newer than the view's; a version never goes back."""
    changed: dict[Key, Head] = {}
    for one in stored:
        head = Head(one, seen_ns)
        key = (head.content.kind, head.content.symbol)
        known = view.heads.get(key)
        if known is None or head.version_id > known.version_id:
            changed[key] = head
        else:
            check_no_step_back(*key, head.version_id, head.hash, known)
    return changed


def read_fetched(view: View, kind: str, symbol: str, stored: Stored) -> Parameters:
    """Decode a head that was just asked for, once it is what the key can hold.

    It must have the hash it was stored with, be of the key asked for, and be no older than what the view knows. The same
    bytes are not decoded twice: a version that the view knows is the view's.
    """
    known = view.heads.get((kind, symbol))
    # These very bytes had their hash checked when the view took them over.
    if known is not None and known.payload == stored.payload and known.hash == stored.hash and known.record:
        return known.record.parameters
    if hashlib.sha256(stored.payload).hexdigest() != stored.hash:
        raise CorruptRecordError(
            f"the head of {kind}/{symbol} does not have the hash it was stored with; run `calibrig store verify`"
        )
    content, _ = decode_content(stored.payload)
    if content.kind != kind or content.symbol != symbol:
        raise CorruptRecordError(
            f"the head of {kind}/{symbol} is a version of {content.kind}/{content.symbol}; run `calibrig store verify`"
        )
    if known is not None:
        check_no_step_back(kind, symbol, content.version_id, stored.hash, known)
    return parameters_of(content)
