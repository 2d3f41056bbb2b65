"""What a two-scale Hawkes fit gives back: the estimates with everything they were judged by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

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
