"""How often market orders come and how far they reach: A and kappa, exactly on the price grid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from calibrig.calibration.blocks import bootstrap_weights, choose_block_length
from calibrig.errors import InvalidTicksError
from calibrig.market.ticks import Quotes, Trades

__all__ = ["ArrivalFit", "FirstPassage", "Reach", "fit_arrivals", "fit_first_passage", "measure_reach"]

Float64Array = NDArray[np.float64]
Int64Array = NDArray[np.int64]

_STRATA = 13  # time-of-day strata of the block bootstrap, as many as the Hawkes profile has bins
_COUNT_STEP_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far each order reached, as the interval the price grid leaves open.

    Attributes
    ----------
    time_ns : ndarray of int64, shape (n,)
        Orders with a two-sided quote before them.
    side : ndarray of int8, shape (n,)
        +1 buy, -1 sell.
    half_ticks : ndarray of int64, shape (n,)
        Distance from the mid just before the order to the furthest price, in half ticks.
    touch_half_ticks : ndarray of int64, shape (n,)
        Distance from that mid to the touch, in half ticks.
    """

    time_ns: Int64Array
    side: NDArray[np.int8]
    half_ticks: Int64Array
    touch_half_ticks: Int64Array

    @property
    def at_touch(self) -> NDArray[np.bool_]:
        """Which orders stopped at the touch or inside the spread."""
        stopped: NDArray[np.bool_] = self.half_ticks <= self.touch_half_ticks
        return stopped

    def intervals(self) -> Int64Array:
        """Return lower and upper end of each order's true reach, half ticks, shape (n, 2).

        An order that stopped at the touch reached less than one tick beyond it; one that stopped at a level
        behind the touch reached that level, less than the next.
        """
        low = np.where(self.at_touch, 0, self.half_ticks)
        high = np.maximum(self.half_ticks, self.touch_half_ticks) + 2
        return np.column_stack((low, high))


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstPassage:
    """The interval form: furthest distance per ``interval_s`` from the mid at its start.

    A prediction for one requote interval, not an estimate of A and kappa: orders cluster and the mid moves.
    """

    arrival_rate: float
    kappa: float
    interval_s: float
    intervals: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivalFit:
    """Rate and reach of market orders, ``lambda(d) = A exp(-kappa d)`` per side.

    Attributes
    ----------
    arrival_rate, arrival_rate_error : float
        A, mean of the two sides, 1/s.
    kappa, kappa_error : float
        Both sides together, 1/price unit.
    arrival_rate_by_side, kappa_by_side : tuple of float
        Buy, sell; with ``_error`` tuples beside them.
    touch_share : float
        Orders that stopped at the touch.
    inside_share : float
        Orders printed nearer to the mid than the touch (price improvement, late quotes); counted at the touch.
    shape_distance : float
        Largest gap between the fitted exponential and the orders' reach (mean probability integral transform over
        the censoring intervals, Czado, Gneiting, Held 2009); 0 where the exponential is right.
    orders, orders_without_quote : int
        Orders used, and orders left out because no two-sided quote stood before them.
    block_s : float
        Block length of the bootstrap, s.
    first_passage : FirstPassage
        The interval form, labelled as such.
    """

    arrival_rate: float
    arrival_rate_error: float
    kappa: float
    kappa_error: float
    arrival_rate_by_side: tuple[float, float]
    arrival_rate_by_side_error: tuple[float, float]
    kappa_by_side: tuple[float, float]
    kappa_by_side_error: tuple[float, float]
    touch_share: float
    inside_share: float
    shape_distance: float
    orders: int
    orders_without_quote: int
    block_s: float
    first_passage: FirstPassage

    @property
    def large_tick(self) -> bool:
        """Whether more than 95 % of orders stop at the touch: A and kappa are not identified."""
        return self.touch_share > 0.95

    @property
    def detail(self) -> str:
        """The estimates by side in one line."""
        buy_a, sell_a = self.arrival_rate_by_side
        buy_k, sell_k = self.kappa_by_side
        return (
            f"A buy {buy_a:.4g} sell {sell_a:.4g} 1/s, kappa buy {buy_k:.4g} sell {sell_k:.4g}, "
            f"{self.orders} orders, bootstrap blocks of {self.block_s:.0f} s"
        )


