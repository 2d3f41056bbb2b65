"""How wild the market is: the volatility signal z and the regime machine with hysteresis.

These are the definitions that the fit and the trading engine share: thresholds fitted on this z mean the same in the
loop (``native/regime.hpp`` is the twin).
"""

from __future__ import annotations

import enum
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from calibrig.errors import InvalidInputError
from calibrig.parameters import RiskParameters

__all__ = [
    "WARM_UP_S",
    "Regime",
    "VolatilityPath",
    "compute_regime_signal",
    "compute_regimes",
    "compute_volatility",
    "regime_multipliers",
]

WARM_UP_S = 60.0
"""Seconds after the first sample of a session in which the volatility is not known and the regime stays NORMAL."""


class Regime(enum.IntEnum):
    """Volatility regime; the number is the row of the multipliers."""

    NORMAL = 0
    ELEVATED = 1
    HIGH_STRESS = 2
    HALTED = 3


class VolatilityPath(NamedTuple):
    """EWMA volatility on the sampling grid of each session.

    Attributes
    ----------
    time_ns : ndarray of int64, shape (n,)
        Sampling times: session start + k * sample, from the second sample with a known mid.
    volatility : ndarray of float64, shape (n,)
        Mid return per sqrt second; NaN while a session warms up.
    session : ndarray of int64, shape (n,)
        Row of the session.
    """

    time_ns: NDArray[np.int64]
    volatility: NDArray[np.float64]
    session: NDArray[np.int64]


def compute_volatility(
    time_ns: NDArray[np.int64],
    mid: NDArray[np.float64],
    sessions: NDArray[np.int64],
    *,
    half_life_s: float = 300.0,
    sample_s: float = 5.0,
) -> VolatilityPath:
    """Return the exponentially weighted volatility of the mid, one value per sampling time.

    The mid in force just before each grid time ``start + k * sample_s`` gives simple returns; their squares over
    ``sample_s`` are averaged with weights ``2 ** (-age / half_life_s)`` (normalised by the sum of weights, so that
    the first minutes are not biased). Each session starts anew; the first ``WARM_UP_S`` seconds are NaN.

    Parameters
    ----------
    time_ns, mid : ndarray, shape (n,)
        Times of the quotes (ns, not decreasing) and the mid after each, any unit (only returns are used).
    sessions : ndarray of int64, shape (s, 2)
        Start and end of each session, ns.

    Examples
    --------
    >>> import numpy as np
    >>> time_ns = np.arange(0, 600, 5, dtype=np.int64) * 10**9 + 1
    >>> mid = 100.0 * 1.001 ** np.cumsum(np.where(np.arange(120) % 2, 1.0, -1.0))
    >>> path = compute_volatility(time_ns, mid, np.array([[0, 600 * 10**9]]))
    >>> round(float(path.volatility[-1]) * 5**0.5, 4)  # every 5-s return is +-0.001
    0.001
    """
    if not (sample_s > 0.0 and half_life_s > 0.0):
        raise InvalidInputError(
            f"sample_s is {sample_s!r}, half_life_s {half_life_s!r}; both must be above 0"
        )
    step_ns = round(sample_s * 1e9)
    decay = math.exp(-math.log(2.0) * sample_s / half_life_s)
    times: list[NDArray[np.int64]] = []
    values: list[NDArray[np.float64]] = []
    rows: list[NDArray[np.int64]] = []
    for row, (start, end) in enumerate(np.asarray(sessions, dtype=np.int64)):
        low, high = np.searchsorted(time_ns, (start, end))
        grid = np.arange(start + step_ns, end, step_ns, dtype=np.int64)
        at = np.searchsorted(time_ns[low:high], grid, side="left") - 1  # strictly before the grid time
        known = at >= 0
        grid, at = grid[known], at[known]
        if len(grid) < 2:
            continue
        sampled = np.asarray(mid[low:high], dtype=np.float64)[at]
        squares = (sampled[1:] / sampled[:-1] - 1.0) ** 2 / sample_s
        volatility = _weighted_root_mean(squares, decay)
        volatility[: math.ceil(WARM_UP_S / sample_s)] = np.nan
        times.append(grid[1:])
        values.append(volatility)
        rows.append(np.full(len(volatility), row, dtype=np.int64))
    if not times:
        return VolatilityPath(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64))
    return VolatilityPath(np.concatenate(times), np.concatenate(values), np.concatenate(rows))


def _weighted_root_mean(squares: NDArray[np.float64], decay: float) -> NDArray[np.float64]:
    result = np.empty(len(squares))
    total = weight = 0.0
    for i, square in enumerate(squares.tolist()):
        total = decay * total + square
        weight = decay * weight + 1.0
        result[i] = math.sqrt(total / weight)
    return result


