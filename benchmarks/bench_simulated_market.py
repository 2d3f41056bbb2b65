"""The simulated market: speed, and over 20 seeds what its ticks say against its truth, in standard errors."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrig.market import MarketData, MarketTruth, Quotes, simulate_market

SEEDS = 20
Array = NDArray[np.float64]


def _mids_at(quotes: Quotes, time_ns: NDArray[np.int64]) -> Array:
    return quotes.mid_ticks()[np.searchsorted(quotes.time_ns, time_ns, side="right") - 1]


def _variance(market: MarketData) -> float:
    grids = [np.arange(a, b, 60 * 10**9) for a, b in market.sessions]
    squares = np.concatenate([np.diff(np.log(_mids_at(market.quotes, grid))) ** 2 for grid in grids])
    return float(squares.mean()) / 60.0 * market.instrument.seconds_per_year


def _kappa(market: MarketData) -> float:
    """Likelihood of an exponential reach censored to the grid, by bisection of its score."""
    trades, quotes = market.trades, market.quotes
    row = np.searchsorted(quotes.time_ns, trades.time_ns, side="left") - 1
    touch = (quotes.ask_ticks - quotes.bid_ticks)[row]
    half = trades.side * (2 * trades.price_ticks - (quotes.bid_ticks + quotes.ask_ticks)[row])
    low = np.where(half <= touch, 0, half).astype(np.float64)
    width = np.maximum(half, touch) + 2.0 - low
    least, most = 1e-4, 2.0
    for _ in range(60):
        middle = 0.5 * (least + most)
        least, most = (
            (middle, most) if np.sum(width / np.expm1(middle * width) - low) > 0 else (least, middle)
        )
    return least * 2.0 / market.instrument.tick_size


def _signal(market: MarketData, truth: MarketTruth) -> tuple[float, float]:
    quotes, h = market.quotes, round(truth.signal_horizon_s * 1e9)
    session = np.searchsorted(market.sessions[:, 0], quotes.time_ns, side="right") - 1
    rows = np.flatnonzero(quotes.time_ns + h < market.sessions[session, 1])
    imbalance = ((quotes.bid_lots - quotes.ask_lots) / (quotes.bid_lots + quotes.ask_lots))[rows]
    move = _mids_at(quotes, quotes.time_ns[rows] + h) - quotes.mid_ticks()[rows]
    c = np.cov(imbalance, move)
    return float(c[0, 1] / c[0, 0]), float(c[0, 1] ** 2 / c[0, 0] / c[1, 1])


def run() -> list[dict[str, Any]]:
    """Simulate and measure; the bias of a figure is its mean over the seeds less the truth, in errors of one run."""
    figures: dict[str, list[float]] = {name: [] for name in ("sigma^2", "kappa", "A", "coefficient", "R^2")}
    speeds = []
    for seed in range(SEEDS):
        started = time.process_time()
        simulated = simulate_market(seed=seed)
        spent = time.process_time() - started
        market, truth = simulated.market, simulated.truth
        speeds.append((len(market.trades) + len(market.quotes)) / spent)
        seconds = float(np.diff(market.sessions, axis=1).sum()) / 1e9
        slope, share = _signal(market, truth)
        for name, found, true in (
            ("sigma^2", _variance(market), truth.sigma**2),
            ("kappa", _kappa(market), truth.kappa),
            ("A", len(market.trades) / 2.0 / seconds, truth.arrival_rate),
            ("coefficient", slope, truth.signal_coefficient_ticks),
            ("R^2", share, truth.signal_r_squared),
        ):
            figures[name].append(found / true - 1.0)
    bias = {name: float(np.mean(v) / np.std(v, ddof=1)) for name, v in figures.items()}
    worst = max(abs(b) for b in bias.values())
    return [
        {
            "claim": "simulating a market (CPU)",
            "value": median(speeds),
            "unit": "events/s",
            "reach": ">= 1,000,000",
            "holds": bool(median(speeds) >= 1e6),
        },
        {
            "claim": f"largest bias of what {SEEDS} simulated markets say against their truth, standard errors of one",
            "value": worst,
            "unit": "SE",
            "reach": f"<= {3.0 / np.sqrt(SEEDS):.2f} (three errors of a mean of {SEEDS})",
            "holds": bool(worst <= 3.0 / np.sqrt(SEEDS)),
            "bias_in_errors": bias,
            "error_of_one_run": {name: float(np.std(v, ddof=1)) for name, v in figures.items()},
        },
    ]