def measure_reach(orders: Trades, quotes: Quotes) -> Reach:
    """Measure each order from the mid that stood strictly before its stamp.

    Parameters
    ----------
    orders : Trades
        One row per order, price = furthest price reached, every side known.
    quotes : Quotes
        Best bid and offer.

    Raises
    ------
    InvalidTicksError
        A side is unknown, or no order has a quote before it in its session.

    Examples
    --------
    >>> from calibrig import Instrument
    >>> x = Instrument(symbol="X", tick_size=1.0, lot_size=1.0)
    >>> quotes = Quotes(time_ns=[0], bid_ticks=[99], bid_lots=[1], ask_ticks=[100], ask_lots=[1], sessions=[[0, 9]],
    ...     instrument=x)
    >>> orders = Trades(time_ns=[1, 2], price_ticks=[100, 98], size_lots=[1, 5], side=[1, -1], id=[0, 1],
    ...     sessions=[[0, 9]], instrument=x)
    >>> measure_reach(orders, quotes).intervals().tolist()  # ask 0.5 tick away, 98 is 1.5 ticks away
    [[0, 3], [3, 5]]
    """
    unknown = int(np.count_nonzero(orders.side == 0))
    if unknown:
        raise InvalidTicksError(
            f"{unknown} of {len(orders)} orders have side 0 (unknown); sign them with sign_trades first"
        )
    usable = (quotes.bid_ticks > 0) & (quotes.ask_ticks >= quotes.bid_ticks)
    quote_ns = quotes.time_ns[usable]
    bid, ask = quotes.bid_ticks[usable], quotes.ask_ticks[usable]
    before = np.searchsorted(quote_ns, orders.time_ns, side="left") - 1
    session = np.searchsorted(orders.sessions[:, 0], orders.time_ns, side="right") - 1
    known = (before >= 0) & (session >= 0)
    known[known] = quote_ns[before[known]] >= orders.sessions[session[known], 0]
    if not known.any():
        raise InvalidTicksError(
            f"no order of {orders.instrument.symbol!r} has a two-sided quote before it in its session; "
            "arrivals need quotes beside the trades"
        )
    at = before[known]
    side = orders.side[known].astype(np.int64)
    twice_mid = bid[at] + ask[at]
    price = orders.price_ticks[known]
    if orders.sub_tick is not None:  # stored rounded down: towards the mid is up for a sale
        price = price + ((side < 0) & (orders.sub_tick[known] > 0))
    return Reach(
        time_ns=orders.time_ns[known],
        side=orders.side[known],
        half_ticks=side * (2 * price - twice_mid),
        touch_half_ticks=ask[at] - bid[at],
    )


