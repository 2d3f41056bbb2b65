"""Estimates beside the truth (where it is known), and whether the truth was recovered."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from calibrig.market import MarketTruth
from calibrig.operations.fitting import Fitted
from calibrig.operations.held_out import HeldOut
from calibrig.reports import ParameterRow

__all__ = ["RECOVERED_Z", "compare_parameters", "judge_recovery"]

# |z| of every parameter at most this, and four in five inside their 95 % interval: with a dozen right estimates the
# first fails by chance in under 0.1 % of runs
RECOVERED_Z = 4.0
_INSIDE = 1.96

_HAWKES = (
    ("lambda_base", "1/s"),
    ("n_self", ""),
    ("n_cross", ""),
    ("alpha_self", "s^(γ−1)"),
    ("alpha_cross", "s^(γ−1)"),
    ("beta", "s"),
    ("gamma", ""),
    ("asymmetry", ""),
)
_RISK = (
    ("normal_volatility_threshold", "z"),
    ("elevated_volatility_threshold", "z"),
    ("high_stress_volatility_threshold", "z"),
)


def compare_parameters(
    fitted: Mapping[str, Fitted], truth: MarketTruth | None = None, held_out: HeldOut | None = None
) -> tuple[ParameterRow, ...]:
    """Return one row a parameter: estimate, standard error and, where there is a truth, truth and z.

    The Sharpe ratio of the held-out backtest is among them where it is defined: it stands in the quoting record.
    """
    rows: list[ParameterRow] = []
    for kind, make in (("hawkes", _hawkes), ("quoting", _quoting), ("risk", _risk), ("signal", _signal)):
        model = fitted.get(kind)
        if model is not None and model.parameters is not None:
            rows.extend(make(model, truth))
            if kind == "quoting" and held_out is not None:
                rows.extend(_backtest(held_out))
    return tuple(rows)


def judge_recovery(rows: tuple[ParameterRow, ...]) -> tuple[bool, str]:
    """Say whether the truth was recovered, and in what numbers.

    Examples
    --------
    >>> row = ParameterRow(model="hawkes", name="beta", unit="s", estimate=0.52, standard_error=0.02, truth=0.5, z=1.0)
    >>> judge_recovery((row,))
    (True, 'the 95 % intervals hold the truth for 1 of 1 parameters; the largest |z| is 1.0 (beta), the limit is 4.0')
    """
    judged = [row for row in rows if row.z is not None]
    if not judged:
        return False, "no parameter could be compared with the truth"
    inside = sum(abs(row.z or 0.0) <= _INSIDE for row in judged)
    worst = max(judged, key=lambda row: abs(row.z or 0.0))
    words = (
        f"the 95 % intervals hold the truth for {inside} of {len(judged)} parameters; the largest |z| is "
        f"{abs(worst.z or 0.0):.1f} ({worst.name}), the limit is {RECOVERED_Z:.1f}"
    )
    return abs(worst.z or 0.0) <= RECOVERED_Z and inside >= 0.8 * len(judged), words


def _row(
    model: str,
    name: str,
    unit: str,
    estimate: float,
    error: float | None,
    *,
    truth: float | None = None,
    preliminary: bool = False,
    note: str = "",
) -> ParameterRow:
    z = None
    if truth is not None and error is not None and error > 0.0 and math.isfinite(error):
        z = (estimate - truth) / error
    return ParameterRow(
        model=model,
        name=name,
        unit=unit,
        estimate=estimate,
        standard_error=error,
        truth=truth,
        z=z,
        preliminary=preliminary,
        note=note,
    )


def _hawkes(model: Fitted, truth: MarketTruth | None) -> Iterator[ParameterRow]:
    for name, unit in _HAWKES:
        error = model.standard_errors.get(name)
        known = None if truth is None else float(getattr(truth.hawkes, name))
        yield _row("hawkes", name, unit, float(getattr(model.parameters, name)), error, truth=known)


def _quoting(model: Fitted, truth: MarketTruth | None) -> Iterator[ParameterRow]:
    p, errors = model.parameters, model.standard_errors
    units = (("sigma", "1/√year"), ("kappa", f"1/{p.price_unit}"), ("arrival_rate", "1/s and side"))
    for name, unit in units:
        known = None if truth is None else float(getattr(truth, name))
        yield _row("quoting", name, unit, float(getattr(p, name)), errors.get(name), truth=known)
    note = "chosen by the inventory target, not estimated: it has no truth"
    yield _row("quoting", "gamma", f"1/{p.price_unit} and unit", p.gamma, errors.get("gamma"), note=note)


def _backtest(held_out: HeldOut) -> Iterator[ParameterRow]:
    result = held_out.result
    if result is not None and result.sharpe is not None:
        note = f"held out, {len(result.daily_pnl)} days, {result.fill_model} fills: {result.verdict}"
        yield _row("quoting", "backtest Sharpe", "1/√year", result.sharpe, result.sharpe_error, note=note)


def _risk(model: Fitted, truth: MarketTruth | None) -> Iterator[ParameterRow]:
    del truth  # quantiles and a limit found by replay: the simulated market has no formula for them
    p, errors = model.parameters, model.standard_errors
    note = "largest limit whose bootstrapped drawdown stays within the loss budget"
    yield _row(
        "risk",
        "max_position",
        "lots",
        p.max_position,
        errors.get("max_position"),
        preliminary=model.fit.preliminary,
        note=note,
    )
    for name, unit in _RISK:
        yield _row("risk", name, unit, getattr(p, name), errors.get(name))


def _signal(model: Fitted, truth: MarketTruth | None) -> Iterator[ParameterRow]:
    fit: Any = model.fit
    p = model.parameters
    horizon = f"over {p.horizon_s:g} s"
    note = f"mid move on depth imbalance alone, {horizon}"
    slope = fit.imbalance
    known = None if truth is None else truth.signal_coefficient_ticks
    yield _row(
        "signal",
        "imbalance coefficient",
        "ticks",
        slope.coefficient,
        slope.coefficient_error,
        truth=known,
        note=note,
    )
    known = None if truth is None else truth.signal_r_squared
    yield _row("signal", "imbalance R²", "", slope.r_squared, slope.r_squared_error, truth=known, note=note)
    if p.skill_r_squared is not None:
        note = f"held out, {p.kind} model of all 16 features, the integers that trade"
        yield _row("signal", "skill R²", "", p.skill_r_squared, p.skill_standard_error, note=note)
