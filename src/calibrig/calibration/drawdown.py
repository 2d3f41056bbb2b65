"""How deep a day can go: the largest drawdown of resampled days through the engine, and its far quantile."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibrig.calibration.resampled_days import MinuteRows, assemble_days
from calibrig.engine import PreTradeLimits, replay
from calibrig.errors import InvalidInputError
from calibrig.parameters import ParameterSet

__all__ = ["DrawdownQuantile", "estimate_quantile", "replay_days"]

Float64Array = NDArray[np.float64]
Int64Array = NDArray[np.int64]

_BATCH_MINUTES = 40_000
_TAIL = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawdownQuantile:
    """A far quantile of the largest drawdown of a day, twice.

    Attributes
    ----------
    quantile, lower, upper : float
        Empirical, with the 95 % interval of resampling days and paths, price units.
    tail_quantile, tail_lower, tail_upper : float
        By a generalised Pareto tail above the 90 % quantile, likewise.
    level : float
        0.999.
    paths, days : int
        Paths, and real days they were made from.
    """

    quantile: float
    lower: float
    upper: float
    tail_quantile: float
    tail_lower: float
    tail_upper: float
    level: float
    paths: int
    days: int

    @property
    def bound(self) -> float:
        """The larger of the two upper ends: what a limit is judged by."""
        return max(self.upper, self.tail_upper)


def replay_days(
    minutes: MinuteRows,
    rows: Int64Array,
    parameters: ParameterSet,
    *,
    fill_model: str = "conservative",
    limits: PreTradeLimits | None = None,
) -> tuple[Float64Array, Float64Array]:
    """Run resampled days through the engine, in batches.

    Returns
    -------
    tuple of ndarray of float64, shape (days,)
        Largest drawdown and net result of each day, price units.
    """
    size = max(_BATCH_MINUTES // rows.shape[1], 1)
    drawdowns, results = [], []
    for start in range(0, len(rows), size):
        market = assemble_days(minutes, rows[start : start + size])
        run = replay(market, parameters, fill_model=fill_model, limits=limits, sample_s=86_400.0)
        drawdowns.append(run.sessions["max_drawdown"])
        results.append(run.sessions["pnl"])
    return np.concatenate(drawdowns), np.concatenate(results)


def estimate_quantile(
    drawdowns: Float64Array, day: Int64Array, *, level: float = 0.999, replicas: int = 300, seed: int = 0
) -> DrawdownQuantile:
    """Estimate a far quantile with its interval: days are resampled, then the paths made from them.

    Parameters
    ----------
    drawdowns : ndarray of float64, shape (paths,)
        Largest drawdown of each path.
    day : ndarray of int64, shape (paths,)
        The real day each path was made from.
    level : float
        Quantile.
    replicas, seed : int
        Bootstrap.

    Returns
    -------
    DrawdownQuantile

    Examples
    --------
    >>> losses = np.random.default_rng(0).exponential(1.0, 20_000)
    >>> found = estimate_quantile(losses, np.arange(20_000) % 40)
    >>> bool(found.lower < np.log(1000) < found.upper)  # the exact quantile is ln 1000
    True
    """
    paths = len(drawdowns)
    if paths < 100:
        raise InvalidInputError(f"{paths} paths cannot show a quantile of {level:g}; give at least 100")
    generator = np.random.default_rng(seed)
    groups = [drawdowns[day == d] for d in np.unique(day)]
    plain, tails = np.empty(replicas), np.empty(replicas)
    for row in range(replicas):
        picked = generator.integers(0, len(groups), len(groups))
        sample = np.concatenate([generator.choice(groups[g], len(groups[g])) for g in picked])
        plain[row], tails[row] = np.quantile(sample, level), fit_tail_quantile(sample, level=level)
    lower, upper = np.quantile(plain, (0.025, 0.975))
    tail_lower, tail_upper = np.quantile(tails, (0.025, 0.975))
    return DrawdownQuantile(
        quantile=float(np.quantile(drawdowns, level)),
        lower=float(lower),
        upper=float(upper),
        tail_quantile=fit_tail_quantile(drawdowns, level=level),
        tail_lower=float(tail_lower),
        tail_upper=float(tail_upper),
        level=level,
        paths=paths,
        days=len(groups),
    )


def fit_tail_quantile(values: Float64Array, *, level: float) -> float:
    """Return a quantile by peaks over the 90 % threshold: generalised Pareto by probability-weighted moments.

    Hosking and Wallis (1987): with a0 the mean excess and a1 the mean of (1 - p) x, shape
    ``2 - a0 / (a0 - 2 a1)`` and scale ``2 a0 a1 / (a0 - 2 a1)`` (shape here with the sign that makes heavy tails
    positive).

    Examples
    --------
    >>> u = (np.arange(100_000) + 0.5) / 100_000
    >>> pareto = ((1 - u) ** -0.2 - 1) / 0.2  # shape 0.2, scale 1: its quantile is known
    >>> abs(fit_tail_quantile(pareto, level=0.999) / ((0.001**-0.2 - 1) / 0.2) - 1) < 0.01
    True
    """
    threshold = float(np.quantile(values, 1.0 - _TAIL))
    excess = np.sort(values[values > threshold]) - threshold
    n = len(excess)
    if n < 10 or excess[-1] <= 0.0:
        return float(np.quantile(values, level))
    weight = 1.0 - (np.arange(1, n + 1) - 0.35) / n
    first, second = float(excess.mean()), float(np.mean(weight * excess))
    gap = first - 2.0 * second
    if gap <= 0.0:
        return float(np.quantile(values, level))
    shape = min(2.0 - first / gap, 0.9)
    scale = 2.0 * first * second / gap
    ratio = n / len(values) / (1.0 - level)
    if abs(shape) < 1e-9:
        return threshold + scale * math.log(ratio)
    return float(threshold + scale / shape * (ratio**shape - 1.0))