def fit_arrivals(
    orders: Trades,
    quotes: Quotes,
    *,
    interval_s: float = 1.0,
    block_s: float | None = None,
    replicas: int = 400,
    seed: int = 0,
) -> ArrivalFit:
    """Fit A and kappa by the exact likelihood of an exponential reach seen through the price grid.

    A is orders per second and side. kappa maximises ``sum log(exp(-kappa l) - exp(-kappa h))`` over the
    interval ``[l, h)`` that the grid leaves open for each order, so that neither a half-integer mid nor a
    coarse tick biases it. Standard errors by a block bootstrap in time, inside time-of-day strata: arrivals
    cluster, and Poisson errors are far too small.

    Parameters
    ----------
    orders : Trades
        One row per order (see ``merge_child_fills``), every side known.
    quotes : Quotes
        Best bid and offer.
    interval_s : float
        dt of the first-passage form, s.
    block_s : float, optional
        Block length; by default chosen from the order counts.
    replicas : int
        Bootstrap replicas.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    ArrivalFit

    Examples
    --------
    >>> from calibrig import Instrument
    >>> rng = np.random.default_rng(5)
    >>> x = Instrument(symbol="X", tick_size=1.0, lot_size=1.0)
    >>> n, end = 4_000, 4_000 * 10**9
    >>> quotes = Quotes(time_ns=[0], bid_ticks=[99], bid_lots=[1], ask_ticks=[101], ask_lots=[1], sessions=[[0, end]],
    ...     instrument=x)
    >>> side = rng.choice([-1, 1], n)
    >>> price = 100 + side * np.maximum(np.floor(rng.exponential(1 / 0.8, n)), 1).astype(int)
    >>> orders = Trades(time_ns=np.sort(rng.integers(1, end, n)), price_ticks=price, size_lots=np.ones(n), side=side,
    ...     id=np.arange(n), sessions=[[0, end]], instrument=x)
    >>> fit = fit_arrivals(orders, quotes)
    >>> abs(fit.kappa - 0.8) < 3 * fit.kappa_error, abs(fit.arrival_rate - 0.5) < 3 * fit.arrival_rate_error
    (True, True)
    """
    reach = measure_reach(orders, quotes)
    tick = orders.instrument.tick_size
    seconds = float(np.sum(np.diff(orders.sessions, axis=1))) / 1e9
    if block_s is None:
        block_s = _automatic_block_s(reach.time_ns, orders.sessions)
    block, strata = _assign_blocks(reach.time_ns, orders.sessions, block_s)
    weights = bootstrap_weights(strata, replicas=replicas, generator=np.random.default_rng(seed))
    kept = np.bincount(block, minlength=len(strata)).astype(np.float64)
    lost = len(orders) - len(reach.side)
    scale = len(orders) / len(reach.side) / seconds
    rates, kappas, rate_errors, kappa_errors = [], [], [], []
    for sides in ((1,), (-1,), (1, -1)):
        mine = np.isin(reach.side, sides)
        counts = np.bincount(block[mine], minlength=len(strata)).astype(np.float64)
        rates.append(float(counts.sum()) * scale / len(sides))
        rate_errors.append(float(np.std(weights @ counts, ddof=1)) * scale / len(sides))
        kappa, error = _fit_kappa(reach.intervals()[mine], block[mine], weights)
        kappas.append(2.0 * kappa / tick)
        kappa_errors.append(2.0 * error / tick)
    if not kept.any():
        raise InvalidTicksError("no order falls into a session")
    return ArrivalFit(
        arrival_rate=rates[2],
        arrival_rate_error=rate_errors[2],
        kappa=kappas[2],
        kappa_error=kappa_errors[2],
        arrival_rate_by_side=(rates[0], rates[1]),
        arrival_rate_by_side_error=(rate_errors[0], rate_errors[1]),
        kappa_by_side=(kappas[0], kappas[1]),
        kappa_by_side_error=(kappa_errors[0], kappa_errors[1]),
        touch_share=float(np.mean(reach.at_touch)),
        inside_share=float(np.mean(reach.half_ticks < reach.touch_half_ticks)),
        shape_distance=_measure_shape(reach.intervals(), 0.5 * kappas[2] * tick),
        orders=len(reach.side),
        orders_without_quote=lost,
        block_s=block_s,
        first_passage=fit_first_passage(orders, quotes, interval_s=interval_s),
    )


def _fit_kappa(intervals: Int64Array, block: Int64Array, weights: Float64Array) -> tuple[float, float]:
    """Maximum likelihood and bootstrap error of kappa in half ticks; NaN without orders."""
    if not len(intervals):
        return math.nan, math.nan
    unique, which = np.unique(intervals, axis=0, return_inverse=True)
    table = np.zeros((weights.shape[1], len(unique)))
    np.add.at(table, (block, which.reshape(-1)), 1.0)
    low, width = unique[:, 0].astype(np.float64), (unique[:, 1] - unique[:, 0]).astype(np.float64)
    estimate = _solve_kappa(table.sum(axis=0)[None, :], low, width)
    drawn = np.maximum(weights @ table, 0.0)
    drawn = drawn[drawn.sum(axis=1) > 0.0]  # of a handful of orders a replica may hold none
    if len(drawn) < 2:
        return float(estimate[0]), math.nan
    replicas = _solve_kappa(drawn, low, width)
    return float(estimate[0]), float(np.std(replicas, ddof=1))


