"""What a day like the worst ones would do: stress events as shapes laid over the user's own ticks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibrig.calibration.selection import select_quotes, select_trades
from calibrig.calibration.volatility import sample_mid
from calibrig.market import MarketData, Quotes, Trades

__all__ = ["SCENARIOS", "Scenario", "apply_scenario", "find_own_events"]

Float64Array = NDArray[np.float64]
Int64Array = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One stress event as a shape; sizes are approximate, from public accounts.

    Attributes
    ----------
    name : str
        Date and what it was.
    drop : float
        Fall of the price, share; negative for a rise.
    minutes : float
        How long the fall takes; shortened to 40 % of a shorter session.
    recovery : float
        Share of the fall that comes back, over twice the time of the fall.
    spread_multiple : float
        Spread during the fall, times the usual.
    depth_share : float
        Displayed size during the fall, share of the usual.
    halt_minutes : float
        Trading halt after the fall: no quotes, no trades.
    feed_gap_s : float
        Silence in the middle of the fall: what happened is not seen.
    """

    name: str
    drop: float
    minutes: float
    recovery: float = 0.0
    spread_multiple: float = 1.0
    depth_share: float = 1.0
    halt_minutes: float = 0.0
    feed_gap_s: float = 0.0

    def scaled(self, factor: float) -> Scenario:
        """Return the same event ``factor`` times as large: drop, spread and lost depth.

        Examples
        --------
        >>> SCENARIOS[0].scaled(2.0).drop == 2.0 * SCENARIOS[0].drop
        True
        """
        return replace(
            self,
            drop=self.drop * factor,
            spread_multiple=1.0 + (self.spread_multiple - 1.0) * factor,
            depth_share=self.depth_share**factor,
        )


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        name="2010-05-06 flash crash",
        drop=0.06,
        minutes=5.0,
        recovery=0.9,
        spread_multiple=10.0,
        depth_share=0.05,
    ),
    Scenario(
        name="2015-08-24 opening of exchange-traded funds",
        drop=0.08,
        minutes=8.0,
        recovery=0.6,
        spread_multiple=20.0,
        depth_share=0.05,
        halt_minutes=5.0,
    ),
    Scenario(
        name="2020-03-12 pandemic",
        drop=0.10,
        minutes=60.0,
        recovery=0.1,
        spread_multiple=5.0,
        depth_share=0.2,
        halt_minutes=15.0,
    ),
    Scenario(
        name="2022-05 LUNA",
        drop=0.15,
        minutes=240.0,
        recovery=0.1,
        spread_multiple=3.0,
        depth_share=0.3,
    ),
    Scenario(
        name="2022-11-08 FTX",
        drop=0.12,
        minutes=120.0,
        recovery=0.2,
        spread_multiple=3.0,
        depth_share=0.3,
        feed_gap_s=30.0,
    ),
    Scenario(
        name="2024-08-05 carry trade",
        drop=0.10,
        minutes=60.0,
        recovery=0.5,
        spread_multiple=4.0,
        depth_share=0.2,
    ),
    Scenario(
        name="2025-10-10 liquidation cascade",
        drop=0.14,
        minutes=30.0,
        recovery=0.5,
        spread_multiple=20.0,
        depth_share=0.02,
        feed_gap_s=60.0,
    ),
)


def apply_scenario(market: MarketData, scenario: Scenario, *, session: int = -1) -> MarketData:
    """Lay a scenario over one session of real or simulated ticks.

    The fall begins after a third of the session. Prices follow the shape from the mid of each moment; during the
    fall the spread widens round the shifted mid, sizes shrink and every trade becomes a sale at the bid (a purchase
    at the ask where the price rises); halts and feed gaps drop their ticks.

    Parameters
    ----------
    market : MarketData
        With quotes.
    scenario : Scenario
        Shape and size.
    session : int
        Row of the session.

    Returns
    -------
    MarketData
        That session alone.

    Examples
    --------
    >>> from calibrig.market import Instrument
    >>> n, span = 3_600, [[0, 3_600 * 10**9]]
    >>> x = Instrument(symbol="X", tick_size=0.01, lot_size=1.0)
    >>> flat = Quotes(time_ns=np.arange(n) * 10**9, bid_ticks=np.full(n, 9_999), bid_lots=np.full(n, 100),
    ...     ask_ticks=np.full(n, 10_001), ask_lots=np.full(n, 100), sessions=span, instrument=x)
    >>> none = Trades(time_ns=[], price_ticks=[], size_lots=[], side=[], id=[], sessions=span, instrument=x)
    >>> crash = apply_scenario(MarketData(trades=none, quotes=flat), SCENARIOS[0])
    >>> mid = crash.quotes.mid_ticks()
    >>> float(mid[1_200]), float(mid[1_500]), float(mid[-1])  # before, at the bottom, after the recovery
    (10000.0, 9400.0, 9940.0)
    """
    start_ns, end_ns = (int(t) for t in market.sessions[session])
    day = market.between(start_ns, end_ns)
    span_ns = end_ns - start_ns
    fall_ns = min(round(scenario.minutes * 60e9), round(0.4 * span_ns))
    fall_start = start_ns + span_ns // 3
    quotes = _bend_quotes(day.quotes, scenario, fall_start, fall_ns)
    wild = _falling(day.trades.time_ns, fall_start, fall_ns)
    trades = _bend_trades(day.trades, quotes, day.quotes, scenario, wild)
    gaps = _silences(scenario, fall_start, fall_ns)
    return MarketData(
        trades=select_trades(trades, _seen(trades.time_ns, gaps)),
        quotes=select_quotes(quotes, _seen(quotes.time_ns, gaps)),
        description=f"{market.description} under {scenario.name}",
    )


