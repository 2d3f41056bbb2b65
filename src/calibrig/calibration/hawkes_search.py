"""How the Hawkes maximum is found: damped Newton with the analytic Hessian, several starts, growing histories."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibrig.models.hawkes_events import HawkesEvents
from calibrig.models.hawkes_nodes import NodeSet, choose_nodes
from calibrig.models.hawkes_passes import Evaluation, HawkesLikelihood, Kernel, precise_nodes

__all__ = ["SEARCH_NAMES", "Bounds", "Optimum", "maximise", "search_bounds", "search_nodes", "search_optimum"]

Float64Array = NDArray[np.float64]

SEARCH_NAMES = ("lambda_base", "n_self", "n_cross", "beta", "gamma", "asymmetry")
_DECREMENT = 1e-4
_START_DECREMENT = 0.1  # of short stretches: a third of their own standard error
_START_ITERATIONS = 12
_START_EVENTS = 10_000
_ITERATIONS = 60
_EVENTS_FOR_THREADS = 20_000  # starting a thread costs as much as a pass over some thousand events
_GROWTH = 10  # from one stretch to the next
# A full Newton step from decrement d leaves about C d^2; C times the number of events was 10 to 3,700 on simulated
# data (power laws of five shapes, an exponential). Known only to this factor, so the step's own record counts too.
_QUADRATIC = 4_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Box of the search in u; reaching it is reported, never hidden."""

    low: Float64Array
    high: Float64Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimum:
    """Where a search ended.

    Attributes
    ----------
    u : ndarray, shape (6,)
        The maximum.
    evaluation : Evaluation
        Value, gradient and Hessian at the last point evaluated (within the decrement of u).
    free : ndarray of bool, shape (6,)
        Parameters that were searched.
    at_bound : tuple of str
        Names of those that ended at the box.
    iterations : int
        Newton steps taken on the full history.
    decrement : float
        Newton decrement at u, nats (twice the log-likelihood still to be gained): of the last point evaluated, or what
        the last step leaves of it.
    converged : bool
        Whether it fell below 1e-4.
    """

    u: Float64Array
    evaluation: Evaluation
    free: NDArray[np.bool_]
    at_bound: tuple[str, ...]
    iterations: int
    decrement: float
    converged: bool


def search_bounds(events: HawkesEvents, kernel: Kernel) -> Bounds:
    """Box: beta from a tenth of the clock's step (at least 1 ns) to the longest session, gamma 1.02 to 7."""
    longest = float((events.sessions[:, 1] - events.sessions[:, 0]).max()) * 1e-9
    rate = len(events) / (2.0 * events.duration_s)
    beta_low = max(0.1 * events.resolution_ns * 1e-9, 1e-9)
    low = np.array([math.log(rate) - 16.0, -14.0, -14.0, math.log(beta_low), math.log(0.02), -8.0])
    high = np.array([math.log(rate) + 3.0, 1.5, 1.5, math.log(longest), math.log(6.0), 8.0])
    if kernel == "exponential":
        low[3] = math.log(max(beta_low, 1e-7))
    return Bounds(low=low, high=high)


def search_nodes(events: HawkesEvents, beta_low_s: float) -> NodeSet:
    """Nodes with r = 2 for the passes of a search: they move the estimates by less than 0.01 standard errors."""
    longest = float((events.sessions[:, 1] - events.sessions[:, 0]).max()) * 1e-9
    return choose_nodes(
        beta_low_s=min(beta_low_s, longest), horizon_s=longest, low_margin=0.25, high_margin=10.0, chain=28
    )


def _linear(u: Float64Array) -> Float64Array:
    """Scale of each coordinate of the step: rates and ratios move linearly, beta, gamma and asymmetry as in u."""
    return np.concatenate([np.exp(u[:3]), np.ones(3)])


def _newton_step(
    evaluation: Evaluation, u: Float64Array, free: NDArray[np.bool_], damping: float
) -> tuple[Float64Array, float]:
    """Ascent step in u, and the Newton decrement.

    For a given kernel shape the log-likelihood is concave in the baseline and the ratios themselves (Ogata 1978),
    and their ridge, baseline + rate * ratio = rate, is straight: so the step is taken in those, not in their logs.
    """
    step = np.zeros(6)
    if not free.any():
        return step, 0.0
    scale = _linear(u)[free]
    logs = np.array([True, True, True, False, False, False])[free]
    gradient_u = evaluation.gradient[free]
    curvature_u = -evaluation.hessian[np.ix_(free, free)] + np.diag(np.where(logs, gradient_u, 0.0))
    gradient, curvature = gradient_u / scale, curvature_u / np.outer(scale, scale)
    size = np.sqrt(np.maximum(np.abs(np.diag(curvature)), 1e-12))
    values, vectors = np.linalg.eigh(curvature / np.outer(size, size))
    projected = vectors.T @ (gradient / size)
    floor = max(1e-10, 1e-8 * float(values.max()))
    damped = np.maximum(np.abs(values), floor) + damping
    move = (vectors @ (projected / damped)) / size
    decrement = float((projected**2 / np.maximum(np.abs(values), floor)).sum())
    ratio = move / scale  # relative change of what moves linearly
    shrink = 1.0
    if logs.any():
        shrink = min(1.0, 0.9 / max(float((-ratio[logs]).max()), 1e-300))
    longest = float(np.abs(move[~logs]).max(initial=0.0))
    shrink = min(shrink, 2.0 / max(longest, 1e-300))
    step[free] = np.where(logs, np.log1p(np.where(logs, shrink * ratio, 0.0)), shrink * move)
    return step, decrement


