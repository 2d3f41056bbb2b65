"""Whether a Hawkes intensity is right where the clock can see it: from ten steps after a side's last event on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from calibrig.calibration.gates_hawkes import FEWEST_EVENTS, SIDES
from calibrig.models.hawkes_events import HawkesEvents
from calibrig.models.hawkes_nodes import choose_nodes, power_law_weights
from calibrig.models.hawkes_passes import HawkesLikelihood
from calibrig.parameters import GateResult

__all__ = ["STEPS", "Growth", "grow_power_law", "judge_above_resolution", "residuals_above", "tell_apart"]

Float64Array = NDArray[np.float64]
# growth of one side's compensator between points, of which those of side 0 excite nobody
Growth = Callable[[HawkesEvents, int], Float64Array]

STEPS = 10
# the usual 0.02 is met by hardly any market seen: probabilities of waiting times to within five points
_FLOOR, _FACTOR = 0.05, 1.63
_FEWEST_GAPS = FEWEST_EVENTS // 20


def judge_above_resolution(
    events: HawkesEvents, first: int, grow: Growth, level: dict[int, Float64Array] | None = None
) -> list[GateResult]:
    """Kolmogorov distance, per side, of the residuals above ten clock steps from Exp(1).

    Given that a side has been silent for ten steps, what its compensator grows by until its next event is Exp(1) if
    the intensity is right there. So "usable above ten steps" is tested and not merely said.
    """
    out = []
    for name, side in SIDES:
        values = residuals_above(events, first, side, grow, level=None if level is None else level[side])
        n = len(values)
        limit = max(_FLOOR, _FACTOR / math.sqrt(max(n, 1)))
        distance, passed = None, None
        detail = f"{n} gaps longer than {STEPS} clock steps"
        if n >= _FEWEST_GAPS:
            cdf = -np.expm1(-np.sort(values))
            steps = np.arange(n) / n
            distance = float(max(np.max(cdf - steps), np.max(steps + 1.0 / n - cdf)))
            passed = distance <= limit
            detail += f", mean residual {values.mean():.3f}"
        out.append(
            GateResult(
                name=f"ks_above_resolution_{name}",
                value=distance,
                limit=f"<= {limit:.3g}",
                passed=passed,
                detail=detail,
            )
        )
    return out


def residuals_above(
    events: HawkesEvents, first: int, side: int, grow: Growth, *, level: Float64Array | None = None
) -> Float64Array:
    """Growth of the side's compensator from ten steps after one of its events to the next, where that is longer.

    ``level`` multiplies the growth over the interval that ends at each event.
    """
    # memory ends with the session, so those before the first event that is asked for do not matter
    session = int(np.searchsorted(events.sessions[:, 1], events.time_ns[first], side="right"))
    start = int(events.sessions[session, 0])
    skipped = int(np.searchsorted(events.time_ns, start))
    events = events.window(start, int(events.sessions[-1, 1]))
    first -= skipped
    offset = np.zeros(len(events)) if events.offset_ns is None else events.offset_ns
    own = np.flatnonzero(events.side == side)
    of = np.searchsorted(events.sessions[:, 1], events.time_ns[own], side="right")
    gap = np.diff(events.time_ns[own]) + np.diff(offset[own])
    late = (gap > STEPS * events.resolution_ns) & (of[1:] == of[:-1]) & (own[:-1] >= first)
    begin, end = own[:-1][late], own[1:][late]
    if not len(begin):
        return np.empty(0)
    joined, order = _join(events, offset, begin)
    place = np.empty(len(order), dtype=np.intp)
    place[order] = np.arange(len(order))
    growth = grow(joined, side)
    if level is not None:
        following = len(events) - np.cumsum((order < len(events))[::-1])[::-1]
        growth = growth * level[skipped:][np.minimum(following, len(events) - 1)]
    total = np.cumsum(growth)
    out: Float64Array = total[place[end]] - total[place[len(events) :]]
    return out


def _join(
    events: HawkesEvents, offset: Float64Array, begin: NDArray[np.intp]
) -> tuple[HawkesEvents, NDArray[np.intp]]:
    """Join the events and the points ten steps after those at ``begin``, marked as nobody's; and their order."""
    stamp = np.concatenate([events.time_ns, events.time_ns[begin] + STEPS * events.resolution_ns])
    put = np.concatenate([offset, offset[begin]])
    whole = np.floor(put)
    close = events.sessions[np.searchsorted(events.sessions[:, 1], stamp, side="right"), 1]
    time_ns = np.minimum(stamp + whole.astype(np.int64), close - 1)
    order = np.lexsort((np.arange(len(stamp)), put - whole, time_ns))
    side = np.concatenate([events.side, np.zeros(len(begin), dtype=np.int8)])
    joined = replace(events, time_ns=time_ns[order], offset_ns=(put - whole)[order], side=side[order])
    return joined, order


def tell_apart(joined: HawkesEvents, exciting: int) -> HawkesEvents:
    """Return the same points with one side told from all the rest.

    The native passes know two sides only: their column "buy" then holds what the exciting side's events do, at every
    point.
    """
    return replace(joined, side=np.where(joined.side == exciting, 1, -1).astype(np.int8))


def grow_power_law(u: Float64Array, profile: Float64Array, threads: int | None) -> Growth:
    """Growth under one power law, in the parameters of its search."""

    def grow(joined: HawkesEvents, side: int) -> Float64Array:
        mu, n_self, n_cross, beta, g = (math.exp(x) for x in u[:5].tolist())
        longest = float((joined.sessions[:, 1] - joined.sessions[:, 0]).max()) * 1e-9
        nodes = choose_nodes(beta_low_s=beta, horizon_s=longest, gamma=1.0 + g, low_margin=0.03, chain=16)
        row = power_law_weights(nodes, beta=beta, gamma=1.0 + g).rows[0]
        total = mu * math.exp(side * float(u[5])) * joined.profile_growth_s(profile, 0, len(joined))
        for exciting in (1, -1):
            passes = HawkesLikelihood(tell_apart(joined, exciting), profile=profile, threads=threads)
            passes.prepare(nodes)
            total += (n_self if exciting == side else n_cross) * passes.excite(row)[0].buy_growth
        return total

    return grow
