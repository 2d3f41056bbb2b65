"""Are daily results evidence: gates on Sharpe ratio, overfitting, rare losses and changed conditions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from calibrig.calibration.blocks import choose_block_length, compute_long_run_variance, resample_stationary
from calibrig.calibration.judging import combine_gates
from calibrig.calibration.statistics import (
    OverfittingProbability,
    SharpeRatio,
    compute_deflated_sharpe,
    compute_overfitting_probability,
    compute_probabilistic_sharpe,
    compute_sharpe,
)
from calibrig.parameters import GateResult, Verdict

__all__ = ["FEWEST_DAYS", "ProfitEvidence", "judge_profit"]

Float64Array = NDArray[np.float64]

FEWEST_DAYS = 60
_RESTRICTING = {"reconciliation": "paper_or_minimum_size"}
_PATHS = 1_000
_MONTH = 21  # trading days
_DEPENDENT_DAYS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfitEvidence:
    """Statistics of daily net results, and their gates.

    Attributes
    ----------
    sharpe : SharpeRatio or None
        None under 2 days.
    probabilistic, deflated : float or None
        Chance that the true ratio is above 0, and above the best of ``trials`` worthless variants.
    trials : int
        Variants looked at.
    overfitting : OverfittingProbability or None
        None where variants or days do not allow CSCV.
    mean_lower_bound : float or None
        Lower end of the 95 % interval of the mean daily result; its error is the larger of stationary block bootstrap
        and Newey-West over 5 days.
    drawdown_quantile : float or None
        99 % quantile of the largest drawdown over 21 days, by the same bootstrap.
    gates : tuple of GateResult
    verdict : Verdict
    reason : str
    restrictions : tuple of str
    """

    sharpe: SharpeRatio | None
    probabilistic: float | None
    deflated: float | None
    trials: int
    overfitting: OverfittingProbability | None
    mean_lower_bound: float | None
    drawdown_quantile: float | None
    gates: tuple[GateResult, ...]
    verdict: Verdict
    reason: str
    restrictions: tuple[str, ...]


def judge_profit(
    daily: Float64Array,
    *,
    variants: Float64Array | None = None,
    trials: int | None = None,
    conditions: Mapping[str, float] | None = None,
    scenarios: Mapping[str, float] | None = None,
    loss_budget: float | None = None,
    reconciled: bool = False,
    selection: Literal["result", "rule"] = "result",
    periods_per_year: float = 252.0,
    seed: int = 0,
) -> ProfitEvidence:
    """Judge daily net results.

    Parameters
    ----------
    daily : ndarray of float64, shape (T,)
        Net result per day of what would be deployed.
    variants : ndarray of float64, shape (T, N), optional
        Daily results of every variant looked at, the deployed one among them.
    trials : int, optional
        Variants looked at, where more than ``variants`` holds; default its N, or 1.
    conditions : mapping of str to float, optional
        Total result under changed conditions (conservative queue, doubled latency, no rebate).
    scenarios : mapping of str to float, optional
        Worst result, as a number that is negative for a loss, under each stress scenario.
    loss_budget : float, optional
        What may be lost, price units; above 0.
    reconciled : bool
        Whether the fill model has been measured against own fills.
    selection : {"result", "rule"}
        How the deployed variant was picked. PBO judges a choice by results; where a rule made it (an inventory
        target), PBO is shown but has no say: among equally good variants it is near one half by construction.
    periods_per_year : float
        252, or 365 where every day trades.
    seed : int
        Of the bootstrap.

    Returns
    -------
    ProfitEvidence

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> str(judge_profit(rng.standard_normal(120) + 0.4, reconciled=True).verdict)
    'PASS'
    >>> str(judge_profit(rng.standard_normal(20) + 0.4).verdict)
    'TOO_FEW_DAYS'
    """
    daily = np.asarray(daily, dtype=np.float64)
    days = len(daily)
    sharpe = compute_sharpe(daily, periods_per_year=periods_per_year) if days >= 2 else None
    counted = max(trials or 1, 1 if variants is None else variants.shape[1])
    probabilistic = None if sharpe is None else compute_probabilistic_sharpe(sharpe)
    deflated = None if sharpe is None else _deflate(sharpe, variants, counted)
    overfitting = _overfit(variants)
    bound, drawdown = _resample(daily, seed) if days >= 2 else (None, None)
    gates = [
        _gate("days", float(days), f">= {FEWEST_DAYS}", days >= FEWEST_DAYS, "daily results"),
        _sharpe_gate(sharpe),
        _gate(
            "probabilistic_sharpe",
            probabilistic,
            ">= 0.95",
            None if probabilistic is None else probabilistic >= 0.95,
            "chance that the true Sharpe ratio is above 0",
        ),
        _gate(
            "deflated_sharpe",
            deflated,
            ">= 0.95",
            None if deflated is None else deflated >= 0.95,
            f"against the best of {counted} worthless trials",
        ),
        _gate(
            "mean_lower_bound",
            bound,
            "95 % interval of the mean day above 0",
            None if bound is None else bound > 0.0,
            "error by block bootstrap or Newey-West over 5 days, the larger: dependent days are allowed",
        ),
        _overfitting_gate(overfitting, selection),
        *_condition_gates(conditions),
        *_budget_gates(drawdown, scenarios, loss_budget),
        _gate(
            "reconciliation",
            None,
            "fill model measured against own fills",
            reconciled,
            "done" if reconciled else "no own fills: the simulator's bias is not known",
        ),
    ]
    verdict, reason, restrictions = combine_gates(
        gates, restricting=_RESTRICTING, insufficient={"days": Verdict.TOO_FEW_DAYS}
    )
    return ProfitEvidence(
        sharpe=sharpe,
        probabilistic=probabilistic,
        deflated=deflated,
        trials=counted,
        overfitting=overfitting,
        mean_lower_bound=bound,
        drawdown_quantile=drawdown,
        gates=tuple(gates),
        verdict=verdict,
        reason=reason,
        restrictions=restrictions,
    )


def _gate(name: str, value: float | None, limit: str, passed: bool | None, detail: str) -> GateResult:
    finite = None if value is None or not math.isfinite(value) else float(value)
    return GateResult(
        name=name, value=finite, limit=limit, passed=None if passed is None else bool(passed), detail=detail
    )


def _sharpe_gate(sharpe: SharpeRatio | None) -> GateResult:
    if sharpe is None:
        return _gate("sharpe", None, "> 2 a year", None, "not defined under 2 days")
    detail = (
        f"{sharpe.annual:.2f} +- {sharpe.annual_error:.2f} a year over {sharpe.periods} days, skewness "
        f"{sharpe.skewness:.2f}, kurtosis {sharpe.kurtosis:.2f}"
    )
    return _gate("sharpe", sharpe.annual, "> 2 a year", sharpe.annual > 2.0, detail)


def _deflate(sharpe: SharpeRatio, variants: Float64Array | None, trials: int) -> float:
    """With fewer than two known variants the error of one ratio stands for the spread over trials."""
    deviation = sharpe.standard_error
    if variants is not None and variants.shape[1] >= 2:
        ratios = [compute_sharpe(column).per_period for column in variants.T]
        finite = [ratio for ratio in ratios if math.isfinite(ratio)]
        deviation = float(np.std(finite, ddof=1)) if len(finite) >= 2 else deviation
    if not math.isfinite(deviation):
        return 0.0
    return compute_deflated_sharpe(sharpe, trials=trials, deviation_per_period=deviation)


def _overfit(variants: Float64Array | None) -> OverfittingProbability | None:
    if variants is None or variants.shape[1] < 2 or variants.shape[0] < 8:
        return None
    return compute_overfitting_probability(variants)


def _overfitting_gate(found: OverfittingProbability | None, selection: str) -> GateResult:
    if found is None:
        detail = "CSCV needs 2 variants and 8 days"
        return _gate("overfitting_probability", None, "<= 0.2", None, detail)
    detail = f"{found.splits} splits of {found.blocks} blocks"
    if selection == "rule":
        detail += "; shown only: the variant was picked by a rule, not by results"
        return _gate("overfitting_probability", found.probability, "<= 0.2", None, detail)
    return _gate("overfitting_probability", found.probability, "<= 0.2", found.probability <= 0.2, detail)


def _condition_gates(conditions: Mapping[str, float] | None) -> list[GateResult]:
    if not conditions:
        return [_gate("sign_kept", None, "> 0 under changed conditions", None, "no other condition was run")]
    worst = min(conditions.values())
    detail = ", ".join(f"{name} {total:.6g}" for name, total in conditions.items())
    return [_gate("sign_kept", worst, "> 0 under changed conditions", worst > 0.0, detail)]


def _budget_gates(
    drawdown: float | None, scenarios: Mapping[str, float] | None, budget: float | None
) -> list[GateResult]:
    if budget is None:
        return [
            _gate(name, None, "within the loss budget", None, "no loss budget was given")
            for name in ("bootstrap_drawdown", "scenario_loss")
        ]
    gates = [
        _gate(
            "bootstrap_drawdown",
            drawdown,
            f"<= {budget:g}",
            None if drawdown is None else drawdown <= budget,
            "99 % quantile of the largest drawdown over 21 days, stationary block bootstrap",
        )
    ]
    if not scenarios:
        gates.append(_gate("scenario_loss", None, f"<= {budget:g}", None, "no scenario was run"))
        return gates
    name, worst = min(scenarios.items(), key=lambda item: item[1])
    gates.append(
        _gate(
            "scenario_loss", -worst, f"<= {budget:g}", -worst <= budget, f"worst of {len(scenarios)}: {name}"
        )
    )
    return gates


def _resample(daily: Float64Array, seed: int) -> tuple[float, float]:
    """Lower end of the 95 % interval of the mean, and 99 % quantile of the largest drawdown over a month."""
    days = len(daily)
    length = choose_block_length(daily) if days >= 8 else 1.0
    generator = np.random.default_rng(seed)
    drawn = resample_stationary(days, block_length=length, paths=_PATHS, generator=generator)
    resampled = float(daily[drawn].mean(axis=1).std(ddof=1))
    lagged = math.sqrt(compute_long_run_variance(daily, lags=_DEPENDENT_DAYS) / days)
    error = max(resampled, lagged) * math.sqrt(days / (days - 1.0))
    bound = float(daily.mean()) - float(stdtrit(days - 1.0, 0.975)) * error
    equity = np.cumsum(daily[drawn[:, :_MONTH]], axis=1)
    peak = np.maximum(np.maximum.accumulate(equity, axis=1), 0.0)
    return bound, float(np.quantile(np.max(peak - equity, axis=1), 0.99))
