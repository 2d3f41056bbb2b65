"""How to resample dependent data: stationary bootstrap, automatic block length, strata of the day."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from calibrig.errors import InvalidInputError

__all__ = [
    "bootstrap_weights",
    "choose_block_length",
    "compute_long_run_variance",
    "resample_stationary",
]

Float64Array = NDArray[np.float64]
Int64Array = NDArray[np.int64]


def resample_stationary(
    length: int, *, block_length: float, paths: int, generator: np.random.Generator, rows: int | None = None
) -> Int64Array:
    """Draw row numbers by the stationary bootstrap (Politis, Romano 1994).

    Blocks start anywhere with equal chance and have geometric lengths of mean ``block_length``; the data is
    taken as a circle, so every row is equally likely.

    Parameters
    ----------
    length : int
        Rows of the data; at least 1.
    block_length : float
        Mean block length, rows; at least 1.
    paths : int
        Paths to draw.
    generator : numpy.random.Generator
        Source of randomness.
    rows : int, optional
        Rows of one path; default ``length``.

    Returns
    -------
    ndarray of int64, shape (paths, rows)

    Examples
    --------
    >>> rows = resample_stationary(5, block_length=2.0, paths=3, generator=np.random.default_rng(0))
    >>> rows.shape
    (3, 5)
    """
    if length < 1 or block_length < 1.0:
        raise InvalidInputError(
            f"stationary bootstrap of {length} rows in blocks of {block_length:g}: both must be at least 1"
        )
    rows = length if rows is None else rows
    fresh = generator.random((paths, rows)) < 1.0 / block_length
    fresh[:, 0] = True
    starts = generator.integers(0, length, size=(paths, rows))
    position = np.arange(rows)
    begun = np.maximum.accumulate(np.where(fresh, position, 0), axis=1)
    drawn: Int64Array = (np.take_along_axis(starts, begun, axis=1) + position - begun) % length
    return drawn


def choose_block_length(series: Float64Array) -> float:
    """Choose the mean block length of the stationary bootstrap from the data.

    The rule of Politis and White (2004) with the correction of Patton, Politis and White (2009):
    ``(2 G^2 / D)^(1/3) n^(1/3)``, with flat-top lag windows for ``G`` and ``D = 2 g(0)^2``.

    Parameters
    ----------
    series : ndarray of float64, shape (n,)
        Stationary series; at least 8 values.

    Returns
    -------
    float
        Rows; at least 1, at most ``min(3 sqrt n, n/3)``.

    Examples
    --------
    >>> noise = np.random.default_rng(1).standard_normal(1000)
    >>> choose_block_length(noise) < 5.0
    True
    """
    n = len(series)
    if n < 8:
        raise InvalidInputError(f"a block length from {n} values is not possible; give at least 8")
    centred = series - series.mean()
    variance = float(centred @ centred) / n
    if variance <= 0.0:
        return 1.0
    quiet = max(5, math.ceil(math.sqrt(math.log10(n))))
    most = min(n - 1, math.ceil(math.sqrt(n)) + quiet)
    covariance = np.array([float(centred[: n - k] @ centred[k:]) / n for k in range(most + 1)])
    small = np.abs(covariance[1:] / variance) < 2.0 * math.sqrt(math.log10(n) / n)
    cut = _first_quiet_lag(small, quiet)
    width = min(2 * max(cut, 1), most)
    lags = np.arange(-width, width + 1)
    window = np.clip(2.0 * (1.0 - np.abs(lags) / width), 0.0, 1.0)
    weighted = window * covariance[np.abs(lags)]
    slope, level = float(np.abs(lags) @ weighted), float(weighted.sum())
    if level <= 0.0:
        return 1.0
    best = (slope**2 / level**2) ** (1.0 / 3.0) * n ** (1.0 / 3.0)
    return float(min(max(best, 1.0), math.ceil(min(3.0 * math.sqrt(n), n / 3.0))))


def _first_quiet_lag(small: NDArray[np.bool_], quiet: int) -> int:
    runs = np.convolve(small.astype(np.int64), np.ones(quiet, dtype=np.int64), mode="valid")
    first = np.flatnonzero(runs == quiet)
    if len(first):
        return int(first[0])
    loud = np.flatnonzero(~small)
    return int(loud[-1]) + 1 if len(loud) else 0


def compute_long_run_variance(series: Float64Array, *, lags: int) -> float:
    """Return the variance of the mean times n, with Bartlett weights (Newey, West 1987).

    Examples
    --------
    >>> round(compute_long_run_variance(np.array([1.0, -1.0, 1.0, -1.0]), lags=0), 6)
    1.0
    """
    n = len(series)
    centred = series - series.mean()
    total = float(centred @ centred) / n
    for lag in range(1, min(lags, n - 1) + 1):
        total += 2.0 * (1.0 - lag / (lags + 1.0)) * float(centred[:-lag] @ centred[lag:]) / n
    return max(total, 0.0)


def bootstrap_weights(
    strata: Int64Array, *, replicas: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Draw how often each block counts in each replica, resampling inside strata.

    A market's day has a shape. Blocks resampled over the whole day would take that shape for noise; blocks
    resampled inside their time-of-day stratum do not. Deviations are widened by ``sqrt(m / (m - 1))`` for a
    stratum of m blocks, since m blocks around their own mean vary too little.

    Parameters
    ----------
    strata : ndarray of int64, shape (blocks,)
        Stratum of each block.
    replicas : int
        Replicas.
    generator : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of float64, shape (replicas, blocks)
        Weights with mean 1; a stratum of one block has weight 1 throughout.

    Examples
    --------
    >>> w = bootstrap_weights(np.array([0, 0, 1]), replicas=4, generator=np.random.default_rng(0))
    >>> w.shape, [float(x) for x in w[:, 2]]
    ((4, 3), [1.0, 1.0, 1.0, 1.0])
    """
    weights = np.ones((replicas, len(strata)))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        m = len(members)
        if m > 1:
            counts = generator.multinomial(m, np.full(m, 1.0 / m), size=replicas)
            weights[:, members] = 1.0 + (counts - 1.0) * math.sqrt(m / (m - 1.0))
    return weights
