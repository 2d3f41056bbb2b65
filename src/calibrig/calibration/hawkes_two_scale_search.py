"""How the maximum of the two-scale likelihood is found: damped scoring with the events' own information matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibrig.models.hawkes_events import HawkesEvents
from calibrig.models.hawkes_two_scale import (
    TWO_SCALE_NAMES,
    TwoScaleEvaluation,
    TwoScaleLikelihood,
    search_two_scale_nodes,
)

__all__ = [
    "LINEAR",
    "TwoScaleOptimum",
    "longest_session_s",
    "maximise_two_scale",
    "search_two_scale",
    "two_scale_box",
]

Float64Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

# what the intensity is linear in: everything but fast_s, beta and gamma
LINEAR = np.array([name not in {"fast_s", "beta", "gamma"} for name in TWO_SCALE_NAMES])
_RATIOS = np.array([name[:5] in {"fast_", "slow_"} and name != "fast_s" for name in TWO_SCALE_NAMES])
_DECREMENT = 1e-3
_START_EVENTS = 20_000
_LEAST_EIGENVALUE = 1e-10
_LOWEST_RATIO = -9.0  # log; a ratio there is taken as 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoScaleOptimum:
    """Where a search ended.

    Attributes
    ----------
    u : ndarray, shape (9,)
        The maximum.
    evaluation : TwoScaleEvaluation
        Value, gradient and information there.
    free : ndarray of bool, shape (9,)
        Parameters that were searched and did not end at a ratio of 0 or at a bound.
    absent : tuple of str
        Ratios that ended at 0.
    at_bound : tuple of str
        Other parameters that ended at the box.
    iterations : int
        Steps taken on the full history.
    decrement : float
        Last decrement of the scoring step, nats.
    converged : bool
        Whether it fell below the tolerance.
    """

    u: Float64Array
    evaluation: TwoScaleEvaluation
    free: BoolArray
    absent: tuple[str, ...]
    at_bound: tuple[str, ...]
    iterations: int
    decrement: float
    converged: bool

    def covariance(self) -> Float64Array:
        """Inverse of the information over the free parameters, shape (9, 9); nan elsewhere.

        A direction of which the events say nothing gets a huge variance, not none.
        """
        out = np.full((9, 9), math.nan)
        inner = self.evaluation.information[np.ix_(self.free, self.free)]
        size = np.sqrt(np.maximum(np.diag(inner), 1e-300))
        values, vectors = np.linalg.eigh(inner / np.outer(size, size))
        inverse = (vectors / np.maximum(values, _LEAST_EIGENVALUE)) @ vectors.T / np.outer(size, size)
        out[np.ix_(self.free, self.free)] = inverse
        return out

    def branching(self) -> tuple[float, float]:
        """Branching ratio within the horizon, and its standard error."""
        n = np.where(_RATIOS, np.exp(self.u), 0.0)
        along = np.where(self.free, n, 0.0)
        return float(n.sum()), math.sqrt(max(float(along @ np.nan_to_num(self.covariance()) @ along), 0.0))


def longest_session_s(events: HawkesEvents) -> float:
    """Longest session, s: what the profile spans, so that a cut session counts whole."""
    return float((events.profile_sessions[:, 1] - events.profile_sessions[:, 0]).max()) * 1e-9


def two_scale_box(events: HawkesEvents) -> tuple[Float64Array, Float64Array]:
    """Box of the search in u: time scales from half the clock's step (at least 1 us) to the longest session."""
    rate = math.log(len(events) / (2.0 * events.duration_s))
    shortest = math.log(max(0.5 * events.resolution_ns * 1e-9, 1e-6))
    longest = math.log(longest_session_s(events))
    low = np.array(
        [
            rate - 16.0,
            -8.0,
            _LOWEST_RATIO,
            _LOWEST_RATIO,
            shortest,
            _LOWEST_RATIO,
            _LOWEST_RATIO,
            shortest,
            math.log(0.01),
        ]
    )
    high = np.array([rate + 3.0, 8.0, 0.5, 0.5, longest, 0.5, 0.5, longest, math.log(6.0)])
    return low, high


