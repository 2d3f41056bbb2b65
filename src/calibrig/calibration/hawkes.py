"""Fit the two-sided power-law Hawkes process and judge it on held-out events."""

from __future__ import annotations

import time

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibrig.calibration import gates_hawkes as gates
from calibrig.calibration.hawkes_drift import compute_goodness_of_fit, evaluate_hawkes
from calibrig.calibration.hawkes_errors import covariance, field_errors, sandwich
from calibrig.calibration.hawkes_input import ChildFills, check_counts, check_options, read_input
from calibrig.calibration.hawkes_judgement import (
    describe_events,
    judge_parameters,
    judge_unseen,
    split_unseen,
    start_unseen,
    weigh_evidence,
)
from calibrig.calibration.hawkes_profile import estimate_profile
from calibrig.calibration.hawkes_result import FlowCurve, HawkesFit
from calibrig.calibration.hawkes_search import Optimum, reported_value, search_optimum
from calibrig.calibration.hawkes_side_by_side import SideBySide
from calibrig.calibration.hawkes_stability import judge_seasonality, judge_stability
from calibrig.market.ticks import Trades
from calibrig.models.hawkes_coordinates import from_search
from calibrig.models.hawkes_events import HawkesEvents
from calibrig.models.hawkes_passes import usable_threads
from calibrig.parameters import GateResult

__all__ = ["FlowCurve", "HawkesFit", "compute_goodness_of_fit", "evaluate_hawkes", "fit_hawkes"]

Float64Array = NDArray[np.float64]


def fit_hawkes(
    trades: Trades | tuple[ArrayLike, ArrayLike],
    *,
    sessions: ArrayLike | None = None,
    profile_bins: int = 13,
    holdout: float = 0.2,
    threads: int | None = None,
    seed: int = 0,
    resolution_ns: int | None = None,
    child_fills: ChildFills = "auto",
) -> HawkesFit:
    """Fit by maximum likelihood and judge on the last part of the events with parameters frozen on the first.

    Damped Newton with the analytic Hessian over the fixed-node exponential sum; the estimates use all events, the
    gates those the frozen parameters have not seen. Results do not depend on the number of threads.

    Parameters
    ----------
    trades : Trades, or (time_ns, side)
        Signed market orders: int64 ns, and +1 buy or -1 sell.
    sessions : array of int64, shape (s, 2), optional
        Start and end of each session, ns; default the trades' own, or one from first event to last.
    profile_bins : int
        Bins of the time-of-day profile, used with two sessions or more; 1 for none.
    holdout : float
        Share of events, the last ones, kept for judging; 0 to 0.5. With 0 nothing is judged and the verdict is FAIL.
    threads : int, optional
        Default: as many as the process may use.
    seed : int
        Of spreading ties and of the bootstraps.
    resolution_ns : int, optional
        Step of the clock; default the trades' own, or the common divisor of the stamps.
    child_fills : {"auto", "id", "stamp", "none"}
        How trades of one order are merged (only for Trades); see :func:`calibrig.market.merge_child_fills`.

    Returns
    -------
    HawkesFit

    Raises
    ------
    InvalidTicksError
        If the events cannot be fitted: unsorted, unsigned, one-sided, too few.

    Examples
    --------
    >>> from calibrig import HawkesParameters, simulate_hawkes
    >>> truth = HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=1.0)
    >>> session = [(0, 4 * 3_600 * 10**9)]
    >>> fit = fit_hawkes(simulate_hawkes(truth, sessions=session, seed=4), sessions=session)
    >>> abs(fit.parameters.branching_ratio - 0.8) < 4 * fit.standard_errors["branching_ratio"]
    True
    """
    began = time.perf_counter()
    usable_threads(threads)
    check_options(holdout, profile_bins)
    data = read_input(trades, sessions, resolution_ns, child_fills, seed)
    events = data.events
    fewest = check_counts(events)
    profile = estimate_profile(events, profile_bins)
    optimum, likelihood = search_optimum(events, profile=profile, threads=threads)
    fit_s = time.perf_counter() - began
    cov = covariance(optimum)
    robust = sandwich(likelihood, optimum, cov)

    results: list[GateResult] = []
    held, curve, training, unseen, stability = None, None, None, None, None
    with SideBySide(threads) as pieces:
        if fewest >= gates.FEWEST_EVENTS or holdout == 0.0:
            first, refused = split_unseen(events, holdout)
            if refused is not None:
                results.append(refused)
            else:
                unseen = start_unseen(
                    likelihood, first, optimum, pieces, profile_bins=profile_bins, seed=seed
                )
        if fewest >= gates.FEWEST_EVENTS:
            stability = pieces.start(judge_stability, events, optimum, profile, threads=pieces.threads_each)
        value = pieces.start(reported_value, likelihood.share(), optimum.u, "power_law")
        described = pieces.start(describe_events, data)
        if unseen is not None:
            held, curve, training, judged = judge_unseen(
                likelihood, first, unseen, threads=pieces.threads_each
            )
            results += judged
        results += judge_parameters(optimum, events)
        results.append(_seasonality(events, optimum, profile, profile_bins, threads))
        if stability is not None:
            results.append(stability.result())
    skills = [] if held is None else [s for s in held.skill.values() if s is not None]
    parameters = msgspec.structs.replace(
        from_search(optimum.u, profile=tuple(profile.tolist())),
        calibration_r_squared=min(skills) if skills else None,
        calibration_samples=len(events),
    )
    notes = [*data.notes]
    if len(events.sessions) < 2 and profile_bins > 1:
        notes.append("one session: the time-of-day profile is taken as flat")
    if not optimum.converged:
        notes.append(f"the search stopped at a Newton decrement of {optimum.decrement:.2g}")
    return HawkesFit(
        parameters=parameters,
        standard_errors=field_errors(parameters, cov),
        sandwich_errors=None if robust is None else field_errors(parameters, robust),
        correlation=_correlation(cov),
        log_likelihood=value.result(),
        training=training,
        held_out=held,
        curve=curve,
        sample=events,
        iterations=optimum.iterations,
        fit_s=fit_s,
        total_s=time.perf_counter() - began,
        notes=tuple(notes),
        evidence=weigh_evidence(described.result(), gates.decide(tuple(results), fewest), tuple(results)),
    )


def _seasonality(
    events: HawkesEvents, optimum: Optimum, profile: Float64Array, bins: int, threads: int | None
) -> GateResult:
    used = len(profile) > 1
    if not used and len(events.sessions) >= 2:
        profile = estimate_profile(events, max(bins, 13))
    return judge_seasonality(events, optimum, profile, used, threads=threads)


def _correlation(cov: Float64Array) -> Float64Array:
    scale = np.sqrt(np.diag(cov))
    out: Float64Array = cov / np.outer(scale, scale)
    return out
