"""When markets are open: regular hours of US equities, with summer time and early closes."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

__all__ = ["compute_cme_sessions", "compute_local_midnight_ns", "compute_us_equity_session"]

NEW_YORK = ZoneInfo("America/New_York")


def compute_us_equity_session(day: dt.date) -> tuple[int, int]:
    """Return open and close of the regular session, ns since 1970 UTC.

    09:30 to 16:00 New York, or 13:00 on the early-close days of NYSE and Nasdaq: the day after Thanksgiving,
    Christmas Eve (Monday to Thursday) and 3 July (Monday to Thursday).

    Parameters
    ----------
    day : datetime.date
        Day in New York; weekends and holidays are not refused (a file of that day is taken at its word).

    Returns
    -------
    tuple of int

    Examples
    --------
    >>> import datetime as dt
    >>> start, end = compute_us_equity_session(dt.date(2013, 11, 29))
    >>> (end - start) / 3.6e12
    3.5
    """
    close = dt.time(13, 0) if _closes_early(day) else dt.time(16, 0)
    return _to_ns(day, dt.time(9, 30)), _to_ns(day, close)


def compute_cme_sessions(day: dt.date) -> list[tuple[int, int]]:
    """Return the parts of CME Group's electronic sessions that fall on a UTC day, ns since 1970 UTC.

    A session runs from 18:00 to 17:15 New York the next day (the close of 2013; later closes at 17:00 lie inside).

    Examples
    --------
    >>> import datetime as dt
    >>> [(end - start) / 3.6e12 for start, end in compute_cme_sessions(dt.date(2013, 10, 8))]
    [21.25, 2.0]
    """
    start = _to_ns(day, dt.time(0), dt.UTC)
    end = start + 86_400 * 1_000_000_000
    close, reopen = _to_ns(day, dt.time(17, 15)), _to_ns(day, dt.time(18, 0))
    return [(start, close), (reopen, end)]


def compute_local_midnight_ns(day: dt.date, zone: dt.tzinfo = NEW_YORK) -> int:
    """Return the ns since 1970 UTC to which wall-clock time since midnight is added at noon of ``day``.

    On the two days a year when clocks change (Sundays) this is right from 03:00 on.
    """
    return _to_ns(day, dt.time(12, 0), zone) - 12 * 3_600_000_000_000


def _to_ns(day: dt.date, time: dt.time, zone: dt.tzinfo = NEW_YORK) -> int:
    return int(dt.datetime.combine(day, time, zone).timestamp()) * 1_000_000_000


def _closes_early(day: dt.date) -> bool:
    monday_to_thursday = day.weekday() < 4
    if (day.month, day.day) in {(7, 3), (12, 24)}:
        return monday_to_thursday
    # the fourth Thursday of November is the 22nd to 28th; its Friday the 23rd to 29th
    return day.month == 11 and day.weekday() == 4 and 23 <= day.day <= 29
