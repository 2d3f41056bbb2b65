"""The store as a read-only native block: what a trading loop in C++, or in another process, reads with no lock."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from calibrig._native import store as _native  # noqa: TID251
from calibrig.errors import (
    FileFormatError,
    InvalidInputError,
    MissingFileError,
    StoreError,
    StoreUnavailableError,
)
from calibrig.parameters import KINDS
from calibrig.store.urls import backend_kind, file_path
from calibrig.store.view import Head, View
from calibrig.store.watcher import STALE_AFTER_S

__all__ = ["AppliedParameters", "BlockStatus", "StoreBlock", "block_path", "read_applied", "read_block"]

MAX_SYMBOLS = 4096
_LOG = logging.getLogger("calibrig.store")


def block_path(url: str | Path) -> Path | None:
    """Return where the block of a file store lies: beside it; None for a server, which has no place of its own.

    Examples
    --------
    >>> block_path("./config/parameters.json").as_posix()
    'config/parameters.json.block'
    >>> block_path("redis://cache:6379") is None
    True
    """
    if backend_kind(str(url)) not in {"json", "sqlite"}:
        return None
    path = file_path(str(url))
    return path.with_name(path.name + ".block")


class StoreBlock:
    """A block that a :class:`ModelStore` keeps current; made by :meth:`ModelStore.share`.

    Each symbol has one consistent set, replaced as a whole when any of its versions changes. The time of the last
    contact with the backend is in it too, so that a reader knows by itself when the set may no longer be what is
    stored: also when this process is killed.
    """

    def __init__(
        self, path: str, store_id: str, *, symbols: tuple[str, ...] | None, capacity: int, mode: int
    ) -> None:
        self.path = path
        self._only = symbols
        self._publishing = threading.Lock()
        self.closed = False
        try:
            self.native = _native.BlockWriter(path, capacity, store_id, round(STALE_AFTER_S * 1e9), mode)
        except OSError as error:
            raise translate_block_error(error, path) from None

    def put(self, view: View, symbols: Iterable[str]) -> None:
        """Publish the present sets of these symbols; called by the store, one change at a time."""
        with self._publishing:
            if self.closed:
                return
            for symbol in symbols:
                if self._only is None or symbol in self._only:
                    self._put_one(view, symbol)

    def _put_one(self, view: View, symbol: str) -> None:
        answer = self.native.publish(symbol, _entries(view, symbol))
        if answer < 0:
            _LOG.error(
                "%s has no room for %s; share fewer symbols or give a larger capacity", self.path, symbol
            )
        elif not answer:
            _LOG.error(
                "%s cannot hold %s: a profile or the medians have more than 1,440 bins; readers see no parameters",
                self.path,
                symbol,
            )
            self.native.publish(symbol, [])

    def show(self) -> None:
        """Let other processes see the block, once the first sets are in it."""
        try:
            self.native.show()
        except OSError as error:
            raise translate_block_error(error, self.path) from None

    def beat(self, damaged: bool) -> None:
        """Note that the backend has just answered, and whether what it answers is damaged."""
        if not self.closed:
            self.native.beat(time.monotonic_ns(), damaged)

    def status(self) -> BlockStatus:
        """Return what a reader sees."""
        return _status(self.native.view(), self.path)

    def close(self) -> None:
        """Tell the readers that nothing comes any more, and take the file away; safe twice."""
        with self._publishing:
            self.closed = True
            self.native.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _entries(view: View, symbol: str) -> list[Any]:
    return [
        _entry(number, head)
        for number, kind in enumerate(KINDS)
        if (head := view.heads.get((kind, symbol))) is not None
    ]


def _entry(number: int, head: Head) -> Any:
    content, record = head.content, head.record
    assert record is not None  # a public kind always has one
    return (
        number,
        record.parameters,
        content.version_id,
        content.updated_at,
        -1 if content.calibrated_at is None else content.calibrated_at,
        head.seen_ns,
        content.origin,
        str(content.evidence.verdict) if content.evidence else "",
        content.updated_by,
        content.comment,
    )


class BlockStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader of a block sees.

    Attributes
    ----------
    path : str
        Where it lies; empty for one inside the process.
    pid : int
        Of the process that writes it.
    store_id : str
        Of the store behind it.
    stale : bool
        No contact with the backend for 0.8 s, damage, or a writer that ended or was killed.
    contact_age_s : float
        Seconds since the backend last answered.
    publications : int
        Sets published so far.
    symbols : tuple of dict
        Per symbol: number of its publication, age of its oldest calibration, and its versions by kind.
    """

    path: str
    pid: int
    store_id: str
    stale: bool
    contact_age_s: float
    publications: int
    symbols: tuple[Mapping[str, Any], ...]


