"""The text of a Hawkes fit: a table of estimates, the gates, the verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from calibrig.parameters import Evidence, GateResult, Verdict

if TYPE_CHECKING:
    from calibrig.calibration.hawkes_result import HawkesFit

__all__ = ["summarise", "summarise_table"]

_UNITS = {
    "lambda_base": "1/s",
    "alpha_self": "s^(gamma-1)",
    "alpha_cross": "s^(gamma-1)",
    "beta": "s",
    "gamma": "",
    "asymmetry": "",
    "n_self": "",
    "n_cross": "",
    "branching_ratio": "",
}


class _Summarised(Protocol):
    """What a summary needs of a fit."""

    @property
    def parameters(self) -> Any: ...
    @property
    def standard_errors(self) -> Mapping[str, float]: ...
    @property
    def log_likelihood(self) -> float: ...
    @property
    def iterations(self) -> int: ...
    @property
    def fit_s(self) -> float: ...
    @property
    def total_s(self) -> float: ...
    @property
    def gates(self) -> tuple[GateResult, ...]: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def evidence(self) -> Evidence: ...
    @property
    def verdict(self) -> Verdict: ...
    @property
    def reason(self) -> str: ...


def summarise(fit: HawkesFit) -> str:
    """Return estimates with standard errors and 95 % intervals, gates and verdict, as fixed-width text."""
    return summarise_table(fit, "Two-sided power-law Hawkes process", _UNITS, fit.sandwich_errors or {})


def summarise_table(
    fit: _Summarised, title: str, units: Mapping[str, str], robust: Mapping[str, float]
) -> str:
    """Return the same text for any Hawkes fit; ``units`` names the fields shown, ``robust`` their sandwich errors."""
    width = 78
    lines = [
        title.center(width),
        "=" * width,
        f"Data            {fit.evidence.data_description}",
        f"Log-likelihood  {fit.log_likelihood:.3f}   Newton steps {fit.iterations}   "
        f"fit {fit.fit_s:.3f} s, with judgement {fit.total_s:.3f} s",
        "-" * width,
        f"{'':16}{'estimate':>12}{'std. error':>12}{'sandwich':>11}   {'95 % interval':<22}unit",
    ]
    for name, unit in units.items():
        value = getattr(fit.parameters, name)
        error = fit.standard_errors.get(name, math.nan)
        interval = (
            f"{value - 1.96 * error:.4g} .. {value + 1.96 * error:.4g}" if math.isfinite(error) else "-"
        )
        lines.append(
            f"{name:16}{value:>12.5g}{_number(error):>12}{_number(robust.get(name, math.nan)):>11}   {interval:<22}{unit}"
        )
    lines.append("-" * width)
    lines += [f"{_mark(gate)} {gate.name:24}{_figure(gate):>12}  {gate.limit}" for gate in fit.gates]
    lines.append("-" * width)
    lines += [f"note  {note}" for note in fit.notes]
    lines.append(f"{fit.verdict}: {fit.reason}")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "-"


def _mark(gate: GateResult) -> str:
    return {True: "ok   ", False: "FAIL ", None: "n/a  "}[gate.passed]


def _figure(gate: GateResult) -> str:
    return "-" if gate.value is None else f"{gate.value:.4g}"
