"""The parts of one symbol on one tick grid: sessions, trades, quotes."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrig.errors import InvalidTicksError
from calibrig.market.raw import RawQuotes, RawTicks, RawTrades
from calibrig.market.ticks import Int64Array, Quotes, Trades
from calibrig.parameters import Instrument

__all__ = ["Grid", "align", "join_quotes", "join_trades", "merge_sessions"]

OVERLAP_NS = 2_000_000_000
REOPEN_NS = 5_000_000_000


@dataclass(frozen=True, slots=True)
class Grid:
    """What price and size are counted in, and when."""

    instrument: Instrument
    sessions: Int64Array
    tick: int
    lot: int
    resolution_ns: int


def align(parts: Sequence[RawTicks]) -> list[RawTicks]:
    """Bring parts of formats with different decimals to the finest."""
    prices = max(part.price_decimals for part in parts)
    sizes = max(part.size_decimals for part in parts)
    return [
        _rescale(part, 10 ** (prices - part.price_decimals), 10 ** (sizes - part.size_decimals))
        for part in parts
    ]


def _rescale(part: RawTicks, price: int, size: int) -> RawTicks:
    if price == size == 1:
        return part
    trades, quotes = part.trades, part.quotes
    if trades is not None:
        trades = replace(trades, price=trades.price * price, size=trades.size * size)
    if quotes is not None:
        quotes = replace(
            quotes,
            bid=quotes.bid * price,
            bid_size=quotes.bid_size * size,
            ask=quotes.ask * price,
            ask_size=quotes.ask_size * size,
        )
    return replace(
        part,
        tick=part.tick * price,
        lot=part.lot * size,
        price_decimals=part.price_decimals + len(str(price)) - 1,
        size_decimals=part.size_decimals + len(str(size)) - 1,
        trades=trades,
        quotes=quotes,
    )


def merge_sessions(parts: Sequence[RawTicks]) -> Int64Array:
    """Sessions in order; trades and quotes of one day share theirs, two files of one kind may not overlap.

    Captures that follow each other within some seconds (a rotated file) are one session and may overlap for a
    moment; the parts of a futures session that touch at midnight UTC are one.
    """
    for kind in ("trades", "quotes"):
        venues = {p.venue: p.label for p in parts if _has(p, kind)}
        if len(venues) > 1:
            raise InvalidTicksError(
                f"the {kind} are of several venues ({', '.join(f'{v}: {label}' for v, label in venues.items())}); "
                "give the files of one"
            )
        spans = sorted((s, p.label) for p in parts if _has(p, kind) for s in p.sessions)
        moment = OVERLAP_NS if all(part.continuous for part in parts) else 0
        for (first, first_label), (second, second_label) in itertools.pairwise(spans):
            if second[0] < min(first[1], second[1]) - moment or second[1] <= first[1]:
                raise InvalidTicksError(
                    f"{second_label} covers the same {kind} as {first_label}; give each day once"
                )
    gap = {True: REOPEN_NS, False: 0 if parts[0].calendar == "cme" else -1}[parts[0].continuous]
    merged: list[list[int]] = []
    for start, end in sorted({s for p in parts for s in p.sessions}):
        if merged and start <= merged[-1][1] + gap:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return np.array(merged, dtype=np.int64).reshape(-1, 2)


def _has(part: RawTicks, kind: str) -> bool:
    ticks = getattr(part, kind)
    return ticks is not None and len(ticks.time_ns) > 0


def _join(parts: Sequence[RawTrades] | Sequence[RawQuotes], name: str) -> Int64Array:
    columns = [getattr(part, name) for part in parts]
    return columns[0] if len(columns) == 1 else np.concatenate(columns or [np.empty(0, np.int64)])


def join_trades(parts: Sequence[RawTicks], grid: Grid, counts: Counter[str]) -> Trades:
    """Put the trades of all parts on the grid; the price is rounded down, its rest kept in ``sub_tick``."""
    raw = [part.trades for part in parts if part.trades is not None]
    ticks, rest = _divide(_join(raw, "price"), grid.tick)
    columns: dict[str, NDArray[Any]] = {
        "time_ns": _join(raw, "time_ns"),
        "price_ticks": ticks,
        "size_lots": _divide(_join(raw, "size"), grid.lot)[0],
        "side": np.concatenate([np.zeros(len(p.time_ns), np.int8) if p.side is None else p.side for p in raw])
        if raw
        else np.empty(0, np.int8),
    }
    numbered = raw and all(part.id is not None for part in raw)
    columns["id"] = _join(raw, "id") if numbered else np.arange(len(ticks))
    if rest.any():
        columns["sub_tick"] = (rest / grid.tick).astype(np.float32)
    if raw and all(part.local_time_ns is not None for part in raw):
        columns["local_time_ns"] = _join(raw, "local_time_ns")
    columns = _in_order(columns)
    if numbered and any(part.continuous for part in parts):
        columns = _without_repeats(columns, counts)
    return Trades(
        **columns, sessions=grid.sessions, resolution_ns=grid.resolution_ns, instrument=grid.instrument
    )


def _in_order(columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Files that follow each other may overlap for a moment."""
    if np.all(np.diff(columns["time_ns"]) >= 0):
        return columns
    order = np.argsort(columns["time_ns"], kind="stable")
    return {name: column[order] for name, column in columns.items()}


def _without_repeats(columns: dict[str, NDArray[Any]], counts: Counter[str]) -> dict[str, NDArray[Any]]:
    _, first = np.unique(columns["id"], return_index=True)
    if len(first) == len(columns["id"]):
        return columns
    counts["duplicates"] += len(columns["id"]) - len(first)
    first.sort()
    return {name: column[first] for name, column in columns.items()}


def join_quotes(parts: Sequence[RawTicks], grid: Grid, counts: Counter[str]) -> Quotes:
    """Bid rounded down to the grid, ask up; a bid below one tick is no price."""
    raw = [part.quotes for part in parts if part.quotes is not None]
    ask, rest = _divide(_join(raw, "ask"), grid.tick)
    local = raw and all(part.local_time_ns is not None for part in raw)
    columns: dict[str, NDArray[Any]] = {
        "time_ns": _join(raw, "time_ns"),
        "bid_ticks": _divide(_join(raw, "bid"), grid.tick)[0],
        "bid_lots": _divide(_join(raw, "bid_size"), grid.lot)[0],
        "ask_ticks": ask + (rest > 0) if rest.any() else ask,
        "ask_lots": _divide(_join(raw, "ask_size"), grid.lot)[0],
    }
    if local:
        columns["local_time_ns"] = _join(raw, "local_time_ns")
    columns = _in_order(columns)
    if len(ask) and columns["bid_ticks"].min() < 1:
        kept = columns["bid_ticks"] > 0
        counts["bad_prices"] += int(np.count_nonzero(~kept))
        columns = {name: column[kept] for name, column in columns.items()}
    return Quotes(
        **columns, sessions=grid.sessions, resolution_ns=grid.resolution_ns, instrument=grid.instrument
    )


def _divide(values: Int64Array, step: int) -> tuple[Int64Array, Int64Array]:
    if step == 1:
        return values, np.zeros_like(values)
    quotient = values // step
    return quotient, values - quotient * step
