"""Raw Binance websocket captures, spot and USD-M: ``<local receive time, ns> <json>`` per line."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from calibrig._native import market as _native  # noqa: TID251
from calibrig.errors import FileFormatError
from calibrig.market.files import SourceFile
from calibrig.market.raw import RawQuotes, RawTicks, RawTrades, round_step
from calibrig.market.ticks import Int64Array

__all__ = ["read_binance_capture", "recognise_binance_capture", "scale_to_ns"]

_DECIMALS = 8
_WINDOW_NS = 10_000_000_000
Columns = dict[str, Int64Array]


def recognise_binance_capture(source: SourceFile, first_line: str) -> bool:
    """Tell a capture by its first row: digits, a blank, an object."""
    del source
    head, _, rest = first_line.partition(" ")
    return head.isdigit() and rest.lstrip().startswith("{")


def read_binance_capture(source: SourceFile, text: bytes, *, skip_bad_rows: bool = False) -> list[RawTicks]:
    """Read trades and best quotes of every symbol in the capture, in exchange time.

    The local clock's offset is taken out by the lower envelope of (receive time - exchange time) over windows of
    10 s, so that the fastest message of each window has latency zero. Where a stream carries no exchange time
    (spot ``bookTicker``) the corrected receive time stands for it. Without a ``bookTicker`` stream the best quotes
    are built from the depth updates, and a warning says so.
    """
    parsed = _native.parse_capture(text, skip_bad_rows)
    from_depth = len(parsed["quotes"]["id"]) == 0 and len(parsed["depth"]["last"]) > 0
    if from_depth:
        parsed = _native.parse_capture(text, skip_bad_rows, True)
    if parsed["bad"] and (not skip_bad_rows or parsed["bad"] * 2 > parsed["lines"]):
        reason = parsed["reason"].decode("utf-8", "replace")
        raise FileFormatError(
            f"{source.label} row {parsed['line']} {reason}; correct the row or pass skip_bad_rows=True to count "
            "and leave it out"
        )
    if not parsed["symbols"]:
        raise FileFormatError(
            f"{source.label} holds no trade, bookTicker or depth message; record the streams <symbol>@trade and "
            "<symbol>@bookTicker"
        )
    found = [_make_ticks(source, parsed, index) for index in range(len(parsed["symbols"]))]
    if from_depth:
        for ticks in found:
            ticks.warnings.append(_describe_book(parsed))
    return found


def _describe_book(parsed: dict[str, Any]) -> str:
    start = (
        "a snapshot" if parsed["snapshots"] and len(parsed["symbols"]) == 1 else "an empty book, no snapshot"
    )
    return (
        f"there is no bookTicker stream: best quotes are built from depth updates, starting from {start} "
        f"({parsed['uncrossed']:,} stale levels dropped)"
    )


def scale_to_ns(times: Int64Array) -> tuple[Int64Array, int, str]:
    """Return times in ns, the step of their clock in ns and its name, told by magnitude (s, ms, us or ns)."""
    largest = int(times.max(initial=0))
    for limit, factor, unit in ((10**11, 10**9, "s"), (10**14, 10**6, "ms"), (10**17, 10**3, "us")):
        if largest < limit:
            return times * factor, factor, unit
    return times, 1, "ns"


def _make_ticks(source: SourceFile, parsed: dict[str, Any], index: int) -> RawTicks:
    trades = _of_symbol(parsed["trades"], index)
    quotes = _of_symbol(parsed["quotes"], index)
    depth = _of_symbol(parsed["depth"], index)
    if np.any(trades["aggregate"] == 0):
        trades = _take(trades, trades["aggregate"] == 0)
    counts: Counter[str] = Counter(
        rows=parsed["lines"],
        bad_rows=parsed["bad"],
        off_market=parsed["off_market"],
        book_levels=parsed["levels"],
        other_messages=parsed["others"] + parsed["snapshots"],
    )
    clock = _Clock(trades, quotes, depth)
    trades = _order(source, trades, ("price", "size", "maker"), counts)
    quotes = _order(source, quotes, ("bid", "bid_size", "ask", "ask_size"), counts)
    counts["missing_ids"] += int(np.sum(np.maximum(np.diff(trades["id"]) - 1, 0)))
    usdm = bool(np.any(depth["previous"] >= 0) or np.any(quotes["time"] >= 0))
    counts["book_gaps"] += _count_book_gaps(depth, usdm=usdm)
    trade_ns, trade_local_ns = clock.date(trades, counts)
    quote_ns, quote_local_ns = clock.date(quotes, counts)
    everything = [int(t[i]) for t in (trade_ns, quote_ns) if len(t) for i in (0, -1)]
    price_grid, prices, size_grid, _ = parsed["grids"][index]
    return RawTicks(
        label=source.label,
        format="Binance websocket capture",
        symbol=parsed["symbols"][index].decode("utf-8", "replace").upper(),
        venue="binance usdm" if usdm else "binance spot",
        price_decimals=_DECIMALS,
        size_decimals=_DECIMALS,
        tick=-round_step(price_grid, prices),
        lot=-round_step(size_grid, 0),
        resolution_ns=clock.resolution_ns,
        time_unit=clock.unit,
        sessions=[(min(everything), max(everything) + 1)] if everything else [],
        price_unit="USDT",
        continuous=True,
        trades=RawTrades(
            time_ns=trade_ns,
            price=trades["price"],
            size=trades["size"],
            side=np.where(trades["maker"] != 0, -1, 1).astype(np.int8),
            id=trades["id"],
            local_time_ns=trade_local_ns,
        ),
        quotes=RawQuotes(
            time_ns=quote_ns,
            bid=quotes["bid"],
            bid_size=quotes["bid_size"],
            ask=quotes["ask"],
            ask_size=quotes["ask_size"],
            local_time_ns=quote_local_ns,
        ),
        counts=counts,
        clock_offset_ns=clock.span,
    )


def _of_symbol(columns: Columns, index: int) -> Columns:
    chosen = columns["symbol"] == index
    return columns if bool(chosen.all()) else _take(columns, chosen)


def _take(columns: Columns, chosen: Any) -> Columns:
    return {name: column[chosen] for name, column in columns.items()}


def _order(source: SourceFile, columns: Columns, content: tuple[str, ...], counts: Counter[str]) -> Columns:
    """Put into the order of the venue's numbers and leave repeated ones out."""
    step = np.diff(columns["id"])
    if len(step) == 0 or step.min() > 0:
        return columns
    counts["out_of_order"] += int(np.count_nonzero(step < 0))
    columns = _take(columns, np.argsort(columns["id"], kind="stable"))
    again = np.concatenate(([False], np.diff(columns["id"]) == 0))
    differs = again.copy()
    differs[1:] &= np.any([np.diff(columns[name]) != 0 for name in content], axis=0)
    if differs.any():
        row = int(columns["line"][int(np.argmax(differs))])
        raise FileFormatError(
            f"{source.label} row {row} repeats id {columns['id'][int(np.argmax(differs))]} with other content; "
            "captures of several venues in one file must be split by venue"
        )
    counts["duplicates"] += int(again.sum())
    return _take(columns, ~again)


