"""LEAN tick zips of CME futures: one CSV per expiry in each zip, UTC."""

from __future__ import annotations

import datetime as dt

import numpy as np

from calibrig.errors import FileFormatError
from calibrig.market.files import SourceFile
from calibrig.market.hours import compute_cme_sessions, compute_local_midnight_ns
from calibrig.market.lean_files import check_times, identify, make_quotes, make_trades, recognise_name
from calibrig.market.raw import DECIMAL, INTEGER, OPTIONAL, SKIP, Column, RawTicks, infer_step, parse_table

__all__ = ["read_lean_futures", "recognise_lean_futures"]

_DECIMALS = 8
_TRADE = [
    Column("time_ms", INTEGER),
    Column("price", DECIMAL, _DECIMALS),
    Column("size", INTEGER),
    Column("market", SKIP),
    Column("condition", SKIP),
    Column("suspicious", OPTIONAL),
]
_QUOTE = [
    Column("time_ms", INTEGER),
    Column("bid_price", DECIMAL, _DECIMALS),
    Column("bid_size", INTEGER),
    Column("ask_price", DECIMAL, _DECIMALS),
    Column("ask_size", INTEGER),
    Column("market", SKIP),
    Column("condition", SKIP),
    Column("suspicious", OPTIONAL),
]


def recognise_lean_futures(source: SourceFile, first_line: str) -> bool:
    """Tell by a name with an expiry (``20131007_gc_tick_trade_201312``) and 6 or 8 fields."""
    file = recognise_name(source)
    if file is None or not file["expiry"]:
        return False
    return len(first_line.split(",")) == (6 if file["kind"] == "trade" else 8)


def read_lean_futures(source: SourceFile, text: bytes, *, skip_bad_rows: bool = False) -> list[RawTicks]:
    """Read one day of one expiry; sessions run from 18:00 to 17:15 New York, cut at the file's day (UTC)."""
    file = identify(source)
    columns = _TRADE if file.kind == "trade" else _QUOTE
    arrays, counts = parse_table(source, text, columns, skip_bad_rows=skip_bad_rows)
    arrays = check_times(source, arrays, counts, skip_bad_rows=skip_bad_rows)
    if len(arrays[0]) == 0:
        raise FileFormatError(f"{source.label} holds no row that can be read; fetch it again")
    np.multiply(arrays[0], 1_000_000, out=arrays[0])
    np.add(arrays[0], compute_local_midnight_ns(file.day, dt.UTC), out=arrays[0])
    sessions = compute_cme_sessions(file.day)
    ticks = RawTicks(
        label=source.label,
        format="LEAN futures ticks",
        symbol=f"{file.symbol}{file.expiry}",
        root=file.symbol,
        venue="CME Group",
        price_decimals=_DECIMALS,
        size_decimals=0,
        tick=-infer_step(arrays[1]),
        lot=1,
        resolution_ns=1_000_000,
        time_unit="ms",
        sessions=sessions,
        calendar="cme",
        counts=counts,
    )
    if file.kind == "trade":
        ticks.trades = make_trades(arrays, sessions, counts)
    else:
        ticks.quotes = make_quotes(arrays, sessions, counts)
    return [ticks]
