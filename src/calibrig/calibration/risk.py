"""Fit the risk model: regime thresholds, and the largest position that bad days and old crashes leave alive."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibrig.calibration.drawdown import DrawdownQuantile, estimate_quantile, measure_drawdowns
from calibrig.calibration.judging import build_evidence
from calibrig.calibration.quoting import QuotingFit
from calibrig.calibration.regimes import RegimeFit, build_thresholds, fit_regimes
from calibrig.calibration.resampled_days import collect_minutes
from calibrig.calibration.scenarios import SCENARIOS, Scenario, apply_scenario, find_own_events
from calibrig.engine import replay
from calibrig.errors import InvalidInputError
from calibrig.market import MarketData
from calibrig.parameters import (
    AvellanedaStoikovParameters,
    Evidence,
    GateResult,
    ParameterSet,
    RiskParameters,
    Verdict,
)

__all__ = ["FEWEST_RISK_DAYS", "RiskFit", "ScenarioLoss", "compute_default_budget", "fit_risk"]

Float64Array = NDArray[np.float64]
Int64Array = NDArray[np.int64]

FEWEST_RISK_DAYS = 20
ENOUGH_PATHS = 100_000
_FEW_PATHS = 1_000  # for finding the neighbourhood of the limit
_FACTORS = (0.5, 1.0, 2.0)
_STEPS = 16  # candidate limits, each 1 / sqrt 2 of the one before
_RESTRICTING = {
    "paths": "preliminary_position_limit",
    "halt_threshold_support": "halt_threshold_is_a_guess",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioLoss:
    """Largest drawdown of a day under one scenario, price units, at half, full and double size."""

    name: str
    half: float
    full: float
    double: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskFit:
    """Risk parameters with the drawdowns they were judged by.

    Attributes
    ----------
    parameters : RiskParameters
        Ready for the store and the engine.
    standard_errors : dict of str to float
        Of the three thresholds.
    regimes : RegimeFit
        Thresholds, time in each regime, changes.
    drawdown : DrawdownQuantile
        99.9 % drawdown of a day at the chosen limit.
    scenarios : tuple of ScenarioLoss
        At the chosen limit, worst first.
    loss_budget : float
        What a day may lose, price units.
    limit_by_bootstrap, limit_by_scenarios : int
        Largest candidate limit that each of the two allows, lots; the smaller one is taken.
    largest_candidate : int
        The largest limit tried, lots.
    evidence : Evidence
        Gates, verdict, reason, data.
    """

    parameters: RiskParameters
    standard_errors: dict[str, float]
    regimes: RegimeFit
    drawdown: DrawdownQuantile
    scenarios: tuple[ScenarioLoss, ...]
    loss_budget: float
    limit_by_bootstrap: int
    limit_by_scenarios: int
    largest_candidate: int
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
    def preliminary(self) -> bool:
        """Whether fewer than 100,000 paths stand behind the limit."""
        return self.drawdown.paths < ENOUGH_PATHS

    def summary(self) -> str:
        """Return the fit as text: thresholds, limit, drawdown, scenarios, gates, verdict."""
        p, r, d = self.parameters, self.regimes, self.drawdown
        word = "PRELIMINARY position limit" if self.preliminary else "position limit"
        rows = [f"Risk model, {self.evidence.data_description}"]
        names = ("normal", "elevated", "high_stress")
        for name, value, error in zip(names, r.thresholds, r.threshold_errors, strict=True):
            rows.append(f"  {name} up to z = {value:.3f} (quantile +- {error:.3f})")
        share = ", ".join(f"{x:.3f}" for x in r.time_share)
        rows += [
            f"  time in NORMAL, ELEVATED, HIGH_STRESS, HALTED: {share}; {r.changes} changes "
            f"({r.changes_without_hysteresis} without hysteresis)",
            f"  {word} {p.max_position} lots (bootstrap allows {self.limit_by_bootstrap}, scenarios "
            f"{self.limit_by_scenarios}, tried up to {self.largest_candidate})",
            f"  drawdown of a day, {100 * d.level:g} %: {d.quantile:.6g} [{d.lower:.6g}, {d.upper:.6g}] over {d.paths} "
            f"paths of {d.days} days; tail fit {d.tail_quantile:.6g} [{d.tail_lower:.6g}, {d.tail_upper:.6g}]; budget "
            f"{self.loss_budget:.6g}",
        ]
        rows += [f"  {s.name}: {s.full:.6g} (x0.5 {s.half:.6g}, x2 {s.double:.6g})" for s in self.scenarios]
        words = {True: "ok  ", False: "FAIL", None: "n/a "}
        rows += [f"  {words[gate.passed]} {gate.name}: {gate.detail} ({gate.limit})" for gate in self.gates]
        rows.append(f"  {self.verdict}: {self.reason}")
        return "\n".join(rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as plain values for JSON."""
        d = self.drawdown
        return {
            "parameters": msgspec.to_builtins(self.parameters),
            "standard_errors": dict(self.standard_errors),
            "regimes": {
                "time_share": list(self.regimes.time_share),
                "changes": self.regimes.changes,
                "changes_without_hysteresis": self.regimes.changes_without_hysteresis,
            },
            "drawdown": {
                name: getattr(d, name)
                for name in (
                    "quantile",
                    "lower",
                    "upper",
                    "tail_quantile",
                    "tail_lower",
                    "tail_upper",
                    "paths",
                    "days",
                )
            },
            "scenarios": [
                {"name": s.name, "half": s.half, "full": s.full, "double": s.double} for s in self.scenarios
            ],
            "loss_budget": self.loss_budget,
            "limit_by_bootstrap": self.limit_by_bootstrap,
            "limit_by_scenarios": self.limit_by_scenarios,
            "preliminary": self.preliminary,
            "evidence": msgspec.to_builtins(self.evidence),
        }


