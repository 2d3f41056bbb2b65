"""Judge stored Hawkes parameters on new events, without fitting them: drift."""

from __future__ import annotations

import math
import time

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from calibrig.calibration import gates_hawkes as gates
from calibrig.calibration.hawkes_held_out import (
    Frozen,
    compare_counts,
    held_out_figures,
    poisson_rates,
    simulate_counts,
)
from calibrig.calibration.hawkes_input import ChildFills, check_counts, read_input
from calibrig.calibration.hawkes_judgement import (
    describe_events,
    draw_flow,
    judge_coarse_clock,
    judge_held_out,
    judge_parameters,
    weigh_evidence,
)
from calibrig.calibration.hawkes_result import HawkesFit
from calibrig.calibration.hawkes_search import SEARCH_NAMES, Optimum, search_optimum
from calibrig.market.ticks import Trades
from calibrig.models.hawkes_coordinates import to_search
from calibrig.models.hawkes_passes import HawkesLikelihood
from calibrig.parameters import HawkesParameters

__all__ = ["compute_goodness_of_fit", "evaluate_hawkes"]


def evaluate_hawkes(
    parameters: HawkesParameters,
    trades: Trades | tuple[ArrayLike, ArrayLike],
    *,
    sessions: ArrayLike | None = None,
    threads: int | None = None,
    seed: int = 0,
    resolution_ns: int | None = None,
    child_fills: ChildFills = "auto",
) -> HawkesFit:
    """Judge stored parameters on new events, without fitting them: the same gates, as a measure of drift.

    The Poisson and exponential rivals are fitted to the new events themselves, which favours them. Arguments as
    :func:`fit_hawkes`; ``standard_errors`` are nan (nothing was estimated).

    Examples
    --------
    >>> from calibrig import HawkesParameters, simulate_hawkes
    >>> truth = HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=1.0)
    >>> session = [(0, 4 * 3_600 * 10**9)]
    >>> events = simulate_hawkes(truth, sessions=session, seed=4)
    >>> stale = HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=2.0)
    >>> evaluate_hawkes(stale, events, sessions=session).verdict
    <Verdict.FAIL: 'FAIL'>
    """
    began = time.perf_counter()
    data = read_input(trades, sessions, resolution_ns, child_fills, seed)
    events = data.events
    fewest = check_counts(events)
    u, profile = to_search(parameters), np.asarray(parameters.profile)
    exponential, history = search_optimum(events, profile=profile, threads=threads, kernel="exponential")
    frozen = Frozen(u=u, exponential=exponential.u, poisson=poisson_rates(events, profile), profile=profile)
    held, trace, _ = held_out_figures(history, 0, frozen, seed=seed)
    simulated = simulate_counts(events, 0, frozen, threads=threads, seed=seed)
    results = judge_held_out(held) + compare_counts(events, 0, trace, simulated)
    results += judge_coarse_clock(events, 0, frozen, threads=threads)
    fixed = Optimum(
        u=u,
        evaluation=exponential.evaluation,
        free=np.zeros(6, dtype=bool),
        at_bound=(),
        iterations=0,
        decrement=0.0,
        converged=True,
    )
    results += [gate for gate in judge_parameters(fixed, events) if gate.name == "resolution"]
    skills = [s for s in held.skill.values() if s is not None]
    judged = msgspec.structs.replace(
        parameters, calibration_r_squared=min(skills) if skills else None, calibration_samples=len(events)
    )
    return HawkesFit(
        parameters=judged,
        standard_errors=dict.fromkeys(
            (*SEARCH_NAMES, "alpha_self", "alpha_cross", "branching_ratio"), math.nan
        ),
        sandwich_errors=None,
        correlation=np.full((6, 6), math.nan),
        log_likelihood=held.log_likelihood,
        training=parameters,
        held_out=held,
        curve=draw_flow(events, 0, trace),
        sample=events,
        iterations=0,
        fit_s=0.0,
        total_s=time.perf_counter() - began,
        notes=(*data.notes, "judged as stored: nothing was fitted but the rivals"),
        evidence=weigh_evidence(describe_events(data), gates.decide(tuple(results), fewest), tuple(results)),
    )


def compute_goodness_of_fit(
    trades: Trades | tuple[ArrayLike, ArrayLike],
    parameters: HawkesParameters,
    *,
    sessions: ArrayLike | None = None,
    threads: int | None = None,
) -> float | None:
    """Return the Q-Q skill of given parameters on given events, the worse side; None if nothing is to be explained.

    ``1 - SSE(model) / SSE(Poisson)`` of the Q-Q plots of time-rescaled residuals. It is one gate of several: see
    :func:`evaluate_hawkes` for all of them.

    Examples
    --------
    >>> from calibrig import HawkesParameters, simulate_hawkes
    >>> truth = HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=1.0)
    >>> session = [(0, 4 * 3_600 * 10**9)]
    >>> events = simulate_hawkes(truth, sessions=session, seed=4)
    >>> compute_goodness_of_fit(events, truth, sessions=session) > 0.9
    True
    """
    data = read_input(trades, sessions, None, "auto", 0)
    events = data.events
    check_counts(events)
    profile = np.asarray(parameters.profile)
    u = to_search(parameters)
    frozen = Frozen(u=u, exponential=u, poisson=poisson_rates(events, profile), profile=profile)
    history = HawkesLikelihood(events, profile=profile, threads=threads)
    held, _, _ = held_out_figures(history, 0, frozen, seed=0)
    known = [s for s in held.skill.values() if s is not None]
    return min(known) if known else None
