"""Raw ticks of several files of one symbol become one market on one tick grid."""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from calibrig.errors import InvalidInputError, InvalidTicksError
from calibrig.market.quality import QualityReport, compute_fingerprint, measure_quality
from calibrig.market.raw import RawQuotes, RawTicks, RawTrades
from calibrig.market.signing import compute_signing_rules
from calibrig.market.ticks import Int64Array, MarketData, Quotes, Trades
from calibrig.parameters.instrument import (
    SECONDS_PER_YEAR_24_5,
    SECONDS_PER_YEAR_24_7,
    SECONDS_PER_YEAR_CME,
    SECONDS_PER_YEAR_US_EQUITIES,
    Instrument,
)

__all__ = ["assemble", "choose_days", "choose_sessions", "choose_symbol"]

_Rows = TypeVar("_Rows", RawTrades, RawQuotes)
CROSSED_LIMIT = 0.01
_CALENDAR_SECONDS = {
    "us_equities": SECONDS_PER_YEAR_US_EQUITIES,
    "cme": SECONDS_PER_YEAR_CME,
    "24/5": SECONDS_PER_YEAR_24_5,
    "24/7": SECONDS_PER_YEAR_24_7,
}


@dataclass(frozen=True, slots=True)
class _Grid:
    instrument: Instrument
    sessions: Int64Array
    tick: int
    lot: int
    resolution_ns: int


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
            f"the files hold several symbols ({', '.join(present)}); choose one with symbol="
        )
    return parts


def _choose_expiry(parts: list[RawTicks]) -> list[RawTicks]:
    traded: Counter[str] = Counter()
    for part in parts:
        traded[part.symbol] += 0 if part.trades is None else len(part.trades.time_ns)
    best = traded.most_common(1)[0][0]
    chosen = [part for part in parts if part.symbol == best]
    if len(traded) > 1:
        chosen[0].warnings.append(
            f"{best} is taken, the most traded of {len(traded)} expiries; choose with symbol="
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


def assemble(
    parts: Sequence[RawTicks],
    *,
    tick_size: float | None = None,
    lot_size: float | None = None,
    skip_bad_rows: bool = False,
) -> tuple[MarketData, QualityReport]:
    """Return the market of one symbol and its quality report.

    Raises
    ------
    InvalidTicksError
        The same day twice, nothing left to use, or quotes that are crossed too long.
    """
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.counts)
    parts = sorted(parts, key=lambda part: part.sessions[0] if part.sessions else (0, 0))
    sessions = _merge_sessions(parts)
    instrument, tick, lot, warnings = _make_instrument(parts, tick_size, lot_size)
    resolution = max(part.resolution_ns for part in parts)
    grid = _Grid(instrument, sessions, tick, lot, resolution)
    market = MarketData(
        trades=_join_trades(parts, grid),
        quotes=_join_quotes(parts, grid, counts),
        description=f"{parts[0].format}: {instrument.symbol}, {len(sessions)} session(s)",
    )
    if len(market.trades) == 0 and len(market.quotes) == 0:
        raise InvalidTicksError(
            f"{', '.join(p.label for p in parts[:3])}: no trade and no quote is left inside the sessions; check "
            "the day and the hours"
        )
    sides, rules = compute_signing_rules(market.trades, market.quotes)
    market = replace(market, trades=replace(market.trades, side=sides))
    figures = measure_quality(market, rules)
    if figures["crossed_share"] > CROSSED_LIMIT:
        if not skip_bad_rows:
            raise InvalidTicksError(
                f"{parts[0].label}: bid is above ask {figures['crossed_share']:.1%} of the time, the limit is "
                f"{CROSSED_LIMIT:.0%}; use consolidated quotes (one book per exchange looks like this) or pass "
                "skip_bad_rows=True to leave crossed quotes out"
            )
        market, left_out = _drop_crossed(market)
        counts["bad_rows"] += left_out
        figures = measure_quality(market, rules)
    report = QualityReport(
        symbol=instrument.symbol,
        formats=tuple(sorted({part.format for part in parts})),
        files=tuple(part.label for part in parts),
        time_unit=parts[0].time_unit,
        resolution_ns=resolution,
        clock_offset_ms=_offsets(parts),
        fingerprint=compute_fingerprint(market),
        warnings=tuple(
            dict.fromkeys((*warnings, *(w for p in parts for w in p.warnings), *_warn(figures, counts)))
        ),
        **{**{name: counts[name] for name in _COUNTED}, **figures},
    )
    return market, report