def fit_risk(
    market: MarketData,
    quoting: QuotingFit | AvellanedaStoikovParameters,
    *,
    loss_budget: float | None = None,
    largest_position_lots: int | None = None,
    paths: int = 1_000,
    block_minutes: float = 20.0,
    scenarios: Sequence[Scenario] = SCENARIOS,
    half_life_s: float = 300.0,
    sample_s: float = 5.0,
    fill_model: str = "conservative",
    seed: int = 0,
) -> RiskFit:
    """Fit regime thresholds and the position limit.

    The limit is the largest of 17 candidates (each 1/sqrt 2 of the one before) for which the upper 95 % bound of
    the 99.9 % drawdown of a day stays within the budget, and under which every scenario at full size does too. The
    days are minutes of these ticks in new order, run through the trading engine; candidates see the same days. Above
    1,000 days the limit is first looked for with 1,000, then the candidates around it are judged with all of them; of
    candidates above what the scenarios allow, only what the 1,000 say is known.

    Parameters
    ----------
    market : MarketData
        Training ticks.
    quoting : QuotingFit or AvellanedaStoikovParameters
        What the engine quotes with.
    loss_budget : float, optional
        What a day may lose, price units; default a tenth of the value of the largest candidate position.
    largest_position_lots : int, optional
        Largest candidate; default 10 orders.
    paths : int
        Resampled days; below 100,000 the limit is preliminary.
    block_minutes : float
        Mean block of the stationary bootstrap.
    scenarios : sequence of Scenario
        Stress events; the largest moves of these ticks are added.
    half_life_s, sample_s : float
        Of the volatility behind z.
    fill_model : str
        Of the engine's venue.
    seed : int
        Of the resampling.

    Returns
    -------
    RiskFit

    Raises
    ------
    InvalidTicksError
        Too little data for z or for whole minutes.
    """
    record = quoting.parameters if isinstance(quoting, QuotingFit) else quoting
    order_lots = max(round(record.order_size / record.lot_size), 1)
    largest = 10 * order_lots if largest_position_lots is None else largest_position_lots
    if largest < 1 or paths < 100:
        raise InvalidInputError(
            f"largest_position_lots is {largest} and paths {paths}; give at least 1 lot and 100 paths"
        )
    if loss_budget is None:
        loss_budget = compute_default_budget(record, largest_position_lots=largest)
    regimes = fit_regimes(market.quotes, half_life_s=half_life_s, sample_s=sample_s, seed=seed)
    minutes = collect_minutes(market)
    events = (*scenarios, *find_own_events(market.quotes))
    bent = {event.name: apply_scenario(market, event) for event in events}

    def parameters(limit: int) -> ParameterSet:
        risk = build_thresholds(
            regimes.thresholds,
            regimes.medians,
            half_life_s=half_life_s,
            sample_s=sample_s,
            max_position=limit,
        )
        return ParameterSet(symbol=market.instrument.symbol, quoting=record, risk=risk)

    @functools.cache
    def resampled(limit: int, days: int) -> DrawdownQuantile:
        drawdowns, origin = measure_drawdowns(
            minutes,
            parameters(limit),
            days=days,
            block_minutes=block_minutes,
            fill_model=fill_model,
            seed=seed,
        )
        return estimate_quantile(drawdowns, origin, seed=seed)

    def survives(limit: int, days: int = paths) -> bool:
        return resampled(limit, days).bound <= loss_budget

    def stress(limit: int, factor: float) -> dict[str, float]:
        losses = {}
        for event in events:
            day_ticks = bent[event.name] if factor == 1.0 else apply_scenario(market, event.scaled(factor))
            run = replay(day_ticks, parameters(limit), fill_model=fill_model, sample_s=86_400.0)
            losses[event.name] = float(np.max(run.sessions["max_drawdown"], initial=0.0))
        return losses

    candidates = list(dict.fromkeys(max(round(largest * 2.0 ** (-k / 2)), 1) for k in range(_STEPS + 1)))
    by_scenario = _largest(candidates, lambda c: max(stress(c, 1.0).values(), default=0.0) <= loss_budget)
    by_bootstrap = _largest(candidates, lambda c: survives(c, min(paths, _FEW_PATHS)))
    if paths > _FEW_PATHS and not (by_bootstrap >= by_scenario > 0 and survives(by_scenario)):
        by_bootstrap = _move(candidates, by_bootstrap, survives)
    limit = min(by_scenario, by_bootstrap)
    judged = max(limit, candidates[-1])
    drawdown = resampled(judged, paths)
    losses = _sweep(lambda factor: stress(judged, factor))
    gates = _judge(drawdown, losses, regimes, budget=loss_budget, limit=limit)
    return RiskFit(
        parameters=build_thresholds(
            regimes.thresholds,
            regimes.medians,
            half_life_s=half_life_s,
            sample_s=sample_s,
            max_position=limit,
        ),
        standard_errors={
            f"{name}_volatility_threshold": error
            for name, error in zip(
                ("normal", "elevated", "high_stress"), regimes.threshold_errors, strict=True
            )
        },
        regimes=regimes,
        drawdown=drawdown,
        scenarios=losses,
        loss_budget=loss_budget,
        limit_by_bootstrap=by_bootstrap,
        limit_by_scenarios=by_scenario,
        largest_candidate=largest,
        evidence=build_evidence(
            market, gates, restricting=_RESTRICTING, insufficient={"days": Verdict.TOO_FEW_DAYS}
        ),
    )


