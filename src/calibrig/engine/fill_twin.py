"""The replay venue's rules in slow Python: which fills a list of messages gets from a market."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from calibrig.engine.replay_result import ACTIONS, FILL_KINDS, Columns
from calibrig.market import MarketData

__all__ = ["compute_fills"]

FillTuple = tuple[int, int, int, int, int, str]


@dataclass(slots=True)
class _Resting:
    id: int
    price: int
    leaves: int
    ahead: int | None  # None: the level has not been the touch yet, so its queue is not known
    filled: int = 0


class _Venue:
    def __init__(self, fill_model: str) -> None:
        self.model = fill_model
        self.resting: dict[int, _Resting] = {}
        self.book: tuple[int, int, int, int] | None = None  # bid, bid lots, ask, ask lots
        self.fills: list[FillTuple] = []

    def take_quote(self, t: int, book: tuple[int, int, int, int]) -> None:
        """Change the book; an opposite quote at or beyond a resting price fills it, whatever the fill model."""
        bid, bid_lots, ask, ask_lots = book
        if not (bid < ask and bid_lots > 0 and ask_lots > 0):
            return
        self.book = book
        for side, order in list(self.resting.items()):
            touch, shown, opposite = (bid, bid_lots, ask) if side > 0 else (ask, ask_lots, bid)
            if side * (order.price - opposite) >= 0:
                self._fill(t, side, order.leaves, "crossed")
            elif order.ahead is None and side * (order.price - touch) >= 0:
                order.ahead = shown if touch == order.price else 0

    def take_trade(self, t: int, price: int, lots: int, side: int, *, on_grid: bool) -> None:
        """Meet the resting order on the other side: through it, or at its price after the queue."""
        order = self.resting.get(-side) if side else None
        if order is None:
            return
        if side * (price - order.price) > 0:
            self._fill(t, -side, order.leaves, "through")
        elif price == order.price and on_grid:
            if self.model == "touch":
                self._fill(t, -side, order.leaves, "touch")
            elif self.model == "conservative" and order.ahead is not None:
                rest = max(0, lots - order.ahead)
                order.ahead = max(0, order.ahead - lots)
                if rest:
                    self._fill(t, -side, min(rest, order.leaves), "queue")

    def take_message(
        self, *, action: str, side: int, id_: int, price: int, lots: int, replaces: int, known: int
    ) -> None:
        """Place, replace or cancel; a replaced order's fills that the sender did not know come off the new size."""
        old = self.resting.get(side)
        if action == "cancel":
            if old is not None and old.id == id_:
                del self.resting[side]
            return
        if action == "replace":
            if old is None or old.id != replaces:
                return
            lots -= old.filled - known
            del self.resting[side]
        if self.book is None or lots <= 0:
            return
        bid, bid_lots, ask, ask_lots = self.book
        touch, shown, opposite = (bid, bid_lots, ask) if side > 0 else (ask, ask_lots, bid)
        if side * (price - opposite) >= 0:
            return  # post-only
        ahead = shown if price == touch else 0 if side * (price - touch) > 0 else None
        self.resting[side] = _Resting(id_, price, lots, ahead)

    def _fill(self, t: int, side: int, lots: int, kind: str) -> None:
        order = self.resting[side]
        order.leaves -= lots
        order.filled += lots
        self.fills.append((order.id, t, side, order.price, lots, kind))
        if order.leaves == 0:
            del self.resting[side]


def compute_fills(
    market: MarketData,
    orders: Columns,
    *,
    fill_model: str,
    order_latency_ns: int,
    response_latency_ns: int,
    device_ns: int = 0,
) -> list[FillTuple]:
    """Return ``(order_id, time_ns, side, price_ticks, lots, kind)`` of every fill but liquidations.

    Market events come first at equal stamps (trades before quotes); a message reaches the book
    ``device_ns + order_latency_ns`` after its decision; how much of a replaced order its sender knew to be filled
    follows from the fills up to the decision less the response latency.
    """
    fills: list[FillTuple] = []
    arrival = orders["time_ns"] + device_ns + order_latency_ns
    for start, end in market.sessions:
        venue = _Venue(fill_model)
        part = market.between(int(start), int(end))
        trades, quotes = part.trades, part.quotes
        rows = np.flatnonzero((orders["time_ns"] >= start) & (orders["time_ns"] < end) & (arrival < end))
        stream = sorted(
            [(int(t), 0, i) for i, t in enumerate(trades.time_ns)]
            + [(int(t), 1, i) for i, t in enumerate(quotes.time_ns)]
            + [(int(arrival[i]), 2, int(i)) for i in rows]
        )
        for t, kind, i in stream:
            if kind == 0:
                on_grid = trades.sub_tick is None or trades.sub_tick[i] == 0
                venue.take_trade(
                    t,
                    int(trades.price_ticks[i]),
                    int(trades.size_lots[i]),
                    int(trades.side[i]),
                    on_grid=bool(on_grid),
                )
            elif kind == 1:
                venue.take_quote(
                    t,
                    (
                        int(quotes.bid_ticks[i]),
                        int(quotes.bid_lots[i]),
                        int(quotes.ask_ticks[i]),
                        int(quotes.ask_lots[i]),
                    ),
                )
            else:
                replaces = int(orders["replaces"][i])
                seen = int(orders["time_ns"][i]) - response_latency_ns
                venue.take_message(
                    action=ACTIONS[int(orders["action"][i])],
                    side=int(orders["side"][i]),
                    id_=int(orders["id"][i]),
                    price=int(orders["price_ticks"][i]),
                    lots=int(orders["size_lots"][i]),
                    replaces=replaces,
                    known=sum(f[4] for f in venue.fills if f[0] == replaces and f[1] <= seen),
                )
        fills.extend(venue.fills)
    assert all(f[5] in FILL_KINDS for f in fills)
    return fills