def maximise(
    likelihood: HawkesLikelihood,
    start: Float64Array,
    bounds: Bounds,
    free: NDArray[np.bool_],
    *,
    kernel: Kernel = "power_law",
    max_iterations: int = _ITERATIONS,
    tolerance: float = _DECREMENT,
) -> Optimum:
    """Damped (Levenberg) Newton ascent inside the box; parameters pushed against it are held there."""
    u = np.clip(start, bounds.low, bounds.high)
    here = likelihood.evaluate(u, 2, kernel=kernel)
    damping, iterations, decrement, before = 0.0, 0, math.inf, math.inf
    while iterations < max_iterations:
        outward = ((u <= bounds.low) & (here.gradient < 0)) | ((u >= bounds.high) & (here.gradient > 0))
        active = free & ~outward
        step, decrement = _newton_step(here, u, active, damping)
        target = np.clip(u + step, bounds.low, bounds.high)
        left = _left_after(decrement, before, damping, len(likelihood.events))
        if min(decrement, left) < tolerance:
            u, decrement = (
                target,
                min(decrement, left),
            )  # the last step is free: what it leaves is of second order
            break
        iterations += 1
        before = decrement
        there = likelihood.evaluate(target, 2, kernel=kernel)
        if math.isfinite(there.value) and there.value >= here.value - 1e-9 * abs(here.value):
            u, here, damping = target, there, damping / 10.0 if damping > 1e-4 else 0.0
        else:
            damping = max(10.0 * damping, 0.03)
            if damping > 1e9:
                break
    at_bound = tuple(
        name
        for k, name in enumerate(SEARCH_NAMES)
        if free[k] and (u[k] <= bounds.low[k] + 1e-6 or u[k] >= bounds.high[k] - 1e-6)
    )
    return Optimum(
        u=u,
        evaluation=here,
        free=free,
        at_bound=at_bound,
        iterations=iterations,
        decrement=decrement,
        converged=decrement < tolerance,
    )


def _left_after(decrement: float, before: float, damping: float, events: int) -> float:
    """Decrement that a full step leaves: Newton's quadratic rate, as the step before showed it, and as it must be."""
    if damping > 0.0 or decrement > 2.0:  # not a full step, or too far for the rate to hold
        return math.inf
    shown = (decrement / before) ** 2 * decrement
    return max(shown, _QUADRATIC / events * decrement**2)


def _starts(events: HawkesEvents, kernel: Kernel) -> list[Float64Array]:
    buys, sells = events.count_sides()
    rate = len(events) / (2.0 * events.duration_s)
    tilt = 0.5 * math.log(max(buys, 1) / max(sells, 1))
    gaps = np.diff(events.time_ns)
    typical = max(float(np.median(gaps)) * 1e-9, 2.0 * events.resolution_ns * 1e-9, 1e-8)
    mean = 1.0 / (2.0 * rate)
    shapes: list[tuple[float, float]]
    if kernel == "exponential":
        shapes = [(typical, 1.0), (0.1 * mean, 1.0), (mean, 1.0), (10.0 * mean, 1.0)]
    else:
        shapes = [(typical, 0.3), (0.3 * typical, 0.3), (mean, 1.0), (0.1 * mean, 0.6)]
    n = 0.5
    return [
        np.array(
            [
                math.log(rate * (1 - n)),
                math.log(0.6 * n),
                math.log(0.4 * n),
                math.log(beta),
                math.log(g),
                tilt,
            ]
        )
        for beta, g in shapes
    ]


def _middle(events: HawkesEvents, count: int) -> HawkesEvents:
    """Return about `count` consecutive events from the middle, with the sessions cut around them."""
    first = (len(events) - count) // 2
    last = first + count
    start, end = int(events.time_ns[first]), int(events.time_ns[last - 1]) + 1
    window = events.window(start, end)
    edges = np.searchsorted(window.time_ns, window.sessions[:, 1])
    if np.any(np.diff(edges, prepend=0) == 0):
        return events
    return window