def compute_default_budget(
    quoting: AvellanedaStoikovParameters, *, largest_position_lots: int | None = None
) -> float:
    """Return a tenth of the value of the largest candidate position (10 orders), price units.

    Examples
    --------
    >>> compute_default_budget(AvellanedaStoikovParameters(gamma=0.1, sigma=0.5, kappa=1.5,
    ...     time_horizon_seconds=600.0, arrival_rate=1.0, reference_price=100.0, tick_size=0.01, lot_size=1.0))
    100.0
    """
    if largest_position_lots is None:
        largest_position_lots = 10 * max(round(quoting.order_size / quoting.lot_size), 1)
    return 0.1 * largest_position_lots * quoting.lot_size * quoting.reference_price


def _largest(candidates: list[int], holds: Callable[[int], bool]) -> int:
    """Largest candidate that holds, by bisection over the descending list; 0 where none does."""
    if holds(candidates[0]):
        return candidates[0]
    low, high = 0, len(candidates)  # candidates[low] fails, candidates[high] holds (or does not exist)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(candidates[middle]) else (middle, high)
    return candidates[high] if high < len(candidates) else 0


def _move(candidates: list[int], start: int, holds: Callable[[int], bool]) -> int:
    """Largest candidate that holds, looked for from ``start`` (0: from the smallest) upwards, else downwards; 0: none."""
    at = candidates.index(start) if start else len(candidates) - 1
    if holds(candidates[at]):
        while at > 0 and holds(candidates[at - 1]):
            at -= 1
        return candidates[at]
    return next((candidate for candidate in candidates[at + 1 :] if holds(candidate)), 0)


