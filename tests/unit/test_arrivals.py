"""Arrivals: known truth on several grids, the traps of half-integer mids, clustering and large ticks."""

from __future__ import annotations

import math

import numpy as np
import pytest

from calibrig import Instrument, Quotes, Trades
from calibrig.calibration.arrivals import fit_arrivals, fit_first_passage, measure_reach
from calibrig.errors import InvalidTicksError

SECOND = 10**9
X = Instrument(symbol="X", tick_size=0.5, lot_size=1.0)


def world(
    seed: int, *, kappa: float, rate: float, seconds: int, spread: int = 1, cluster: float = 0.0
) -> tuple[Trades, Quotes]:
    """Orders of exponential reach (kappa per price unit) around a mid that moves every second.

    ``rate`` is orders per second and side; ``cluster`` is the variance of a gamma-distributed rate per minute.
    """
    rng = np.random.default_rng(seed)
    mid_bid = 1_000 + np.cumsum(rng.integers(-1, 2, seconds))
    quotes = Quotes(
        time_ns=np.arange(seconds) * SECOND,
        bid_ticks=mid_bid,
        bid_lots=np.ones(seconds),
        ask_ticks=mid_bid + spread,
        ask_lots=np.ones(seconds),
        sessions=[[0, seconds * SECOND]],
        instrument=X,
    )
    minutes = seconds // 60
    level = rng.gamma(1 / cluster, cluster, minutes) if cluster else np.ones(minutes)
    counts = rng.poisson(2 * rate * 60 * level)
    time = np.concatenate([m * 60 * SECOND + rng.integers(1, 60 * SECOND, c) for m, c in enumerate(counts)])
    time = np.sort(time)
    side = rng.choice([-1, 1], len(time))
    at = np.searchsorted(quotes.time_ns, time) - 1
    mid = mid_bid[at] + spread / 2
    reach = np.maximum(rng.exponential(1 / (kappa * X.tick_size), len(time)), spread / 2)
    price = np.where(side > 0, np.floor(mid + reach), np.ceil(mid - reach)).astype(np.int64)
    orders = Trades(
        time_ns=time,
        price_ticks=price,
        size_lots=np.ones(len(time)),
        side=side,
        id=np.arange(len(time)),
        sessions=quotes.sessions,
        instrument=X,
    )
    return orders, quotes


@pytest.mark.parametrize(("kappa", "spread"), [(0.5, 1), (1.5, 1), (1.0, 2), (3.0, 1), (0.3, 5)])
def test_kappa_is_unbiased_on_odd_and_even_spreads(kappa: float, spread: int) -> None:
    z = []
    for seed in range(10):
        orders, quotes = world(seed, kappa=kappa, rate=0.5, seconds=3_600, spread=spread)
        fit = fit_arrivals(orders, quotes, seed=seed, replicas=200)
        z.append((fit.kappa - kappa) / fit.kappa_error)
    assert abs(np.mean(z)) < 3.5 / math.sqrt(10)
    assert 0.4 < np.std(z) < 1.9


def test_the_likelihood_is_at_its_maximum() -> None:
    orders, quotes = world(3, kappa=1.0, rate=0.4, seconds=1_200)
    interval = measure_reach(orders, quotes).intervals()

    def log_likelihood(kappa: float) -> float:
        price = interval * X.tick_size / 2
        return float(np.sum(np.log(np.exp(-kappa * price[:, 0]) - np.exp(-kappa * price[:, 1]))))

    best = fit_arrivals(orders, quotes, replicas=10).kappa
    assert log_likelihood(best) > max(log_likelihood(best * 1.0001), log_likelihood(best / 1.0001))


def test_clustering_widens_the_error_of_the_rate() -> None:
    z, ratio = [], []
    for seed in range(16):
        orders, quotes = world(seed, kappa=1.0, rate=0.5, seconds=7_200, cluster=1.0)
        fit = fit_arrivals(orders, quotes, seed=seed, replicas=200)
        z.append((fit.arrival_rate - 0.5) / fit.arrival_rate_error)
        ratio.append(fit.arrival_rate_error / math.sqrt(fit.arrival_rate / 7_200 / 2))
    assert np.median(ratio) > 3.0  # Poisson errors would be this much too small
    assert np.std(z) < 1.7


def test_sides_are_told_apart() -> None:
    orders, quotes = world(5, kappa=1.0, rate=0.5, seconds=7_200)
    keep = (orders.side > 0) | (np.arange(len(orders)) % 2 == 0)
    thinned = Trades(
        time_ns=orders.time_ns[keep],
        price_ticks=orders.price_ticks[keep],
        size_lots=orders.size_lots[keep],
        side=orders.side[keep],
        id=orders.id[keep],
        sessions=orders.sessions,
        instrument=X,
    )
    buy, sell = fit_arrivals(thinned, quotes).arrival_rate_by_side
    assert buy == pytest.approx(2 * sell, rel=0.15)


def test_large_tick_is_named() -> None:
    orders, quotes = world(6, kappa=9.0, rate=0.5, seconds=3_600)
    fit = fit_arrivals(orders, quotes)
    assert fit.touch_share > 0.95
    assert fit.large_tick
    assert not fit_arrivals(*world(6, kappa=1.0, rate=0.5, seconds=3_600)).large_tick


def test_unknown_sides_and_missing_quotes_are_refused() -> None:
    orders, quotes = world(7, kappa=1.0, rate=0.5, seconds=600)
    unsigned = Trades(
        time_ns=orders.time_ns,
        price_ticks=orders.price_ticks,
        size_lots=orders.size_lots,
        side=np.zeros(len(orders)),
        id=orders.id,
        sessions=orders.sessions,
        instrument=X,
    )
    with pytest.raises(InvalidTicksError, match="side 0"):
        fit_arrivals(unsigned, quotes)
    with pytest.raises(InvalidTicksError, match="two-sided quote"):
        fit_arrivals(orders, quotes.between(599 * SECOND, 600 * SECOND).between(0, 1))


def test_first_passage_agrees_with_poisson_orders_and_a_still_mid() -> None:
    # still mid, Poisson arrivals: the interval form is then exact
    rng = np.random.default_rng(8)
    seconds, rate, kappa = 20_000, 0.5, 1.2
    quotes = Quotes(
        time_ns=[0],
        bid_ticks=[999],
        bid_lots=[1],
        ask_ticks=[1_001],
        ask_lots=[1],
        sessions=[[0, seconds * SECOND]],
        instrument=X,
    )
    n = rng.poisson(2 * rate * seconds)
    side = rng.choice([-1, 1], n)
    reach = np.floor(rng.exponential(1 / (kappa * X.tick_size), n))
    orders = Trades(
        time_ns=np.sort(rng.integers(1, seconds * SECOND, n)),
        price_ticks=1_000 + side * reach,  # nearer than the touch: no fill, as an order there would see it
        size_lots=np.ones(n),
        side=side,
        id=np.arange(n),
        sessions=quotes.sessions,
        instrument=X,
    )
    passage = fit_first_passage(orders, quotes, interval_s=1.0)
    assert passage.arrival_rate == pytest.approx(rate, rel=0.05)
    assert passage.kappa == pytest.approx(kappa, rel=0.05)