def search_optimum(
    events: HawkesEvents,
    *,
    profile: Float64Array,
    sides: int = 2,
    kernel: Kernel = "power_law",
    threads: int | None = None,
    free: NDArray[np.bool_] | None = None,
    start: Float64Array | None = None,
    likelihood: HawkesLikelihood | None = None,
    tolerance: float = _DECREMENT,
) -> tuple[Optimum, HawkesLikelihood]:
    """Find the maximum: starts on a short stretch, its best on a longer one, then the full history.

    Returns the optimum and the likelihood of the full history, its nodes set for the optimum. A larger
    `tolerance` on the decrement saves a pass where the result is only compared with its standard error: the
    last Newton step is taken all the same.
    """
    if free is None:
        free = np.array([True, True, sides == 2, True, kernel == "power_law", sides == 2])
    bounds = search_bounds(events, kernel)
    guess = start
    if guess is None:
        guess = _search_short(
            events, bounds, free, profile=profile, sides=sides, kernel=kernel, threads=threads
        )
    if likelihood is None:
        likelihood = HawkesLikelihood(events, profile=profile, sides=2 if sides == 2 else 1, threads=threads)
    optimum = _search_from(likelihood, guess, bounds, free, kernel=kernel, tolerance=tolerance)
    return optimum, likelihood


def _search_short(
    events: HawkesEvents,
    bounds: Bounds,
    free: NDArray[np.bool_],
    *,
    profile: Float64Array,
    sides: int,
    kernel: Kernel,
    threads: int | None,
) -> Float64Array:
    count = min(len(events), _START_EVENTS)
    guesses = _starts(events, kernel)
    best: Optimum | None = None
    while True:
        window = events if count >= len(events) else _middle(events, count)
        likelihood = HawkesLikelihood(
            window,
            profile=profile,
            sides=2 if sides == 2 else 1,
            threads=threads if len(window) >= _EVENTS_FOR_THREADS else 1,
        )
        for guess in guesses:
            found = _search_from(
                likelihood,
                guess,
                bounds,
                free,
                kernel=kernel,
                tolerance=_START_DECREMENT,
                max_iterations=_START_ITERATIONS,
            )
            if best is None or len(guesses) == 1 or found.evaluation.value > best.evaluation.value:
                best = found
        assert best is not None
        guesses = [best.u]
        if len(window) * 2 * _GROWTH > len(events):
            return best.u
        count = min(_GROWTH * count, len(events) // 8)


def _lowest_beta(u: Float64Array, *, wide: bool = False) -> float:
    margin = 0.02 if wide else 0.35
    return max(math.exp(u[3]) * margin, 1e-9)


def _search_from(
    likelihood: HawkesLikelihood,
    guess: Float64Array,
    bounds: Bounds,
    free: NDArray[np.bool_],
    *,
    kernel: Kernel,
    tolerance: float = _DECREMENT,
    max_iterations: int = _ITERATIONS,
) -> Optimum:
    """Search; whenever beta leaves what the nodes can show, choose nodes anew and go on."""
    for _ in range(8):
        nodes, shown = _nodes_around(likelihood.events, guess, kernel)
        likelihood.prepare(nodes)
        box = Bounds(low=bounds.low.copy(), high=bounds.high.copy())
        box.low[3] = max(box.low[3], shown[0])
        box.high[3] = min(box.high[3], shown[1])
        optimum = maximise(
            likelihood, guess, box, free, kernel=kernel, tolerance=tolerance, max_iterations=max_iterations
        )
        left = optimum.u[3] <= box.low[3] + 1e-6 and box.low[3] > bounds.low[3] + 1e-9
        right = optimum.u[3] >= box.high[3] - 1e-6 and box.high[3] < bounds.high[3] - 1e-9
        if not (left or right):
            return optimum
        guess = optimum.u
    return optimum


def _nodes_around(
    events: HawkesEvents, u: Float64Array, kernel: Kernel
) -> tuple[NodeSet, tuple[float, float]]:
    """Nodes for a search that begins at u, and the least and largest log beta that they can show."""
    wide = len(events) < 4 * _START_EVENTS
    if (
        kernel == "exponential" and not wide
    ):  # the decay is known to a factor: twelve nodes around it are enough
        nodes = NodeSet(start=np.array([math.exp(-u[3]) / 64.0]), depth=12, log_ratio=math.log(2.0))
        return nodes, (u[3] - math.log(4.0), u[3] + math.log(4.0))
    shown = _lowest_beta(u, wide=wide)
    return search_nodes(events, shown), (math.log(shown), math.inf)


def reported_value(likelihood: HawkesLikelihood, u: Float64Array, kernel: Kernel) -> float:
    """Log-likelihood on nodes with r = sqrt 2, as reported."""
    likelihood.prepare(precise_nodes(likelihood.events, math.exp(u[3]), 1.0 + math.exp(u[4])))
    return likelihood.evaluate(u, kernel=kernel).value
