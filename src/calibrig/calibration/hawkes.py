"""Fit the two-sided power-law Hawkes process, judge it on held-out events, and judge stored parameters anew."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from calibrig.calibration import gates_hawkes as gates
from calibrig.calibration.gates_hawkes import HeldOut
from calibrig.calibration.hawkes_errors import covariance, field_errors, sandwich
from calibrig.calibration.hawkes_held_out import Frozen, compare_counts, held_out_figures, rival_residuals
from calibrig.calibration.hawkes_nonparametric import KernelEstimate, estimate_kernel
from calibrig.calibration.hawkes_plot import HawkesPlot, draw_fit
from calibrig.calibration.hawkes_profile import estimate_profile
from calibrig.calibration.hawkes_search import SEARCH_NAMES, Optimum, reported_value, search_optimum
from calibrig.calibration.hawkes_stability import branching, judge_seasonality, judge_stability
from calibrig.calibration.hawkes_summary import summarise
from calibrig.errors import InvalidInputError, InvalidTicksError
from calibrig.market.child_fills import assess_child_fills, merge_child_fills
from calibrig.market.ticks import Trades
from calibrig.models.hawkes_events import HawkesEvents, prepare_events
from calibrig.models.hawkes_likelihood import Trace, from_search, to_search, usable_threads
from calibrig.parameters import Evidence, GateResult, HawkesParameters, Verdict

__all__ = ["FlowCurve", "HawkesFit", "compute_goodness_of_fit", "evaluate_hawkes", "fit_hawkes"]

Float64Array = NDArray[np.float64]
ChildFills = Literal["auto", "id", "stamp", "none"]

FEWEST_TO_FIT = 10
_CURVE_BINS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowCurve:
    """Counted against expected rate over the held-out events, in equal bins.

    Attributes
    ----------
    time_ns : ndarray of int64, shape (k,)
        Middle of each bin.
    counted_by_side, expected_by_side : dict of int to ndarray of float64, shape (k,)
        Events per second of side +1 and -1: seen, and by the compensator one event ahead.
    """

    time_ns: NDArray[np.int64]
    counted_by_side: dict[int, Float64Array]
    expected_by_side: dict[int, Float64Array]

    @property
    def counted(self) -> Float64Array:
        """Events per second, both sides."""
        return self.counted_by_side[1] + self.counted_by_side[-1]

    @property
    def expected(self) -> Float64Array:
        """Events per second that the model expects, both sides."""
        return self.expected_by_side[1] + self.expected_by_side[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class HawkesFit:
    """Hawkes parameters with everything they were judged by.

    Attributes
    ----------
    parameters : HawkesParameters
        Fitted on all events.
    standard_errors : dict of str to float
        By field, and of n_self, n_cross, branching_ratio: from the observed information.
    sandwich_errors : dict of str to float, or None
        The same from the scores of whole sessions; None under eight sessions.
    correlation : ndarray, shape (6, 6)
        Of the estimates, in the order lambda_base, n_self, n_cross, beta, gamma, asymmetry (log scale).
    log_likelihood : float
        At the parameters, all events, nats; kernel error about 1e-10.
    training : HawkesParameters or None
        The parameters frozen on the first part, which the held-out gates judge.
    held_out : HeldOut or None
        Figures on the events after it; None where there were too few.
    curve : FlowCurve or None
        Counted and expected rate over the held-out events.
    sample : HawkesEvents
        What was fitted.
    iterations : int
        Newton steps on the full history.
    fit_s, total_s : float
        Seconds for the estimates, and with errors and gates.
    notes : tuple of str
        What was done to the events: ties, child fills, profile.
    evidence : Evidence
        Gates, verdict, reason, data.
    """

    parameters: HawkesParameters
    standard_errors: dict[str, float]
    sandwich_errors: dict[str, float] | None
    correlation: Float64Array
    log_likelihood: float
    training: HawkesParameters | None
    held_out: HeldOut | None
    curve: FlowCurve | None
    sample: HawkesEvents
    iterations: int
    fit_s: float
    total_s: float
    notes: tuple[str, ...]
    evidence: Evidence

    @property
    def gates(self) -> tuple[GateResult, ...]:
        """Every gate that was judged."""
        return self.evidence.gates

    @property
    def verdict(self) -> Verdict:
        """What the parameters may be used for."""
        return self.evidence.verdict

    @property
    def reason(self) -> str:
        """Why, in one sentence."""
        return self.evidence.reason

    @property
    def kernel_estimate(self) -> KernelEstimate | None:
        """Non-parametric kernel over delays around beta (computed when asked for; about a second)."""
        if len(self.sample) < 500:
            return None
        beta = self.parameters.beta
        return estimate_kernel(self.sample, shortest_s=0.05 * beta, longest_s=2_000.0 * beta)

    def plot(self) -> HawkesPlot:
        """Draw intensity, Q-Q plot, residual autocorrelation and kernel as one SVG (``.to_svg()``, ``.save()``)."""
        return draw_fit(self)

    def summary(self) -> str:
        """Return the fit as text: estimates with errors, gates, verdict."""
        return summarise(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as plain values for JSON."""
        held = self.held_out
        return {
            "parameters": msgspec.to_builtins(self.parameters),
            "branching_ratio": self.parameters.branching_ratio,
            "standard_errors": _json(self.standard_errors),
            "sandwich_errors": None if self.sandwich_errors is None else _json(self.sandwich_errors),
            "correlation": {"order": list(SEARCH_NAMES), "values": np.nan_to_num(self.correlation).tolist()},
            "log_likelihood": self.log_likelihood,
            "training": None if self.training is None else msgspec.to_builtins(self.training),
            "held_out": None
            if held is None
            else {
                "events": held.events,
                "log_likelihood": held.log_likelihood,
                "gain_over_poisson": list(held.gain_over_poisson),
                "gain_over_exponential": list(held.gain_over_exponential),
                "qq_skill": {"buy": held.skill[1], "sell": held.skill[-1]},
            },
            "iterations": self.iterations,
            "fit_s": self.fit_s,
            "total_s": self.total_s,
            "notes": list(self.notes),
            "evidence": msgspec.to_builtins(self.evidence),
        }


