"""Fewer points, same picture: each bucket keeps its first, lowest, highest and last point."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

__all__ = ["downsample"]

Float64Array = NDArray[np.float64]


def downsample(x: Float64Array, y: Float64Array, *, points: int = 600) -> tuple[Float64Array, Float64Array]:
    """Return at most about ``points`` of the points of a line, extremes kept.

    Parameters
    ----------
    x, y : ndarray of float64, shape (n,)
        The line, x not decreasing; y may hold NaN (a gap).
    points : int
        Upper bound of what is returned, at least 8.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.zeros(10_000); y[5_000] = 1.0
    >>> x2, y2 = downsample(np.arange(10_000.0), y, points=100)
    >>> len(y2) <= 100, float(y2.max())
    (True, 1.0)
    """
    n = len(x)
    if n <= points:
        return x, y
    edges = np.linspace(0, n, max(2, points // 4) + 1).astype(np.int64)
    kept: list[int] = []
    for low, high in itertools.pairwise(edges):
        part = y[low:high]
        kept.append(int(low))
        if np.isfinite(part).any():
            kept.extend(sorted((int(low + np.nanargmin(part)), int(low + np.nanargmax(part)))))
        kept.append(int(high - 1))
    index = np.unique(kept)
    return x[index], y[index]