class AppliedParameters(msgspec.Struct, frozen=True, kw_only=True):
    """How long new versions took to be in force in one trading loop.

    Attributes
    ----------
    symbol : str
        What the loop trades.
    pid : int
        Its process.
    applied : int
        Sets taken over, the first included.
    applied_ns : int
        When the last one was, ns since 1970 UTC.
    versions : dict of str to int
        In force now, by kind.
    from_stamp, from_handover : dict
        ``count, mean, p50, p95, p99, p999, max`` in nanoseconds: from the newest stamp of the set, and from its
        arrival in the loop's process, to the first cycle that used it. The first set is not counted.
    """

    symbol: str
    pid: int
    applied: int
    applied_ns: int
    versions: dict[str, int]
    from_stamp: dict[str, float]
    from_handover: dict[str, float]


def read_block(path: str | Path) -> BlockStatus:
    """Read what a store shares at ``path``.

    Raises
    ------
    MissingFileError, FileFormatError
        If there is no block, or one of another version.
    """
    try:
        return _status(_native.BlockView(str(path)), str(path))
    except OSError as error:
        raise translate_block_error(error, str(path)) from None
    except UnicodeDecodeError:
        raise FileFormatError(f"{path} is damaged: a text in it cannot be read") from None
    except ValueError as error:
        raise FileFormatError(f"{error}") from None


def _status(view: _native.BlockView, path: str) -> BlockStatus:
    found = [view.read(symbol) for symbol in view.symbols()]
    return BlockStatus(
        path=path,
        pid=view.pid,
        store_id=view.store_id,
        stale=view.stale(),
        contact_age_s=view.contact_age_s(),
        publications=view.publications,
        symbols=tuple(one for one in found if one is not None),
    )


def read_applied(path: str | Path) -> AppliedParameters:
    """Read the times to apply that a running loop keeps at ``path``."""
    try:
        return describe_applied(_native.read_applied(str(path)))
    except OSError as error:
        raise translate_block_error(error, str(path)) from None
    except UnicodeDecodeError:
        raise FileFormatError(f"{path} is damaged: a text in it cannot be read") from None


def describe_applied(found: Any) -> AppliedParameters:
    """Return the native figures as a record."""
    return AppliedParameters(
        symbol=found["symbol"],
        pid=found["pid"],
        applied=found["applied"],
        applied_ns=found["applied_ns"],
        versions={kind: number for kind, number in zip(KINDS, found["versions"], strict=True) if number != 0},
        from_stamp=found["from_stamp"],
        from_handover=found["from_handover"],
    )


def translate_block_error(error: OSError, path: str) -> StoreError | MissingFileError | FileFormatError:
    """Return the typed error for what the system said of a block."""
    if error.errno == errno.ENOENT:
        return MissingFileError(f"there is nothing at {path}; share a store there: calibrig store share")
    if error.errno == errno.EBUSY:
        return StoreUnavailableError(f"{path} is written by another process; end it, or share elsewhere")
    if error.errno == errno.EINVAL:
        return FileFormatError(f"{path} is not a block of calibrig, or one of another version")
    return StoreError(f"{path} cannot be used ({error.strerror or error}); check folder, owner and mode")


def check_symbols(symbols: Iterable[str] | None) -> tuple[str, ...] | None:
    """Return the symbols to share, each once; None means all."""
    if symbols is None:
        return None
    if isinstance(symbols, str):
        raise InvalidInputError(f"symbols is {symbols!r}; give a sequence of symbols, such as ({symbols!r},)")
    return tuple(dict.fromkeys(symbols))
