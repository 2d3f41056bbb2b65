"""How deep a day can go: the largest drawdown of resampled days through the engine, and its far quantile."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibrig.calibration.resampled_days import draw_days
from calibrig.engine import MinuteRows, replay_days
from calibrig.errors import InvalidInputError
from calibrig.parameters import ParameterSet

__all__ = ["DrawdownQuantile", "estimate_quantile", "measure_drawdowns"]

Float64Array = NDArray[np.float64]
Int64Array = NDArray[np.int64]

_BATCH_DAYS = 1_000  # days drawn at a time: their rows take 8 bytes a minute
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


def measure_drawdowns(
    minutes: MinuteRows,
    parameters: ParameterSet,
    *,
    days: int,
    block_minutes: float,
    fill_model: str = "conservative",
    threads: int | None = None,
    seed: int = 0,
) -> tuple[Float64Array, Int64Array]:
    """Run resampled days through the engine and return the largest drawdown of each.

    The days depend on ``seed`` and their number only: other parameters meet the same days, and the first thousand of
    many are those of a thousand.

    Parameters
    ----------
    minutes : MinuteRows
        From :func:`calibrig.calibration.resampled_days.collect_minutes`.
    parameters : ParameterSet
        Quoting and risk are used.
    days : int
        Days to make.
    block_minutes : float
        Mean block of the stationary bootstrap.
    fill_model : str
        Of the venue.
    threads : int, optional
        Default every processor this process may use; the result does not depend on it.
    seed : int
        Of the resampling.

    Returns
    -------
    tuple of ndarray, shape (days,)
        Largest drawdown, price units; and the real day each was made from.
    """
    drawdowns, origins = np.empty(days), np.empty(days, np.int64)
    for batch, start in enumerate(range(0, days, _BATCH_DAYS)):
        count = min(_BATCH_DAYS, days - start)
        generator = np.random.default_rng(seed if batch == 0 else (seed, batch))
        rows, origin = draw_days(minutes, days=count, block_minutes=block_minutes, generator=generator)
        results = replay_days(minutes, rows, parameters, fill_model=fill_model, threads=threads)
        drawdowns[start : start + count] = results.max_drawdown[:, 0]
        origins[start : start + count] = origin
    return drawdowns, origins


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
