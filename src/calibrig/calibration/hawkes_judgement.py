"""The gates of a Hawkes fit in their order: on events it has not seen, on its parameters; and the evidence they make."""

from __future__ import annotations

import hashlib
import math
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibrig.calibration import gates_hawkes as gates
from calibrig.calibration.gates_hawkes import HeldOut
from calibrig.calibration.hawkes_above_resolution import STEPS, grow_power_law, judge_above_resolution
from calibrig.calibration.hawkes_held_out import (
    Frozen,
    compare_counts,
    held_out_figures,
    poisson_rates,
    simulate_counts,
)
from calibrig.calibration.hawkes_input import FEWEST_TO_FIT, HawkesInput
from calibrig.calibration.hawkes_profile import estimate_profile
from calibrig.calibration.hawkes_result import FlowCurve
from calibrig.calibration.hawkes_search import Optimum, search_optimum
from calibrig.calibration.hawkes_side_by_side import SideBySide
from calibrig.calibration.hawkes_stability import branching
from calibrig.models.hawkes_coordinates import from_search
from calibrig.models.hawkes_events import HawkesEvents
from calibrig.models.hawkes_passes import HawkesLikelihood, Trace
from calibrig.parameters import Evidence, GateResult, HawkesParameters, Verdict

__all__ = [
    "Unseen",
    "describe_events",
    "draw_flow",
    "judge_coarse_clock",
    "judge_held_out",
    "judge_parameters",
    "judge_unseen",
    "split_unseen",
    "start_unseen",
    "weigh_evidence",
]

Float64Array = NDArray[np.float64]

_CURVE_BINS = 300
_FROZEN_DECREMENT = 0.01  # nats: a tenth of a standard error before the last step
_FEWEST_UNSEEN = 50  # of a side: the autocorrelation asks for lags up to 20


def split_unseen(events: HawkesEvents, holdout: float) -> tuple[int, GateResult | None]:
    """Return the first event held out (equal stamps stay together), or the gate that says why none can be."""
    if holdout == 0.0:
        detail = "holdout is 0: estimates only, nothing was judged; give a share to hold out"
        return len(events), _refuse(0, detail)
    first = int((1.0 - holdout) * len(events))
    first = int(np.searchsorted(events.time_ns, events.time_ns[first]))
    for part, side, fewest in (
        ("training", events.side[:first], FEWEST_TO_FIT),
        ("held-out", events.side[first:], _FEWEST_UNSEEN),
    ):
        buys = int(np.count_nonzero(side > 0))
        if min(buys, len(side) - buys) < fewest:
            detail = (
                f"the {part} part has {buys} buys and {len(side) - buys} sells, it needs {fewest} of each: "
                "give more events or another holdout"
            )
            return first, _refuse(len(events) - first, detail)
    return first, None


