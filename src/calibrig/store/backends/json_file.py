"""A JSON file for development: the heads readable and editable by hand, the history in a log beside it."""

from __future__ import annotations

import glob
import hashlib
import logging
import pwd
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from calibrig.errors import (
    CorruptRecordError,
    InvalidInputError,
    MissingFileError,
    StoreError,
    VersionConflictError,
)
from calibrig.store.backend import HandEdit, Heads, HistoryQuery, Stored
from calibrig.store.backends.inotify import FolderWatch
from calibrig.store.backends.json_document import (
    Entry,
    Index,
    Place,
    find_edits,
    parse_document,
    places_digest,
    write_document,
    written_by_store,
)
from calibrig.store.backends.json_observations import ObservationFile
from calibrig.store.backends.log_file import LogFile, LogLine
from calibrig.store.backends.rename import exchange
from calibrig.store.backends.system_errors import translate_os_error
from calibrig.store.backends.turns import turn
from calibrig.store.observations import Observation, ObservationQuery
from calibrig.store.record import Content, Sealed, decode_content
from calibrig.store.urls import file_path

__all__ = ["JSONFileBackend"]

Key = tuple[str, str]
_LOG = logging.getLogger("calibrig.store")


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
        if self.path.is_dir():
            raise InvalidInputError(
                f"{self.path} is a folder; give a file in it, like {self.path / 'parameters.json'}"
            )
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
        self._observations = ObservationFile(self.path.with_name(self.path.name + ".observations"))
        self._entries: dict[Key, Entry] = {}
        self._offset = self._log.start
        self._change = 0
        self._acknowledged = 0
        self._written: tuple[int, int, int] | None = None  # the JSON file as this process wrote it
        self._seen: tuple[int, int, int] | None = None  # ... as it was when last looked at
        self._edited: Path | None = None
        try:
            with self._errors(), self._log.locked():
                self._load_index()
                indexed = self._offset
                self._recover()
                if self._offset != indexed or not self.path.exists():
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
            self._entries[key] = Entry(line.offset, index, content.version_id, self._change, stored)
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
        try:
            document = msgspec.json.decode(self.path.read_bytes())
            index = msgspec.convert(document["calibrig"], Index)
            places: list[Place] = [
                (kind, symbol, *_place(entry))
                for symbol, kinds in document["parameters"].items()
                for kind, entry in kinds.items()
                if "log" in entry
            ]
            places += index.internal
        except (OSError, msgspec.MsgspecError, KeyError, TypeError, AttributeError, ValueError):
            return
        if index.store_id != self._log.store_id or index.digest != places_digest(index, places):
            return
        self._acknowledged = index.log_bytes
        entries: dict[Key, Entry] = {}
        for kind, symbol, offset, position, version_id, change in places:
            content, stored = self._read_place(offset, position)
            if content is None or (content.kind, content.symbol, content.version_id) != (
                kind,
                symbol,
                version_id,
            ):
                return
            entries[kind, symbol] = Entry(offset, position, version_id, change, stored)
        if index.log_bytes <= self._log.size():
            self._entries, self._offset, self._change = entries, index.log_bytes, index.change

    def _read_place(self, offset: int, index: int) -> tuple[Content | None, Stored]:
        """Read one version from its place in the log."""
        line = self._log.read_line(offset) if offset >= self._log.start else None
        if line is None or not 0 <= index < len(line.payloads):
            return None, Stored(b"", "")
        payload = line.payloads[index]
        return decode_content(payload)[0], Stored(payload, hashlib.sha256(payload).hexdigest())

    def _write_file(self, taken: tuple[int, int, int] | None = None) -> None:
        """Replace the JSON file; the log has been committed, so a failure here loses nothing.

        The new file is exchanged with the old one, and the old one looked at afterwards: an edit that a person saved
        in the meantime is kept for ``take_edits``, never overwritten. ``taken`` is the edit that has just become a version.
        """
        temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.tmp")
        try:
            temporary.write_bytes(
                write_document(self._log.store_id, self._offset, self._change, self._entries)
            )
            written = _signature(temporary)
            if not exchange(temporary, self.path):
                temporary.replace(self.path)
            elif _signature(temporary) not in {self._written, taken} and not written_by_store(
                temporary.read_bytes()
            ):
                temporary.rename(self.path.with_name(f"{self.path.name}.edit-{time.time_ns()}"))
            else:
                temporary.unlink()
            self._written = self._seen = written
        except OSError as error:
            _LOG.warning("%s could not be brought up to date (%s); the history is safe", self.path, error)
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    # -- hand edits ----------------------------------------------------------------------------------------------

    def take_edits(self) -> tuple[HandEdit, ...]:
        """Return what people changed in the JSON file since the last look; refused files raise FileFormatError."""
        with self._thread_lock, self._errors():
            self._edited = next(
                iter(sorted(self.path.parent.glob(f"{glob.escape(self.path.name)}.edit-*"))), None
            )
            if self._edited is None:
                signature = _signature(self.path)
                if signature == self._seen:
                    return ()
                if signature is None:
                    with self._log.locked():
                        self._write_file()
                    return ()
                self._edited, self._seen = self.path, signature
            try:
                data, owner = self._edited.read_bytes(), self._edited.stat().st_uid
            except FileNotFoundError:
                self._seen = None  # another process has just replaced it: look again
                return ()
            if written_by_store(data):
                return ()
            document = parse_document(data)
            edits = find_edits(document, self._recorded(document), _author(owner))
        if not edits:
            self.settle_edits()
        return tuple(edits)

    def _recorded(self, document: dict[str, Any]) -> dict[tuple[str, str, int], Content]:
        """Read the versions that the entries of an edited file name."""
        found: dict[tuple[str, str, int], Content] = {}
        for symbol, kinds in document["parameters"].items():
            for kind, entry in kinds.items() if isinstance(kinds, dict) else ():
                place = entry.get("log") if isinstance(entry, dict) else None
                if not (isinstance(place, list) and len(place) == 3 and all(type(n) is int for n in place)):
                    continue
                content, _ = self._read_place(place[0], place[1])
                if content is not None and (content.kind, content.symbol) == (kind, symbol):
                    found[kind, symbol, content.version_id] = content
        return found

    def settle_edits(self) -> None:
        """Note that the edits have become versions: the file is written anew."""
        with self._thread_lock, self._errors(), self._log.locked():
            edited, self._edited = self._edited, None
            if edited is not None and edited != self.path:
                edited.unlink(missing_ok=True)
            elif edited is not None:
                self._written = self._seen  # as it was read: what was saved since is another edit
                self._recover()
                self._write_file()

    def refuse_edits(self, reason: str) -> str:
        """Put the edited file aside with the reason beside it; the last good one comes back."""
        with self._thread_lock, self._errors(), self._log.locked():
            edited, self._edited = self._edited, None
            aside = self.path.with_name(f"{self.path.name}.rejected-{time.time_ns()}")
            if edited is not None:
                with suppress(FileNotFoundError):
                    edited.rename(aside)
                    aside.with_name(aside.name + ".why").write_text(reason + "\n")
            self._recover()
            self._write_file()
        return str(aside)

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

    def turn(self) -> AbstractContextManager[None]:
        """Queue at the lock file, so that polling for the lock lets nobody starve."""
        return turn(self._log.lock_path)

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
            try:
                self._log.commit(self._offset)
            except OSError as error:  # it is on the disk: readers learn of it from the next writer or opener
                _LOG.warning("%s: readers could not be told of a version (%s)", self._log.path, error)
            edits = self._edited == self.path and all(record.origin == "hand_edit" for record in records)
            self._write_file(taken=self._seen if edits else None)

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

    def append_observations(self, observations: Sequence[Observation]) -> None:
        """Append all or none to ``name.json.observations``."""
        with self._thread_lock, self._errors():
            self._observations.append(observations)

    def read_observations(self, query: ObservationQuery) -> Iterator[Observation]:
        """Yield the newest asked for, by time."""
        with self._errors():
            return self._observations.read(query)

    def expire_observations(self, before_ns: int) -> None:
        """Write the file anew without what is older."""
        with self._thread_lock, self._errors():
            self._observations.expire(before_ns)

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


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _author(owner: int) -> str:
    try:
        return f"hand edit by {pwd.getpwuid(owner).pw_name}"
    except KeyError:
        return f"hand edit by user {owner}"


def _wanted(query: HistoryQuery, content: Any) -> bool:
    return (
        (query.since is None or content.updated_at >= query.since)
        and (query.until is None or content.updated_at <= query.until)
        and query.updated_by in {None, content.updated_by}
        and query.version_id in {None, content.version_id}
    )
