"""The gates of a two-scale Hawkes fit in their order, and the verdict they add up to."""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibrig.calibration import gates_hawkes as gates
from calibrig.calibration.hawkes_above_resolution import judge_above_resolution
from calibrig.calibration.hawkes_held_out import follow_frozen, poisson_rates
from calibrig.calibration.hawkes_judgement import draw_flow
from calibrig.calibration.hawkes_profile import estimate_profile
from calibrig.calibration.hawkes_result import FlowCurve
from calibrig.calibration.hawkes_search import search_optimum
from calibrig.calibration.hawkes_two_scale_held_out import (
    compare_two_scale_counts,
    follow_two_scale,
    grow_two_scale,
)
from calibrig.calibration.hawkes_two_scale_result import TwoScaleHeldOut
from calibrig.calibration.hawkes_two_scale_search import (
    TwoScaleOptimum,
    longest_session_s,
    search_two_scale,
)
from calibrig.models.hawkes_events import HawkesEvents
from calibrig.models.hawkes_passes import HawkesLikelihood, Trace
from calibrig.models.hawkes_two_scale import from_two_scale_search
from calibrig.parameters import GateResult, TwoScaleParameters, Verdict

__all__ = [
    "LevelChoice",
    "decide_two_scale",
    "judge_two_scale_parameters",
    "judge_two_scale_unseen",
    "record_of",
]

Float64Array = NDArray[np.float64]

_POWER_LAW_LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelChoice:
    """Memory and prior weight of the causal level; no events for a level of 1."""

    level_s: float
    level_events: float | None


def record_of(
    optimum: TwoScaleOptimum, profile: Float64Array, horizon_s: float, level: LevelChoice
) -> TwoScaleParameters:
    """Return the record of an optimum; ratios that ended at 0 are 0."""
    found = from_two_scale_search(
        optimum.u,
        horizon_s=horizon_s,
        profile=tuple(profile.tolist()),
        level_s=level.level_s,
        level_events=level.level_events,
    )
    return msgspec.structs.replace(found, **dict.fromkeys(optimum.absent, 0.0))


def judge_two_scale_unseen(
    events: HawkesEvents,
    first: int,
    optimum: TwoScaleOptimum,
    *,
    profile_bins: int,
    level: LevelChoice,
    threads: int | None,
    seed: int,
) -> tuple[TwoScaleHeldOut, FlowCurve, TwoScaleParameters, list[GateResult]]:
    """Freeze parameters and rivals on the events before ``first`` and judge them on the rest."""
    train = events.window(int(events.sessions[0, 0]), int(events.time_ns[first]))
    profile = estimate_profile(train, profile_bins)
    horizon_s = longest_session_s(events)
    found, _ = search_two_scale(
        train, profile=profile, threads=threads, start=optimum.u, horizon_s=horizon_s, tolerance=0.01
    )
    frozen = record_of(found, profile, horizon_s, level)
    trace, factors = follow_two_scale(events, frozen, threads)
    held = _held_out(events, first, trace, train, profile, threads=threads, seed=seed)
    counts = {side: len(values) for side, values in held.residuals.items()}
    results = [
        gates.judge_gain(
            "gain_over_poisson",
            held.gain_over_poisson,
            "a Poisson process with the same profile",
            gates.POISSON_LEVEL,
        ),
        gates.judge_gain(
            "gain_over_power_law", held.gain_over_power_law, "one power law without a level", _POWER_LAW_LEVEL
        ),
        gates.judge_quantiles(held.skill),
        *gates.judge_ks(held.residuals),
        *judge_above_resolution(events, first, grow_two_scale(frozen, threads), factors),
        *gates.judge_mean(held.residuals),
        *gates.judge_autocorrelation(held.autocorrelation, counts),
        *compare_two_scale_counts(events, first, frozen, trace, threads=threads, seed=seed),
    ]
    return held, draw_flow(events, first, trace.between(first, len(events))), frozen, results


