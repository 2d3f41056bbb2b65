"""Checks that readers of numbered and dated rows share: order, repeats, days, sides."""

from __future__ import annotations

import datetime as dt
from collections import Counter

import numpy as np

from calibrig.errors import FileFormatError
from calibrig.market.files import SourceFile
from calibrig.market.ticks import Int64Array

__all__ = ["check_order", "compute_day_sessions", "drop_repeats", "first_row", "parse_word", "split_header"]

DAY_NS = 86_400_000_000_000
SKIP_REMEDY = "correct the row or pass skip_bad_rows=True to count and leave it out"


def first_row(text: bytes) -> str:
    """Return the first line that is not blank, without blanks around it."""
    return text[:65_536].lstrip().split(b"\n", 1)[0].decode("utf-8", "replace").strip()


def split_header(text: bytes) -> tuple[list[str], bytes, int]:
    """Return the names in the first line (none if it starts like a number), the rest, and its first line number."""
    stripped = text.lstrip()
    first_line = 1 + text[: len(text) - len(stripped)].count(b"\n")
    head, _, rest = stripped.partition(b"\n")
    if head[:1].isdigit() or head[:1] in (b"+", b"-", b"."):
        return [], stripped, first_line
    return (
        [name.strip().strip('"') for name in head.decode("utf-8", "replace").split(",")],
        rest,
        first_line + 1,
    )


def parse_word(word: str) -> int:
    """Return what the table parser stores for a word: its first eight bytes, little endian."""
    return int.from_bytes(word.encode()[:8].ljust(8, b"\0"), "little", signed=True)


def check_order(
    source: SourceFile, time_ns: Int64Array, counts: Counter[str], *, first_line: int, skip_bad_rows: bool
) -> Int64Array | None:
    """Return None if times do not go back, else (asked to skip) the order that sorts them."""
    backwards = time_ns[1:] < time_ns[:-1]
    if not backwards.any():
        return None
    if not skip_bad_rows:
        row = int(np.argmax(backwards)) + 1
        raise FileFormatError(
            f"{source.label} row {row + first_line} goes back in time by {int(time_ns[row - 1] - time_ns[row])} ns; "
            "sort the file by time or pass skip_bad_rows=True to have such rows sorted and counted"
        )
    counts["out_of_order"] += int(np.count_nonzero(backwards))
    return np.argsort(time_ns, kind="stable")


def drop_repeats(
    source: SourceFile, ids: Int64Array, counts: Counter[str], *, first_line: int, skip_bad_rows: bool
) -> Int64Array | None:
    """Return None if no number occurs twice, else (asked to skip) the rows to keep."""
    if len(ids) < 2 or np.all(ids[1:] > ids[:-1]):
        return None
    unique, first = np.unique(ids, return_index=True)
    if len(unique) == len(ids):
        return None
    if not skip_bad_rows:
        again = np.ones(len(ids), bool)
        again[first] = False
        row = int(np.argmax(again))
        raise FileFormatError(
            f"{source.label} row {row + first_line} repeats the number {ids[row]}; remove the copy or pass "
            "skip_bad_rows=True to count and leave it out"
        )
    counts["duplicates"] += len(ids) - len(unique)
    return np.sort(first)


def compute_day_sessions(time_ns: Int64Array) -> list[tuple[int, int]]:
    """Return the UTC days, as spans of ns, that hold a row (times increasing)."""
    days = np.unique(time_ns // DAY_NS)
    return [(int(day) * DAY_NS, (int(day) + 1) * DAY_NS) for day in days]


def check_span(source: SourceFile, time_ns: Int64Array) -> None:
    """Refuse times that cannot be (before 2000 or after 2100): a wrong unit or a wrong column."""
    if len(time_ns) == 0:
        raise FileFormatError(f"{source.label} holds no row that can be read; fetch it again")
    for value in (int(time_ns.min()), int(time_ns.max())):
        if not 946_684_800 * 10**9 <= value < 4_102_444_800 * 10**9:
            shown = dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(microseconds=value // 1000)
            raise FileFormatError(
                f"{source.label}: a time reads as {shown:%Y-%m-%d}; check which column is the time and its unit"
            )