def _sweep(stress: Callable[[float], dict[str, float]]) -> tuple[ScenarioLoss, ...]:
    half, full, double = (stress(factor) for factor in _FACTORS)
    losses = [ScenarioLoss(name=name, half=half[name], full=full[name], double=double[name]) for name in full]
    return tuple(sorted(losses, key=lambda loss: -loss.full))


def _judge(
    drawdown: DrawdownQuantile,
    losses: tuple[ScenarioLoss, ...],
    regimes: RegimeFit,
    *,
    budget: float,
    limit: int,
) -> list[GateResult]:
    days = drawdown.days
    worst = max((loss.full for loss in losses), default=0.0)
    named = next((loss.name for loss in losses), "none")
    spread = abs(drawdown.tail_quantile - drawdown.quantile) / max(drawdown.quantile, 1e-300)
    return [
        GateResult(
            name="days",
            value=float(days),
            limit=f">= {FEWEST_RISK_DAYS}, else the scenarios bind",
            passed=days >= FEWEST_RISK_DAYS,
            detail=f"{days} days were resampled",
        ),
        GateResult(
            name="position_limit",
            value=float(limit),
            limit=">= 1 lot survives the budget",
            passed=limit >= 1,
            detail=f"{limit} lots",
        ),
        GateResult(
            name="drawdown_bound",
            value=drawdown.bound,
            limit=f"<= {budget:g}",
            passed=drawdown.bound <= budget,
            detail=f"{drawdown.bound:.6g}: upper 95 % bound of the 99.9 % drawdown, the larger of bootstrap and tail",
        ),
        GateResult(
            name="scenario_drawdown",
            value=worst,
            limit=f"<= {budget:g}",
            passed=worst <= budget,
            detail=f"{worst:.6g}: worst of {len(losses)}, {named}",
        ),
        GateResult(
            name="tail_agreement",
            value=spread,
            limit="tail fit within 50 % of the empirical quantile",
            passed=spread <= 0.5,
            detail=f"{drawdown.tail_quantile:.6g} against {drawdown.quantile:.6g}",
        ),
        GateResult(
            name="paths",
            value=float(drawdown.paths),
            limit=f">= {ENOUGH_PATHS}",
            passed=drawdown.paths >= ENOUGH_PATHS,
            detail=f"{drawdown.paths} paths; relative deviation of the quantile about 10 % at 1,000",
        ),
        GateResult(
            name="halt_threshold_support",
            value=regimes.expected_exceedances,
            limit=">= 1 independent half-life above the 99.9 % threshold",
            passed=regimes.expected_exceedances >= 1.0,
            detail=f"{regimes.expected_exceedances:.2f} expected in {regimes.samples} samples",
        ),
    ]