def _held_out(
    events: HawkesEvents,
    first: int,
    trace: Trace,
    train: HawkesEvents,
    profile: Float64Array,
    *,
    threads: int | None,
    seed: int,
) -> TwoScaleHeldOut:
    """Compare with a Poisson process and with one power law, both frozen on the training events too."""
    rival, _ = search_optimum(train, profile=profile, threads=threads, tolerance=0.01)
    history = HawkesLikelihood(events, profile=profile, threads=threads)
    plain = follow_frozen(history, rival.u, first, kernel="power_law")
    poisson = dict(zip((1, -1), poisson_rates(train, profile), strict=True))
    growth = events.profile_growth_s(profile, first, len(events))
    heights = profile[events.profile_bins(len(profile), first)]
    side = events.side[first:]
    by_event = np.log(np.maximum(trace.own_intensity(), 1e-300)) - trace.buy_growth - trace.sell_growth
    by_event = by_event[first:]
    by_rival = np.log(plain.own_intensity()) - plain.buy_growth - plain.sell_growth
    by_poisson = (
        np.log(np.where(side > 0, poisson[1], poisson[-1]) * heights) - (poisson[1] + poisson[-1]) * growth
    )
    residuals, quantiles, skill, correlations = {}, {}, {}, {}
    for m, grown in ((1, trace.buy_growth), (-1, trace.sell_growth)):
        residuals[m] = np.diff(np.cumsum(grown[first:])[side == m])
        flat = np.sort(np.diff(np.cumsum(growth)[side == m]) * poisson[m])
        ordered = np.sort(residuals[m])
        quantiles[m] = gates.quantile_plot(ordered, flat)
        skill[m] = gates.quantile_skill(ordered, flat)
        correlations[m] = gates.autocorrelation(residuals[m])
    return TwoScaleHeldOut(
        events=len(side),
        log_likelihood=float(by_event.sum()),
        gain_over_poisson=gates.block_bootstrap_bounds(
            by_event - by_poisson, level=gates.POISSON_LEVEL, seed=seed
        ),
        gain_over_power_law=gates.block_bootstrap_bounds(
            by_event - by_rival, level=_POWER_LAW_LEVEL, seed=seed + 1
        ),
        residuals=residuals,
        quantiles=quantiles,
        skill=skill,
        autocorrelation=correlations,
    )


def judge_two_scale_parameters(optimum: TwoScaleOptimum, events: HawkesEvents) -> list[GateResult]:
    """Judge the estimates themselves: criticality, the box, the clock."""
    n, error = optimum.branching()
    step = events.resolution_ns * 1e-9
    fast_s, beta = math.exp(optimum.u[4]), math.exp(optimum.u[7])
    return [
        GateResult(
            name="branching_ratio",
            value=n + 2.0 * error,
            limit="< 1",
            passed=bool(n + 2.0 * error < 1.0),
            detail=f"within the horizon {n:.4f} +- {error:.4f}; the figure is n + 2 SE",
        ),
        GateResult(
            name="bounds",
            value=float(len(optimum.at_bound)),
            limit="no parameter at a bound (a ratio of 0 is none)",
            passed=not optimum.at_bound,
            detail=", ".join(optimum.at_bound) or "none",
        ),
        GateResult(
            name="resolution",
            value=min(fast_s, beta) / step,
            limit=">= 10 x the clock's step",
            passed=bool(min(fast_s, beta) >= 10.0 * step),
            detail=f"fast_s {fast_s:.3g} s, beta {beta:.3g} s, clock step {step:.3g} s",
        ),
    ]


def decide_two_scale(
    results: tuple[GateResult, ...], fewest_side: int
) -> tuple[Verdict, str, tuple[str, ...]]:
    """Add the gates up: verdict, reason in one sentence, and the names of what is forbidden.

    Never PASS: the trading loop runs the power law alone, so the best verdict is RESTRICTED to analysis.
    """
    failed = [gate.name for gate in results if gate.passed is False]
    if fewest_side < gates.FEWEST_EVENTS:
        reason = f"TOO_FEW_EVENTS: {fewest_side} events on one side; the gates need {gates.FEWEST_EVENTS}"
        return Verdict.TOO_FEW_EVENTS, reason, ()
    if "held_out" in failed:
        detail = next(gate.detail for gate in results if gate.name == "held_out")
        return Verdict.FAIL, f"held_out: {detail}", ()
    if "gain_over_poisson" in failed:
        reason = "NO_SELF_EXCITATION: held-out events are explained as well by a seasonal Poisson process"
        return Verdict.NO_SELF_EXCITATION, reason, ()
    said, forbidden, excused = [], ["not_in_trading_loop"], {"resolution", "gain_over_power_law"}
    if "gain_over_power_law" in failed:
        said.append("POWER_LAW_IS_ENOUGH: two time scales gain nothing over one power law; fit that instead")
    if "resolution" in failed:
        said.append(
            "RESOLUTION_LIMITED: a time scale is below 10 x the clock's step; the intensity is usable above 10 x "
            "the step, which ks_above_resolution tests, fast_s and beta themselves are not"
        )
        forbidden.append("no_time_scale_below_resolution")
        excused |= {"ks_distance_buy", "ks_distance_sell"}  # residuals below the step are the spreading's
    hard = [name for name in failed if name not in excused]
    if hard:
        return Verdict.FAIL, "; ".join([*said, f"gates failed: {', '.join(hard)}"]), ()
    said.append("the trading loop runs the power law alone: for analysis and batch intensities")
    return Verdict.RESTRICTED, "; ".join(said), tuple(forbidden)
