"""LEAN tick zips of US equities: consolidated trades and best quotes, one CSV per day, New York time."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter

import numpy as np

from calibrig._native import market as _native  # noqa: TID251
from calibrig.errors import FileFormatError
from calibrig.market.files import SourceFile
from calibrig.market.hours import compute_local_midnight_ns, compute_us_equity_session
from calibrig.market.raw import (
    INTEGER,
    OPTIONAL,
    SKIP,
    Column,
    RawQuotes,
    RawTicks,
    RawTrades,
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
_DAY_MS = 86_400_000
_PRICE_DECIMALS = 4
_NAME = re.compile(
    r"(?P<day>\d{8})_(?:(?P<symbol>.+?)_)?(?:tick_)?(?P<kind>trade|quote)(?:_tick)?(?:\.csv)?$"
)


def recognise_lean_equity(source: SourceFile, first_line: str) -> bool:
    """Tell a LEAN equity tick file by its name (``20131007_trade``) and its first row (6 or 8 fields)."""
    match = _NAME.search(source.name)
    fields = first_line.split(",")
    if match is None or not all(f.lstrip("-").isdigit() for f in fields[:3]):
        return False
    return len(fields) == (6 if match["kind"] == "trade" else 8)


def read_lean_equity(source: SourceFile, text: bytes, *, skip_bad_rows: bool = False) -> list[RawTicks]:
    """Read one day of trades or quotes and keep the regular hours.

    Quotes: every row is one side of the consolidated best quote; both sides are carried forward over all
    exchanges. Rows marked suspicious by the vendor are left out and counted.
    """
    day, symbol, kind = identify(source)
    columns = _TRADE if kind == "trade" else _QUOTE
    arrays, counts = parse_table(source, text, columns, skip_bad_rows=skip_bad_rows)
    time_ms = arrays[0]
    arrays = check_times(source, arrays, counts, skip_bad_rows=skip_bad_rows)
    time_ms = arrays[0]
    np.multiply(time_ms, 1_000_000, out=time_ms)
    np.add(time_ms, compute_local_midnight_ns(day), out=time_ms)
    session = compute_us_equity_session(day)
    ticks = RawTicks(
        label=source.label,
        format="LEAN equity ticks",
        symbol=symbol,
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
    if kind == "trade":
        ticks.trades = _make_trades(arrays, session, counts)
        ticks.tick = _infer_tick(ticks.trades.price)
    else:
        ticks.quotes = _make_quotes(arrays, session, counts)
        ticks.tick = _infer_tick(ticks.quotes.bid)
    return [ticks]


def identify(source: SourceFile) -> tuple[dt.date, str, str]:
    """Return day, symbol (upper case) and kind from the member, file and folder names."""
    match = _NAME.search(source.name)
    if match is None:
        raise FileFormatError(
            f"{source.label}: no day and kind in the name; LEAN files are called like 20131007_trade.zip"
        )
    try:
        day = dt.datetime.strptime(match["day"], "%Y%m%d").date()  # noqa: DTZ007
    except ValueError as error:
        raise FileFormatError(
            f"{source.label}: {match['day']} is not a day; LEAN files are called like 20131007_trade.zip"
        ) from error
    symbol = match["symbol"] or source.path.resolve().parent.name
    return day, symbol.upper(), match["kind"]


def check_times(
    source: SourceFile, arrays: list[Int64Array], counts: Counter[str], *, skip_bad_rows: bool
) -> list[Int64Array]:
    """Refuse (or, asked to skip, drop and sort) times outside the day and times that go back."""
    time_ms = arrays[0]
    if len(time_ms) == 0:
        return arrays
    if time_ms.min() < 0 or time_ms.max() >= _DAY_MS:
        outside = (time_ms < 0) | (time_ms >= _DAY_MS)
        if not skip_bad_rows:
            row = int(np.argmax(outside))
            raise FileFormatError(
                f"{source.label} row {row + 1} field 'time_ms' is {time_ms[row]}; milliseconds since midnight lie "
                f"in 0 .. {_DAY_MS - 1}; correct the row or pass skip_bad_rows=True to count and leave it out"
            )
        counts["bad_rows"] += int(outside.sum())
        arrays = [column[~outside] for column in arrays]
        time_ms = arrays[0]
    if len(time_ms) > 1 and (backwards := time_ms[1:] < time_ms[:-1]).any():
        row = int(np.argmax(backwards)) + 1
        if not skip_bad_rows:
            raise FileFormatError(
                f"{source.label} row {row + 1} field 'time_ms' goes back from {time_ms[row - 1]} to {time_ms[row]}; "
                "sort the file by time or pass skip_bad_rows=True to have such rows sorted and counted"
            )
        counts["out_of_order"] += int(backwards.sum())
        order = np.argsort(time_ms, kind="stable")
        arrays = [np.ascontiguousarray(column[order]) for column in arrays]
    return arrays


def _make_trades(arrays: list[Int64Array], session: tuple[int, int], counts: Counter[str]) -> RawTrades:
    time_ns, price, size, suspicious = arrays
    low, high = np.searchsorted(time_ns, session)
    counts["outside_hours"] += len(time_ns) - int(high - low)
    time_ns, price, size, suspicious = (column[low:high] for column in arrays)
    good = (suspicious == 0) & (price > 0) & (size > 0)
    if not good.all():
        counts["suspicious"] += int(np.count_nonzero(suspicious))
        counts["zero_size"] += int(np.count_nonzero((suspicious == 0) & (size == 0)))
        counts["bad_prices"] += int(np.count_nonzero((suspicious == 0) & ((price <= 0) | (size < 0))))
        time_ns, price, size = time_ns[good], price[good], size[good]
    return RawTrades(time_ns=time_ns, price=price, size=size)


def _make_quotes(arrays: list[Int64Array], session: tuple[int, int], counts: Counter[str]) -> RawQuotes:
    report = _native.carry_quotes(*arrays)
    for key in ("one_sided", "unchanged", "transient", "suspicious"):
        counts[key] += report[key]
    counts["bad_prices"] += report["negative"]
    time_ns, bid, bid_size, ask, ask_size = (column[: report["kept"]] for column in arrays[:5])
    low, high = (int(i) for i in np.searchsorted(time_ns, session))
    opening = low > 0 and (high == low or time_ns[low] > session[0])  # what stands when the session opens
    if opening:
        low -= 1
    counts["outside_hours"] += len(time_ns) - (high - low)
    time_ns = time_ns[low:high]
    if opening:
        time_ns[0] = session[0]
    return RawQuotes(
        time_ns=time_ns,
        bid=bid[low:high],
        bid_size=bid_size[low:high],
        ask=ask[low:high],
        ask_size=ask_size[low:high],
    )


def _infer_tick(price: Int64Array) -> int:
    """One cent, or 1/10,000 dollar for stocks below one dollar (SEC rule 612), in 1/10,000 dollar."""
    return 1 if len(price) and float(np.median(price[:: max(1, len(price) // 1000)])) < 10_000 else 100
