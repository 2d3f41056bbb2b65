"""A conversation with a store backend, captured once and replayed without it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

import calibrig.errors
from calibrig.errors import CalibrigError, FileFormatError, MissingFileError, StoreError
from calibrig.store import Backend, HistoryQuery, Stored
from calibrig.store.backend import Heads
from calibrig.store.record import Sealed

__all__ = ["RecordingBackend", "ReplayedBackend"]

_T = TypeVar("_T")
_ANSWERS: dict[str, Any] = {
    "load_heads": Heads,
    "append": int | None,
    "history": list[Stored],
    "as_of": Stored | None,
}


class _Said(msgspec.Struct, frozen=True, kw_only=True):
    """One call and its answer, or the error it raised; ``epoch`` counts the appends that were tried before it."""

    epoch: int
    call: str
    arguments: msgspec.Raw
    answer: msgspec.Raw = msgspec.Raw(b"null")
    error: tuple[str, str] | None = None


class RecordingBackend:
    """Passes every call on and keeps what was said; a `Backend`.

    ``wait`` is passed on but not kept, and an answer that only repeats the last one to the same question is kept once,
    so that the watcher's heartbeats do not matter. Only the six functions are passed on.

    Parameters
    ----------
    backend : Backend
        What answers; it is closed with this one.

    Examples
    --------
    >>> import tempfile
    >>> from calibrig import ModelStore
    >>> from calibrig.store import open_backend
    >>> folder = tempfile.TemporaryDirectory()
    >>> recording = RecordingBackend(open_backend(f"sqlite:///{folder.name}/a.db"))
    >>> with ModelStore(backend=recording) as store:
    ...     recorded = store.fetch("risk", "A")
    >>> recording.save(f"{folder.name}/a.conversation")
    >>> with ModelStore(backend=ReplayedBackend.load(f"{folder.name}/a.conversation")) as store:
    ...     store.fetch("risk", "A") == recorded
    True
    >>> folder.cleanup()
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lock = threading.RLock()
        self._said: list[_Said] = []
        self._last: dict[tuple[str, bytes], _Said] = {}
        self._epoch = 0

    def _keep(self, call: str, arguments: Any, ask: Callable[[], _T]) -> _T:
        """Ask under a lock: the order of the answers is the order of the states they tell of."""
        asked = msgspec.json.encode(arguments)
        with self._lock:
            error: CalibrigError | None = None
            answer: Any = None
            try:
                answer = ask()
            except CalibrigError as raised:
                error = raised
            said = _Said(
                epoch=self._epoch,
                call=call,
                arguments=msgspec.Raw(asked),
                answer=msgspec.Raw(msgspec.json.encode(answer)),
                error=(type(error).__name__, str(error)) if error else None,
            )
            if call == "append" or self._last.get((call, asked)) != said:
                self._said.append(said)
                self._last[call, asked] = said
            self._epoch += call == "append"
        if error is not None:
            raise error
        return answer  # type: ignore[no-any-return]

    def load_heads(self, after: int) -> Heads:
        """Ask and keep."""
        return self._keep("load_heads", after, lambda: self._backend.load_heads(after))

    def append(self, records: Sequence[Sealed]) -> int | None:
        """Append and keep."""
        return self._keep("append", list(records), lambda: self._backend.append(records))

    def history(self, query: HistoryQuery) -> Iterator[Stored]:
        """Read all of it and keep it."""
        return iter(self._keep("history", query, lambda: list(self._backend.history(query))))

    def as_of(self, kind: str, symbol: str, time_ns: int | None) -> Stored | None:
        """Ask and keep."""
        return self._keep(
            "as_of", (kind, symbol, time_ns), lambda: self._backend.as_of(kind, symbol, time_ns)
        )

    def wait(self, timeout_s: float) -> bool:
        """Wait; nothing is kept."""
        return self._backend.wait(timeout_s)

    def close(self) -> None:
        """Close what is behind; the recording stays."""
        self._backend.close()

    def save(self, path: str | Path) -> None:
        """Write the conversation, one call a line."""
        with self._lock:
            Path(path).write_bytes(b"".join(msgspec.json.encode(said) + b"\n" for said in self._said))


