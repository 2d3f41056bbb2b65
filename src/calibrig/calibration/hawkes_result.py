"""What a Hawkes fit is made of: parameters, errors, held-out figures, gates and verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibrig.calibration.gates_hawkes import HeldOut
from calibrig.calibration.hawkes_nonparametric import KernelEstimate, estimate_kernel
from calibrig.calibration.hawkes_plot import Drawing, HawkesPlot, draw_fit
from calibrig.calibration.hawkes_search import SEARCH_NAMES
from calibrig.calibration.hawkes_summary import summarise
from calibrig.models.hawkes_events import HawkesEvents
from calibrig.parameters import Evidence, GateResult, HawkesParameters, Verdict

__all__ = ["FlowCurve", "HawkesFit"]

Float64Array = NDArray[np.float64]


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
        p, held = self.parameters, self.held_out
        delay_s = np.geomspace(p.beta * 1e-2, p.beta * 1e4, 200)
        shape = (p.beta + delay_s) ** -p.gamma
        return draw_fit(
            Drawing(
                title=f"{self.verdict}: {len(self.gates)} gates, branching ratio {p.branching_ratio:.3f}",
                curve=self.curve,
                quantiles=None if held is None else held.quantiles,
                autocorrelation=None if held is None else held.autocorrelation,
                residuals={} if held is None else {side: len(v) for side, v in held.residuals.items()},
                delay_s=delay_s,
                own=p.alpha_self * shape,
                other=p.alpha_cross * shape,
                estimate=self.kernel_estimate,
            )
        )

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
