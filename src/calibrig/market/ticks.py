"""Trades and quotes as columns: the one form in which ticks move through calibrig."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from calibrig.errors import InvalidTicksError
from calibrig.parameters import Instrument

__all__ = ["Int64Array", "MarketData", "Quotes", "Trades"]

Int64Array = NDArray[np.int64]


def _column(
    owner: str, name: str, values: object, dtype: type[np.generic], length: int | None
) -> NDArray[np.generic]:
    array = np.ascontiguousarray(values, dtype=dtype)
    if array.ndim != 1:
        raise InvalidTicksError(f"{owner}.{name} has {array.ndim} dimensions; give one")
    if length is not None and len(array) != length:
        raise InvalidTicksError(
            f"{owner}.{name} has {len(array)} rows, time_ns has {length}; give equal lengths"
        )
    array.flags.writeable = False
    return array


def _check_order(owner: str, time_ns: Int64Array) -> None:
    if len(time_ns) > 1:
        steps = np.diff(time_ns)
        if steps.min() < 0:
            row = int(np.argmin(steps >= 0)) + 1
            raise InvalidTicksError(
                f"{owner}.time_ns goes back by {-int(steps[row - 1])} ns at row {row}; sort by time first"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trades:
    """Market orders that traded, in time order.

    Attributes
    ----------
    time_ns : ndarray of int64, shape (n,)
        Exchange time, ns since 1970 UTC, not decreasing.
    price_ticks : ndarray of int64, shape (n,)
        Price in ticks, rounded down where it lies between two ticks.
    size_lots : ndarray of int64, shape (n,)
        Size in lots, at least 0.
    side : ndarray of int8, shape (n,)
        +1 buyer-initiated, -1 seller-initiated, 0 unknown.
    id : ndarray of int64, shape (n,)
        The venue's trade or order number, or the row number.
    sub_tick : ndarray of float32, shape (n,), or None
        Fraction of a tick above ``price_ticks`` (midpoint and price-improvement prints); None = all on the grid.
    local_time_ns : ndarray of int64 or None
        Receive time, where the source has it.
    sessions : ndarray of int64, shape (s, 2)
        Start and end of each session, ns since 1970 UTC; every trade lies in one.
    resolution_ns : int
        Step of the clock that stamped ``time_ns``.
    instrument : Instrument
        What was traded.
    """

    time_ns: Int64Array
    price_ticks: Int64Array
    size_lots: Int64Array
    side: NDArray[np.int8]
    id: Int64Array
    instrument: Instrument
    sessions: Int64Array
    resolution_ns: int = 1
    sub_tick: NDArray[np.float32] | None = None
    local_time_ns: Int64Array | None = None

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "time_ns", _column("Trades", "time_ns", self.time_ns, np.int64, None))
        n = len(self.time_ns)
        for name, dtype in (
            ("price_ticks", np.int64),
            ("size_lots", np.int64),
            ("side", np.int8),
            ("id", np.int64),
            ("sub_tick", np.float32),
            ("local_time_ns", np.int64),
        ):
            values = getattr(self, name)
            if values is not None:
                set_(self, name, _column("Trades", name, values, dtype, n))
        set_(self, "sessions", _sessions("Trades", self.sessions))
        _check_order("Trades", self.time_ns)

    def __len__(self) -> int:
        return len(self.time_ns)

    def between(self, start_ns: int, end_ns: int) -> Trades:
        """Return the trades with ``start_ns <= time < end_ns`` and the sessions cut to that span."""
        low, high = np.searchsorted(self.time_ns, (start_ns, end_ns))
        return Trades(
            time_ns=self.time_ns[low:high],
            price_ticks=self.price_ticks[low:high],
            size_lots=self.size_lots[low:high],
            side=self.side[low:high],
            id=self.id[low:high],
            sub_tick=None if self.sub_tick is None else self.sub_tick[low:high],
            local_time_ns=None if self.local_time_ns is None else self.local_time_ns[low:high],
            sessions=_cut(self.sessions, start_ns, end_ns),
            resolution_ns=self.resolution_ns,
            instrument=self.instrument,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotes:
    """Best bid and offer after each change, in time order.

    Attributes
    ----------
    time_ns : ndarray of int64, shape (n,)
        Exchange time, ns since 1970 UTC, not decreasing.
    bid_ticks, bid_lots, ask_ticks, ask_lots : ndarray of int64, shape (n,)
        Best bid and ask after the change.
    sessions, resolution_ns, instrument, local_time_ns
        As in :class:`Trades`.
    """

    time_ns: Int64Array
    bid_ticks: Int64Array
    bid_lots: Int64Array
    ask_ticks: Int64Array
    ask_lots: Int64Array
    instrument: Instrument
    sessions: Int64Array
    resolution_ns: int = 1
    local_time_ns: Int64Array | None = None

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "time_ns", _column("Quotes", "time_ns", self.time_ns, np.int64, None))
        for name in ("bid_ticks", "bid_lots", "ask_ticks", "ask_lots", "local_time_ns"):
            values = getattr(self, name)
            if values is not None:
                set_(self, name, _column("Quotes", name, values, np.int64, len(self.time_ns)))
        set_(self, "sessions", _sessions("Quotes", self.sessions))
        _check_order("Quotes", self.time_ns)

    def __len__(self) -> int:
        return len(self.time_ns)

    def mid_ticks(self) -> NDArray[np.float64]:
        """Return the mid after each change, ticks, shape (n,)."""
        mid: NDArray[np.float64] = np.multiply(self.bid_ticks + self.ask_ticks, 0.5)
        return mid

    def between(self, start_ns: int, end_ns: int) -> Quotes:
        """Return the quotes with ``start_ns <= time < end_ns`` and the sessions cut to that span."""
        low, high = np.searchsorted(self.time_ns, (start_ns, end_ns))
        return Quotes(
            time_ns=self.time_ns[low:high],
            bid_ticks=self.bid_ticks[low:high],
            bid_lots=self.bid_lots[low:high],
            ask_ticks=self.ask_ticks[low:high],
            ask_lots=self.ask_lots[low:high],
            local_time_ns=None if self.local_time_ns is None else self.local_time_ns[low:high],
            sessions=_cut(self.sessions, start_ns, end_ns),
            resolution_ns=self.resolution_ns,
            instrument=self.instrument,
        )


def _sessions(owner: str, values: object) -> Int64Array:
    sessions = np.ascontiguousarray(values, dtype=np.int64)
    if sessions.ndim != 2 or sessions.shape[1] != 2:
        raise InvalidTicksError(
            f"{owner}.sessions has shape {sessions.shape}; give (sessions, 2): start and end"
        )
    if np.any(sessions[:, 1] <= sessions[:, 0]) or np.any(sessions[1:, 0] < sessions[:-1, 1]):
        raise InvalidTicksError(f"{owner}.sessions overlap or end before they start; give them in order")
    sessions.flags.writeable = False
    return sessions


def _cut(sessions: Int64Array, start_ns: int, end_ns: int) -> Int64Array:
    clipped = np.clip(sessions, start_ns, end_ns)
    return clipped[clipped[:, 1] > clipped[:, 0]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketData:
    """Everything known about one instrument over some sessions.

    Attributes
    ----------
    trades : Trades
        Market orders.
    quotes : Quotes
        Best bid and offer; may be empty where the source has trades only.
    description : str
        Where it came from, in words.
    """

    trades: Trades
    quotes: Quotes
    description: str = field(default="")

    @property
    def instrument(self) -> Instrument:
        """What was traded."""
        return self.trades.instrument

    @property
    def sessions(self) -> Int64Array:
        """Start and end of each session, ns, shape (s, 2)."""
        return self.trades.sessions

    def between(self, start_ns: int, end_ns: int) -> MarketData:
        """Return what happened in ``start_ns <= time < end_ns``."""
        return MarketData(
            trades=self.trades.between(start_ns, end_ns),
            quotes=self.quotes.between(start_ns, end_ns),
            description=self.description,
        )
