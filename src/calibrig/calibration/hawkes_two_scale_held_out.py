"""A two-scale Hawkes model with frozen parameters against events it has not seen: above the clock, and in counts."""

from __future__ import annotations

import math
from dataclasses import replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibrig.calibration.gates_hawkes import FEWEST_EVENTS, SIDES
from calibrig.calibration.hawkes_held_out import count_r_squared, judge_counts, local_profile
from calibrig.models.hawkes_events import HawkesEvents, prepare_events
from calibrig.models.hawkes_level import apply_level, causal_level
from calibrig.models.hawkes_passes import Trace
from calibrig.models.hawkes_two_scale import (
    TwoScaleLikelihood,
    precise_two_scale_nodes,
    to_two_scale_search,
)
from calibrig.models.hawkes_two_scale_simulation import simulate_two_scale_hawkes
from calibrig.parameters import GateResult, TwoScaleParameters

__all__ = ["compare_two_scale_counts", "follow_two_scale", "judge_above_resolution"]

Float64Array = NDArray[np.float64]

STEPS = 10
# the usual 0.02 is met by no market seen: probabilities of waiting times to within five points
_ABOVE_FLOOR, _ABOVE_FACTOR = 0.05, 1.63
_COUNT_EVENTS = 8_000
_COUNT_RUNS = 24
_MOST_TO_SIMULATE = 0.999


def follow_two_scale(
    events: HawkesEvents, parameters: TwoScaleParameters, threads: int | None
) -> tuple[Trace, dict[int, Float64Array]]:
    """Follow intensities and compensators over all events, the level included; and the level by side."""
    likelihood = TwoScaleLikelihood(
        events, horizon_s=parameters.horizon_s, profile=parameters.profile, threads=threads
    )
    likelihood.prepare(precise_two_scale_nodes(events, parameters))
    plain = likelihood.trace(to_two_scale_search(parameters))
    level = causal_level(events, plain, level_s=parameters.level_s, level_events=parameters.level_events)
    return apply_level(plain, level), level


def judge_above_resolution(
    events: HawkesEvents,
    first: int,
    parameters: TwoScaleParameters,
    level: dict[int, Float64Array],
    *,
    threads: int | None,
) -> list[GateResult]:
    """Kolmogorov distance, per side, of the residuals from ten clock steps after the side's last event on.

    Given that a side has been silent for ten steps, what its compensator grows by until its next event is Exp(1) if
    the intensity is right there. So "usable above ten steps" is tested and not merely said.
    """
    out = []
    for name, side in SIDES:
        values = _residuals_above(events, first, parameters, side, level=level[side], threads=threads)
        n = len(values)
        limit = max(_ABOVE_FLOOR, _ABOVE_FACTOR / math.sqrt(max(n, 1)))
        if n < FEWEST_EVENTS // 20:
            out.append(
                GateResult(
                    name=f"ks_above_resolution_{name}",
                    value=None,
                    limit=f"<= {limit:.3g}",
                    passed=None,
                    detail=f"{n} gaps longer than {STEPS} clock steps held out",
                )
            )
            continue
        cdf = -np.expm1(-np.sort(values))
        steps = np.arange(n) / n
        distance = float(max(np.max(cdf - steps), np.max(steps + 1.0 / n - cdf)))
        out.append(
            GateResult(
                name=f"ks_above_resolution_{name}",
                value=distance,
                limit=f"<= {limit:.3g}",
                passed=distance <= limit,
                detail=f"{n} gaps longer than {STEPS} clock steps, mean residual {values.mean():.3f}",
            )
        )
    return out


def _residuals_above(
    events: HawkesEvents,
    first: int,
    parameters: TwoScaleParameters,
    side: int,
    *,
    level: Float64Array,
    threads: int | None,
) -> Float64Array:
    """Growth of the side's compensator from ten steps after one of its events to the next, where that is longer."""
    offset = np.zeros(len(events)) if events.offset_ns is None else events.offset_ns
    own = np.flatnonzero(events.side == side)
    session = np.searchsorted(events.sessions[:, 1], events.time_ns[own], side="right")
    gap = np.diff(events.time_ns[own]) + np.diff(offset[own])
    late = (gap > STEPS * events.resolution_ns) & (session[1:] == session[:-1]) & (own[:-1] >= first)
    begin, end = own[:-1][late], own[1:][late]
    if not len(begin):
        return np.empty(0)
    # the points asked for join the events, marked as nobody's
    stamp = np.concatenate([events.time_ns, events.time_ns[begin] + STEPS * events.resolution_ns])
    put = np.concatenate([offset, offset[begin]])
    whole = np.floor(put)
    close = events.sessions[np.searchsorted(events.sessions[:, 1], stamp, side="right"), 1]
    time_ns = np.minimum(stamp + whole.astype(np.int64), close - 1)
    order = np.lexsort((np.arange(len(stamp)), put - whole, time_ns))
    place = np.empty(len(order), dtype=np.intp)
    place[order] = np.arange(len(order))
    joined = HawkesEvents(
        time_ns=time_ns[order],
        offset_ns=(put - whole)[order],
        side=np.concatenate([events.side, np.zeros(len(begin), dtype=np.int8)])[order],
        sessions=events.sessions,
        profile_sessions=events.profile_sessions,
        resolution_ns=events.resolution_ns,
        tied_share=events.tied_share,
    )
    growth = _growth_of_side(joined, parameters, side, threads)
    following = len(events) - np.cumsum((order < len(events))[::-1])[::-1]
    total = np.cumsum(growth * level[np.minimum(following, len(events) - 1)])
    out: Float64Array = total[place[end]] - total[place[len(events) :]]
    return out