def _solve_kappa(counts: Float64Array, low: Float64Array, width: Float64Array) -> Float64Array:
    """Solve the score equation in log kappa for every row of counts by safeguarded Newton.

    The log-likelihood is concave in kappa: sum n (-kappa l + log(1 - exp(-kappa w))).
    """
    total = counts.sum(axis=1)
    lows = counts @ low
    log_kappa = np.log(total / np.maximum(lows + 0.5 * (counts @ width), 1e-300))
    for _ in range(60):
        kappa = np.exp(log_kappa)
        x = np.clip(kappa[:, None] * width, 1e-12, 700.0)
        ratio = x / np.expm1(x)
        score = np.sum(counts * ratio, axis=1) - kappa * lows
        slope = np.sum(counts * ratio * (1.0 - x - ratio), axis=1) - kappa * lows
        step = np.clip(-score / np.minimum(slope, -1e-300), -1.0, 1.0)
        log_kappa = log_kappa + step
        if np.max(np.abs(step)) < 1e-12:
            break
    solution: Float64Array = np.exp(np.minimum(log_kappa, 50.0))
    return solution


def _measure_shape(intervals: Int64Array, kappa: float) -> float:
    """Largest distance of the mean transform from the diagonal; kappa per half tick."""
    unique, counts = np.unique(intervals, axis=0, return_counts=True)
    low, high = -np.expm1(-kappa * unique[:, 0]), -np.expm1(-kappa * unique[:, 1])
    level = np.linspace(0.0, 1.0, 201)[:, None]
    reached = np.clip((level - low) / np.maximum(high - low, 1e-300), 0.0, 1.0)
    return float(np.max(np.abs(reached @ counts / counts.sum() - level[:, 0])))