def _shape(time_ns: Int64Array, scenario: Scenario, start: int, fall_ns: int) -> Float64Array:
    """Price factor at each time."""
    after = (time_ns - start) / fall_ns
    down = np.clip(after, 0.0, 1.0)
    back = scenario.recovery * np.clip((after - 1.0) / 2.0, 0.0, 1.0)
    return 1.0 - scenario.drop * (down - back)


def _falling(time_ns: Int64Array, start: int, fall_ns: int) -> NDArray[np.bool_]:
    return (time_ns >= start) & (time_ns < start + fall_ns)


def _bend_quotes(quotes: Quotes, scenario: Scenario, start: int, fall_ns: int) -> Quotes:
    time_ns = quotes.time_ns
    wild = _falling(time_ns, start, fall_ns)
    mid = quotes.mid_ticks() * _shape(time_ns, scenario, start, fall_ns)
    spread = (quotes.ask_ticks - quotes.bid_ticks) * np.where(wild, scenario.spread_multiple, 1.0)
    bid = np.maximum(np.floor(mid - 0.5 * spread + 1e-9), 1.0).astype(np.int64)
    ask = np.maximum(np.ceil(mid + 0.5 * spread - 1e-9).astype(np.int64), bid + (spread > 0))
    share = np.where(wild, scenario.depth_share, 1.0)
    return replace(
        quotes,
        bid_ticks=bid,
        ask_ticks=ask,
        bid_lots=np.maximum(np.rint(quotes.bid_lots * share), np.minimum(quotes.bid_lots, 1)).astype(
            np.int64
        ),
        ask_lots=np.maximum(np.rint(quotes.ask_lots * share), np.minimum(quotes.ask_lots, 1)).astype(
            np.int64
        ),
    )


def _bend_trades(
    trades: Trades, bent: Quotes, quotes: Quotes, scenario: Scenario, wild: NDArray[np.bool_]
) -> Trades:
    if not len(trades) or not len(quotes):
        return trades
    at = np.maximum(np.searchsorted(quotes.time_ns, trades.time_ns, side="right") - 1, 0)
    shift = np.rint((bent.mid_ticks() - quotes.mid_ticks())[at]).astype(np.int64)
    price = trades.price_ticks + shift
    side = trades.side.astype(np.int64)
    if scenario.drop != 0.0:
        side = np.where(wild, -1 if scenario.drop > 0.0 else 1, side)
        price = np.where(wild, bent.bid_ticks[at] if scenario.drop > 0.0 else bent.ask_ticks[at], price)
    return replace(trades, price_ticks=np.maximum(price, 1), side=side.astype(np.int8))


def _silences(scenario: Scenario, start: int, fall_ns: int) -> list[tuple[int, int]]:
    middle, end = start + fall_ns // 2, start + fall_ns
    spans = [
        (middle, middle + min(round(scenario.feed_gap_s * 1e9), fall_ns // 4)),
        (end, end + min(round(scenario.halt_minutes * 60e9), fall_ns)),
    ]
    return [(low, high) for low, high in spans if high > low]


def _seen(time_ns: Int64Array, gaps: list[tuple[int, int]]) -> NDArray[np.bool_]:
    keep = np.ones(len(time_ns), dtype=bool)
    for low, high in gaps:
        keep &= (time_ns < low) | (time_ns >= high)
    return keep


def find_own_events(quotes: Quotes, *, minutes: float = 5.0) -> tuple[Scenario, ...]:
    """Find the largest fall and rise of these ticks over some minutes, with the widest spread, as scenarios.

    Parameters
    ----------
    quotes : Quotes
        Best bid and offer.
    minutes : float
        Span of a move.

    Returns
    -------
    tuple of Scenario
        The largest fall and the largest rise (a negative drop); empty where the mid never moves.

    Examples
    --------
    >>> from calibrig.market import Instrument
    >>> mid = np.concatenate((np.full(600, 1_000), np.full(600, 950)))
    >>> quotes = Quotes(time_ns=np.arange(1_200) * 10**9, bid_ticks=mid - 1, bid_lots=mid, ask_ticks=mid + 1,
    ...     ask_lots=mid, sessions=[[0, 1_200 * 10**9]],
    ...     instrument=Instrument(symbol="X", tick_size=1.0, lot_size=1.0))
    >>> [(event.name, event.drop) for event in find_own_events(quotes)]
    [('own largest fall in 5 min', 0.05)]
    """
    moves: list[Float64Array] = []
    step_s = minutes * 60.0 / 30.0
    for mid in sample_mid(quotes, sample_s=step_s):
        lag = min(30, len(mid) - 1)
        moves.append(mid[lag:] / mid[:-lag] - 1.0)
    if not moves:
        return ()
    every = np.concatenate(moves)
    spread = (quotes.ask_ticks - quotes.bid_ticks)[quotes.ask_ticks > quotes.bid_ticks]
    wide = float(np.quantile(spread, 0.9999) / max(float(np.median(spread)), 1.0))
    found = []
    for word, size in (("fall", -float(every.min())), ("rise", float(every.max()))):
        if size > 0.0:
            found.append(
                Scenario(
                    name=f"own largest {word} in {minutes:g} min",
                    drop=round(size if word == "fall" else -size, 12),
                    minutes=minutes,
                    spread_multiple=max(wide, 1.0),
                )
            )
    return tuple(found)
