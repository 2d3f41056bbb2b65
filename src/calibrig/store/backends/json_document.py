"""The JSON file that people read and edit: how it is written, and what a hand edit in it says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import msgspec

from calibrig.errors import FileFormatError
from calibrig.store.backend import HandEdit, Stored
from calibrig.store.record import Content, decode_content

__all__ = [
    "Entry",
    "Index",
    "Place",
    "find_edits",
    "parse_document",
    "parse_strictly",
    "write_document",
    "written_by_store",
]

Key = tuple[str, str]
Place = tuple[str, str, int, int, int, int]  # kind, symbol, offset, index in the line, version, change


class Entry(msgspec.Struct, frozen=True):
    """The head of a key: where it stands in the log, what it is."""

    offset: int
    index: int
    version_id: int
    change: int
    stored: Stored


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """What the file says about the log, so that opening need not read all of it."""

    schema: int = 1
    store_id: str
    log_bytes: int
    change: int
    digest: str = ""
    file_digest: str = ""
    internal: tuple[Place, ...] = ()


def places_digest(index: Index, places: list[Place]) -> str:
    """Return a checksum of what the index says; a hand edit of values does not touch it."""
    told = (index.store_id, index.log_bytes, index.change, sorted(places))
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()


def _digest(parameters: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(parameters, order="sorted")).hexdigest()


def write_document(store_id: str, log_bytes: int, change: int, entries: Mapping[Key, Entry]) -> bytes:
    """Return the file for these heads."""
    public: dict[str, dict[str, Any]] = {}
    places: list[Place] = []
    for (kind, symbol), entry in sorted(entries.items()):
        place = (kind, symbol, entry.offset, entry.index, entry.version_id, entry.change)
        places.append(place)
        if "." in kind:
            continue
        content, _ = decode_content(entry.stored.payload)
        public.setdefault(symbol, {})[kind] = {
            "version_id": content.version_id,
            "updated_at": content.updated_at,
            "updated_by": content.updated_by,
            "comment": content.comment,
            "origin": content.origin,
            "values": msgspec.json.decode(content.parameters),
            "log": [entry.offset, entry.index, entry.change],
        }
    index = Index(
        store_id=store_id,
        log_bytes=log_bytes,
        change=change,
        file_digest=_digest(public),
        internal=tuple(place for place in places if "." in place[0]),
    )
    index = msgspec.structs.replace(index, digest=places_digest(index, places))
    return msgspec.json.format(msgspec.json.encode({"calibrig": index, "parameters": public})) + b"\n"


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise FileFormatError(f"the name {name!r} stands there twice; keep one of them")
        found[name] = value
    return found


def _no_constants(name: str) -> None:
    raise FileFormatError(f"{name} is no number a parameter can have; give a finite number")


def parse_strictly(data: bytes) -> Any:
    """Parse JSON: no name twice, no NaN, text in UTF-8; the message says the line."""
    try:
        return json.loads(data.decode(), object_pairs_hook=_no_duplicates, parse_constant=_no_constants)
    except UnicodeDecodeError as error:
        raise FileFormatError(f"byte {error.start} is no UTF-8 text; save the file as UTF-8") from None
    except json.JSONDecodeError as error:
        raise FileFormatError(
            f"line {error.lineno}, column {error.colno}: {error.msg}; a comma or a quote may be missing"
        ) from None
    except RecursionError:
        raise FileFormatError("the file is nested too deeply") from None


def parse_document(data: bytes) -> dict[str, Any]:
    """Parse a store's file strictly."""
    document = parse_strictly(data)
    if not isinstance(document, dict) or not isinstance(document.get("parameters"), dict):
        raise FileFormatError('there is no object "parameters" at the top; put it back')
    return document


def written_by_store(data: bytes) -> bool:
    """Whether the file is as a store wrote it (blanks aside)."""
    try:
        document = parse_document(data)
        return bool(document["calibrig"]["file_digest"] == _digest(document["parameters"]))
    except (FileFormatError, KeyError, TypeError, msgspec.MsgspecError, OverflowError):
        return False


def find_edits(
    document: Mapping[str, Any], recorded: Mapping[tuple[str, str, int], Content], author: str
) -> list[HandEdit]:
    """Return the entries whose values are not those of the version they name.

    ``recorded`` holds the contents of the versions named, by kind, symbol and number.
    """
    edits: list[HandEdit] = []
    for symbol, kinds in document["parameters"].items():
        if not isinstance(kinds, dict):
            raise FileFormatError(f'parameters.{symbol} must hold kinds, like {{"hawkes": ...}}')
        for kind, entry in kinds.items():
            path = f"parameters.{symbol}.{kind}"
            if not isinstance(entry, dict) or not isinstance(entry.get("values"), dict):
                raise FileFormatError(f'{path} must hold "values" with the fields of the record')
            number = entry.get("version_id", 0)
            if isinstance(number, bool) or not isinstance(number, int):
                raise FileFormatError(f"{path}.version_id is {number!r}; leave it as it was")
            before = recorded.get((kind, symbol, number))
            if number and before is None:
                raise FileFormatError(
                    f"{path}.version_id is {number}, which was never written; leave it as it was"
                )
            values = entry["values"]
            if before is not None and values == msgspec.json.decode(before.parameters):
                continue
            told_by, told_why = _who_and_why(entry, before)
            edits.append(
                HandEdit(
                    kind=kind,
                    symbol=symbol,
                    base_version=number,
                    values=values,
                    updated_by=told_by or author,
                    comment=told_why or "edited by hand, no reason given",
                )
            )
    return edits


def _who_and_why(entry: dict[str, Any], before: Content | None) -> tuple[str, str]:
    """Return author and comment where they were edited too."""
    told = []
    for name in ("updated_by", "comment"):
        text = entry.get(name)
        known = getattr(before, name, None)
        told.append(text if isinstance(text, str) and text.strip() and text != known else "")
    return told[0], told[1]