def maximise_two_scale(
    likelihood: TwoScaleLikelihood,
    start: Float64Array,
    box: tuple[Float64Array, Float64Array],
    *,
    searched: BoolArray | None = None,
    tolerance: float = _DECREMENT,
    max_iterations: int = 80,
) -> TwoScaleOptimum:
    """Climb from a start; with the shape held (``searched`` = LINEAR) the columns are made once."""
    low, high = box
    searched = np.ones(9, dtype=bool) if searched is None else searched
    shape_held = not np.any(searched & ~LINEAR)
    columns = likelihood.columns(start, slopes=False) if shape_held else None
    u = np.clip(start, low, high)
    here = likelihood.evaluate(u, slopes=not shape_held, columns=columns)
    damping, decrement, iterations = 1e-3, math.inf, 0
    while iterations < max_iterations:
        pushed = ((u <= low + 1e-9) & (here.gradient < 0.0)) | ((u >= high - 1e-9) & (here.gradient > 0.0))
        free = searched & ~pushed
        step, decrement = _scoring_step(here, free, damping)
        if decrement < tolerance:
            break
        iterations += 1
        there = np.clip(u + step, low, high)
        tried = likelihood.evaluate(there, slopes=not shape_held, columns=columns)
        if tried.value > here.value:
            u, here, damping = there, tried, damping * 0.2
        elif damping > 1e6:
            break
        else:
            damping = max(10.0 * damping, 1e-4)
    at_low, at_high = u <= low + 1e-6, u >= high - 1e-6
    absent = tuple(name for name, hit in zip(TWO_SCALE_NAMES, at_low & _RATIOS, strict=True) if hit)
    hits = ((at_low & ~_RATIOS) | at_high) & searched
    # the shape of a part that is absent cannot be said, and its bounds say nothing
    fast_gone, slow_gone = bool(at_low[2] and at_low[3]), bool(at_low[5] and at_low[6])
    idle = np.array([False, False, False, False, fast_gone, False, False, slow_gone, slow_gone])
    return TwoScaleOptimum(
        u=u,
        evaluation=here,
        free=searched & ~at_low & ~at_high & ~idle,
        absent=absent,
        at_bound=tuple(name for name, hit in zip(TWO_SCALE_NAMES, hits & ~idle, strict=True) if hit),
        iterations=iterations,
        decrement=decrement,
        converged=decrement < tolerance,
    )


def _scoring_step(here: TwoScaleEvaluation, free: BoolArray, damping: float) -> tuple[Float64Array, float]:
    """Step that climbs, no coordinate by more than 1, and its decrement without damping."""
    step = np.zeros(9)
    if not free.any():
        return step, 0.0
    gradient = here.gradient[free]
    size = np.sqrt(np.maximum(np.diag(here.information)[free], 1e-9))
    values, vectors = np.linalg.eigh(here.information[np.ix_(free, free)] / np.outer(size, size))
    values = np.maximum(values, 1e-9)
    along = vectors.T @ (gradient / size)
    move = (vectors @ (along / (values + damping))) / size
    step[free] = move * min(1.0, 1.0 / max(float(np.abs(move).max()), 1e-300))
    return step, float((along**2 / values).sum())