def compute_regime_signal(
    path: VolatilityPath,
    sessions: NDArray[np.int64],
    medians: tuple[float, ...],
    *,
    fallback: float | None = None,
) -> NDArray[np.float64]:
    """Return z: volatility over its time-of-day median, NaN where the volatility is.

    Parameters
    ----------
    path : VolatilityPath
        From :func:`compute_volatility`.
    sessions : ndarray of int64, shape (s, 2)
        The same sessions; each is divided into ``len(medians)`` equal bins.
    medians : tuple of float
        ``RiskParameters.volatility_medians``; empty = use ``fallback``.
    fallback : float or None
        Typical volatility per sqrt second where there are no medians: ``sigma / sqrt(seconds_per_year)``.

    Examples
    --------
    >>> import numpy as np
    >>> path = VolatilityPath(np.array([10, 90]), np.array([2.0, 2.0]), np.array([0, 0]))
    >>> compute_regime_signal(path, np.array([[0, 100]]), (1.0, 4.0)).tolist()
    [2.0, 0.5]
    """
    if not medians:
        if fallback is None or not fallback > 0.0:
            raise InvalidInputError(
                f"there are no volatility medians and fallback is {fallback!r}; fit the risk parameters, or give a "
                "typical volatility above 0"
            )
        return path.volatility / fallback
    sessions = np.asarray(sessions, dtype=np.int64)
    start, end = sessions[path.session, 0], sessions[path.session, 1]
    bins = np.minimum((path.time_ns - start) * len(medians) // (end - start), len(medians) - 1)
    signal: NDArray[np.float64] = path.volatility / np.asarray(medians)[bins]
    return signal


def compute_regimes(
    time_ns: NDArray[np.int64],
    signal: NDArray[np.float64],
    parameters: RiskParameters,
    *,
    session: NDArray[np.int64] | None = None,
) -> NDArray[np.int8]:
    """Return the regime after each sample: up at once, down one level after a calm stretch, halts end by the clock.

    Level k is entered as soon as z reaches its threshold. It is left downwards, one level at a time, after z has
    stayed below ``hysteresis * threshold`` for ``hysteresis_s``. HALTED (by volatility alone) ends ``halt_s`` after z
    last reached its threshold, at HIGH_STRESS. NaN keeps the level. Each session starts NORMAL.

    Examples
    --------
    >>> import numpy as np
    >>> p = RiskParameters(max_position=1, normal_volatility_threshold=2.0, elevated_volatility_threshold=3.0,
    ...     high_stress_volatility_threshold=5.0, hysteresis_s=10.0)
    >>> z = np.array([1.0, 2.5, 1.9, 1.5, 1.5, 1.5, 1.5])
    >>> compute_regimes(np.arange(7) * 5 * 10**9, z, p).tolist()  # calm only below 0.8 * 2, for 10 s
    [0, 1, 1, 1, 1, 0, 0]
    """
    thresholds = (
        parameters.normal_volatility_threshold,
        parameters.elevated_volatility_threshold,
        parameters.high_stress_volatility_threshold,
    )
    calm_ns, halt_ns = round(parameters.hysteresis_s * 1e9), round(parameters.halt_s * 1e9)
    rows = np.zeros(len(time_ns), np.int64) if session is None else session
    result = np.empty(len(time_ns), np.int8)
    level, calm_since, halted_at, current = 0, -1, 0, -1
    for i, (now, z, row) in enumerate(zip(time_ns.tolist(), signal.tolist(), rows.tolist(), strict=True)):
        if row != current:
            level, calm_since, current = 0, -1, row
        if not math.isnan(z):
            reached = sum(z >= threshold for threshold in thresholds)
            if reached >= level and reached > 0:
                level, calm_since = reached, -1
                halted_at = now if reached == Regime.HALTED else halted_at
            elif level == Regime.HALTED:
                if now - halted_at >= halt_ns:
                    level, calm_since = int(Regime.HIGH_STRESS), -1
            elif level > 0 and z < parameters.hysteresis * thresholds[level - 1]:
                calm_since = now if calm_since < 0 else calm_since
                if now - calm_since >= calm_ns:
                    level, calm_since = level - 1, now
            else:
                calm_since = -1
        result[i] = level
    return result


def regime_multipliers(parameters: RiskParameters) -> tuple[float, float, float, float]:
    """Return the multipliers on position limit and order size, in the order of :class:`Regime`."""
    return (
        parameters.normal_multiplier,
        parameters.elevated_multiplier,
        parameters.high_stress_multiplier,
        parameters.halted_multiplier,
    )
