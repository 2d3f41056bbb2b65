"""A market whose truth is known by formula, in the same columns as real ticks."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibrig.errors import InvalidInputError
from calibrig.market.simulated_truth import (
    MAX_DEPTH_LOTS,
    SPREADS_TICKS,
    MarketTruth,
    PriceTruth,
    compute_truth,
)
from calibrig.market.ticks import Int64Array, MarketData, Quotes, Trades
from calibrig.models.hawkes import simulate_hawkes
from calibrig.parameters import SECONDS_PER_YEAR_US_EQUITIES, HawkesParameters, Instrument

__all__ = ["DEFAULT_FLOW", "U_SHAPE", "SimulatedMarket", "simulate_market"]

_REFRESH_NS = 50_000_000
_SPREAD_RATE = 0.2  # 1/s
_MEAN_ORDER_LOTS = 4.0
_FIRST_DAY = dt.date(2024, 1, 8)  # a Monday
_RAW_U = (1.9, 1.45, 1.2, 1.0, 0.85, 0.75, 0.7, 0.7, 0.75, 0.85, 1.0, 1.25, 1.6)
U_SHAPE = tuple(x * len(_RAW_U) / sum(_RAW_U) for x in _RAW_U)
DEFAULT_FLOW = HawkesParameters(
    alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=0.7, profile=U_SHAPE
)
Float64Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedMarket:
    """Ticks, and what is true about them."""

    market: MarketData
    truth: MarketTruth


def simulate_market(
    *,
    seed: int,
    sessions: int = 5,
    session_s: float = 7_200.0,
    hawkes: HawkesParameters = DEFAULT_FLOW,
    volatility: float = 0.48,
    kappa: float = 10.0,
    signal_r_squared: float = 0.03,
    signal_horizon_s: float = 5.0,
    signal_decay_rate: float = 0.2,
    reference_price: float = 100.0,
    child_fills: bool = False,
    symbol: str = "SIM",
) -> SimulatedMarket:
    r"""Simulate a market of which every parameter that calibrig fits is known by formula.

    *Order flow* is the two-sided power-law Hawkes process ``hawkes`` with its time-of-day profile, afresh each
    session. Truth: its parameters; A, the expected orders per second and side, is the mean of the solution of
    ``m(t) = lambda_base b(t) + n (f * m)(t)`` over a session, a little below ``lambda_base / (1 - n)``.

    *Reach*: each order reaches a distance from the mid before it that is exponential with rate ``kappa``; it
    trades at the touch, or at the last tick it reaches beyond. Truth: ``kappa``, which the likelihood censored to
    the tick grid sees without bias.

    *Price*: the efficient log price is ``dX = c I(t) dt + s dW``, where I is the depth imbalance
    ``(bid - ask) / (bid + ask)`` at the touch. Depth is drawn anew at the times of a Poisson process of rate
    theta, so ``E[I(t + u) | I(t)] = I(t) exp(-theta u)`` exactly. With v = E[I^2] and ``phi(h) = (1 - exp(-theta
    h)) / theta``, the expected move over h is ``c phi(h) I``, the variance ``s^2 h + c^2 K(h)``, ``K(h) = 2 v (h -
    phi(h)) / theta``. Truth: ``volatility`` is the square root of the annualised variance of one-minute returns
    (s and c together); ``c phi(h)`` and ``signal_r_squared = c^2 v phi(h)^2 / (s^2 h + c^2 K(h) + tick^2 / 6)`` at
    h = ``signal_horizon_s``; the last term is the rounding of both mids to the grid.

    *Quotes*: every 50 ms (at a random time in the interval), and when depth or spread is drawn anew, the mid
    becomes the efficient price rounded to the nearest point the spread allows; the spread is 17, 18 or 19 ticks.
    Rows that change nothing are left out. One session a weekday from 14:30 UTC, each opening at
    ``reference_price``; tick 0.01, lot 1, clock 1 ns.

    Parameters
    ----------
    seed : int
        0 .. 2^64 - 1.
    sessions : int
        Number of sessions.
    session_s : float
        Length of each, s; at least 60.
    hawkes : HawkesParameters
        Order flow; branching ratio below 1.
    volatility : float
        Annualised (252 days of 23,400 s); above 0.
    kappa : float
        1/price unit; above 0.
    signal_r_squared : float
        Planted R^2, in [0, 0.2].
    signal_horizon_s, signal_decay_rate : float
        h and theta; above 0.
    reference_price : float
        Above 0.
    child_fills : bool
        Print an order that reaches beyond the touch as one trade per tick it passes, all with its id and stamp.
    symbol : str
        Name of the instrument.

    Returns
    -------
    SimulatedMarket
        ``market`` and ``truth``.

    Raises
    ------
    InvalidInputError, InvalidParametersError
        An argument outside its domain.

    Examples
    --------
    >>> from calibrig.market import simulate_market
    >>> simulated = simulate_market(seed=7, sessions=2, session_s=600.0)
    >>> len(simulated.market.sessions), simulated.truth.kappa
    (2, 10.0)
    >>> bool((simulated.market.quotes.ask_ticks > simulated.market.quotes.bid_ticks).all())
    True
    """
    _check(
        sessions,
        session_s,
        volatility,
        kappa,
        signal_r_squared,
        signal_horizon_s,
        signal_decay_rate,
        reference_price,
    )
    instrument = Instrument(
        symbol=symbol,
        venue="simulated",
        tick_size=0.01,
        lot_size=1.0,
        calendar="us_equities",
        seconds_per_year=SECONDS_PER_YEAR_US_EQUITIES,
    )
    truth, price = compute_truth(
        hawkes=hawkes,
        instrument=instrument,
        session_s=session_s,
        reference_price=reference_price,
        volatility=volatility,
        kappa=kappa,
        signal_r_squared=signal_r_squared,
        signal_horizon_s=signal_horizon_s,
        signal_decay_rate=signal_decay_rate,
    )
    spans = _make_sessions(sessions, session_s)
    time_ns, side = simulate_hawkes(hawkes, sessions=spans, seed=seed)
    rng = np.random.default_rng([seed, 0x6D61726B6574])
    quotes = _make_quotes(rng, spans, instrument, truth, price)
    trades = _make_trades(rng, time_ns, side, quotes, kappa * instrument.tick_size, split=child_fills)
    description = f"simulated market, seed {seed}, {sessions} session(s) of {session_s:g} s"
    return SimulatedMarket(
        market=MarketData(trades=trades, quotes=quotes, description=description), truth=truth
    )


def _check(sessions: int, session_s: float, *rest: float) -> None:
    names = (
        "volatility",
        "kappa",
        "signal_r_squared",
        "signal_horizon_s",
        "signal_decay_rate",
        "reference_price",
    )
    if not 1 <= sessions <= 10_000:
        raise InvalidInputError(f"sessions is {sessions!r}; give 1 .. 10000")
    if not 60.0 <= session_s <= 86_400.0:
        raise InvalidInputError(f"session_s is {session_s!r}; give 60 .. 86400 s")
    for name, value in zip(names, rest, strict=True):
        zero_is_fine = name == "signal_r_squared"
        if not math.isfinite(value) or value < 0.0 or (value == 0.0 and not zero_is_fine):
            raise InvalidInputError(f"{name} is {value!r}; give a finite number above 0")
    if rest[2] > 0.2:
        raise InvalidInputError(f"signal_r_squared is {rest[2]!r}; give at most 0.2")


def _make_sessions(count: int, session_s: float) -> Int64Array:
    length = round(session_s * 1e9)
    hour = 14.5 if session_s <= 9.5 * 3600 else 0.0
    starts = []
    for i in range(count):
        day = _FIRST_DAY + dt.timedelta(days=7 * (i // 5) + i % 5)
        midnight = int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp())
        starts.append(midnight * 1_000_000_000 + round(hour * 3.6e12))
    return np.array([(start, start + length) for start in starts], dtype=np.int64)


def _make_quotes(
    rng: np.random.Generator, spans: Int64Array, instrument: Instrument, truth: MarketTruth, price: PriceTruth
) -> Quotes:
    parts = [_simulate_book(rng, span, instrument.tick_size, truth, price) for span in spans]
    time_ns, bid, bid_lots, ask, ask_lots = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Quotes(
        time_ns=time_ns,
        bid_ticks=bid,
        bid_lots=bid_lots,
        ask_ticks=ask,
        ask_lots=ask_lots,
        sessions=spans,
        instrument=instrument,
    )


def _simulate_book(
    rng: np.random.Generator, span: Int64Array, tick_size: float, truth: MarketTruth, price: PriceTruth
) -> tuple[Int64Array, ...]:
    """Times, bid, bid size, ask, ask size of one session."""
    start, end = (int(edge) for edge in span)
    refresh = np.arange(start, end, _REFRESH_NS, dtype=np.int64)
    refresh = refresh + rng.integers(0, _REFRESH_NS, len(refresh))
    depth_ns = _draw_poisson_times(rng, truth.signal_decay_rate, start, end)
    spread_ns = _draw_poisson_times(rng, _SPREAD_RATE, start, end)
    time_ns = _sort_distinct(np.concatenate((refresh[refresh < end], depth_ns, spread_ns)))
    depth = rng.integers(1, MAX_DEPTH_LOTS + 1, (len(depth_ns), 2))
    spread = rng.choice(np.array(SPREADS_TICKS), len(spread_ns))
    bid_lots, ask_lots = depth[np.searchsorted(depth_ns, time_ns, side="right") - 1].T
    width = spread[np.searchsorted(spread_ns, time_ns, side="right") - 1]
    ticks = truth.reference_price / tick_size
    gap_s = np.diff(time_ns) * 1e-9
    imbalance = (bid_lots - ask_lots) / (bid_lots + ask_lots)
    step = price.drift / ticks * imbalance[:-1] * gap_s
    step += price.diffusion / ticks * np.sqrt(gap_s) * rng.standard_normal(len(gap_s))
    efficient = ticks * np.exp(np.concatenate(([0.0], np.cumsum(step))))
    half = 0.5 * width
    bid = np.rint(efficient - half).astype(np.int64)
    changed = np.concatenate(
        (
            [True],
            (np.diff(bid) != 0) | (np.diff(width) != 0) | (np.diff(bid_lots) != 0) | (np.diff(ask_lots) != 0),
        )
    )
    return tuple(
        np.ascontiguousarray(column[changed], dtype=np.int64)
        for column in (time_ns, bid, bid_lots, bid + width, ask_lots)
    )


def _draw_poisson_times(rng: np.random.Generator, rate: float, start: int, end: int) -> Int64Array:
    """Return the start and the times of a Poisson process after it, ns, increasing."""
    count = int(rng.poisson(rate * (end - start) * 1e-9))
    return _sort_distinct(np.concatenate(([start], rng.integers(start + 1, end, count))))


def _sort_distinct(values: Int64Array) -> Int64Array:
    values = np.sort(values)
    return values[np.concatenate(([True], np.diff(values) > 0))]


def _make_trades(
    rng: np.random.Generator,
    time_ns: Int64Array,
    side: NDArray[np.int8],
    quotes: Quotes,
    kappa_ticks: float,
    *,
    split: bool,
) -> Trades:
    before = np.searchsorted(quotes.time_ns, time_ns, side="left") - 1
    kept = (before >= 0) & (time_ns > quotes.sessions[0, 0])
    time_ns, side, before = time_ns[kept], side[kept].astype(np.int64), before[kept]
    bid, ask = quotes.bid_ticks[before], quotes.ask_ticks[before]
    reach = rng.exponential(1.0 / kappa_ticks, len(side))
    beyond = np.maximum(np.floor(reach - 0.5 * (ask - bid)), 0.0).astype(np.int64)
    touch = np.where(side > 0, ask, bid)
    size = rng.geometric(1.0 / _MEAN_ORDER_LOTS, len(side)) + beyond
    order = np.arange(len(side))
    price = touch + side * beyond
    if split:
        prints = beyond + 1
        order = np.repeat(order, prints)
        level = np.arange(len(order)) - np.repeat(np.cumsum(prints) - prints, prints)
        price = touch[order] + side[order] * level
        rest = size[order] - beyond[order]
        size = np.where(level == 0, rest, 1)
    return Trades(
        time_ns=time_ns[order],
        price_ticks=price,
        size_lots=size,
        side=side[order].astype(np.int8),
        id=order,
        sessions=quotes.sessions,
        instrument=quotes.instrument,
    )
