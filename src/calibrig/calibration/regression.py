"""Linear regression on dependent rows: ridge by purged folds, errors by time blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from calibrig.calibration.blocks import resample_stationary

__all__ = [
    "Skill",
    "Slope",
    "assign_time_blocks",
    "fit_ridge",
    "fit_ridge_path",
    "fit_slope",
    "measure_skill",
    "slope_errors",
]

Float64Array = NDArray[np.float64]
Int64Array = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    """Held-out skill of predictions, with block-bootstrap errors and 95 % intervals.

    Attributes
    ----------
    r_squared, r_squared_error : float
        ``1 - SSE / SST`` against the training mean.
    r_squared_interval : tuple of float
        2.5 % and 97.5 % bootstrap quantiles.
    rank_correlation, rank_correlation_error : float
        Spearman.
    rank_correlation_interval : tuple of float
        Likewise.
    rows, blocks : int
        Test rows, and time blocks they were resampled in.
    """

    r_squared: float
    r_squared_error: float
    r_squared_interval: tuple[float, float]
    rank_correlation: float
    rank_correlation_error: float
    rank_correlation_interval: tuple[float, float]
    rows: int
    blocks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """Regression of one variable on another, with errors that allow overlapping targets.

    Attributes
    ----------
    coefficient, coefficient_error, intercept, r_squared, r_squared_error : float
        Errors by a block bootstrap.
    rows : int
        Rows used.
    """

    coefficient: float
    coefficient_error: float
    intercept: float
    r_squared: float
    r_squared_error: float
    rows: int


def assign_time_blocks(time_ns: Int64Array, session: Int64Array, *, block_s: float) -> Int64Array:
    """Number consecutive time blocks of ``block_s``, none across two sessions; empty ones are skipped.

    Examples
    --------
    >>> assign_time_blocks(np.array([0, 1, 5, 9]) * 10**9, np.array([0, 0, 0, 1]), block_s=4.0).tolist()
    [0, 0, 1, 2]
    """
    key = time_ns // round(block_s * 1e9)
    fresh = np.concatenate(([False], (np.diff(key) != 0) | (np.diff(session) != 0)))
    return np.cumsum(fresh)


def fit_ridge(design: Float64Array, target: Float64Array, *, penalty: float) -> tuple[Float64Array, float]:
    """Return coefficients and intercept of ``|y - a - X b|^2 / n + penalty |b|^2``.

    Examples
    --------
    >>> x = np.array([[-1.0], [1.0], [-1.0], [1.0]])
    >>> b, a = fit_ridge(x, 2.0 * x[:, 0] + 3.0, penalty=1.0)
    >>> b.tolist(), a
    ([1.0], 3.0)
    """
    slopes, intercepts = fit_ridge_path(design, target[:, None], penalties=(penalty,))
    return slopes[0][:, 0], float(intercepts[0][0])


def fit_ridge_path(
    design: Float64Array, targets: Float64Array, *, penalties: Sequence[float]
) -> tuple[list[Float64Array], list[Float64Array]]:
    """Fit several targets at several penalties with one pass over the rows.

    Returns
    -------
    tuple of lists
        Per penalty: coefficients of shape (width, targets) and intercepts of shape (targets,).

    Examples
    --------
    >>> x = np.array([[-1.0], [1.0]])
    >>> slopes, _ = fit_ridge_path(x, 2.0 * x, penalties=(0.0, 1.0))
    >>> [float(s[0, 0]) for s in slopes]
    [2.0, 1.0]
    """
    n, width = design.shape
    mean, target_mean = design.mean(axis=0), targets.mean(axis=0)
    gram = design.T @ design / n - np.outer(mean, mean)
    cross = design.T @ targets / n - np.outer(mean, target_mean)
    slopes = [np.linalg.lstsq(gram + p * np.eye(width), cross, rcond=1e-10)[0] for p in penalties]
    return slopes, [target_mean - mean @ slope for slope in slopes]


def slope_errors(
    design: Float64Array, residual: Float64Array, block: Int64Array, *, penalty: float
) -> Float64Array:
    """Return standard errors of ridge coefficients by the block sandwich.

    Scores are summed inside time blocks, so overlap and autocorrelation within a block are in the error
    (Liang, Zeger 1986; the fixed-block form of Newey, West 1987).

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> x, e = rng.standard_normal((4000, 1)), rng.standard_normal(4000)
    >>> error = slope_errors(x, e, np.arange(4000) // 20, penalty=0.0)[0]
    >>> bool(abs(error * 4000**0.5 - 1.0) < 0.15)  # sd(e) / (sd(x) sqrt n)
    True
    """
    n, width = design.shape
    centred = design - design.mean(axis=0)
    blocks = int(block[-1]) + 1
    scores = np.zeros((blocks, width))
    for column in range(width):
        scores[:, column] = np.bincount(block, weights=centred[:, column] * residual, minlength=blocks)
    bread = np.linalg.pinv(centred.T @ centred + n * penalty * np.eye(width), rcond=1e-10)
    meat = scores.T @ scores * blocks / max(blocks - 1, 1)
    errors: Float64Array = np.sqrt(np.maximum(np.diag(bread @ meat @ bread), 0.0))
    return errors


def measure_skill(
    prediction: Float64Array,
    target: Float64Array,
    block: Int64Array,
    *,
    benchmark: float,
    replicas: int,
    generator: np.random.Generator,
) -> Skill:
    """Measure R^2 against a constant, and rank correlation, with block-bootstrap errors.

    Parameters
    ----------
    prediction, target : ndarray of float64, shape (n,)
        Held-out rows in time order.
    block : ndarray of int64, shape (n,)
        Time block of each row.
    benchmark : float
        The constant: the training mean.
    replicas : int
        Bootstrap replicas.
    generator : numpy.random.Generator
        Source of randomness.

    Examples
    --------
    >>> y = np.random.default_rng(0).standard_normal(3000)
    >>> skill = measure_skill(0.5 * y, y, np.arange(3000) // 10, benchmark=0.0, replicas=100,
    ...     generator=np.random.default_rng(1))
    >>> round(skill.r_squared, 6), round(skill.rank_correlation, 6)
    (0.75, 1.0)
    """
    blocks = int(block[-1]) + 1

    def total(values: Float64Array) -> Float64Array:
        sums: Float64Array = np.bincount(block, weights=values, minlength=blocks).astype(np.float64)
        return sums

    ranks_p, ranks_t = rankdata(prediction), rankdata(target)
    centre = (len(target) + 1) / 2.0
    ranks_p, ranks_t = (ranks_p - centre) / len(target), (ranks_t - centre) / len(target)
    sums = np.column_stack(
        (
            total((target - prediction) ** 2),
            total((target - benchmark) ** 2),
            total(ranks_p * ranks_t),
            total(ranks_p**2),
            total(ranks_t**2),
        )
    )
    drawn = resample_stationary(blocks, block_length=min(3.0, blocks), paths=replicas, generator=generator)
    r_squared, rank = _skill_of(sums.sum(axis=0)[None, :])
    all_r, all_rank = _skill_of(sums[drawn].sum(axis=1))
    return Skill(
        r_squared=float(r_squared[0]),
        r_squared_error=float(np.std(all_r, ddof=1)),
        r_squared_interval=_interval(all_r),
        rank_correlation=float(rank[0]),
        rank_correlation_error=float(np.std(all_rank, ddof=1)),
        rank_correlation_interval=_interval(all_rank),
        rows=len(target),
        blocks=blocks,
    )


def _skill_of(sums: Float64Array) -> tuple[Float64Array, Float64Array]:
    with np.errstate(invalid="ignore", divide="ignore"):
        r_squared = np.where(sums[:, 1] > 0.0, 1.0 - sums[:, 0] / sums[:, 1], 0.0)
        scale = np.sqrt(sums[:, 3] * sums[:, 4])
        rank = np.where(scale > 0.0, sums[:, 2] / scale, 0.0)
    return r_squared, rank


def _interval(values: Float64Array) -> tuple[float, float]:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def fit_slope(
    x: Float64Array,
    y: Float64Array,
    block: Int64Array,
    *,
    replicas: int,
    generator: np.random.Generator,
) -> Slope:
    """Regress y on x with an intercept; errors by resampling time blocks.

    Examples
    --------
    >>> rng = np.random.default_rng(4)
    >>> x = rng.standard_normal(5000)
    >>> slope = fit_slope(x, 0.5 * x + rng.standard_normal(5000), np.arange(5000) // 10, replicas=200, generator=rng)
    >>> abs(slope.coefficient - 0.5) < 3 * slope.coefficient_error, abs(slope.r_squared - 0.2) < 3 * slope.r_squared_error
    (True, True)
    """
    blocks = int(block[-1]) + 1
    columns = (np.ones_like(x), x, y, x * x, x * y, y * y)
    sums = np.column_stack([np.bincount(block, weights=c, minlength=blocks) for c in columns])
    drawn = resample_stationary(blocks, block_length=min(2.0, blocks), paths=replicas, generator=generator)
    slope, intercept, r_squared = _slope_of(sums.sum(axis=0)[None, :])
    slopes, _, r_squares = _slope_of(sums[drawn].sum(axis=1))
    return Slope(
        coefficient=float(slope[0]),
        coefficient_error=float(np.std(slopes, ddof=1)),
        intercept=float(intercept[0]),
        r_squared=float(r_squared[0]),
        r_squared_error=float(np.std(r_squares, ddof=1)),
        rows=len(x),
    )


def _slope_of(sums: Float64Array) -> tuple[Float64Array, Float64Array, Float64Array]:
    n, mean_x, mean_y = sums[:, 0], sums[:, 1] / sums[:, 0], sums[:, 2] / sums[:, 0]
    xx = sums[:, 3] / n - mean_x**2
    xy = sums[:, 4] / n - mean_x * mean_y
    yy = sums[:, 5] / n - mean_y**2
    slope = xy / np.maximum(xx, math.ulp(0.0))
    r_squared = xy**2 / np.maximum(xx * yy, math.ulp(0.0))
    return slope, mean_y - slope * mean_x, r_squared
