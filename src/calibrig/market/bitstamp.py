"""Order by order (L3) files of Bitstamp as ob-analytics keeps them: best quotes and matched trades from order events."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque

import numpy as np

from calibrig.market.binance_capture import scale_to_ns
from calibrig.market.files import SourceFile
from calibrig.market.raw import (
    DECIMAL,
    INTEGER,
    SKIP,
    WORD,
    Column,
    RawQuotes,
    RawTicks,
    RawTrades,
    carry_forward,
    infer_step,
    parse_table,
)
from calibrig.market.rows import check_order, check_span, parse_word, split_header
from calibrig.market.ticks import Int64Array

__all__ = ["read_bitstamp", "recognise_bitstamp"]

_HEADER = "id,timestamp,exchange.timestamp,price,volume,action,direction"
_DECIMALS = 8
_COLUMNS = [
    Column("id", INTEGER),
    Column("timestamp", INTEGER),
    Column("exchange.timestamp", SKIP),
    Column("price", DECIMAL, _DECIMALS),
    Column("volume", INTEGER),
    Column("action", WORD),
    Column("direction", WORD),
]
_MATCH_NS = 5_000_000_000


def recognise_bitstamp(source: SourceFile, first_line: str) -> bool:
    """Tell by the header."""
    del source
    return first_line.replace('"', "") == _HEADER


def read_bitstamp(source: SourceFile, text: bytes, *, skip_bad_rows: bool = False) -> list[RawTicks]:
    """Read one file; the session runs from the first to the last event."""
    _, body, first_line = split_header(text)
    arrays, counts = parse_table(source, body, _COLUMNS, skip_bad_rows=skip_bad_rows, first_line=first_line)
    time_ns, resolution_ns, unit = scale_to_ns(arrays[1])
    check_span(source, time_ns)
    order = check_order(source, time_ns, counts, first_line=first_line, skip_bad_rows=skip_bad_rows)
    if order is not None:
        time_ns, arrays = time_ns[order], [column[order] for column in arrays]
    book = _Book()
    book.run(time_ns, arrays)
    counts["unmatched_fills"] += book.count_unmatched()
    quotes, trades = book.quotes(counts), book.trades()
    warnings = (
        [f"{book.stale_levels} price level(s) whose end was never told are left out of the book"]
        if book.stale_levels
        else []
    )
    return [
        RawTicks(
            label=source.label,
            format="Bitstamp L3",
            symbol="BTCUSD",
            venue="bitstamp",
            price_decimals=_DECIMALS,
            size_decimals=_DECIMALS,
            tick=-infer_step(arrays[2]),
            lot=1,
            resolution_ns=resolution_ns,
            time_unit=unit,
            sessions=[(int(time_ns[0]), int(time_ns[-1]) + 1)],
            trades=trades,
            quotes=quotes,
            counts=counts,
            warnings=warnings,
        )
    ]


class _Book:
    """Resting orders by price, fills that wait for their other half, and what came of both."""

    def __init__(self) -> None:
        self._orders: dict[int, tuple[int, int]] = {}
        self._volume: dict[int, int] = {}
        self._gone: set[int] = set()
        self._changed_ns: dict[tuple[int, int], int] = {}
        self._crossed_ns: int | None = None
        self.stale_levels = 0
        self._depth: tuple[dict[int, int], dict[int, int]] = (defaultdict(int), defaultdict(int))
        self._best: tuple[list[int], list[int]] = ([], [])
        self._waiting: dict[tuple[int, int], deque[tuple[int, int, int]]] = defaultdict(deque)
        self._states: list[tuple[int, int, int, int, int]] = []
        self._trades: list[tuple[int, int, int, int, int]] = []

    def run(self, time_ns: Int64Array, arrays: list[Int64Array]) -> None:
        ids, _, price, volume, action, direction = arrays
        created, deleted, bid = parse_word("created"), parse_word("deleted"), parse_word("bid")
        rows = zip(
            time_ns.tolist(),
            ids.tolist(),
            price.tolist(),
            volume.tolist(),
            action.tolist(),
            (direction != bid).astype(int).tolist(),
            strict=True,
        )
        for t, order, p, v, what, side in rows:
            if what == created:
                if order not in self._gone:  # its end may be told before its beginning
                    self._orders[order] = (side, p)
                    self._change(t, order, v)
            elif order in self._orders:
                left = 0 if what == deleted else v
                done = self._volume[order] - v
                if done > 0 and (what != deleted or v == 0):
                    self._fill(t, order, side, self._orders[order][1], done)
                self._change(t, order, left)
            if what == deleted:
                self._gone.add(order)
                self._orders.pop(order, None)
            self._note(t)

    def _change(self, t: int, order: int, volume: int) -> None:
        side, price = self._orders[order]
        self._depth[side][price] += volume - self._volume.get(order, 0)
        self._volume[order] = volume
        self._changed_ns[side, price] = t
        heapq.heappush(self._best[side], -price if side == 0 else price)

    def _fill(self, t: int, order: int, side: int, price: int, volume: int) -> None:
        """Match with a fill of the same volume on the other side; the younger order took, the older one's price counts."""
        others = self._waiting[1 - side, volume]
        while others and others[0][0] < t - _MATCH_NS:
            others.popleft()
        if not others:
            self._waiting[side, volume].append((t, order, price))
            return
        then, other, other_price = others.popleft()
        taker_side = side if order > other else 1 - side
        maker_price = other_price if order > other else price
        self._trades.append((then, maker_price, volume, 1 if taker_side == 0 else -1, max(order, other)))

    def _note(self, t: int) -> None:
        state = []
        for side, sign in ((0, -1), (1, 1)):
            heap, depth = self._best[side], self._depth[side]
            while heap and depth[sign * heap[0]] <= 0:
                heapq.heappop(heap)
            price = sign * heap[0] if heap else 0
            state += [price, depth[price] if heap else 0]
        bid, bid_size, ask, ask_size = state
        if bid and ask and bid >= ask:  # an order stands across the other side while it trades
            if self._crossed_ns is None:
                self._crossed_ns = t
            elif t - self._crossed_ns > _MATCH_NS:  # the end of the older level was never told
                side, price = min(((0, bid), (1, ask)), key=lambda level: self._changed_ns[level])
                for order in [o for o, place in self._orders.items() if place == (side, price)]:
                    self._gone.add(order)
                    del self._orders[order]
                self._depth[side][price] = 0
                self.stale_levels += 1
                self._crossed_ns = None
            return
        self._crossed_ns = None
        if bid and ask:
            self._states.append((t, bid, bid_size, ask, ask_size))

    def count_unmatched(self) -> int:
        return sum(len(waiting) for waiting in self._waiting.values())

    def quotes(self, counts: Counter[str]) -> RawQuotes:
        table = np.array(self._states, np.int64).reshape(-1, 5)
        return carry_forward([np.ascontiguousarray(column) for column in table.T], counts)

    def trades(self) -> RawTrades:
        table = np.array(sorted(self._trades, key=lambda row: row[0]), np.int64).reshape(-1, 5)
        time_ns, price, size, side, taker = (np.ascontiguousarray(column) for column in table.T)
        return RawTrades(time_ns=time_ns, price=price, size=size, side=side.astype(np.int8), id=taker)
