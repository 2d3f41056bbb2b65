"""Fit the Hawkes process with two time scales, and judge it on held-out events: the named extension for real ticks."""

from __future__ import annotations

import time

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibrig.calibration import gates_hawkes as gates
from calibrig.calibration.hawkes_input import ChildFills, HawkesInput, check_counts, check_options, read_input
from calibrig.calibration.hawkes_judgement import describe_events, split_unseen, weigh_evidence
from calibrig.calibration.hawkes_profile import estimate_profile
from calibrig.calibration.hawkes_two_scale_judgement import (
    LevelChoice,
    decide_two_scale,
    judge_two_scale_parameters,
    judge_two_scale_unseen,
    record_of,
)
from calibrig.calibration.hawkes_two_scale_result import TwoScaleFit
from calibrig.calibration.hawkes_two_scale_search import (
    TwoScaleOptimum,
    longest_session_s,
    search_two_scale,
)
from calibrig.calibration.hawkes_two_scale_stability import judge_between_parts, judge_two_scale_seasonality
from calibrig.errors import InvalidInputError
from calibrig.market.ticks import Trades
from calibrig.models.hawkes_events import HawkesEvents
from calibrig.models.hawkes_passes import usable_threads
from calibrig.models.hawkes_two_scale import (
    TWO_SCALE_NAMES,
    TwoScaleLikelihood,
    precise_two_scale_nodes,
    to_two_scale_search,
)
from calibrig.parameters import GateResult, TwoScaleParameters

__all__ = ["TwoScaleFit", "fit_two_scale_hawkes"]

Float64Array = NDArray[np.float64]


def fit_two_scale_hawkes(
    trades: Trades | tuple[ArrayLike, ArrayLike],
    *,
    sessions: ArrayLike | None = None,
    profile_bins: int = 13,
    holdout: float = 0.2,
    threads: int | None = None,
    seed: int = 0,
    resolution_ns: int | None = None,
    child_fills: ChildFills = "auto",
    level_s: float = 300.0,
    level_events: float | None = 100.0,
) -> TwoScaleFit:
    """Fit a fast exponential plus a slow power law by maximum likelihood; judge it with a causal level on top.

    The same held-out gates as :func:`fit_hawkes`, and its own: the gain over the plain power law, the residuals
    above ten clock steps, the spread of the branching ratio between parts, and the held-out part's agreement with
    it. The estimates are those of level 1; the level corrects the intensity as the day goes on.

    Parameters
    ----------
    trades, sessions, profile_bins, holdout, threads, seed, resolution_ns, child_fills
        As for :func:`fit_hawkes`.
    level_s : float
        Mean age of what the level remembers, s.
    level_events : float or None
        Events whose weight the level 1 has; None for no level.

    Returns
    -------
    TwoScaleFit
        RESTRICTED at best: the trading loop runs the power law alone, and the store takes nothing else.

    Raises
    ------
    InvalidTicksError
        If the events cannot be fitted: unsorted, unsigned, one-sided, too few.

    Examples
    --------
    >>> from calibrig import simulate_two_scale_hawkes, TwoScaleParameters
    >>> truth = TwoScaleParameters(fast_self=0.35, fast_cross=0.05, fast_s=0.004, slow_self=0.35, slow_cross=0.05,
    ...     beta=0.05, gamma=1.4, horizon_s=7_200.0, lambda_base=0.5)
    >>> session = [(0, 7_200 * 10**9)]
    >>> fit = fit_two_scale_hawkes(simulate_two_scale_hawkes(truth, sessions=session, seed=4), sessions=session)
    >>> abs(fit.parameters.n_fast - 0.4) < 0.05
    True
    """
    began = time.perf_counter()
    usable_threads(threads)
    check_options(holdout, profile_bins)
    if not level_s > 0.0 or not (level_events is None or level_events > 0.0):
        raise InvalidInputError(
            f"level_s is {level_s}, level_events {level_events}; give both above 0, or level_events=None for no level"
        )
    data = read_input(trades, sessions, resolution_ns, child_fills, seed)
    events = data.events
    fewest = check_counts(events)
    profile = estimate_profile(events, profile_bins)
    horizon_s = longest_session_s(events)
    optimum, _ = search_two_scale(events, profile=profile, threads=threads)
    fit_s = time.perf_counter() - began
    level = LevelChoice(level_s=level_s, level_events=level_events)
    parameters = record_of(optimum, profile, horizon_s, level)
    results: list[GateResult] = []
    held, curve, training = None, None, None
    if fewest >= gates.FEWEST_EVENTS or holdout == 0.0:
        first, refused = split_unseen(events, holdout)
        if refused is not None:
            results.append(refused)
        else:
            held, curve, training, judged = judge_two_scale_unseen(
                events, first, optimum, profile_bins=profile_bins, level=level, threads=threads, seed=seed
            )
            results += judged
            results += judge_between_parts(
                events, first, optimum.u, profile, horizon_s=horizon_s, threads=threads
            )
    results += judge_two_scale_parameters(optimum, events)
    results.append(judge_two_scale_seasonality(events, optimum, profile, profile_bins, threads=threads))
    skills = [] if held is None else [s for s in held.skill.values() if s is not None]
    cov = optimum.covariance()
    scale = np.sqrt(np.diag(cov))
    return TwoScaleFit(
        parameters=msgspec.structs.replace(
            parameters,
            calibration_r_squared=min(skills) if skills else None,
            calibration_samples=len(events),
        ),
        standard_errors=_field_errors(parameters, optimum),
        correlation=cov / np.outer(scale, scale),
        log_likelihood=_reported_value(events, parameters, threads),
        training=training,
        held_out=held,
        curve=curve,
        sample=events,
        iterations=optimum.iterations,
        fit_s=fit_s,
        total_s=time.perf_counter() - began,
        notes=_notes(data, optimum, profile_bins),
        evidence=weigh_evidence(
            describe_events(data), decide_two_scale(tuple(results), fewest), tuple(results)
        ),
    )


def _field_errors(parameters: TwoScaleParameters, optimum: TwoScaleOptimum) -> dict[str, float]:
    """Standard errors by field: the search moves in logarithms, but for the asymmetry."""
    scale = np.sqrt(np.diag(optimum.covariance()))
    sizes = {name: getattr(parameters, name) for name in TWO_SCALE_NAMES}
    sizes["asymmetry"], sizes["gamma"] = 1.0, parameters.gamma - 1.0
    errors = {name: float(sizes[name] * scale[k]) for k, name in enumerate(TWO_SCALE_NAMES)}
    errors["branching_ratio"] = optimum.branching()[1]
    return errors


def _reported_value(events: HawkesEvents, parameters: TwoScaleParameters, threads: int | None) -> float:
    likelihood = TwoScaleLikelihood(
        events, horizon_s=parameters.horizon_s, profile=parameters.profile, threads=threads
    )
    likelihood.prepare(precise_two_scale_nodes(events, parameters))
    return likelihood.evaluate(to_two_scale_search(parameters), slopes=False).value


def _notes(data: HawkesInput, optimum: TwoScaleOptimum, profile_bins: int) -> tuple[str, ...]:
    notes = [*data.notes]
    if len(data.events.sessions) < 2 and profile_bins > 1:
        notes.append("one session: the time-of-day profile is taken as flat")
    if optimum.absent:
        notes.append(f"ended at 0: {', '.join(optimum.absent)}")
    if not optimum.converged:
        notes.append(f"the search stopped at a decrement of {optimum.decrement:.2g}")
    return tuple(notes)