_COUNTED = (
    "rows",
    "bad_rows",
    "out_of_order",
    "duplicates",
    "outside_hours",
    "suspicious",
    "zero_size",
    "bad_prices",
    "transient",
    "unchanged",
    "missing_ids",
)


def _merge_sessions(parts: Sequence[RawTicks]) -> Int64Array:
    """Sessions in order; trades and quotes of one day share theirs, two files of one kind may not overlap."""
    for kind in ("trades", "quotes"):
        spans = sorted((s, p.label) for p in parts if _has(p, kind) for s in p.sessions)
        for (first, first_label), (second, second_label) in itertools.pairwise(spans):
            if second[0] < first[1]:
                raise InvalidTicksError(
                    f"{second_label} covers the same {kind} as {first_label}; give each day once"
                )
    merged: list[list[int]] = []
    joined = parts[0].calendar == "cme"  # a session that crosses midnight is one
    for start, end in sorted({s for p in parts for s in p.sessions}):
        if merged and (start < merged[-1][1] or (joined and start == merged[-1][1])):
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return np.array(merged, dtype=np.int64).reshape(-1, 2)


def _has(part: RawTicks, kind: str) -> bool:
    ticks = getattr(part, kind)
    return ticks is not None and len(ticks.time_ns) > 0


def _make_instrument(
    parts: Sequence[RawTicks], tick_size: float | None, lot_size: float | None
) -> tuple[Instrument, int, int, list[str]]:
    first = parts[0]
    warnings: list[str] = []
    tick = _step("tick_size", tick_size, first.price_decimals, [p.tick for p in parts], warnings)
    lot = _step("lot_size", lot_size, first.size_decimals, [p.lot for p in parts], warnings)
    instrument = Instrument(
        symbol=first.symbol,
        venue=first.venue,
        tick_size=float(f"{tick / 10**first.price_decimals:.12g}"),
        lot_size=float(f"{lot / 10**first.size_decimals:.12g}"),
        price_unit=first.price_unit,
        calendar=first.calendar,
        seconds_per_year=_CALENDAR_SECONDS.get(first.calendar, SECONDS_PER_YEAR_24_7),
    )
    return instrument, tick, lot, warnings


def _step(name: str, wanted: float | None, decimals: int, steps: list[int], warnings: list[str]) -> int:
    """The step in decimal units: as given, as the format says, or (negative entries) inferred from the data."""
    if wanted is not None:
        step = round(wanted * 10**decimals) if math.isfinite(wanted) else 0
        if step < 1:
            raise InvalidInputError(f"{name} is {wanted!r}; give at least {10.0**-decimals:g}")
        return step
    if any(step < 0 for step in steps):
        step = math.gcd(*(-s for s in steps if s < 0))
        warnings.append(f"{name} {step / 10**decimals:g} is inferred from the data; pass {name}= to set it")
        return step
    return min((s for s in steps if s > 0), default=1)


def _join(parts: Sequence[RawTrades] | Sequence[RawQuotes], name: str) -> Int64Array:
    columns = [getattr(part, name) for part in parts]
    return columns[0] if len(columns) == 1 else np.concatenate(columns or [np.empty(0, np.int64)])


def _join_trades(parts: Sequence[RawTicks], grid: _Grid) -> Trades:
    raw = [part.trades for part in parts if part.trades is not None]
    price = _join(raw, "price")
    ticks, rest = _divide(price, grid.tick)
    ids = [part.id for part in raw if part.id is not None]
    sides = [np.zeros(len(p.time_ns), np.int8) if p.side is None else p.side for p in raw]
    sub_tick: NDArray[np.float32] | None = (rest / grid.tick).astype(np.float32) if rest.any() else None
    local = raw and all(part.local_time_ns is not None for part in raw)
    return Trades(
        time_ns=_join(raw, "time_ns"),
        price_ticks=ticks,
        size_lots=_join(raw, "size") // grid.lot if grid.lot > 1 else _join(raw, "size"),
        side=np.concatenate(sides) if sides else np.empty(0, np.int8),
        id=np.concatenate(ids) if ids and len(ids) == len(raw) else np.arange(len(price)),
        sub_tick=sub_tick,
        local_time_ns=_join(raw, "local_time_ns") if local else None,
        sessions=grid.sessions,
        resolution_ns=grid.resolution_ns,
        instrument=grid.instrument,
    )