def _refuse(held_out: int, detail: str) -> GateResult:
    return GateResult(
        name="held_out", value=float(held_out), limit="both sides on both parts", passed=False, detail=detail
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """What was frozen on the events before the held-out ones, and what is being made of it beside other work."""

    frozen: Frozen
    figures: Future[tuple[HeldOut, Trace, Trace]]
    simulated: Future[dict[int, list[float]]]


def start_unseen(
    likelihood: HawkesLikelihood,
    first: int,
    optimum: Optimum,
    pieces: SideBySide,
    *,
    profile_bins: int,
    seed: int,
) -> Unseen:
    """Freeze parameters and rivals on the events before ``first``, and start to follow them over the rest."""
    events, threads = likelihood.events, pieces.threads_each
    train = events.window(int(events.sessions[0, 0]), int(events.time_ns[first]))
    profile = estimate_profile(train, profile_bins)
    before = HawkesLikelihood(train, profile=profile, threads=threads)
    exponential = pieces.start(_search_rival, before.share(), threads)
    law = pieces.start(_search_law, before, threads, optimum.u)
    poisson = poisson_rates(train, profile)
    if np.array_equal(profile, likelihood.profile):
        history = likelihood.share()
    else:
        history = HawkesLikelihood(events, profile=profile, threads=threads)
    frozen = Frozen(u=law.result().u, exponential=exponential.result().u, poisson=poisson, profile=profile)
    return Unseen(
        frozen=frozen,
        figures=pieces.start(held_out_figures, history, first, frozen, seed=seed),
        simulated=pieces.start(simulate_counts, events, first, frozen, threads=threads, seed=seed),
    )


def _search_law(before: HawkesLikelihood, threads: int, start: Float64Array) -> Optimum:
    return search_optimum(
        before.events,
        profile=before.profile,
        threads=threads,
        start=start,
        likelihood=before,
        tolerance=_FROZEN_DECREMENT,
    )[0]


def _search_rival(before: HawkesLikelihood, threads: int) -> Optimum:
    return search_optimum(
        before.events,
        profile=before.profile,
        threads=threads,
        kernel="exponential",
        likelihood=before,
        tolerance=_FROZEN_DECREMENT,
    )[0]


def judge_unseen(
    likelihood: HawkesLikelihood, first: int, unseen: Unseen, *, threads: int
) -> tuple[HeldOut, FlowCurve, HawkesParameters, list[GateResult]]:
    """Judge the events from ``first`` on by what was frozen before them."""
    events, frozen = likelihood.events, unseen.frozen
    held, trace, rival = unseen.figures.result()
    results = judge_held_out(held)
    if any(gate.name == "gain_over_exponential" and not gate.passed for gate in results):
        results = judge_held_out(held, {side: rival.residuals(side) for side in (1, -1)})
    curve = draw_flow(events, first, trace)
    results += compare_counts(events, first, trace, unseen.simulated.result())
    results += judge_coarse_clock(events, first, frozen, threads=threads)
    return held, curve, from_search(frozen.u, profile=tuple(frozen.profile.tolist())), results


def judge_coarse_clock(
    events: HawkesEvents, first: int, frozen: Frozen, *, threads: int | None
) -> list[GateResult]:
    """Where beta is below ten clock steps, test what the verdict then says: that the intensity holds above them."""
    if math.exp(frozen.u[3]) >= STEPS * events.resolution_ns * 1e-9:
        return []
    return judge_above_resolution(events, first, grow_power_law(frozen.u, frozen.profile, threads))


def judge_held_out(held: HeldOut, rival: dict[int, Float64Array] | None = None) -> list[GateResult]:
    """Judge the residuals; where an exponential kernel is enough, its residuals are the ones that count."""
    residuals = held.residuals if rival is None else rival
    counts = {side: len(values) for side, values in residuals.items()}
    correlations = (
        held.autocorrelation
        if rival is None
        else {side: gates.autocorrelation(values) for side, values in rival.items()}
    )
    return [
        gates.judge_gain(
            "gain_over_poisson",
            held.gain_over_poisson,
            "a Poisson process with the same profile",
            gates.POISSON_LEVEL,
        ),
        gates.judge_gain(
            "gain_over_exponential",
            held.gain_over_exponential,
            "an exponential Hawkes process",
            gates.EXPONENTIAL_LEVEL,
        ),
        gates.judge_quantiles(held.skill),
        *gates.judge_ks(residuals),
        *gates.judge_mean(residuals),
        *gates.judge_autocorrelation(correlations, counts),
    ]


def judge_parameters(optimum: Optimum, events: HawkesEvents) -> list[GateResult]:
    """Judge the estimates themselves: criticality, the box, the clock."""
    n, error = branching(optimum)
    beta, step = math.exp(optimum.u[3]), events.resolution_ns * 1e-9
    return [
        GateResult(
            name="branching_ratio",
            value=n + 2.0 * error,
            limit="< 1",
            passed=bool(n + 2.0 * error < 1.0),
            detail=f"n_self + n_cross = {n:.4f} +- {error:.4f}; the figure is n + 2 SE",
        ),
        GateResult(
            name="bounds",
            value=float(len(optimum.at_bound)),
            limit="no parameter at a bound",
            passed=not optimum.at_bound,
            detail=", ".join(optimum.at_bound) or "none",
        ),
        GateResult(
            name="resolution",
            value=beta / step,
            limit=">= 10 x the clock's step",
            passed=bool(beta >= 10.0 * step),
            detail=f"beta {beta:.3g} s, clock step {step:.3g} s",
        ),
    ]


def draw_flow(events: HawkesEvents, first: int, trace: Trace) -> FlowCurve:
    """Bins of the last session that the held-out events reach."""
    begin = max(int(events.sessions[-1, 0]), int(events.time_ns[first]))
    end = max(int(events.time_ns[-1]) + 1, begin + _CURVE_BINS)
    edges = np.linspace(begin, end, _CURVE_BINS + 1).astype(np.int64)
    width_s = float(edges[1] - edges[0]) * 1e-9
    times = events.time_ns[first:]
    growth = {1: trace.buy_growth, -1: trace.sell_growth}
    return FlowCurve(
        time_ns=(edges[:-1] + edges[1:]) // 2,
        counted_by_side={
            side: np.diff(np.searchsorted(times[trace.side == side], edges)) / width_s for side in growth
        },
        expected_by_side={
            side: np.diff(np.interp(edges, times, np.cumsum(values))) / width_s
            for side, values in growth.items()
        },
    )


def weigh_evidence(
    described: tuple[str, str],
    decided: tuple[Verdict, str, tuple[str, ...]],
    results: tuple[GateResult, ...],
) -> Evidence:
    """Put together what was judged, how it adds up, and on what data."""
    import calibrig

    (fingerprint, description), (verdict, reason, restrictions) = described, decided
    return Evidence(
        verdict=verdict,
        reason=reason,
        gates=results,
        data_fingerprint=fingerprint,
        data_description=description,
        code_version=calibrig.__version__,
        restrictions=restrictions,
    )


def describe_events(data: HawkesInput) -> tuple[str, str]:
    """Return the SHA-256 (hex) over the columns fitted, and the data in words."""
    events = data.events
    digest = hashlib.sha256()
    for column in (events.time_ns, events.side, events.sessions):
        digest.update(np.ascontiguousarray(column).data)
    buys, sells = events.count_sides()
    day = str(np.datetime64(int(events.sessions[0, 0]), "ns"))[:10]
    words = f"{data.symbol}, {len(events.sessions)} session(s) from {day}, {buys} buys, {sells} sells"
    return digest.hexdigest(), words