def _automatic_block_s(time_ns: Int64Array, sessions: Int64Array) -> float:
    """Twice the automatic length for 10 s counts less their time-of-day mean, within [60 s, stratum]."""
    residuals = []
    step = _COUNT_STEP_S * 1e9
    for start_ns, end_ns in sessions:
        bins = max(int((end_ns - start_ns) // step), 1)
        counts, _ = np.histogram(time_ns, bins=bins, range=(start_ns, end_ns))
        for part in np.array_split(counts.astype(np.float64), min(_STRATA, bins)):
            residuals.append(part - part.mean())
    series = np.concatenate(residuals)
    longest = float(np.max(np.diff(sessions, axis=1))) / 1e9 / _STRATA
    chosen = 2.0 * choose_block_length(series) * _COUNT_STEP_S if len(series) >= 8 else longest
    return float(min(max(chosen, 60.0), max(longest, 10.0)))


def _assign_blocks(
    time_ns: Int64Array, sessions: Int64Array, block_s: float
) -> tuple[Int64Array, Int64Array]:
    """Block of each event, and stratum of each block; with few blocks a stratum, all share one."""
    block = np.zeros(len(time_ns), dtype=np.int64)
    strata: list[Int64Array] = []
    offset = 0
    for start_ns, end_ns in sessions:
        blocks = max(round((end_ns - start_ns) / 1e9 / block_s), 1)
        inside = (time_ns >= start_ns) & (time_ns < end_ns)
        position = (time_ns[inside] - start_ns) * blocks // max(end_ns - start_ns, 1)
        block[inside] = offset + np.clip(position, 0, blocks - 1)
        strata.append(np.arange(blocks) * _STRATA // blocks)
        offset += blocks
    stratum = np.concatenate(strata)
    if len(stratum) < 3 * _STRATA:
        stratum = np.zeros_like(stratum)
    return block, stratum


def fit_first_passage(orders: Trades, quotes: Quotes, *, interval_s: float) -> FirstPassage:
    """Fit ``P(D >= d) = 1 - exp(-A exp(-kappa d) dt)`` to the furthest distance of each interval and side.

    D runs from the mid at the start of the interval; intervals without an order reached less than the touch.
    Biased for A and kappa where orders cluster and the mid moves, right for a loop that requotes every dt.

    Parameters
    ----------
    orders, quotes
        As in :func:`fit_arrivals`.
    interval_s : float
        dt, s.

    Returns
    -------
    FirstPassage

    Examples
    --------
    >>> from calibrig import Instrument
    >>> x = Instrument(symbol="X", tick_size=1.0, lot_size=1.0)
    >>> quotes = Quotes(time_ns=[0], bid_ticks=[99], bid_lots=[1], ask_ticks=[101], ask_lots=[1],
    ...     sessions=[[0, 4 * 10**9]], instrument=x)
    >>> orders = Trades(time_ns=[5 * 10**8, 25 * 10**8], price_ticks=[101, 98], size_lots=[1, 1], side=[1, -1],
    ...     id=[0, 1], sessions=[[0, 4 * 10**9]], instrument=x)
    >>> fit_first_passage(orders, quotes, interval_s=1.0).intervals
    8
    """
    bounds = _collect_passages(orders, quotes, interval_s)
    unique, counts = np.unique(bounds, axis=0, return_counts=True)
    low, high = unique[:, 0] / 2.0, unique[:, 1] / 2.0

    def negative(u: Float64Array) -> float:
        rate, kappa = np.exp(np.clip(u, -30.0, 30.0))
        above = np.exp(-rate * interval_s * np.exp(-kappa * high))
        below = np.where(low > 0.0, np.exp(-rate * interval_s * np.exp(-kappa * low)), 0.0)
        return -float(counts @ np.log(np.maximum(above - below, 1e-300)))

    seconds = float(np.sum(np.diff(orders.sessions, axis=1))) / 1e9
    start = np.log([max(len(orders) / seconds / 2.0, 1e-6), 0.5])
    best = minimize(negative, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-6})
    rate, kappa = np.exp(best.x)
    return FirstPassage(
        arrival_rate=float(rate),
        kappa=float(kappa) / orders.instrument.tick_size,
        interval_s=interval_s,
        intervals=len(bounds),
    )


def _collect_passages(orders: Trades, quotes: Quotes, interval_s: float) -> Int64Array:
    """Lower and upper end, in half ticks, of the furthest reach per interval and side."""
    usable = (quotes.bid_ticks > 0) & (quotes.ask_ticks >= quotes.bid_ticks)
    quote_ns = quotes.time_ns[usable]
    bid, ask = quotes.bid_ticks[usable], quotes.ask_ticks[usable]
    step_ns = round(interval_s * 1e9)
    rows = []
    for start_ns, end_ns in orders.sessions:
        starts = np.arange(start_ns, end_ns - step_ns + 1, step_ns)
        at = np.searchsorted(quote_ns, starts, side="right") - 1
        quoted = (at >= 0) & (quote_ns[np.maximum(at, 0)] >= start_ns)
        at = np.maximum(at, 0)
        low, high = np.searchsorted(orders.time_ns, (start_ns, start_ns + step_ns * len(starts)))
        cell = (orders.time_ns[low:high] - start_ns) // step_ns
        for side in (1, -1):
            mine = orders.side[low:high] == side
            reached = np.full(len(starts), np.iinfo(np.int64).min)
            distance = side * (2 * orders.price_ticks[low:high][mine] - (bid + ask)[at][cell[mine]])
            np.maximum.at(reached, cell[mine], distance)
            touch = (ask - bid)[at]
            behind = reached > touch
            stopped = (reached > np.iinfo(np.int64).min) & (reached >= touch) & ~behind
            lower = np.where(behind | stopped, np.maximum(reached, 0), 0)
            upper = np.where(behind | stopped, np.maximum(reached, 0) + 2, np.maximum(touch, 1))
            rows.append(np.column_stack((lower, upper))[quoted])
    return np.concatenate(rows)
