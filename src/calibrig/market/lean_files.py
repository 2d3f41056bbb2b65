"""What LEAN tick files share: names, times since midnight, regular hours, marks of the vendor."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from dataclasses import dataclass

import numpy as np

from calibrig.errors import FileFormatError
from calibrig.market.files import SourceFile
from calibrig.market.raw import RawQuotes, RawTrades, carry_forward
from calibrig.market.ticks import Int64Array

__all__ = ["LeanFile", "check_times", "identify", "make_quotes", "make_trades", "recognise_name"]

_NAME = re.compile(
    r"(?P<day>\d{8})_(?:(?P<symbol>.+?)_)?(?:tick_)?(?P<kind>trade|quote)(?:_tick)?(?:_(?P<expiry>\d{6,8}))?(?:\.csv)?$"
)
_DAY_MS = 86_400_000
_NAMED_LIKE = "LEAN files are called like 20131007_trade.zip"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeanFile:
    """What the names say; ``expiry`` is empty for anything but futures."""

    day: dt.date
    symbol: str
    kind: str
    expiry: str = ""


def recognise_name(source: SourceFile) -> dict[str, str] | None:
    """Return the parts of a LEAN tick file's name, or None."""
    match = _NAME.search(source.name)
    return None if match is None else {key: value or "" for key, value in match.groupdict().items()}


def identify(source: SourceFile) -> LeanFile:
    """Return day, symbol (upper case), kind and expiry from the member, file and folder names."""
    parts = recognise_name(source)
    if parts is None:
        raise FileFormatError(f"{source.label}: no day and kind in the name; {_NAMED_LIKE}")
    try:
        day = dt.datetime.strptime(parts["day"], "%Y%m%d").date()  # noqa: DTZ007
    except ValueError as error:
        raise FileFormatError(f"{source.label}: {parts['day']} is not a day; {_NAMED_LIKE}") from error
    symbol = parts["symbol"] or source.path.resolve().parent.name
    return LeanFile(day=day, symbol=symbol.upper(), kind=parts["kind"], expiry=parts["expiry"])


def check_times(
    source: SourceFile,
    arrays: list[Int64Array],
    counts: Counter[str],
    *,
    skip_bad_rows: bool,
    per_ms: int = 1,
) -> list[Int64Array]:
    """Refuse (or, asked to skip, drop and sort) times outside the day and times that go back."""
    time = arrays[0]
    if len(time) == 0:
        return arrays
    if time.min() < 0 or time.max() >= _DAY_MS * per_ms:
        outside = (time < 0) | (time >= _DAY_MS * per_ms)
        if not skip_bad_rows:
            row = int(np.argmax(outside))
            raise FileFormatError(
                f"{source.label} row {row + 1} field 'time_ms' is {time[row] / per_ms:.15g}; milliseconds since "
                f"midnight lie in 0 .. {_DAY_MS - 1}; correct the row or pass skip_bad_rows=True to count and "
                "leave it out"
            )
        counts["bad_rows"] += int(outside.sum())
        arrays = [column[~outside] for column in arrays]
        time = arrays[0]
    if len(time) > 1 and (backwards := time[1:] < time[:-1]).any():
        row = int(np.argmax(backwards)) + 1
        if not skip_bad_rows:
            raise FileFormatError(
                f"{source.label} row {row + 1} field 'time_ms' goes back from {time[row - 1] / per_ms:.15g} to "
                f"{time[row] / per_ms:.15g}; sort the file by time or pass skip_bad_rows=True to have such rows "
                "sorted and counted"
            )
        counts["out_of_order"] += int(backwards.sum())
        order = np.argsort(time, kind="stable")
        arrays = [np.ascontiguousarray(column[order]) for column in arrays]
    return arrays


def make_trades(arrays: list[Int64Array], sessions: list[tuple[int, int]], counts: Counter[str]) -> RawTrades:
    """Keep what lies in the sessions and is not marked, of size 0 or without a price: time, price, size, mark."""
    inside = _rows_inside(arrays[0], sessions)
    counts["outside_hours"] += len(arrays[0]) - sum(high - low for low, high in inside)
    time_ns, price, size, suspicious = (_pick(column, inside) for column in arrays)
    good = (suspicious == 0) & (price > 0) & (size > 0)
    if not good.all():
        counts["suspicious"] += int(np.count_nonzero(suspicious))
        counts["zero_size"] += int(np.count_nonzero((suspicious == 0) & (size == 0)))
        counts["bad_prices"] += int(
            np.count_nonzero((suspicious == 0) & (size != 0) & ((price <= 0) | (size < 0)))
        )
        time_ns, price, size = time_ns[good], price[good], size[good]
    return RawTrades(time_ns=time_ns, price=price, size=size)


def make_quotes(arrays: list[Int64Array], sessions: list[tuple[int, int]], counts: Counter[str]) -> RawQuotes:
    """Carry both sides forward (in place) and keep the sessions, each with what stood when it opened."""
    found = carry_forward(arrays[:5], counts, suspicious=arrays[5])
    columns = [found.time_ns, found.bid, found.bid_size, found.ask, found.ask_size]
    time_ns = found.time_ns
    inside = _rows_inside(time_ns, sessions)
    for i, (start, _) in enumerate(sessions):
        low, high = inside[i]
        first_free = inside[i - 1][1] if i else 0
        if low > first_free and (high == low or time_ns[low] > start):
            time_ns[low - 1] = start
            inside[i] = (low - 1, high)
    counts["outside_hours"] += len(time_ns) - sum(high - low for low, high in inside)
    time_ns, bid, bid_size, ask, ask_size = (_pick(column, inside) for column in columns)
    return RawQuotes(time_ns=time_ns, bid=bid, bid_size=bid_size, ask=ask, ask_size=ask_size)


def _rows_inside(time_ns: Int64Array, sessions: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [
        (int(low), int(high)) for low, high in (np.searchsorted(time_ns, session) for session in sessions)
    ]


def _pick(column: Int64Array, inside: list[tuple[int, int]]) -> Int64Array:
    if len(inside) == 1:
        return column[inside[0][0] : inside[0][1]]
    return np.concatenate([column[low:high] for low, high in inside])
