"""Raw ticks of several files of one symbol become one market on one tick grid."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from calibrig.errors import InvalidInputError, InvalidTicksError
from calibrig.market.joining import Grid, align, join_quotes, join_trades, merge_sessions
from calibrig.market.quality import QualityReport, compute_fingerprint, measure_quality
from calibrig.market.raw import RawTicks
from calibrig.market.signing import compute_signing_rules
from calibrig.market.ticks import MarketData
from calibrig.parameters.instrument import (
    SECONDS_PER_YEAR_24_5,
    SECONDS_PER_YEAR_24_7,
    SECONDS_PER_YEAR_CME,
    SECONDS_PER_YEAR_US_EQUITIES,
    Instrument,
)

__all__ = ["assemble"]

CROSSED_LIMIT = 0.01
_CALENDAR_SECONDS = {
    "us_equities": SECONDS_PER_YEAR_US_EQUITIES,
    "cme": SECONDS_PER_YEAR_CME,
    "24/5": SECONDS_PER_YEAR_24_5,
    "24/7": SECONDS_PER_YEAR_24_7,
}


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
    parts = sorted(align(parts), key=lambda part: part.sessions[0] if part.sessions else (0, 0))
    sessions = merge_sessions(parts)
    instrument, tick, lot, warnings = _make_instrument(parts, tick_size, lot_size)
    resolution = max(part.resolution_ns for part in parts)
    grid = Grid(instrument, sessions, tick, lot, resolution)
    market = MarketData(
        trades=join_trades(parts, grid, counts),
        quotes=join_quotes(parts, grid, counts),
        description=f"{parts[0].format}: {instrument.symbol}, {len(sessions)} session(s)",
    )
    if len(market.trades) == 0 and len(market.quotes) == 0:
        raise InvalidTicksError(
            f"{', '.join(p.label for p in parts[:3])}: no trade and no quote is left inside the sessions; check "
            "the day and the hours"
        )
    market = _drop_empty_sessions(market)
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


def _drop_empty_sessions(market: MarketData) -> MarketData:
    """A session without any event is a closed market (the Friday evening of a futures day)."""
    edges = market.sessions
    events = sum(
        np.diff(np.searchsorted(t, edges), axis=1)[:, 0]
        for t in (market.trades.time_ns, market.quotes.time_ns)
    )
    if np.all(events):
        return market
    kept = edges[np.asarray(events) > 0]
    return replace(
        market, trades=replace(market.trades, sessions=kept), quotes=replace(market.quotes, sessions=kept)
    )


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
