"""LEAN tick zips of US equities: consolidated trades and best quotes, one CSV per day, New York time."""

from __future__ import annotations

import numpy as np

from calibrig.market.files import SourceFile
from calibrig.market.hours import compute_local_midnight_ns, compute_us_equity_session
from calibrig.market.lean_files import check_times, identify, make_quotes, make_trades, recognise_name
from calibrig.market.raw import (
    INTEGER,
    OPTIONAL,
    SKIP,
    Column,
    RawTicks,
    parse_table,
)
from calibrig.market.ticks import Int64Array

__all__ = ["read_lean_equity", "recognise_lean_equity"]

_TRADE = [
    Column("time_ms", INTEGER),
    Column("price", INTEGER),
    Column("size", INTEGER),
    Column("exchange", SKIP),
    Column("sale_condition", SKIP),
    Column("suspicious", OPTIONAL),
]
_QUOTE = [
    Column("time_ms", INTEGER),
    Column("bid_price", INTEGER),
    Column("bid_size", INTEGER),
    Column("ask_price", INTEGER),
    Column("ask_size", INTEGER),
    Column("exchange", SKIP),
    Column("condition", SKIP),
    Column("suspicious", OPTIONAL),
]
_PRICE_DECIMALS = 4


def recognise_lean_equity(source: SourceFile, first_line: str) -> bool:
    """Tell a LEAN equity tick file by its name (``20131007_trade``) and its first row (6 or 8 fields)."""
    file = recognise_name(source)
    fields = first_line.split(",")
    if file is None or file["expiry"] or len(fields) != (6 if file["kind"] == "trade" else 8):
        return False
    if file["kind"] == "trade" and fields[3].isdigit():
        return False  # minute bars: open, high, low, close
    return all(f.lstrip("-").isdigit() for f in fields[:2])


def read_lean_equity(source: SourceFile, text: bytes, *, skip_bad_rows: bool = False) -> list[RawTicks]:
    """Read one day of trades or quotes and keep the regular hours.

    Quotes: every row is one side of the consolidated best quote; both sides are carried forward over all
    exchanges. Rows marked suspicious by the vendor are left out and counted.
    """
    file = identify(source)
    columns = _TRADE if file.kind == "trade" else _QUOTE
    arrays, counts = parse_table(source, text, columns, skip_bad_rows=skip_bad_rows)
    arrays = check_times(source, arrays, counts, skip_bad_rows=skip_bad_rows)
    time_ms = arrays[0]
    np.multiply(time_ms, 1_000_000, out=time_ms)
    np.add(time_ms, compute_local_midnight_ns(file.day), out=time_ms)
    session = compute_us_equity_session(file.day)
    ticks = RawTicks(
        label=source.label,
        format="LEAN equity ticks",
        symbol=file.symbol,
        venue="consolidated",
        price_decimals=_PRICE_DECIMALS,
        size_decimals=0,
        tick=0,
        lot=1,
        resolution_ns=1_000_000,
        time_unit="ms",
        sessions=[session],
        calendar="us_equities",
        counts=counts,
    )
    if file.kind == "trade":
        ticks.trades = make_trades(arrays, [session], counts)
        ticks.tick = _infer_tick(ticks.trades.price)
    else:
        ticks.quotes = make_quotes(arrays, [session], counts)
        ticks.tick = _infer_tick(ticks.quotes.bid)
    return [ticks]


def _infer_tick(price: Int64Array) -> int:
    """One cent, or 1/10,000 dollar for stocks below one dollar (SEC rule 612), in 1/10,000 dollar."""
    return 1 if len(price) and float(np.median(price[:: max(1, len(price) // 1000)])) < 10_000 else 100
