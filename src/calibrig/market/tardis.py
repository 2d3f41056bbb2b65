"""Tardis CSV files: trades, quotes, book snapshots and book updates, one venue and symbol per file, microseconds UTC."""

from __future__ import annotations

from collections import Counter

import numpy as np

from calibrig._native import market as _native  # noqa: TID251
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
_UPDATES = ("is_snapshot", "side", "price", "amount")
_SNAPSHOT = ("bids[0].price", "bids[0].amount", "asks[0].price", "asks[0].amount")


def recognise_tardis(source: SourceFile, first_line: str) -> bool:
    """Tell by the header."""
    del source
    return first_line.split(",")[:4] == _START


def read_tardis(source: SourceFile, text: bytes, *, skip_bad_rows: bool = False) -> list[RawTicks]:
    """Read one file; each UTC day in it is a session. Of books the best levels are kept."""
    header, body, first_line = split_header(text)
    wanted = next((w for w in (_UPDATES, _TRADES, _QUOTES, _SNAPSHOT) if set(w) <= set(header)), None)
    if wanted is None:
        raise FileFormatError(
            f"{source.label} row 1: of Tardis files trades, quotes, book_snapshot_N and incremental_book_L2 are read; "
            f"these columns are {', '.join(header[4:10])}; fetch one of those"
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
    if wanted is _UPDATES:
        ticks.quotes = _build_quotes(time_ns, local_ns, values, ticks)
    elif wanted is _TRADES:
        ticks.trades = _make_trades(time_ns, local_ns, values, counts)
    else:
        ticks.quotes = _make_quotes(time_ns, values, counts)
    return [ticks]


def _make_column(name: str, wanted: tuple[str, ...]) -> Column:
    if name in {"timestamp", "local_timestamp"}:
        return Column(name, INTEGER)
    if name not in wanted:
        return Column(name, SKIP)
    return Column(name, WORD) if name in {"side", "is_snapshot"} else Column(name, ROUNDED, _DECIMALS)


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


def _build_quotes(
    time_ns: Int64Array, local_ns: Int64Array, values: list[Int64Array], ticks: RawTicks
) -> RawQuotes:
    """Best quotes after each message (rows of one receive time); the book starts with the file's snapshot."""
    snapshot, word, price, size = values
    is_bid = (word == parse_word("bid")).astype(np.int64)
    shot = (snapshot == parse_word("true")).astype(np.int64)
    (time, bid, bid_size, ask, ask_size), stale = _native.best_of_updates(
        time_ns, local_ns, shot, is_bid, price, size
    )
    if stale:
        ticks.warnings.append(f"{stale:,} book level(s) whose end was never told are left out")
    return RawQuotes(time_ns=time, bid=bid, bid_size=bid_size, ask=ask, ask_size=ask_size)


def _make_quotes(time_ns: Int64Array, values: list[Int64Array], counts: Counter[str]) -> RawQuotes:
    """Rows with an empty side are left out (and counted); rows that change nothing too."""
    good = (values[0] > 0) & (values[2] > 0)
    counts["one_sided"] += int(np.count_nonzero(~good))
    return carry_forward([np.ascontiguousarray(column[good]) for column in (time_ns, *values)], counts)