def _growth_of_side(
    joined: HawkesEvents, parameters: TwoScaleParameters, side: int, threads: int | None
) -> Float64Array:
    """Growth of one side's compensator, level 1, between points of which those of side 0 excite nobody.

    The native passes know two sides only, so each side in turn is told from all the rest: their column "buy" then
    holds what that side's events excite, at every point.
    """
    p = parameters
    height = joined.profile_growth_s(np.asarray(p.profile), 0, len(joined))
    total = p.lambda_base * math.exp(side * p.asymmetry) * height
    for exciting in (1, -1):
        told = replace(joined, side=np.where(joined.side == exciting, 1, -1).astype(np.int8))
        likelihood = TwoScaleLikelihood(told, horizon_s=p.horizon_s, profile=p.profile, threads=threads)
        likelihood.prepare(precise_two_scale_nodes(told, p))
        fast, slow = likelihood.columns(to_two_scale_search(p), slopes=False).traces
        ratios = (p.fast_self, p.slow_self) if exciting == side else (p.fast_cross, p.slow_cross)
        total += ratios[0] * fast.buy_growth + ratios[1] * slow.buy_growth
    return total


def compare_two_scale_counts(
    events: HawkesEvents,
    first: int,
    parameters: TwoScaleParameters,
    trace: Trace,
    *,
    threads: int | None,
    seed: int,
) -> list[GateResult]:
    """Count R^2 at 1 s and 10 s against the band of the same figure on the fitted model's own simulations."""
    session = int(np.searchsorted(events.sessions[:, 1], events.time_ns[first], side="right"))
    start = max(int(events.time_ns[first]), int(events.sessions[session, 0]))
    last = min(first + _COUNT_EVENTS, int(np.searchsorted(events.time_ns, events.sessions[session, 1])))
    end = int(events.time_ns[last - 1])
    seen = trace.between(first, last)
    warm = max(start - (end - start), int(events.sessions[session, 0]))
    mean, profile = local_profile(
        np.asarray(parameters.profile), (warm, end), events.profile_sessions[session]
    )
    local = msgspec.structs.replace(
        parameters, lambda_base=parameters.lambda_base * mean, profile=tuple(profile.tolist())
    )
    simulated: dict[int, list[float]] = {1: [], 10: []}
    if local.branching_ratio < _MOST_TO_SIMULATE:
        _simulate_counts(local, (warm, start, end), simulated, threads=threads, seed=seed)
    return [
        judge_counts(w, count_r_squared(events.time_ns[first:last], seen, start, end, w), np.array(figures))
        for w, figures in simulated.items()
    ]


def _simulate_counts(
    local: TwoScaleParameters,
    span: tuple[int, int, int],
    out: dict[int, list[float]],
    *,
    threads: int | None,
    seed: int,
) -> None:
    """Add the count R^2 of the model's own simulations: sessions of one history, so that they share their passes."""
    warm, start, end = span
    period = end - warm + 1
    spans = np.array([(k * period, k * period + end - warm) for k in range(_COUNT_RUNS)], dtype=np.int64)
    time_ns, side = simulate_two_scale_hawkes(local, sessions=spans, seed=seed)
    begins = np.searchsorted(time_ns, spans[:, 0] + (start - warm))
    ends = np.searchsorted(time_ns, spans[:, 1])
    filled = np.diff(ends, prepend=0) > 0
    if not filled.any():
        return
    sample = prepare_events(time_ns, side, sessions=spans[filled], resolution_ns=1)
    trace, _ = follow_two_scale(sample, local, threads)
    for run in range(_COUNT_RUNS):
        first, last = int(begins[run]), int(ends[run])
        offset = run * period - warm
        if last - first >= 10:
            for w, figures in out.items():
                part = trace.between(first, last)
                figures.append(count_r_squared(time_ns[first:last], part, start + offset, end + offset, w))
