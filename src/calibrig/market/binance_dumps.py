"""Binance public data dumps: aggTrades, trades and bookTicker of spot, USD-M and COIN-M, zip or csv."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np

from calibrig.errors import FileFormatError
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
    infer_step,
    parse_table,
)
from calibrig.market.rows import (
    SKIP_REMEDY,
    check_order,
    check_span,
    compute_day_sessions,
    drop_repeats,
    first_row,
    parse_word,
    split_header,
)
from calibrig.market.ticks import Int64Array

__all__ = ["read_binance_dump", "recognise_binance_dump"]

_DECIMALS = 8
_NAME = re.compile(
    r"^(?P<symbol>[a-z0-9_]+)-(?P<kind>aggtrades|trades|bookticker)-\d{4}-\d{2}(?:-\d{2})?(?:\.csv)?$"
)
_ID, _TIME = Column("id", INTEGER), Column("time", INTEGER)
_PRICE, _SIZE = Column("price", DECIMAL, _DECIMALS), Column("qty", DECIMAL, _DECIMALS)
_MAKER = Column("isBuyerMaker", WORD)


def _skip(*names: str) -> list[Column]:
    return [Column(name, SKIP) for name in names]


_AGGREGATE = [_ID, _PRICE, _SIZE, *_skip("firstId", "lastId"), _TIME, _MAKER]
_TRADE = [_ID, _PRICE, _SIZE, *_skip("quoteQty"), _TIME, _MAKER]
_LAYOUTS = {
    ("aggtrades", 8): ("binance spot", [*_AGGREGATE, *_skip("isBestMatch")]),
    ("aggtrades", 7): ("binance futures", _AGGREGATE),
    ("trades", 7): ("binance spot", [*_TRADE, *_skip("isBestMatch")]),
    ("trades", 6): ("binance futures", _TRADE),
    ("bookticker", 7): (
        "binance futures",
        [
            _ID,
            Column("best_bid_price", DECIMAL, _DECIMALS),
            Column("best_bid_qty", DECIMAL, _DECIMALS),
            Column("best_ask_price", DECIMAL, _DECIMALS),
            Column("best_ask_qty", DECIMAL, _DECIMALS),
            Column("transaction_time", INTEGER),
            Column("event_time", SKIP),
        ],
    ),
}
_TRUE = {parse_word("true"), parse_word("True"), parse_word("TRUE")}
_FALSE = {parse_word("false"), parse_word("False"), parse_word("FALSE")}


def recognise_binance_dump(source: SourceFile, first_line: str) -> bool:
    """Tell by the name (``BTCUSDT-trades-2024-08-01``) and the number of fields."""
    match = _NAME.search(source.name)
    return match is not None and (match["kind"], len(first_line.split(","))) in _LAYOUTS


def read_binance_dump(source: SourceFile, text: bytes, *, skip_bad_rows: bool = False) -> list[RawTicks]:
    """Read one file; each UTC day in it is a session. Buyer-initiated = the buyer was not the maker."""
    match = _NAME.search(source.name)
    if match is None:
        raise FileFormatError(f"{source.label}: dumps are called like BTCUSDT-trades-2024-08-01.zip")
    header, body, first_line = split_header(text)
    width = len(header) or len(first_row(text).split(","))
    venue, columns = _LAYOUTS[match["kind"], width]
    arrays, counts = parse_table(source, body, columns, skip_bad_rows=skip_bad_rows, first_line=first_line)
    if match["kind"] != "bookticker":
        arrays = _check_flags(source, arrays, counts, first_line=first_line, skip_bad_rows=skip_bad_rows)
    kept = drop_repeats(source, arrays[0], counts, first_line=first_line, skip_bad_rows=skip_bad_rows)
    arrays = arrays if kept is None else [column[kept] for column in arrays]
    at = 5 if match["kind"] == "bookticker" else 3
    time_ns, resolution_ns, unit = scale_to_ns(arrays[at])
    check_span(source, time_ns)
    order = check_order(source, time_ns, counts, first_line=first_line, skip_bad_rows=skip_bad_rows)
    if order is not None:
        arrays, time_ns = [column[order] for column in arrays], time_ns[order]
    ticks = RawTicks(
        label=source.label,
        format="Binance public dumps",
        symbol=match["symbol"].upper(),
        venue=venue,
        price_decimals=_DECIMALS,
        size_decimals=_DECIMALS,
        tick=-infer_step(arrays[1]),
        lot=-infer_step(arrays[2], power=True),
        resolution_ns=resolution_ns,
        time_unit=unit,
        sessions=compute_day_sessions(time_ns),
        price_unit="USD" if any("base" in name.lower() for name in header) else "USDT",
        counts=counts,
    )
    if match["kind"] == "bookticker":
        ticks.quotes = _make_quotes(time_ns, arrays, counts)
    else:
        ticks.trades = _make_trades(time_ns, arrays, counts)
    return [ticks]


def _check_flags(
    source: SourceFile,
    arrays: list[Int64Array],
    counts: Counter[str],
    *,
    first_line: int,
    skip_bad_rows: bool,
) -> list[Int64Array]:
    known = np.isin(arrays[4], list(_TRUE | _FALSE))
    if known.all():
        return arrays
    row = int(np.argmin(known))
    if not skip_bad_rows:
        raise FileFormatError(
            f"{source.label} row {row + first_line} field 'isBuyerMaker' is neither true nor false; {SKIP_REMEDY}"
        )
    counts["bad_rows"] += int(np.count_nonzero(~known))
    return [column[known] for column in arrays]


def _make_trades(time_ns: Int64Array, arrays: list[Int64Array], counts: Counter[str]) -> RawTrades:
    ids, price, size, _, maker = arrays
    counts["missing_ids"] += int(ids[-1] - ids[0] + 1 - len(ids)) if len(ids) else 0
    good = (price > 0) & (size > 0)
    counts["zero_size"] += int(np.count_nonzero(size == 0))
    counts["bad_prices"] += int(np.count_nonzero((price <= 0) & (size != 0)))
    side = np.where(np.isin(maker, list(_TRUE)), -1, 1).astype(np.int8)
    if not good.all():
        time_ns, price, size, side, ids = time_ns[good], price[good], size[good], side[good], ids[good]
    return RawTrades(time_ns=time_ns, price=price, size=size, side=side, id=ids)


def _make_quotes(time_ns: Int64Array, arrays: list[Int64Array], counts: Counter[str]) -> RawQuotes:
    columns = [time_ns, *arrays[1:5]]
    good = (columns[1] > 0) & (columns[3] > 0)
    counts["bad_prices"] += int(np.count_nonzero(~good))
    time_ns, bid, bid_size, ask, ask_size = (column[good] for column in columns)
    return RawQuotes(time_ns=time_ns, bid=bid, bid_size=bid_size, ask=ask, ask_size=ask_size)