def _join_quotes(parts: Sequence[RawTicks], grid: _Grid, counts: Counter[str]) -> Quotes:
    """Bid rounded down to the grid, ask up; a bid below one tick is no price."""
    raw = [part.quotes for part in parts if part.quotes is not None]
    ask, rest = _divide(_join(raw, "ask"), grid.tick)
    local = raw and all(part.local_time_ns is not None for part in raw)
    columns = {
        "time_ns": _join(raw, "time_ns"),
        "bid_ticks": _divide(_join(raw, "bid"), grid.tick)[0],
        "bid_lots": _join(raw, "bid_size") // grid.lot if grid.lot > 1 else _join(raw, "bid_size"),
        "ask_ticks": ask + (rest > 0) if rest.any() else ask,
        "ask_lots": _join(raw, "ask_size") // grid.lot if grid.lot > 1 else _join(raw, "ask_size"),
    }
    if local:
        columns["local_time_ns"] = _join(raw, "local_time_ns")
    if len(ask) and columns["bid_ticks"].min() < 1:
        kept = columns["bid_ticks"] > 0
        counts["bad_prices"] += int(np.count_nonzero(~kept))
        columns = {name: column[kept] for name, column in columns.items()}
    return Quotes(
        **columns, sessions=grid.sessions, resolution_ns=grid.resolution_ns, instrument=grid.instrument
    )


def _divide(values: Int64Array, step: int) -> tuple[Int64Array, Int64Array]:
    quotient = values // step
    return quotient, values - quotient * step


def _drop_crossed(market: MarketData) -> tuple[MarketData, int]:
    quotes = market.quotes
    keep = quotes.bid_ticks <= quotes.ask_ticks
    columns = {
        name: getattr(quotes, name)[keep]
        for name in ("time_ns", "bid_ticks", "bid_lots", "ask_ticks", "ask_lots", "local_time_ns")
        if getattr(quotes, name) is not None
    }
    return replace(market, quotes=replace(quotes, **columns)), int(np.count_nonzero(~keep))


def _offsets(parts: Sequence[RawTicks]) -> tuple[float, float] | None:
    spans = [part.clock_offset_ns for part in parts if part.clock_offset_ns is not None]
    return (min(s[0] for s in spans) / 1e6, max(s[1] for s in spans) / 1e6) if spans else None


def _warn(figures: dict[str, object], counts: Counter[str]) -> list[str]:
    def number(name: str) -> float:
        return float(str(figures[name]))

    found: list[str] = []
    if number("trades") == 0:
        found.append("no trades: nothing can be said about order flow or fills")
    elif number("trades") < 4000:
        found.append(f"only {number('trades'):,.0f} trades; a Hawkes fit wants at least 2,000 a side")
    if number("quotes") == 0:
        found.append(
            "no quotes: no mid, so no volatility, order distances or replay; sides come from the tick rule"
        )
    if number("gaps") > 0:
        found.append(
            f"{number('gaps'):.0f} gap(s) without any event, the longest {number('longest_gap_s'):,.0f} s"
        )
    if number("crossed_share") > 1e-4:
        found.append(f"quotes are crossed {number('crossed_share'):.3%} of the time")
    if number("off_grid_share") > 0.5:
        found.append("most trades lie between two ticks; the tick size may be wrong, pass tick_size=")
    if counts["missing_ids"]:
        found.append(f"{counts['missing_ids']:,} trade numbers are missing in the venue's sequence")
    if counts["book_gaps"]:
        found.append(f"{counts['book_gaps']:,} break(s) in the sequence of depth updates")
    if counts["bad_rows"]:
        found.append(f"{counts['bad_rows']:,} bad row(s) left out")
    return found
