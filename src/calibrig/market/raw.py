"""Ticks of one file before they are put on a tick grid: integers in decimal units, with counts of what was found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from calibrig._native import market as _native  # noqa: TID251
from calibrig.errors import FileFormatError
from calibrig.market.files import SourceFile
from calibrig.market.ticks import Int64Array

__all__ = [
    "Column",
    "RawQuotes",
    "RawTicks",
    "RawTrades",
    "carry_forward",
    "infer_step",
    "parse_table",
    "round_step",
]

SKIP, INTEGER, DECIMAL, REAL, WORD, OPTIONAL, ROUNDED = range(7)
_WHY = {
    1: "has too few fields: {width} are expected",
    2: "has too many fields: {width} are expected",
    3: "is empty",
    4: "is not a number",
    5: "is out of range",
    6: "has more decimals than the {decimals} this format has",
}


@dataclass(frozen=True, slots=True)
class Column:
    """Name and kind of one column of a text; ``decimals`` for DECIMAL."""

    name: str
    kind: int = SKIP
    decimals: int = 0


@dataclass(slots=True, kw_only=True)
class RawTrades:
    """Trades in file order; price and size in the decimal units of their :class:`RawTicks`."""

    time_ns: Int64Array
    price: Int64Array
    size: Int64Array
    side: NDArray[np.int8] | None = None
    id: Int64Array | None = None
    local_time_ns: Int64Array | None = None


@dataclass(slots=True, kw_only=True)
class RawQuotes:
    """Two-sided best quotes in file order, in the decimal units of their :class:`RawTicks`."""

    time_ns: Int64Array
    bid: Int64Array
    bid_size: Int64Array
    ask: Int64Array
    ask_size: Int64Array
    local_time_ns: Int64Array | None = None


@dataclass(slots=True, kw_only=True)
class RawTicks:
    """What one file says about one symbol.

    ``tick`` and ``lot`` are in units of ``10 ** -price_decimals`` and ``10 ** -size_decimals``; negative where they
    are inferred from the data. ``root`` is the underlying where ``symbol`` names one of its expiries.
    ``continuous``: files follow each other without a close, as rotated captures do.
    """

    label: str
    format: str
    symbol: str
    venue: str
    price_decimals: int
    size_decimals: int
    tick: int
    lot: int
    resolution_ns: int
    time_unit: str
    sessions: list[tuple[int, int]]
    root: str = ""
    continuous: bool = False
    calendar: str = "24/7"
    price_unit: str = "USD"
    trades: RawTrades | None = None
    quotes: RawQuotes | None = None
    counts: Counter[str] = field(default_factory=Counter)
    clock_offset_ns: tuple[int, int] | None = None
    warnings: list[str] = field(default_factory=list)


def carry_forward(
    columns: list[Int64Array], counts: Counter[str], *, suspicious: Int64Array | None = None
) -> RawQuotes:
    """Carry both sides of (time, bid, bid size, ask, ask size) forward, in place, and keep the states that stood.

    A price of 0 says nothing about its side. Left out and counted: marked rows, rows before both sides are known,
    rows that change nothing, and crossed or locked states that a row of the same stamp replaces.
    """
    marks = np.zeros(len(columns[0]), np.int64) if suspicious is None else suspicious
    time_ns, bid, bid_size, ask, ask_size = columns
    report = _native.carry_quotes(time_ns, bid, bid_size, ask, ask_size, marks)
    for key in ("one_sided", "unchanged", "transient", "suspicious"):
        counts[key] += report[key]
    counts["bad_prices"] += report["negative"]
    kept = report["kept"]
    return RawQuotes(
        time_ns=time_ns[:kept],
        bid=bid[:kept],
        bid_size=bid_size[:kept],
        ask=ask[:kept],
        ask_size=ask_size[:kept],
    )


def infer_step(values: Int64Array, *, power: bool = False) -> int:
    """Return the step that divides all values: see :func:`round_step`."""
    divisor = int(np.gcd.reduce(values)) if len(values) else 0
    return round_step(divisor, 0 if power else len(values))


def round_step(divisor: int, seen: int) -> int:
    """Return the largest 1, 2, 2.5 or 5 times a power of ten in ``divisor``; a power of ten where few were seen."""
    if divisor <= 0:
        return 1
    power = 1
    while divisor % (power * 10) == 0:
        power *= 10
    if seen >= 1000:
        for factor in (50, 25, 20, 5, 2):
            if divisor % (power * factor) == 0:
                return power * factor
    return power


def parse_table(
    source: SourceFile,
    text: bytes,
    columns: list[Column],
    *,
    delimiter: str = ",",
    skip_bad_rows: bool = False,
    first_line: int = 1,
) -> tuple[list[Int64Array], Counter[str]]:
    """Return the columns that are not SKIP as int64 arrays (REAL: the bits of doubles) and the row counts.

    Raises
    ------
    FileFormatError
        The first row that cannot be read: file, row, field, remedy. With ``skip_bad_rows`` such rows are counted.
    """
    arrays, report = _native.parse_table(
        text, [c.kind for c in columns], [c.decimals for c in columns], delimiter, skip_bad_rows
    )
    if report["bad"] and not skip_bad_rows:
        raise FileFormatError(_describe(source, columns, report, first_line))
    if report["bad"] and report["bad"] * 2 > report["lines"]:
        raise FileFormatError(
            f"{source.label}: {report['bad']} of {report['lines']} rows cannot be read; "
            f"first: {_describe(source, columns, report, first_line)}"
        )
    return arrays, Counter(rows=report["lines"], bad_rows=report["bad"])


def _describe(source: SourceFile, columns: list[Column], report: dict[str, object], first_line: int) -> str:
    fault = int(str(report["fault"]))
    index = int(str(report["column"]))
    row = int(str(report["line"])) + first_line - 1
    why = _WHY[fault].format(width=len(columns), decimals=columns[min(index, len(columns) - 1)].decimals)
    remedy = "correct the row or pass skip_bad_rows=True to count and leave it out"
    if fault in {1, 2}:
        return f"{source.label} row {row} {why}; {remedy}"
    field_bytes = report["field"]
    shown = field_bytes.decode("utf-8", "replace") if isinstance(field_bytes, bytes) else ""
    return f"{source.label} row {row} field {columns[index].name!r} ({shown!r}) {why}; {remedy}"
