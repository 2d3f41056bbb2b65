"""LOBSTER: a message file and an orderbook file per day, row by row together, New York time."""

from __future__ import annotations

import datetime as dt
import re
import zipfile
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from calibrig.errors import FileFormatError
from calibrig.market.files import SourceFile
from calibrig.market.hours import compute_local_midnight_ns
from calibrig.market.raw import (
    DECIMAL,
    INTEGER,
    SKIP,
    Column,
    RawQuotes,
    RawTicks,
    RawTrades,
    carry_forward,
    parse_table,
)
from calibrig.market.rows import check_order, first_row
from calibrig.market.ticks import Int64Array

__all__ = ["read_lobster", "recognise_lobster"]

_NAME = re.compile(
    r"^(?P<symbol>[a-z0-9.]+)_(?P<day>\d{4}-\d{2}-\d{2})_(?P<start>\d+)_(?P<end>\d+)_(?P<kind>message|orderbook)_\d+"
)
_MESSAGE = [
    Column("time", DECIMAL, 9),
    Column("type", INTEGER),
    Column("order_id", INTEGER),
    Column("size", INTEGER),
    Column("price", INTEGER),
    Column("direction", INTEGER),
]
_VISIBLE, _HIDDEN = 4, 5
_NO_LEVEL = 9_999_999_999


def recognise_lobster(source: SourceFile, first_line: str) -> bool:
    """Tell by the name (``AAPL_2012-06-21_34200000_57600000_message_10``)."""
    match = _NAME.search(source.name)
    return match is not None and (match["kind"] == "orderbook" or len(first_line.split(",")) == 6)


def read_lobster(source: SourceFile, text: bytes, *, skip_bad_rows: bool = False) -> list[RawTicks]:
    """Read one day: executions (visible and hidden) as trades, the best level as quotes.

    The direction is that of the resting order, so an executed sell order is buyer-initiated. Crosses (type 6)
    and halts (7) are left out. The orderbook file is read with the message file beside it.
    """
    match = _NAME.search(source.name)
    if match is None:
        raise FileFormatError(
            f"{source.label}: LOBSTER files are called like AAPL_2012-06-21_..._message_10.csv"
        )
    if match["kind"] == "orderbook":
        if _sibling(source, "message") is None:
            raise FileFormatError(
                f"{source.label} has no message file beside it, which holds the times; add it"
            )
        return []
    del skip_bad_rows  # rows pair with those of the orderbook file: none can be left out
    arrays, counts = parse_table(source, text, _MESSAGE)
    midnight = compute_local_midnight_ns(dt.date.fromisoformat(match["day"]))
    time_ns = arrays[0] + midnight
    check_order(source, time_ns, counts, first_line=1, skip_bad_rows=False)
    session = (midnight + int(match["start"]) * 1_000_000, midnight + int(match["end"]) * 1_000_000)
    if session[1] <= session[0]:
        raise FileFormatError(f"{source.label}: the name says it ends before it starts; correct the name")
    inside = (time_ns >= session[0]) & (time_ns < session[1])
    counts["outside_hours"] += int(np.count_nonzero(~inside))
    quotes = _read_book(source, time_ns, inside, counts)
    executed = inside & np.isin(arrays[1], (_VISIBLE, _HIDDEN)) & (arrays[3] > 0) & (arrays[4] > 0)
    return [
        RawTicks(
            label=source.label,
            format="LOBSTER",
            symbol=match["symbol"].upper(),
            venue="NASDAQ",
            price_decimals=4,
            size_decimals=0,
            tick=100,
            lot=1,
            resolution_ns=1,
            time_unit="s",
            sessions=[session],
            calendar="us_equities",
            trades=RawTrades(
                time_ns=time_ns[executed],
                price=arrays[4][executed],
                size=arrays[3][executed],
                side=-np.sign(arrays[5][executed]).astype(np.int8),
            ),
            quotes=quotes,
            counts=counts,
        )
    ]


def _sibling(source: SourceFile, kind: str) -> SourceFile | None:
    other = "message" if kind == "orderbook" else "orderbook"
    if source.member:
        member = source.member.replace(f"_{other}_", f"_{kind}_")
        return SourceFile(path=source.path, member=member) if _in_archive(source, member) else None
    path = source.path.with_name(source.path.name.replace(f"_{other}_", f"_{kind}_"))
    return SourceFile(path=path) if path.is_file() else None


def _in_archive(source: SourceFile, member: str) -> bool:
    with zipfile.ZipFile(source.path) as archive:
        return member in archive.namelist()


def _read_book(
    source: SourceFile, time_ns: Int64Array, inside: NDArray[np.bool_], counts: Counter[str]
) -> RawQuotes | None:
    book = _sibling(source, "orderbook")
    if book is None:
        return None
    text = book.read_bytes()
    width = len(first_row(text).split(","))
    if width % 4:
        raise FileFormatError(f"{book.label} row 1 has {width} fields; four per level are expected")
    names = ("ask", "ask_size", "bid", "bid_size")
    columns = [Column(name, INTEGER) for name in names] + [Column("deeper", SKIP)] * (width - 4)
    arrays, _ = parse_table(book, text, columns)
    if len(arrays[0]) != len(time_ns):
        raise FileFormatError(
            f"{book.label} has {len(arrays[0])} rows, its message file {len(time_ns)}; fetch both again"
        )
    good = inside & (arrays[0] < _NO_LEVEL) & (arrays[2] > 0)
    ask, ask_size, bid, bid_size = (np.ascontiguousarray(column[good]) for column in arrays)
    return carry_forward([np.ascontiguousarray(time_ns[good]), bid, bid_size, ask, ask_size], counts)
