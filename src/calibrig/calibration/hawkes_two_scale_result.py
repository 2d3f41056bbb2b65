"""What a two-scale Hawkes fit gives back: the estimates with everything they were judged by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibrig.calibration.gates_hawkes import QuantilePlot
from calibrig.calibration.hawkes_nonparametric import KernelEstimate, estimate_kernel
from calibrig.calibration.hawkes_plot import Drawing, HawkesPlot, draw_fit
from calibrig.calibration.hawkes_result import FlowCurve
from calibrig.calibration.hawkes_summary import summarise_table
from calibrig.models.hawkes_events import HawkesEvents
from calibrig.models.hawkes_two_scale import TWO_SCALE_NAMES
from calibrig.parameters import Evidence, GateResult, TwoScaleParameters, Verdict

__all__ = ["TwoScaleFit", "TwoScaleHeldOut"]

Float64Array = NDArray[np.float64]

_UNITS = {
    "lambda_base": "1/s",
    "asymmetry": "",
    "fast_self": "",
    "fast_cross": "",
    "fast_s": "s",
    "slow_self": "within the horizon",
    "slow_cross": "within the horizon",
    "beta": "s",
    "gamma": "",
    "branching_ratio": "within the horizon",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoScaleHeldOut:
    """Figures on events the parameters had not seen, the level included, by side (+1, -1).

    Attributes
    ----------
    events : int
        How many.
    log_likelihood : float
        Of those events, given all before them.
    gain_over_poisson, gain_over_power_law : tuple of float
        Gain per event in nats, with its one-sided lower and upper bounds.
    residuals : dict
        Time-rescaled residuals by side.
    quantiles : dict
        :class:`QuantilePlot` by side.
    skill : dict
        Q-Q skill by side; None where the Poisson leaves nothing to explain.
    autocorrelation : dict
        Residual autocorrelation at lags 1 .. 20 by side.
    """

    events: int
    log_likelihood: float
    gain_over_poisson: tuple[float, float, float]
    gain_over_power_law: tuple[float, float, float]
    residuals: dict[int, Float64Array]
    quantiles: dict[int, QuantilePlot]
    skill: dict[int, float | None]
    autocorrelation: dict[int, Float64Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoScaleFit:
    """Two-scale Hawkes parameters with everything they were judged by.

    The store does not take them: the trading loop runs the power law alone.

    Attributes
    ----------
    parameters : TwoScaleParameters
        Fitted on all events.
    standard_errors : dict of str to float
        By field, and of branching_ratio; nan for a ratio that ended at 0.
    correlation : ndarray, shape (9, 9)
        Of the estimates in the order of the search, on its scale (logarithms, but for the asymmetry).
    log_likelihood : float
        At the parameters, level 1, all events, nats.
    training : TwoScaleParameters or None
        The parameters frozen on the first part, which the held-out gates judge.
    held_out : TwoScaleHeldOut or None
        Figures on the events after it; None where there were too few.
    curve : FlowCurve or None
        Counted and expected rate over the held-out events.
    sample : HawkesEvents
        What was fitted.
    iterations : int
        Steps on the full history.
    fit_s, total_s : float
        Seconds for the estimates, and with gates.
    notes : tuple of str
        What was done to the events, and what ended at 0.
    evidence : Evidence
        Gates, verdict, reason, data.
    """

    parameters: TwoScaleParameters
    standard_errors: dict[str, float]
    correlation: Float64Array
    log_likelihood: float
    training: TwoScaleParameters | None
    held_out: TwoScaleHeldOut | None
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
        """What the parameters may be used for; RESTRICTED at best."""
        return self.evidence.verdict

    @property
    def reason(self) -> str:
        """Why, in one sentence."""
        return self.evidence.reason

    @property
    def kernel_estimate(self) -> KernelEstimate | None:
        """Non-parametric kernel over delays around both time scales (computed when asked for; about a second)."""
        if len(self.sample) < 500:
            return None
        p = self.parameters
        shorter, longer = sorted((p.fast_s, p.beta))
        return estimate_kernel(self.sample, shortest_s=0.05 * shorter, longest_s=2_000.0 * longer)

    def plot(self) -> HawkesPlot:
        """Draw intensity, Q-Q plot, residual autocorrelation and kernel as one SVG (``.to_svg()``, ``.save()``)."""
        p, held = self.parameters, self.held_out
        shorter, longer = sorted((p.fast_s, p.beta))
        delay_s = np.geomspace(1e-2 * shorter, 1e4 * longer, 200)
        fast = np.exp(-np.minimum(delay_s / p.fast_s, 700.0)) / p.fast_s
        g = p.gamma - 1.0
        slow = (
            g
            / p.beta
            * (1.0 + delay_s / p.beta) ** -p.gamma
            / -math.expm1(-g * math.log1p(p.horizon_s / p.beta))
        )
        slow = np.where(delay_s <= p.horizon_s, slow, 0.0)
        return draw_fit(
            Drawing(
                title=f"{self.verdict}: {len(self.gates)} gates, branching ratio {p.branching_ratio:.3f}",
                curve=self.curve,
                quantiles=None if held is None else held.quantiles,
                autocorrelation=None if held is None else held.autocorrelation,
                residuals={} if held is None else {side: len(v) for side, v in held.residuals.items()},
                delay_s=delay_s,
                own=p.fast_self * fast + p.slow_self * slow,
                other=p.fast_cross * fast + p.slow_cross * slow,
                estimate=self.kernel_estimate,
            )
        )

    def summary(self) -> str:
        """Return the fit as text: estimates with errors, gates, verdict."""
        return summarise_table(self, "Two-sided Hawkes process with two time scales", _UNITS, {})

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as plain values for JSON."""
        held = self.held_out
        return {
            "model": "two_scale",
            "parameters": msgspec.to_builtins(self.parameters),
            "branching_ratio": self.parameters.branching_ratio,
            "standard_errors": {
                name: value if math.isfinite(value) else None for name, value in self.standard_errors.items()
            },
            "correlation": {
                "order": list(TWO_SCALE_NAMES),
                "values": np.nan_to_num(self.correlation).tolist(),
            },
            "log_likelihood": self.log_likelihood,
            "training": None if self.training is None else msgspec.to_builtins(self.training),
            "held_out": None
            if held is None
            else {
                "events": held.events,
                "log_likelihood": held.log_likelihood,
                "gain_over_poisson": list(held.gain_over_poisson),
                "gain_over_power_law": list(held.gain_over_power_law),
                "qq_skill": {"buy": held.skill[1], "sell": held.skill[-1]},
            },
            "iterations": self.iterations,
            "fit_s": self.fit_s,
            "total_s": self.total_s,
            "notes": list(self.notes),
            "evidence": msgspec.to_builtins(self.evidence),
        }