def _count_book_gaps(depth: Columns, *, usdm: bool) -> int:
    if len(depth["last"]) < 2:
        return 0
    if usdm:
        return int(np.count_nonzero(depth["previous"][1:] != depth["last"][:-1]))
    return int(np.count_nonzero(depth["first"][1:] != depth["last"][:-1] + 1))


class _Clock:
    """Offset of the local clock as a function of local time, and exchange times of messages."""

    def __init__(self, *streams: Columns) -> None:
        local = np.concatenate([s["local"] for s in streams])
        event = np.concatenate([s["event"] for s in streams])
        known = event >= 0
        scaled, self.resolution_ns, self.unit = scale_to_ns(event[known])
        if not known.any():
            self.resolution_ns, self.unit = 1, "ns (local)"
        self._at, self._offset = _lower_envelope(local[known], local[known] - scaled)
        self.span = (int(self._offset.min()), int(self._offset.max())) if known.any() else None

    def date(self, columns: Columns, counts: Counter[str]) -> tuple[Int64Array, Int64Array]:
        """Return exchange and corrected receive times, both not decreasing."""
        local = columns["local"]
        if len(local) == 0:
            return local, local
        corrected = local - np.rint(np.interp(local, self._at, self._offset)).astype(np.int64)
        raw = np.where(columns["time"] >= 0, columns["time"], columns["event"])
        known = raw >= 0
        time_ns = corrected.copy()
        if known.any():
            time_ns[known] = scale_to_ns(raw[known])[0]
        counts["time_corrected"] += int(np.count_nonzero(np.diff(time_ns) < 0))
        time_ns = np.maximum.accumulate(time_ns)
        return time_ns, np.maximum.accumulate(np.maximum(corrected, time_ns))


def _lower_envelope(local: Int64Array, lag: Int64Array) -> tuple[Int64Array, Int64Array]:
    if len(local) == 0:
        return np.zeros(1, np.int64), np.zeros(1, np.int64)
    order = np.argsort(local, kind="stable")
    local, lag = local[order], lag[order]
    window = (local - local[0]) // _WINDOW_NS
    starts = np.flatnonzero(np.concatenate(([True], np.diff(window) > 0)))
    ends = np.concatenate((starts[1:], [len(local)])) - 1
    return (local[starts] + local[ends]) // 2, np.minimum.reduceat(lag, starts)
