"""Tardis CSV files: trades, quotes and book snapshots, one venue and symbol per file, microseconds UTC."""

from __future__ import annotations

from collections import Counter

import numpy as np

from calibrig.errors import FileFormatError
from calibrig.market.binance_capture import scale_to_ns
from calibrig.market.files import SourceFile
from calibrig.market.raw import (
    INTEGER,
    ROUNDED,
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
from calibrig.market.rows import check_order, check_span, compute_day_sessions, parse_word, split_header
from calibrig.market.ticks import Int64Array

__all__ = ["read_tardis", "recognise_tardis"]

_DECIMALS = 8
_START = ["exchange", "symbol", "timestamp", "local_timestamp"]
_TRADES = ("side", "price", "amount")
_QUOTES = ("bid_price", "bid_amount", "ask_price", "ask_amount")
_SNAPSHOT = ("bids[0].price", "bids[0].amount", "asks[0].price", "asks[0].amount")


def recognise_tardis(source: SourceFile, first_line: str) -> bool:
    """Tell by the header."""
    del source
    return first_line.split(",")[:4] == _START


def read_tardis(source: SourceFile, text: bytes, *, skip_bad_rows: bool = False) -> list[RawTicks]:
    """Read one file; each UTC day in it is a session. Of a book snapshot the best level is kept."""
    header, body, first_line = split_header(text)
    wanted = next((w for w in (_TRADES, _QUOTES, _SNAPSHOT) if set(w) <= set(header)), None)
    if wanted is None or "is_snapshot" in header:
        raise FileFormatError(
            f"{source.label} row 1: of Tardis files trades, quotes and book_snapshot_N are read; these columns are "
            f"{', '.join(header[4:10])}; fetch quotes for the best bid and ask"
        )
    columns = [_make_column(name, wanted) for name in header]
    arrays, counts = parse_table(source, body, columns, skip_bad_rows=skip_bad_rows, first_line=first_line)
    named = dict(zip((c.name for c in columns if c.kind != SKIP), arrays, strict=True))
    time_ns, resolution_ns, unit = scale_to_ns(named["timestamp"])
    check_span(source, time_ns)
    local_ns, _, _ = scale_to_ns(named["local_timestamp"])
    order = check_order(source, time_ns, counts, first_line=first_line, skip_bad_rows=skip_bad_rows)
    if order is not None:
        time_ns, local_ns = time_ns[order], local_ns[order]
        named = {name: column[order] for name, column in named.items()}
    venue, symbol = body.split(b"\n", 1)[0].decode("utf-8", "replace").split(",")[:2]
    prices = [named[name] for name in wanted if name.endswith("price")]
    sizes = [named[name] for name in wanted if name.endswith("amount")]
    ticks = RawTicks(
        label=source.label,
        format="Tardis",
        symbol=symbol.upper(),
        venue=venue,
        price_decimals=_DECIMALS,
        size_decimals=_DECIMALS,
        tick=-infer_step(np.concatenate(prices)),
        lot=-infer_step(np.concatenate(sizes), power=True),
        resolution_ns=resolution_ns,
        time_unit=unit,
        sessions=compute_day_sessions(time_ns),
        counts=counts,
    )
    values = [named[name] for name in wanted]
    if wanted is _TRADES:
        ticks.trades = _make_trades(time_ns, local_ns, values, counts)
    else:
        ticks.quotes = _make_quotes(time_ns, values, counts)
    return [ticks]


def _make_column(name: str, wanted: tuple[str, ...]) -> Column:
    if name in {"timestamp", "local_timestamp"}:
        return Column(name, INTEGER)
    if name not in wanted:
        return Column(name, SKIP)
    return Column(name, WORD) if name == "side" else Column(name, ROUNDED, _DECIMALS)


def _make_trades(
    time_ns: Int64Array, local_ns: Int64Array, values: list[Int64Array], counts: Counter[str]
) -> RawTrades:
    word, price, size = values
    side = np.where(word == parse_word("buy"), 1, np.where(word == parse_word("sell"), -1, 0)).astype(np.int8)
    good = (price > 0) & (size > 0)
    counts["zero_size"] += int(np.count_nonzero(size == 0))
    counts["bad_prices"] += int(np.count_nonzero((price <= 0) & (size != 0)))
    return RawTrades(
        time_ns=time_ns[good],
        price=price[good],
        size=size[good],
        side=side[good],
        local_time_ns=local_ns[good],
    )


def _make_quotes(time_ns: Int64Array, values: list[Int64Array], counts: Counter[str]) -> RawQuotes:
    """Rows with an empty side are left out (and counted); rows that change nothing too."""
    good = (values[0] > 0) & (values[2] > 0)
    counts["one_sided"] += int(np.count_nonzero(~good))
    return carry_forward([np.ascontiguousarray(column[good]) for column in (time_ns, *values)], counts)
