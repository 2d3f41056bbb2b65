"""What a fit of the signal model returns: the model, its judgement, and what it was chosen from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibrig.calibration.regression import Skill, Slope
from calibrig.parameters import Evidence, GateResult, SignalModel, Verdict

__all__ = ["Candidate", "Importance", "PeriodSkill", "SignalFit"]

Float64Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One kind of model that could have been chosen.

    Attributes
    ----------
    kind : str
        ``"linear"``, ``"trees"`` or ``"network"``.
    r_squared : float
        Over purged folds of the training rows.
    gain, gain_error : float
        R^2 above that of the model in force before it was tried, and the error of this difference over time blocks.
    device_ns : float
        Nanoseconds in a card.
    taken : bool
        Whether it took that model's place.
    why : str
        In words.
    """

    kind: str
    r_squared: float
    gain: float
    gain_error: float
    device_ns: float
    taken: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodSkill:
    """Skill in one hour or on one day.

    Attributes
    ----------
    period : str
        ``"2013-10-09"`` or ``"2013-10-09T14Z"`` (UTC).
    held_out : bool
        False: training rows, each predicted by a model of purged folds that did not see it.
    skill : Skill
        With block-bootstrap errors.
    """

    period: str
    held_out: bool
    skill: Skill


@dataclass(frozen=True, slots=True, kw_only=True)
class Importance:
    """Held-out R^2 that is lost when one feature is moved round in time, against the other features and the target.

    Attributes
    ----------
    feature : str
    loss, error : float
        Mean over several moves, and its error over time blocks.
    """

    feature: str
    loss: float
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalFit:
    """A fixed-point signal with its held-out skill.

    Attributes
    ----------
    parameters : SignalModel
        Ready for the store, the bridge and the card.
    coefficients : dict of str to float
        Linear models: half-spreads per unit of each feature; empty for the other kinds.
    intercept : float
        Linear models: half-spreads.
    standard_errors : dict of str to float
        By feature (linear models), robust to overlapping targets; also ``imbalance_coefficient`` and ``r_squared``.
    skill : Skill
        Held out, of the model before rounding to integers.
    quantised_skill : Skill
        Held out, of the integers that trade.
    control_r_squared : ndarray of float64, shape (controls,)
        Held-out R^2 of the same fit to targets shifted in time: what luck gives.
    imbalance : Slope
        Unclipped mid move in ticks on ``depth_imbalance`` alone, all rows.
    penalty : float
        Linear models: ridge penalty chosen by purged folds; 0 for the other kinds.
    train_rows, test_rows : int
        Rows used.
    evidence : Evidence
        Gates, verdict, reason, data.
    candidates : tuple of Candidate
        Kinds it was chosen from, fastest first.
    importance : tuple of Importance
        Most important feature first.
    periods : tuple of PeriodSkill
        By day, then the held-out part by hour.
    """

    parameters: SignalModel
    coefficients: dict[str, float]
    intercept: float
    standard_errors: dict[str, float]
    skill: Skill
    quantised_skill: Skill
    control_r_squared: Float64Array
    imbalance: Slope
    penalty: float
    train_rows: int
    test_rows: int
    evidence: Evidence
    candidates: tuple[Candidate, ...] = ()
    importance: tuple[Importance, ...] = ()
    periods: tuple[PeriodSkill, ...] = ()

    @property
    def kind(self) -> str:
        """``"linear"``, ``"trees"`` or ``"network"``."""
        return self.parameters.kind

    @property
    def gates(self) -> tuple[GateResult, ...]:
        """Every gate that was judged."""
        return self.evidence.gates

    @property
    def verdict(self) -> Verdict:
        """What the model may be used for."""
        return self.evidence.verdict

    @property
    def reason(self) -> str:
        """Why, in one sentence."""
        return self.evidence.reason

    @property
    def r_squared(self) -> float:
        """Held-out R^2 of the integers that trade."""
        return self.quantised_skill.r_squared

    @property
    def imbalance_coefficient(self) -> float:
        """Mid move in ticks per unit of depth imbalance."""
        return self.imbalance.coefficient

    def summary(self) -> str:
        """Return the fit as text: skill, choice, coefficients or importances, gates, verdict."""
        s = self.quantised_skill
        rows = [
            f"Signal model ({self.kind}), {self.evidence.data_description}",
            f"  horizon {self.parameters.horizon_s:g} s, {self.train_rows} training rows, {self.test_rows} held out",
            f"  held-out {_describe(s)}",
            f"  imbalance alone {self.imbalance.coefficient:.4g} +- {self.imbalance.coefficient_error:.2g} ticks, "
            f"R^2 {self.imbalance.r_squared:.4f} +- {self.imbalance.r_squared_error:.4f}",
        ]
        rows += [f"  {'taken ' if c.taken else 'passed'} {c.kind}: {c.why}" for c in self.candidates]
        rows += [
            f"  {p.period} {'held out' if p.held_out else 'folds   '} {_describe(p.skill)}"
            for p in self.periods
        ]
        rows += self._describe_features()
        words = {True: "ok  ", False: "FAIL", None: "n/a "}
        rows += [f"  {words[gate.passed]} {gate.name}: {gate.detail} ({gate.limit})" for gate in self.gates]
        rows.append(f"  {self.verdict}: {self.reason}")
        return "\n".join(rows)

    def _describe_features(self) -> list[str]:
        rows = []
        for one in self.importance:
            slope = self.coefficients.get(one.feature)
            line = f"  {one.feature:26s} R^2 lost without it {one.loss:+.4f} +- {one.error:.4f}"
            if slope is not None:
                line += f", coefficient {slope:+.4g} +- {self.standard_errors[one.feature]:.2g}"
            rows.append(line)
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as plain values for JSON."""
        return {
            "kind": self.kind,
            "parameters": msgspec.to_builtins(self.parameters),
            "coefficients": dict(self.coefficients),
            "intercept": self.intercept,
            "standard_errors": dict(self.standard_errors),
            "held_out": {
                **_plain(self.quantised_skill),
                "r_squared_before_rounding": self.skill.r_squared,
            },
            "imbalance": {
                "coefficient_ticks": self.imbalance.coefficient,
                "coefficient_error": self.imbalance.coefficient_error,
                "r_squared": self.imbalance.r_squared,
                "r_squared_error": self.imbalance.r_squared_error,
            },
            "control_r_squared": self.control_r_squared.tolist(),
            "candidates": [msgspec.to_builtins(c) for c in self.candidates],
            "importance": [msgspec.to_builtins(one) for one in self.importance],
            "periods": [
                {"period": p.period, "held_out": p.held_out, **_plain(p.skill)} for p in self.periods
            ],
            "penalty": self.penalty,
            "train_rows": self.train_rows,
            "test_rows": self.test_rows,
            "evidence": msgspec.to_builtins(self.evidence),
        }


def _describe(s: Skill) -> str:
    return (
        f"R^2 {s.r_squared:.4f} +- {s.r_squared_error:.4f} [{s.r_squared_interval[0]:.4f}, "
        f"{s.r_squared_interval[1]:.4f}], rank correlation {s.rank_correlation:.4f} +- {s.rank_correlation_error:.4f}"
    )


def _plain(s: Skill) -> dict[str, Any]:
    return {
        "r_squared": s.r_squared,
        "r_squared_error": s.r_squared_error,
        "r_squared_interval": list(s.r_squared_interval),
        "rank_correlation": s.rank_correlation,
        "rank_correlation_error": s.rank_correlation_error,
        "rank_correlation_interval": list(s.rank_correlation_interval),
        "rows": s.rows,
        "blocks": s.blocks,
    }
