"""Which symbol, expiry and days of what was read are wanted."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

import numpy as np

from calibrig.errors import InvalidInputError, InvalidTicksError
from calibrig.market.raw import RawQuotes, RawTicks, RawTrades
from calibrig.market.ticks import Int64Array

__all__ = ["choose_days", "choose_sessions", "choose_symbol", "name_symbols"]

_Rows = TypeVar("_Rows", RawTrades, RawQuotes)


def choose_symbol(parts: list[RawTicks], symbol: str | None) -> list[RawTicks]:
    """Return the parts of one symbol; refuse to guess between several.

    Of a future given by its root (or alone in the files) the expiry with the most trades is taken, with a warning.
    """
    present = sorted({part.symbol for part in parts})
    roots = {part.root for part in parts}
    root = symbol.upper() if symbol is not None else next(iter(roots), "")
    if root and root in roots and (symbol is not None or (len(roots) == 1 and len(present) > 1)):
        return _choose_expiry([part for part in parts if part.root == root])
    if symbol is not None:
        chosen = [part for part in parts if part.symbol == symbol.upper()]
        if not chosen:
            raise InvalidTicksError(f"symbol {symbol!r} is not in the files; they hold {', '.join(present)}")
        return chosen
    if len(present) > 1:
        raise InvalidTicksError(
            f"the files hold several symbols ({', '.join(present)}); choose one with symbol= (--symbol)"
        )
    return parts


def name_symbols(parts: list[RawTicks]) -> list[str]:
    """Return the symbols that :func:`choose_symbol` can be asked for, sorted; a future by its root."""
    return sorted({part.root or part.symbol for part in parts})


def _choose_expiry(parts: list[RawTicks]) -> list[RawTicks]:
    traded: Counter[str] = Counter()
    for part in parts:
        traded[part.symbol] += 0 if part.trades is None else len(part.trades.time_ns)
    best = traded.most_common(1)[0][0]
    chosen = [part for part in parts if part.symbol == best]
    if len(traded) > 1:
        chosen[0].warnings.append(
            f"{best} is taken, the most traded of {len(traded)} expiries; choose with symbol= (--symbol)"
        )
    return chosen


def choose_days(parts: list[RawTicks], days: Iterable[dt.date | str] | None) -> list[RawTicks]:
    """Return the parts, cut to the sessions that start on the wanted days (UTC)."""
    if days is None:
        return parts
    spans = np.array(sorted({s for p in parts for s in p.sessions}), np.int64).reshape(-1, 2)
    wanted = {(int(a), int(b)) for a, b in choose_sessions(spans, days)}
    return [cut for part in parts if (cut := _cut_part(part, wanted)) is not None]


def choose_sessions(sessions: Int64Array, days: Iterable[dt.date | str]) -> Int64Array:
    """Return the sessions that start on the wanted days (UTC); refuse if there is none."""
    try:
        wanted = {d if isinstance(d, dt.date) else dt.date.fromisoformat(d) for d in days}
    except ValueError as error:
        raise InvalidInputError(f"days: {error}; give dates like 2013-10-07") from error
    chosen = [_day_of(int(start)) in wanted for start, _ in sessions]
    if not any(chosen):
        have = sorted({_day_of(int(start)).isoformat() for start, _ in sessions})
        raise InvalidTicksError(
            f"none of the wanted days is in the files; they hold {', '.join(have) or 'none'}"
        )
    wanted_sessions: Int64Array = sessions[np.array(chosen)]
    return wanted_sessions


def _cut_part(part: RawTicks, wanted: set[tuple[int, int]]) -> RawTicks | None:
    sessions = [session for session in part.sessions if session in wanted]
    if len(sessions) == len(part.sessions):
        return part
    if not sessions:
        return None
    return replace(
        part,
        sessions=sessions,
        trades=_cut_rows(part.trades, sessions),
        quotes=_cut_rows(part.quotes, sessions),
    )


def _cut_rows(rows: _Rows | None, sessions: list[tuple[int, int]]) -> _Rows | None:
    if rows is None:
        return None
    kept = np.concatenate([np.arange(*np.searchsorted(rows.time_ns, session)) for session in sessions])
    columns = {name: getattr(rows, name) for name in rows.__slots__}
    return replace(rows, **{name: column[kept] for name, column in columns.items() if column is not None})


def _day_of(time_ns: int) -> dt.date:
    return dt.datetime.fromtimestamp(time_ns // 1_000_000_000, dt.UTC).date()
