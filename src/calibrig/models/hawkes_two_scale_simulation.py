"""Simulate the Hawkes process with two time scales: immigrants, and their descendants generation by generation."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibrig.errors import InvalidInputError, InvalidParametersError
from calibrig.models.hawkes import check_sessions
from calibrig.parameters.hawkes_two_scale import TwoScaleParameters

__all__ = ["simulate_two_scale_hawkes"]

Float64Array = NDArray[np.float64]
Int8Array = NDArray[np.int8]


def simulate_two_scale_hawkes(
    parameters: TwoScaleParameters,
    *,
    sessions: ArrayLike | None = None,
    seed: int,
    max_events: int = 50_000_000,
) -> tuple[NDArray[np.int64], Int8Array]:
    """Simulate by the branching form (Hawkes, Oakes 1974), level 1; each session starts with no memory.

    Parameters
    ----------
    parameters : TwoScaleParameters
        The process; its branching ratio must be below 1 and its horizon no shorter than the sessions.
    sessions : array of int64, shape (s, 2), optional
        Start and end of each session, ns; default one session of 6.5 hours that starts at 0.
    seed : int
        0 or more.
    max_events : int
        Refuse to make more.

    Returns
    -------
    time_ns : ndarray of int64, shape (n,)
        Event times, not decreasing.
    side : ndarray of int8, shape (n,)
        +1 buy, -1 sell.

    Raises
    ------
    InvalidParametersError
        If the branching ratio is 1 or more.
    InvalidInputError
        If a session is longer than the horizon, or too many events come out.

    Examples
    --------
    >>> p = TwoScaleParameters(fast_self=0.3, fast_cross=0.1, fast_s=0.01, slow_self=0.3, slow_cross=0.1, beta=0.1,
    ...     gamma=1.5, horizon_s=3_600.0, lambda_base=1.0)
    >>> time_ns, side = simulate_two_scale_hawkes(p, sessions=[(0, 3_600 * 10**9)], seed=7)
    >>> bool(25_000 < len(time_ns) < 45_000)  # 2 * 3600 / (1 - 0.8) = 36,000, less what the close cuts off
    True
    """
    p = parameters
    if p.branching_ratio >= 1.0:
        raise InvalidParametersError(
            f"branching_ratio is {p.branching_ratio:.4g}; a process that does not explode needs less than 1: "
            "lower fast_self, fast_cross, slow_self or slow_cross"
        )
    spans = check_sessions(sessions, default=(0, int(min(23_400.0, p.horizon_s) * 1e9)))
    longest = float((spans[:, 1] - spans[:, 0]).max()) * 1e-9
    if longest > p.horizon_s * (1.0 + 1e-9):
        raise InvalidInputError(
            f"a session lasts {longest:g} s, beyond horizon_s = {p.horizon_s:g}; give shorter sessions"
        )
    rate = 2.0 * p.lambda_base * math.cosh(p.asymmetry)
    _check_count(rate * float((spans[:, 1] - spans[:, 0]).sum()) * 1e-9, max_events)
    rng = np.random.default_rng(seed)
    times: list[NDArray[np.int64]] = []
    sides: list[Int8Array] = []
    count = 0
    for start, end in spans.tolist():
        length_s = (end - start) * 1e-9
        at, side = _immigrants(p, length_s, rng)
        every, every_side = [at], [side]
        while len(at):
            at, side = _children(p, at, side, length_s, rng)
            every.append(at)
            every_side.append(side)
            count += len(at)
            _check_count(count, max_events)
        joined, joined_side = np.concatenate(every), np.concatenate(every_side)
        order = np.argsort(joined, kind="stable")
        times.append(np.minimum(start + (joined[order] * 1e9).astype(np.int64), end - 1))
        sides.append(joined_side[order])
    return np.concatenate(times), np.concatenate(sides)


def _check_count(count: float, max_events: int) -> None:
    if count > max_events:
        raise InvalidInputError(
            f"the simulation makes more than max_events = {max_events} events; shorten the sessions or raise it"
        )


def _immigrants(
    p: TwoScaleParameters, length_s: float, rng: np.random.Generator
) -> tuple[Float64Array, Int8Array]:
    bins = len(p.profile)
    at, side = [], []
    for sign in (1, -1):
        mean = p.lambda_base * math.exp(sign * p.asymmetry) * length_s / bins
        counts = rng.poisson(mean * np.asarray(p.profile))
        bin_ = np.repeat(np.arange(bins), counts)
        at.append((bin_ + rng.random(len(bin_))) * (length_s / bins))
        side.append(np.full(len(bin_), sign, dtype=np.int8))
    return np.concatenate(at), np.concatenate(side)


def _children(
    p: TwoScaleParameters, at: Float64Array, side: Int8Array, length_s: float, rng: np.random.Generator
) -> tuple[Float64Array, Int8Array]:
    """Return the direct children of all events that fall inside the session."""
    g = p.gamma - 1.0
    beyond = (1.0 + p.horizon_s / p.beta) ** -g
    times, sides = [], []
    for ratio, sign, slow in (
        (p.fast_self, 1, False),
        (p.fast_cross, -1, False),
        (p.slow_self, 1, True),
        (p.slow_cross, -1, True),
    ):
        parent = np.repeat(np.arange(len(at)), rng.poisson(ratio, len(at)))
        if slow:  # inverse of the distribution of delays up to the horizon
            left = 1.0 - rng.random(len(parent)) * (1.0 - beyond)
            delay = p.beta * (left ** (-1.0 / g) - 1.0)
        else:
            delay = rng.exponential(p.fast_s, len(parent))
        time = at[parent] + delay
        keep = time < length_s
        times.append(time[keep])
        sides.append((side[parent][keep] * sign).astype(np.int8))
    return np.concatenate(times), np.concatenate(sides)