def search_two_scale(
    events: HawkesEvents,
    *,
    profile: Float64Array,
    threads: int | None,
    start: Float64Array | None = None,
    horizon_s: float | None = None,
    tolerance: float = _DECREMENT,
) -> tuple[TwoScaleOptimum, TwoScaleLikelihood]:
    """Find the maximum: starts on a stretch from the middle, the best of them on the full history.

    Returns the optimum and the likelihood of the full history, its nodes set for the search.
    """
    horizon = longest_session_s(events) if horizon_s is None else horizon_s
    if start is None:
        start = _search_start(_middle(events, _START_EVENTS), profile, horizon, threads)
        if len(events) > 16 * _START_EVENTS // 2:
            eighth = _middle(events, len(events) // 8)
            start = _climb(eighth, start, profile, horizon_s=horizon, threads=threads, tolerance=0.1)[0].u
    optimum, likelihood = _climb(
        events, start, profile, horizon_s=horizon, threads=threads, tolerance=tolerance
    )
    return _polish(likelihood, optimum, tolerance), likelihood


def _polish(likelihood: TwoScaleLikelihood, optimum: TwoScaleOptimum, tolerance: float) -> TwoScaleOptimum:
    """Climb the last of the way on nodes with r = sqrt 2: those with r = 2 show an exponential to 1e-3 only."""
    low, high = two_scale_box(likelihood.events)
    shortest = math.exp(min(optimum.u[4], optimum.u[7]))
    likelihood.prepare(search_two_scale_nodes(likelihood.events, 0.7 * shortest, per_octave=2))
    low[[4, 7]] = np.maximum(low[[4, 7]], math.log(0.7 * shortest))
    finer = maximise_two_scale(likelihood, optimum.u, (low, high), tolerance=tolerance)
    return replace(finer, iterations=optimum.iterations + finer.iterations)


def _middle(events: HawkesEvents, count: int) -> HawkesEvents:
    """Return about `count` consecutive events from the middle, or all where they are few or a session would be empty."""
    if len(events) <= 2 * count:
        return events
    first = (len(events) - count) // 2
    cut = events.window(int(events.time_ns[first]), int(events.time_ns[first + count]))
    inside = np.diff(np.searchsorted(cut.time_ns, cut.sessions[:, 1]), prepend=0)
    return cut if np.all(inside > 0) else events


def _climb(
    events: HawkesEvents,
    start: Float64Array,
    profile: Float64Array,
    *,
    horizon_s: float,
    threads: int | None,
    tolerance: float,
) -> tuple[TwoScaleOptimum, TwoScaleLikelihood]:
    """Climb on these events; nodes reach down to a tenth of the shorter time scale of the start."""
    low, high = two_scale_box(events)
    shown = max(math.exp(low[4]), 0.1 * math.exp(min(start[4], start[7])))
    likelihood = TwoScaleLikelihood(events, horizon_s=horizon_s, profile=profile, threads=threads)
    likelihood.prepare(search_two_scale_nodes(events, shown))
    low[[4, 7]] = math.log(shown)
    optimum = maximise_two_scale(likelihood, start, (low, high), tolerance=tolerance)
    return optimum, likelihood


def _search_start(
    window: HawkesEvents, profile: Float64Array, horizon_s: float, threads: int | None
) -> Float64Array:
    """Best end of a few starts: the fast part from the short gaps, the slow one beyond."""
    box = two_scale_box(window)
    likelihood = TwoScaleLikelihood(window, horizon_s=horizon_s, profile=profile, threads=threads)
    likelihood.prepare(search_two_scale_nodes(window, math.exp(box[0][4])))
    buys, sells = window.count_sides()
    rate = len(window) / (2.0 * window.duration_s)
    tilt = 0.5 * math.log(max(buys, 1) / max(sells, 1))
    gaps = np.diff(window.time_ns) * 1e-9
    step = window.resolution_ns * 1e-9
    short = max(float(np.quantile(gaps, 0.2)), 3.0 * step, 2e-6)
    best: TwoScaleOptimum | None = None
    for fast_s, beta in ((short, 10.0 * short), (0.1 * short, short), (short, 1.0 / rate)):
        guess = np.array(
            [
                math.log(0.3 * rate), tilt, math.log(0.3), math.log(0.05), math.log(max(fast_s, 3.0 * step)),
                math.log(0.3), math.log(0.05), math.log(beta), math.log(0.4),
            ]
        )  # fmt: skip
        found = maximise_two_scale(likelihood, guess, box, tolerance=0.1, max_iterations=40)
        if best is None or found.evaluation.value > best.evaluation.value:
            best = found
    assert best is not None
    return best.u
