"""Whether the history is what was written: every link of every chain, and the heads against an anchor kept outside."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from calibrig.errors import FileFormatError, MissingFileError
from calibrig.store.backend import Heads, Stored
from calibrig.store.record import GENESIS

__all__ = ["Anchor", "VerifyReport", "read_anchor", "verify_history"]

MAX_PROBLEMS = 100


class Anchor(msgspec.Struct, frozen=True, kw_only=True):
    """The heads of a store at one time, small enough to be kept elsewhere.

    Attributes
    ----------
    store_id : str
        Whose heads.
    taken_at : int
        When, ns.
    heads : dict of str to (int, str)
        Version number and hash by ``kind/symbol``.
    root : str
        SHA-256 over the sorted heads, to be printed, signed or timestamped.
    """

    store_id: str
    taken_at: int
    heads: dict[str, tuple[int, str]]
    root: str


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """What ``verify`` found.

    Attributes
    ----------
    records, keys : int
        Versions and keys read.
    problems : tuple of str
        Each changed, removed or swapped version; at most 100 are named.
    anchor : Anchor
        The heads as they are now; keep it outside to find a cut tail later.
    anchored : bool
        Whether an anchor was compared; without one a cut tail cannot be seen.
    """

    records: int
    keys: int
    problems: tuple[str, ...]
    anchor: Anchor
    anchored: bool

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.problems


class _Link(msgspec.Struct, frozen=True, gc=False):
    kind: str
    symbol: str
    version_id: int
    updated_at: int
    updated_by: str
    comment: str
    origin: str
    previous_hash: str


class _SignedLink(msgspec.Struct, frozen=True, gc=False):
    signed: _Link


_LINK = msgspec.json.Decoder(_Link)
_SIGNED_LINK = msgspec.json.Decoder(_SignedLink)


def read_anchor(path: str | Path) -> Anchor:
    """Read an anchor written by ``msgspec.json.encode`` or ``calibrig store verify --write-anchor``."""
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=Anchor)
    except FileNotFoundError:
        raise MissingFileError(f"there is no anchor at {path}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path} is no anchor: {error}") from None


def make_anchor(store_id: str, taken_at: int, heads: dict[str, tuple[int, str]]) -> Anchor:
    """Return the anchor of ``heads``."""
    lines = "".join(f"{key}\t{number}\t{digest}\n" for key, (number, digest) in sorted(heads.items()))
    root = hashlib.sha256(lines.encode()).hexdigest()
    return Anchor(store_id=store_id, taken_at=taken_at, heads=dict(sorted(heads.items())), root=root)


class _Walk:
    """Follows the chains of a history that comes key by key."""

    def __init__(self, anchor: Anchor | None) -> None:
        self.problems: list[str] = []
        self.records = 0
        self.heads: dict[str, tuple[int, str]] = {}
        self.anchored = dict(anchor.heads) if anchor else {}

    def follow(self, history: Iterable[Stored]) -> None:
        sha256, decode, decode_signed = hashlib.sha256, _LINK.decode, _SIGNED_LINK.decode
        present: tuple[str, str] = ("", "")
        number, last = 0, GENESIS
        anchored: tuple[int, str] | None = None
        count = 0
        for stored in history:
            count += 1
            payload = stored.payload
            digest = sha256(payload).hexdigest()
            try:
                link = decode_signed(payload).signed if payload[:10] == b'{"signed":' else decode(payload)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                self.problem(f"version {number + 1} after {present[0]}/{present[1]}: unreadable ({error})")
                continue
            key = (link.kind, link.symbol)
            if key != present:
                self.end(present, number, last)
                present, number, last = key, 0, GENESIS
                anchored = self.anchored.get(f"{link.kind}/{link.symbol}")
            number += 1
            if digest != stored.hash or link.previous_hash != last or link.version_id != number:
                self.broken(link, stored, digest, number, last)
                number = link.version_id
            columns = stored.columns
            if columns is not None and columns != (
                link.kind,
                link.symbol,
                link.version_id,
                link.updated_at,
                link.updated_by,
                link.comment,
                link.origin,
            ):
                self.problem(f"{_name(link)}: its columns say {columns}, its content something else")
            last = digest
            if anchored is not None and number == anchored[0] and digest != anchored[1]:
                self.problem(f"{_name(link)}: not the version that was anchored")
        self.end(present, number, last)
        self.records = count

    def broken(self, link: _Link, stored: Stored, digest: str, number: int, last: str) -> None:
        if digest != stored.hash:
            self.problem(f"{_name(link)}: its content was changed")
        if link.version_id != number:
            self.problem(
                f"{link.kind}/{link.symbol}: version {number} is missing, {link.version_id} stands there"
            )
        elif link.previous_hash != last:
            self.problem(f"{_name(link)}: does not follow the version before it")

    def end(self, key: tuple[str, str], number: int, last: str) -> None:
        if number:
            self.heads[f"{key[0]}/{key[1]}"] = (number, last)

    def problem(self, text: str) -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(text)


def _name(link: _Link) -> str:
    return f"{link.kind}/{link.symbol} version {link.version_id}"


def verify_history(
    history: Iterable[Stored],
    before: Heads,
    after: Callable[[], Heads],
    *,
    taken_at: int,
    anchor: Anchor | None = None,
) -> VerifyReport:
    """Follow every chain of ``history``; compare its ends with the heads read before and after it, and with ``anchor``.

    Others may append meanwhile: a chain may end later than the heads read before, and only then.
    """
    walk = _Walk(anchor)
    walk.follow(history)
    heads = before
    for stored in before.heads:
        try:
            link = _decode_link(stored.payload)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            walk.problem(f"a head is unreadable ({error})")
            continue
        number, found = walk.heads.get(f"{link.kind}/{link.symbol}", (0, ""))
        digest = hashlib.sha256(stored.payload).hexdigest()
        if (
            digest != stored.hash
            or number < link.version_id
            or (number == link.version_id and found != digest)
        ):
            walk.problem(f"{_name(link)}: the head is not the end of its history, which is version {number}")
    if len(walk.heads) != len(before.heads) and len(walk.heads) > len(after().heads):
        walk.problem(f"the history has {len(walk.heads)} keys, the heads have {len(before.heads)}")
    if anchor is not None:
        if anchor.store_id != heads.store_id:
            walk.problem(f"the anchor is of store {anchor.store_id}, this is {heads.store_id}")
        for name, (number, _) in anchor.heads.items():
            present = walk.heads.get(name, (0, ""))[0]
            if present < number:
                walk.problem(f"{name}: anchored at version {number}, the history ends at {present}")
    return VerifyReport(
        records=walk.records,
        keys=len(walk.heads),
        problems=tuple(walk.problems),
        anchor=make_anchor(heads.store_id, taken_at, walk.heads),
        anchored=anchor is not None,
    )


def _decode_link(payload: bytes) -> _Link:
    if payload.startswith(b'{"signed":'):
        return _SIGNED_LINK.decode(payload).signed
    return _LINK.decode(payload)
