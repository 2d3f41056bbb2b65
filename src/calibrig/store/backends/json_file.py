"""A JSON file for development: the heads readable and editable by hand, the history in a log beside it."""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from calibrig.errors import CorruptRecordError, MissingFileError, StoreError, VersionConflictError
from calibrig.store.backend import Heads, HistoryQuery, Stored
from calibrig.store.backends.inotify import FolderWatch
from calibrig.store.backends.log_file import LogFile, LogLine
from calibrig.store.backends.system_errors import translate_os_error
from calibrig.store.record import Sealed, decode_content
from calibrig.store.urls import file_path

__all__ = ["JSONFileBackend"]

Key = tuple[str, str]
_LOG = logging.getLogger("calibrig.store")


class _Entry(msgspec.Struct, frozen=True):
    """The head of a key: where it stands in the log, what it is."""

    offset: int
    index: int
    version_id: int
    change: int
    stored: Stored


class _Index(msgspec.Struct, frozen=True, kw_only=True):
    """What the JSON file says about the log, so that opening need not read all of it."""

    schema: int = 1
    store_id: str
    log_bytes: int
    change: int
    digest: str = ""


class JSONFileBackend:
    """Versions in ``name.json`` (heads), ``name.json.log`` (history) and ``name.json.lock``.

    Parameters
    ----------
    url : str
        A path, or ``json:///relative.json``.
    create : bool
        Make the files where there are none.
    """

    def __init__(self, url: str, *, create: bool = True) -> None:
        self.path = file_path(url)
        log_path = self.path.with_name(self.path.name + ".log")
        if not create and not log_path.exists():
            raise MissingFileError(f"there is no store at {self.path}; run: calibrig store init")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise translate_os_error(error, self.path.parent) from None
        self._thread_lock = threading.RLock()
        self._waiting = threading.Lock()
        self._closed = False
        self._log = LogFile(log_path, create=create)
        self._entries: dict[Key, _Entry] = {}
        self._offset = self._log.start
        self._change = 0
        try:
            with self._errors(), self._log.locked():
                self._load_index()
                self._recover()
                self._write_file()
            self._watch = FolderWatch(self.path.parent, self.path.name)
        except BaseException:
            self._log.close()
            raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        if self._closed:
            raise StoreError(f"the store at {self.path} is closed; open it again")
        try:
            yield
        except StoreError:
            raise
        except OSError as error:
            raise translate_os_error(error, self._log.path) from None

    # -- the log -----------------------------------------------------------------------------------------------

    def _take(self, line: LogLine) -> None:
        """Make the versions of one transaction the heads of their keys."""
        for index, payload in enumerate(line.payloads):
            content, _ = decode_content(payload)
            key = (content.kind, content.symbol)
            present = self._entries.get(key)
            expected = present.version_id + 1 if present else 1
            if content.version_id != expected:
                raise CorruptRecordError(
                    f"{self._log.path}: {key[0]}/{key[1]} version {content.version_id} stands where {expected} "
                    f"belongs; restore a backup"
                )
            self._change += 1
            stored = Stored(payload, hashlib.sha256(payload).hexdigest())
            self._entries[key] = _Entry(line.offset, index, content.version_id, self._change, stored)
        self._offset = self._log.line_end(line)

    def _catch_up(self, end: int) -> None:
        for line in self._log.read_lines(self._offset, end):
            self._take(line)

    def _recover(self) -> None:
        """Under the lock: read to the end; move a torn tail aside; refuse damage to what was acknowledged."""
        size, committed = self._log.size(), self._log.committed()
        acknowledged = max(self._acknowledged, min(committed, size))
        self._catch_up(size)
        if self._offset < acknowledged:
            raise CorruptRecordError(
                f"{self._log.path} is damaged at byte {self._offset} of {size}, before its acknowledged end "
                f"{acknowledged}; restore a backup or import an export"
            )
        if self._offset < size:
            self._log.cut_torn_tail(self._offset)
        if self._offset != committed:
            self._log.sync()
            self._log.commit(self._offset)

    # -- the JSON file -----------------------------------------------------------------------------------------

    def _load_index(self) -> None:
        """Take the heads from where the JSON file says they stand, if all of that is true."""
        self._acknowledged = 0
        try:
            document = msgspec.json.decode(self.path.read_bytes())
            index = msgspec.convert(document["calibrig"], _Index)
            places: list[tuple[str, str, int, int, int, int]] = [
                (kind, symbol, *_place(entry))
                for symbol, kinds in document["parameters"].items()
                for kind, entry in kinds.items()
            ]
            hidden = document["calibrig"].get("internal", [])
            places += [tuple(item) for item in hidden]
        except (OSError, msgspec.MsgspecError, KeyError, TypeError, AttributeError, ValueError):
            return
        if index.store_id != self._log.store_id or index.digest != _digest(index, places):
            return
        self._acknowledged = index.log_bytes
        entries: dict[Key, _Entry] = {}
        for kind, symbol, offset, position, version_id, change in places:
            line = self._log.read_line(offset)
            if line is None or position >= len(line.payloads):
                return
            payload = line.payloads[position]
            content, _ = decode_content(payload)
            if (content.kind, content.symbol, content.version_id) != (kind, symbol, version_id):
                return
            stored = Stored(payload, hashlib.sha256(payload).hexdigest())
            entries[kind, symbol] = _Entry(offset, position, version_id, change, stored)
        if index.log_bytes <= self._log.size():
            self._entries, self._offset, self._change = entries, index.log_bytes, index.change

    def _document(self) -> bytes:
        public: dict[str, dict[str, Any]] = {}
        internal: list[tuple[str, str, int, int, int, int]] = []
        places: list[tuple[str, str, int, int, int, int]] = []
        for (kind, symbol), entry in sorted(self._entries.items()):
            content, _ = decode_content(entry.stored.payload)
            place = (kind, symbol, entry.offset, entry.index, entry.version_id, entry.change)
            places.append(place)
            if "." in kind:
                internal.append(place)
                continue
            public.setdefault(symbol, {})[kind] = {
                "version_id": content.version_id,
                "updated_at": content.updated_at,
                "updated_by": content.updated_by,
                "comment": content.comment,
                "origin": content.origin,
                "values": content.parameters,
                "log": [entry.offset, entry.index, entry.change],
            }
        index = _Index(store_id=self._log.store_id, log_bytes=self._offset, change=self._change)
        about = msgspec.to_builtins(index) | {"digest": _digest(index, places), "internal": internal}
        return msgspec.json.format(msgspec.json.encode({"calibrig": about, "parameters": public})) + b"\n"

    def _write_file(self) -> None:
        """Replace the JSON file; the log has been committed, so a failure here loses nothing."""
        temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.tmp")
        try:
            temporary.write_bytes(self._document())
            temporary.replace(self.path)
        except OSError as error:
            _LOG.warning("%s could not be brought up to date (%s); the history is safe", self.path, error)
            temporary.unlink(missing_ok=True)

    # -- Backend -----------------------------------------------------------------------------------------------

    def load_heads(self, after: int) -> Heads:
        """Read the heads that changed after ``after``."""
        with self._thread_lock, self._errors():
            committed = self._log.committed()
            if committed > self._offset:
                self._catch_up(committed)
            if self._offset < committed or self._log.size() < self._offset:
                raise CorruptRecordError(
                    f"{self._log.path} is damaged at byte {self._offset}; restore a backup or import an export"
                )
            changed = sorted(
                (entry for entry in self._entries.values() if entry.change > after),
                key=lambda entry: entry.change,
            )
            return Heads(self._change, tuple(entry.stored for entry in changed), self._log.store_id)

    def append(self, records: Sequence[Sealed]) -> None:
        """Append all records or none; on the disk when this returns."""
        with self._thread_lock, self._errors(), self._log.locked():
            self._recover()
            seen: dict[Key, tuple[int, str]] = {}
            for record in records:
                key = (record.kind, record.symbol)
                entry = self._entries.get(key)
                number, digest = seen.get(key, (entry.version_id, entry.stored.hash) if entry else (0, ""))
                if number != record.version_id - 1 or (number and digest != record.previous_hash):
                    raise VersionConflictError(
                        f"{record.kind}/{record.symbol} is at version {number}, not {record.version_id - 1}"
                    )
                seen[key] = (record.version_id, record.hash)
            payloads = [record.payload for record in records]
            offset = self._offset
            self._log.append(payloads, offset)
            self._take(LogLine(offset, tuple(payloads)))
            self._log.commit(self._offset)
            self._write_file()

    def history(self, query: HistoryQuery) -> Iterator[Stored]:
        """Yield versions by key and number; the log is read once per key asked for."""
        with self._thread_lock, self._errors():
            keys = [
                key
                for key in sorted(self._entries)
                if query.kind in {None, key[0]} and query.symbol in {None, key[1]}
            ]
            end = self._offset
        offsets: dict[Key, list[tuple[int, int]]] = {key: [] for key in keys}
        with self._errors():
            for line in self._log.read_lines(self._log.start, end):
                for index, payload in enumerate(line.payloads):
                    content, _ = decode_content(payload)
                    if (content.kind, content.symbol) in offsets and _wanted(query, content):
                        offsets[content.kind, content.symbol].append((line.offset, index))
            for places in offsets.values():
                for offset, index in places:
                    line_again = self._log.read_line(offset)
                    if line_again is not None:
                        payload = line_again.payloads[index]
                        yield Stored(payload, hashlib.sha256(payload).hexdigest())

    def as_of(self, kind: str, symbol: str, time_ns: int | None) -> Stored | None:
        """Read the newest version of ``time_ns`` or before, or the head."""
        if time_ns is None:
            self.load_heads(self._change)
            with self._thread_lock:
                entry = self._entries.get((kind, symbol))
            return entry.stored if entry else None
        found = list(self.history(HistoryQuery(kind=kind, symbol=symbol, until=time_ns)))
        return found[-1] if found else None

    def wait(self, timeout_s: float) -> bool:
        """Wait until another process has committed or the JSON file was replaced."""
        until = time.monotonic() + timeout_s
        with self._waiting:
            while not self._closed:
                left = until - time.monotonic()
                if left <= 0:
                    return False
                if self._watch.wait(left):
                    return True
        return False

    def close(self) -> None:
        """Close the files; safe twice; ends a ``wait`` in another thread."""
        with self._thread_lock:
            if self._closed:
                return
            self._closed = True
            self._log.close()
        self._watch.wake()
        with self._waiting:
            self._watch.close()


def _place(entry: dict[str, Any]) -> tuple[int, int, int, int]:
    offset, index, change = entry["log"]
    return offset, index, entry["version_id"], change


def _digest(index: _Index, places: list[tuple[str, str, int, int, int, int]]) -> str:
    """Return a checksum of what the index says; a hand edit of values does not touch it."""
    told = (index.store_id, index.log_bytes, index.change, sorted(places))
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()


def _wanted(query: HistoryQuery, content: Any) -> bool:
    return (
        (query.since is None or content.updated_at >= query.since)
        and (query.until is None or content.updated_at <= query.until)
        and query.updated_by in {None, content.updated_by}
        and query.version_id in {None, content.version_id}
    )
