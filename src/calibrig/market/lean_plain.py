"""LEAN tick zips of forex, CFD and crypto: plain decimal rows, UTC."""

from __future__ import annotations

import datetime as dt

import numpy as np

from calibrig.errors import FileFormatError
from calibrig.market.files import SourceFile
from calibrig.market.hours import compute_local_midnight_ns
from calibrig.market.lean_files import check_times, identify, make_quotes, make_trades, recognise_name
from calibrig.market.raw import DECIMAL, Column, RawTicks, infer_step, parse_table
from calibrig.market.rows import first_row

__all__ = ["read_lean_plain", "recognise_lean_plain"]

_DECIMALS = 8
_NS_PER_MS = 1_000_000
_TIME = Column("time_ms", DECIMAL, 6)  # six decimals of a millisecond are nanoseconds
_LAYOUTS = {
    ("quote", 3): [_TIME, Column("bid", DECIMAL, _DECIMALS), Column("ask", DECIMAL, _DECIMALS)],
    ("quote", 5): [
        _TIME,
        Column("bid", DECIMAL, _DECIMALS),
        Column("bid_size", DECIMAL, _DECIMALS),
        Column("ask", DECIMAL, _DECIMALS),
        Column("ask_size", DECIMAL, _DECIMALS),
    ],
    ("trade", 3): [_TIME, Column("price", DECIMAL, _DECIMALS), Column("size", DECIMAL, _DECIMALS)],
}


def recognise_lean_plain(source: SourceFile, first_line: str) -> bool:
    """Tell by the name (``20140501_quote``) and the first row (3 or 5 fields)."""
    file = recognise_name(source)
    return file is not None and not file["expiry"] and (file["kind"], len(first_line.split(","))) in _LAYOUTS


def read_lean_plain(source: SourceFile, text: bytes, *, skip_bad_rows: bool = False) -> list[RawTicks]:
    """Read one day; the session runs from the first to the last event.

    Dealer quotes carry no sizes: each is one lot, and a warning says so.
    """
    file = identify(source)
    width = len(first_row(text).split(","))
    arrays, counts = parse_table(source, text, _LAYOUTS[file.kind, width], skip_bad_rows=skip_bad_rows)
    arrays = check_times(source, arrays, counts, skip_bad_rows=skip_bad_rows, per_ms=_NS_PER_MS)
    if len(arrays[0]) == 0:
        raise FileFormatError(f"{source.label} holds no row that can be read; fetch it again")
    time_ns = arrays[0]
    whole_ms = not np.any(time_ns % _NS_PER_MS)
    time_ns += compute_local_midnight_ns(file.day, dt.UTC)
    sessions = [(int(time_ns[0]), int(time_ns[-1]) + 1)]
    lot = 10**_DECIMALS
    ticks = RawTicks(
        label=source.label,
        format="LEAN decimal ticks",
        symbol=file.symbol,
        venue="",
        price_decimals=_DECIMALS,
        size_decimals=_DECIMALS,
        tick=-infer_step(arrays[1]),
        lot=lot,
        resolution_ns=_NS_PER_MS if whole_ms else 1_000,
        time_unit="ms",
        sessions=sessions,
        calendar="24/5" if width == 3 and file.kind == "quote" else "24/7",
        counts=counts,
    )
    marks = np.zeros(len(time_ns), np.int64)
    if file.kind == "trade":
        ticks.lot = -infer_step(arrays[2], power=True)
        ticks.trades = make_trades([*arrays, marks], sessions, counts)
        return [ticks]
    if width == 3:
        ticks.warnings.append(
            "the source has no sizes: each quote stands for one lot, so nothing about fills follows"
        )
        size = np.full(len(time_ns), lot)
        arrays = [time_ns, arrays[1], size, arrays[2], size.copy()]
    else:
        ticks.lot = -infer_step(arrays[2], power=True)
    ticks.tick = -infer_step(np.concatenate((arrays[1], arrays[3])))
    ticks.quotes = make_quotes([*arrays, marks], sessions, counts)
    return [ticks]