def _json(values: dict[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Input:
    events: HawkesEvents
    notes: tuple[str, ...]
    symbol: str


def _read(
    trades: Trades | tuple[ArrayLike, ArrayLike],
    sessions: ArrayLike | None,
    resolution_ns: int | None,
    child_fills: ChildFills,
    seed: int,
) -> _Input:
    notes: list[str] = []
    symbol = "events"
    if isinstance(trades, Trades):
        symbol = trades.instrument.symbol
        if child_fills not in ("auto", "id", "stamp", "none"):
            raise InvalidInputError(f"child_fills is {child_fills!r}; give 'auto', 'id', 'stamp' or 'none'")
        rule = assess_child_fills(trades).rule if child_fills == "auto" and len(trades) else child_fills
        orders = merge_child_fills(trades, rule=rule) if len(trades) else trades
        if rule != "none":
            share = 1.0 - len(orders) / max(len(trades), 1)
            notes.append(
                f"child fills merged by {rule}: {len(trades)} trades to {len(orders)} orders ({share:.1%} fewer)"
            )
        times, side = orders.time_ns, orders.side
        sessions = orders.sessions if sessions is None else sessions
        resolution_ns = orders.resolution_ns if resolution_ns is None else resolution_ns
        spans = np.asarray(sessions)
        if len(spans) and len(times):  # sessions of the source in which this symbol did not trade
            counts = np.diff(np.searchsorted(times, spans[:, 1]), prepend=0)
            if np.any(counts == 0):
                notes.append(f"{int((counts == 0).sum())} sessions without trades left out")
                sessions = spans[counts > 0]
    else:
        if not isinstance(trades, tuple) or len(trades) != 2:
            raise InvalidInputError(f"trades is {type(trades).__name__}; give Trades or (time_ns, side)")
        times, side = trades  # type: ignore[assignment]
    events = prepare_events(times, side, sessions=sessions, resolution_ns=resolution_ns, seed=seed)
    if events.tied_share > 0:
        notes.append(
            f"{events.tied_share:.1%} of events share a stamp: spread over the clock's step of {events.resolution_ns} ns"
        )
    return _Input(events=events, notes=tuple(notes), symbol=symbol)


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
    if not 0.0 <= holdout <= 0.5:
        raise InvalidInputError(f"holdout is {holdout}; give a share in 0 .. 0.5")
    if not 1 <= profile_bins <= 1_000:
        raise InvalidInputError(f"profile_bins is {profile_bins}; give 1 (no profile) to 1,000")
    data = _read(trades, sessions, resolution_ns, child_fills, seed)
    events = data.events
    fewest = _check_counts(events)
    profile = estimate_profile(events, profile_bins)
    optimum, likelihood = search_optimum(events, profile=profile, threads=threads)
    fit_s = time.perf_counter() - began
    cov = covariance(optimum)
    robust = sandwich(likelihood, optimum, cov)
    value = reported_value(likelihood, optimum.u, "power_law")

    results: list[GateResult] = []
    held, curve, training = None, None, None
    first = int((1.0 - holdout) * len(events))
    if fewest >= gates.FEWEST_EVENTS and holdout > 0.0:
        first = int(np.searchsorted(events.time_ns, events.time_ns[first]))
        held, curve, training, judged = _judge(
            events, first, optimum, profile_bins=profile_bins, threads=threads, seed=seed
        )
        results += judged
    elif holdout == 0.0:
        detail = "holdout is 0: estimates only, nothing was judged; give a share to hold out"
        results.append(
            GateResult(name="held_out", value=0.0, limit="> 0 events", passed=False, detail=detail)
        )
    results += _judge_parameters(optimum, events)
    results.append(_seasonality(events, optimum, profile, profile_bins, threads))
    if fewest >= gates.FEWEST_EVENTS:
        results.append(judge_stability(events, optimum, profile, threads=threads))
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
        log_likelihood=value,
        training=training,
        held_out=held,
        curve=curve,
        sample=events,
        iterations=optimum.iterations,
        fit_s=fit_s,
        total_s=time.perf_counter() - began,
        notes=tuple(notes),
        evidence=_evidence(data, tuple(results), fewest),
    )


def _check_counts(events: HawkesEvents) -> int:
    buys, sells = events.count_sides()
    if min(buys, sells) < FEWEST_TO_FIT:
        raise InvalidTicksError(
            f"{buys} buys and {sells} sells; a two-sided fit needs at least {FEWEST_TO_FIT} of each "
            f"(and {gates.FEWEST_EVENTS} to be judged): give more events"
        )
    return min(buys, sells)


def _judge(
    events: HawkesEvents, first: int, optimum: Optimum, *, profile_bins: int, threads: int | None, seed: int
) -> tuple[HeldOut, FlowCurve, HawkesParameters, list[GateResult]]:
    split_ns = int(events.time_ns[first])
    train = events.window(int(events.sessions[0, 0]), split_ns)
    profile = estimate_profile(train, profile_bins)
    frozen_optimum, _ = search_optimum(
        train, profile=profile, threads=threads, start=optimum.u, tolerance=0.01
    )
    exponential, _ = search_optimum(
        train, profile=profile, threads=threads, kernel="exponential", tolerance=0.01
    )
    buys, sells = train.count_sides()
    total_s = float(train.profile_totals_s(profile).sum())
    frozen = Frozen(
        u=frozen_optimum.u,
        exponential=exponential.u,
        poisson=(buys / total_s, sells / total_s),
        profile=profile,
    )
    held, trace = held_out_figures(events, first, frozen, threads=threads, seed=seed)
    results = _judge_held_out(held)
    if any(gate.name == "gain_over_exponential" and not gate.passed for gate in results):
        rival = rival_residuals(events, first, frozen, threads=threads)
        results = _judge_held_out(held, rival)
    results += compare_counts(events, first, frozen, trace, threads=threads, seed=seed)
    curve = _flow_curve(events, first, trace)
    return held, curve, from_search(frozen.u, profile=tuple(profile.tolist())), results


def _judge_held_out(held: HeldOut, rival: dict[int, Float64Array] | None = None) -> list[GateResult]:
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


def _judge_parameters(optimum: Optimum, events: HawkesEvents) -> list[GateResult]:
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


def _seasonality(
    events: HawkesEvents, optimum: Optimum, profile: Float64Array, bins: int, threads: int | None
) -> GateResult:
    used = len(profile) > 1
    if not used and len(events.sessions) >= 2:
        profile = estimate_profile(events, max(bins, 13))
    return judge_seasonality(events, optimum, profile, used, threads=threads)


def _flow_curve(events: HawkesEvents, first: int, trace: Trace) -> FlowCurve:
    """Bins of the last session that the held-out events reach."""
    begin = max(int(events.sessions[-1, 0]), int(events.time_ns[first]))
    end = int(events.time_ns[-1]) + 1
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


def _correlation(cov: Float64Array) -> Float64Array:
    scale = np.sqrt(np.diag(cov))
    out: Float64Array = cov / np.outer(scale, scale)
    return out


def _evidence(data: _Input, results: tuple[GateResult, ...], fewest: int) -> Evidence:
    import calibrig

    verdict, reason, restrictions = gates.decide(results, fewest)
    events = data.events
    digest = hashlib.sha256()
    for column in (events.time_ns, events.side, events.sessions):
        digest.update(np.ascontiguousarray(column).data)
    buys, sells = events.count_sides()
    day = str(np.datetime64(int(events.sessions[0, 0]), "ns"))[:10]
    return Evidence(
        verdict=verdict,
        reason=reason,
        gates=results,
        data_fingerprint=digest.hexdigest(),
        data_description=f"{data.symbol}, {len(events.sessions)} session(s) from {day}, {buys} buys, {sells} sells",
        code_version=calibrig.__version__,
        restrictions=restrictions,
    )


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
    data = _read(trades, sessions, resolution_ns, child_fills, seed)
    events = data.events
    fewest = _check_counts(events)
    u, profile = to_search(parameters), np.asarray(parameters.profile)
    exponential, _ = search_optimum(events, profile=profile, threads=threads, kernel="exponential")
    buys, sells = events.count_sides()
    total_s = float(events.profile_totals_s(profile).sum())
    frozen = Frozen(
        u=u, exponential=exponential.u, poisson=(buys / total_s, sells / total_s), profile=profile
    )
    held, trace = held_out_figures(events, 0, frozen, threads=threads, seed=seed)
    results = _judge_held_out(held) + compare_counts(events, 0, frozen, trace, threads=threads, seed=seed)
    fixed = Optimum(
        u=u,
        evaluation=exponential.evaluation,
        free=np.zeros(6, dtype=bool),
        at_bound=(),
        iterations=0,
        decrement=0.0,
        converged=True,
    )
    results += [gate for gate in _judge_parameters(fixed, events) if gate.name == "resolution"]
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
        curve=_flow_curve(events, 0, trace),
        sample=events,
        iterations=0,
        fit_s=0.0,
        total_s=time.perf_counter() - began,
        notes=(*data.notes, "judged as stored: nothing was fitted but the rivals"),
        evidence=_evidence(data, tuple(results), fewest),
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
    data = _read(trades, sessions, None, "auto", 0)
    events = data.events
    _check_counts(events)
    profile = np.asarray(parameters.profile)
    buys, sells = events.count_sides()
    total_s = float(events.profile_totals_s(profile).sum())
    u = to_search(parameters)
    frozen = Frozen(u=u, exponential=u, poisson=(buys / total_s, sells / total_s), profile=profile)
    held, _ = held_out_figures(events, 0, frozen, threads=threads, seed=0)
    known = [s for s in held.skill.values() if s is not None]
    return min(known) if known else None
