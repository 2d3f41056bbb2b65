"""A two-scale Hawkes model with frozen parameters against events it has not seen: followed, and in counts."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibrig.calibration.hawkes_above_resolution import Growth, tell_apart
from calibrig.calibration.hawkes_held_out import count_r_squared, judge_counts, local_profile
from calibrig.errors import InvalidInputError
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

__all__ = ["compare_two_scale_counts", "follow_two_scale", "grow_two_scale"]

Float64Array = NDArray[np.float64]

_COUNT_EVENTS = 8_000
_COUNT_RUNS = 24
_MOST_SIMULATED = 10 * _COUNT_EVENTS  # a run
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


def grow_two_scale(parameters: TwoScaleParameters, threads: int | None) -> Growth:
    """Growth of one side's compensator between any points, level 1: for residuals above the clock's steps."""
    p = parameters

    def grow(joined: HawkesEvents, side: int) -> Float64Array:
        height = joined.profile_growth_s(np.asarray(p.profile), 0, len(joined))
        total = p.lambda_base * math.exp(side * p.asymmetry) * height
        for exciting in (1, -1):
            told = tell_apart(joined, exciting)
            likelihood = TwoScaleLikelihood(told, horizon_s=p.horizon_s, profile=p.profile, threads=threads)
            likelihood.prepare(precise_two_scale_nodes(told, p))
            fast, slow = likelihood.columns(to_two_scale_search(p), slopes=False).traces
            ratios = (p.fast_self, p.slow_self) if exciting == side else (p.fast_cross, p.slow_cross)
            total += ratios[0] * fast.buy_growth + ratios[1] * slow.buy_growth
        return total

    return grow


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
    try:
        time_ns, side = simulate_two_scale_hawkes(
            local, sessions=spans, seed=seed, max_events=_COUNT_RUNS * _MOST_SIMULATED
        )
    except InvalidInputError:  # far more than were seen: the mean residual says so
        return
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