class ReplayedBackend:
    """Answers as a recorded backend did; a `Backend` that needs nothing behind it.

    Appends must come as they were recorded, byte by byte: give the store the clock that it had (`SteppedClock`). Between two
    appends a question is answered as it was there, in the order of the recording, the last answer again and again.
    What was never asked is a StoreError that says so.

    Parameters
    ----------
    said : sequence
        The recording; see :meth:`load`.
    """

    def __init__(self, said: Sequence[_Said]) -> None:
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._epoch = 0
        self._appends = [one for one in said if one.call == "append"]
        self._answers: dict[tuple[int, str, bytes], list[_Said]] = {}
        for one in said:
            if one.call != "append":
                self._answers.setdefault((one.epoch, one.call, bytes(one.arguments)), []).append(one)
        self._heads = {one.epoch: one for one in said if one.call == "load_heads" and one.error is None}

    @classmethod
    def load(cls, path: str | Path) -> ReplayedBackend:
        """Read what :meth:`RecordingBackend.save` wrote."""
        try:
            lines = Path(path).read_bytes().splitlines()
        except FileNotFoundError:
            raise MissingFileError(
                f"there is no recording at {path}; make one with RecordingBackend"
            ) from None
        said = []
        for number, line in enumerate(lines, start=1):
            try:
                said.append(msgspec.json.decode(line, type=_Said))
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise FileFormatError(f"{path}, line {number}: {error}; record it again") from None
        return cls(said)

    @property
    def is_used_up(self) -> bool:
        """Whether every recorded append has been replayed."""
        return self._epoch == len(self._appends)

    def _replay(self, call: str, arguments: Any) -> Any:
        if self._closed.is_set():
            raise StoreError("the replayed backend is closed; load it again")
        with self._lock:
            place = (self._epoch, call, msgspec.json.encode(arguments))
            answers = self._answers.get(place)
            if answers is None:
                raise StoreError(
                    f"the recording has no {call}({arguments!r}) after append {self._epoch}; ask only what was "
                    f"recorded, or record it again"
                )
            said = answers.pop(0) if len(answers) > 1 else answers[0]
        return _tell(said)

    def load_heads(self, after: int) -> Heads:
        """Answer as recorded; that nothing has changed is known without a recording."""
        known = self._heads.get(self._epoch)
        if known is not None and (self._epoch, "load_heads", b"%d" % after) not in self._answers:
            heads: Heads = _tell(known)
            if heads.change == after:
                return Heads(after, (), heads.store_id)
        answer: Heads = self._replay("load_heads", after)
        return answer

    def append(self, records: Sequence[Sealed]) -> int | None:
        """Compare with the recorded append, and answer as then."""
        if self._closed.is_set():
            raise StoreError("the replayed backend is closed; load it again")
        given = msgspec.json.encode(list(records))
        with self._lock:
            if self._epoch >= len(self._appends):
                raise StoreError(f"the recording ends after {self._epoch} appends; record more of them")
            said = self._appends[self._epoch]
            if given != bytes(said.arguments):
                raise StoreError(
                    f"append {self._epoch + 1} is not the one that was recorded: given {_short(given)}, recorded "
                    f"{_short(bytes(said.arguments))}; write the same with the same clock"
                )
            self._epoch += 1
        change: int | None = _tell(said)
        return change

    def history(self, query: HistoryQuery) -> Iterator[Stored]:
        """Yield as recorded."""
        return iter(self._replay("history", query))

    def as_of(self, kind: str, symbol: str, time_ns: int | None) -> Stored | None:
        """Answer as recorded."""
        found: Stored | None = self._replay("as_of", (kind, symbol, time_ns))
        return found

    def wait(self, timeout_s: float) -> bool:
        """Nothing ever changes by itself: wait for the time or for ``close``."""
        self._closed.wait(timeout_s)
        return False

    def close(self) -> None:
        """End a ``wait``; safe twice."""
        self._closed.set()


def _tell(said: _Said) -> Any:
    if said.error is not None:
        name, words = said.error
        kind = getattr(calibrig.errors, name, StoreError)
        raise kind(words)
    return msgspec.json.decode(said.answer, type=_ANSWERS[said.call])


def _short(text: bytes) -> str:
    return text[:200].decode(errors="replace")
