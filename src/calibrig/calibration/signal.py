"""Fit the signal model: a linear prediction of the mid move from 16 features, judged on held-out ticks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibrig.calibration.judging import build_evidence
from calibrig.calibration.regression import (
    Skill,
    Slope,
    assign_time_blocks,
    fit_ridge,
    fit_ridge_path,
    fit_slope,
    measure_skill,
    slope_errors,
)
from calibrig.calibration.samples import SignalSamples, build_samples, split_purged
from calibrig.engine import FeatureRows, extract_features
from calibrig.errors import InvalidTicksError
from calibrig.market import MarketData
from calibrig.models.signal import evaluate_signal, quantise_linear
from calibrig.parameters import (
    FEATURE_NAMES,
    Evidence,
    GateResult,
    HawkesParameters,
    SignalModel,
    Verdict,
)

__all__ = ["SignalFit", "fit_signal"]

Float64Array = NDArray[np.float64]
Int64Array = NDArray[np.int64]

MINIMUM_ROWS = 2_000
_FOLDS = 5
_PENALTIES = (0.0, 1e-4, 1e-3, 1e-2, 1e-1)
_MEMORY_S = 60.0  # the longest average among the features
_DEPTH_IMBALANCE = FEATURE_NAMES.index("depth_imbalance")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalFit:
    """A fixed-point linear signal with its held-out skill.

    Attributes
    ----------
    parameters : SignalModel
        Ready for the store, the bridge and the card.
    coefficients : dict of str to float
        Half-spreads per unit of each feature.
    intercept : float
        Half-spreads.
    standard_errors : dict of str to float
        By feature, robust to overlapping targets; also ``imbalance_coefficient`` and ``r_squared``.
    skill : Skill
        Held out, of the model before rounding to integers.
    quantised_skill : Skill
        Held out, of the integers that trade.
    control_r_squared : ndarray of float64, shape (controls,)
        Held-out R^2 of the same fit to targets shifted in time: what luck gives.
    imbalance : Slope
        Unclipped mid move in ticks on ``depth_imbalance`` alone, all rows.
    penalty : float
        Ridge penalty chosen by purged folds.
    train_rows, test_rows : int
        Rows used.
    evidence : Evidence
        Gates, verdict, reason, data.
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
        """Return the fit as text: skill, coefficients with errors, gates, verdict."""
        s = self.quantised_skill
        rows = [
            f"Signal model, {self.evidence.data_description}",
            f"  horizon {self.parameters.horizon_s:g} s, {self.train_rows} training rows, {self.test_rows} held out",
            f"  held-out R^2 {s.r_squared:.4f} +- {s.r_squared_error:.4f} "
            f"[{s.r_squared_interval[0]:.4f}, {s.r_squared_interval[1]:.4f}], rank correlation "
            f"{s.rank_correlation:.4f} +- {s.rank_correlation_error:.4f}",
            f"  imbalance alone {self.imbalance.coefficient:.4g} +- {self.imbalance.coefficient_error:.2g} ticks, "
            f"R^2 {self.imbalance.r_squared:.4f} +- {self.imbalance.r_squared_error:.4f}",
        ]
        ranked = sorted(self.coefficients.items(), key=lambda item: -abs(item[1]))
        rows += [
            f"  {name:26s} {value:+.4g} +- {self.standard_errors[name]:.2g}"
            for name, value in ranked
            if value != 0.0
        ]
        words = {True: "ok  ", False: "FAIL", None: "n/a "}
        rows += [f"  {words[gate.passed]} {gate.name}: {gate.detail} ({gate.limit})" for gate in self.gates]
        rows.append(f"  {self.verdict}: {self.reason}")
        return "\n".join(rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as plain values for JSON."""
        return {
            "parameters": msgspec.to_builtins(self.parameters),
            "coefficients": dict(self.coefficients),
            "intercept": self.intercept,
            "standard_errors": dict(self.standard_errors),
            "held_out": {
                "r_squared": self.quantised_skill.r_squared,
                "r_squared_error": self.quantised_skill.r_squared_error,
                "r_squared_interval": list(self.quantised_skill.r_squared_interval),
                "rank_correlation": self.quantised_skill.rank_correlation,
                "rank_correlation_error": self.quantised_skill.rank_correlation_error,
                "r_squared_before_rounding": self.skill.r_squared,
            },
            "imbalance": {
                "coefficient_ticks": self.imbalance.coefficient,
                "coefficient_error": self.imbalance.coefficient_error,
                "r_squared": self.imbalance.r_squared,
                "r_squared_error": self.imbalance.r_squared_error,
            },
            "control_r_squared": self.control_r_squared.tolist(),
            "penalty": self.penalty,
            "train_rows": self.train_rows,
            "test_rows": self.test_rows,
            "evidence": msgspec.to_builtins(self.evidence),
        }


def fit_signal(
    market: MarketData,
    *,
    hawkes: HawkesParameters | None = None,
    features: FeatureRows | None = None,
    horizon_s: float = 1.0,
    holdout: float = 0.2,
    block_s: float | None = None,
    max_rows: int = 200_000,
    feature_bits: int = 16,
    controls: int = 40,
    replicas: int = 400,
    seed: int = 0,
) -> SignalFit:
    """Fit a linear signal and judge it on the last part of the ticks.

    The target is the mid move over the horizon in half-spreads, clipped to [-1, 1]. Training and test are purged
    (no training target reaches into the test) and, inside the folds, embargoed (features remember for a minute); the ridge penalty
    is chosen by purged folds inside the training part; the model is then rounded to integers and judged again.

    Parameters
    ----------
    market : MarketData
        Trades and quotes.
    hawkes : HawkesParameters, optional
        For the three intensity features; without it they are 0 and the model leaves them out.
    features : FeatureRows, optional
        Made already by ``extract_features``.
    horizon_s : float
        Horizon of the prediction, s.
    holdout : float
        Last share of the trading time, kept for the test.
    block_s : float, optional
        Time blocks of every error; default 30 horizons, at least 30 s, and no more than leaves 20 blocks.
    max_rows : int
        Most rows; above, every k-th tick is taken.
    feature_bits : int
        Width of a feature in the fixed-point model.
    controls : int
        Fits to targets shifted in time.
    replicas, seed : int
        Bootstrap.

    Returns
    -------
    SignalFit

    Raises
    ------
    InvalidTicksError
        Too few ticks to split.
    """
    rows = extract_features(market, hawkes) if features is None else features
    samples = build_samples(market, rows, horizon_s=horizon_s, max_rows=max_rows)
    test_start_ns = find_holdout_start(market.sessions, holdout)
    train, test = split_purged(
        samples.time_ns,
        test_start_ns=test_start_ns,
        test_end_ns=int(market.sessions[-1, 1]),
        horizon_s=horizon_s,
        embargo_s=_MEMORY_S,
    )
    if train.sum() < 200 or test.sum() < 50:
        raise InvalidTicksError(
            f"{int(train.sum())} training and {int(test.sum())} held-out rows for "
            f"{market.instrument.symbol!r}; a signal needs at least 200 and 50: give a longer span"
        )
    generator = np.random.default_rng(seed)
    if block_s is None:
        block_s = _default_block_s(market.sessions, holdout, horizon_s)
    block = assign_time_blocks(samples.time_ns, samples.session, block_s=block_s)
    design, centre, spread = _standardise(samples.features, train)
    penalty = _choose_penalty(samples, design, train, horizon_s)
    target = samples.target
    slopes, intercept = fit_ridge(design[train], target[train], penalty=penalty)
    residual = target[train] - intercept - design[train] @ slopes
    errors = slope_errors(design[train], residual, _renumber(block[train]), penalty=penalty)
    used = spread > 0.0
    per_unit = np.where(used, slopes / np.where(used, spread, 1.0), 0.0)
    per_unit_errors = np.where(used, errors / np.where(used, spread, 1.0), 0.0)
    constant = intercept - float(per_unit @ centre)
    model = quantise_linear(
        per_unit, constant, centre, spread, feature_bits=feature_bits, horizon_s=horizon_s
    )
    test_block = _renumber(block[test])
    benchmark = float(target[train].mean())

    def judge(prediction: Float64Array) -> Skill:
        return measure_skill(
            prediction,
            target[test],
            test_block,
            benchmark=benchmark,
            replicas=replicas,
            generator=np.random.default_rng(seed),
        )

    exact = judge(np.clip(intercept + design[test] @ slopes, -1.0, 1.0))
    rounded = judge(evaluate_signal(model, samples.features[test]))
    control = _shifted_controls(
        samples, design, train, test, penalty=penalty, controls=controls, generator=generator
    )
    imbalance = fit_slope(
        samples.features[:, _DEPTH_IMBALANCE],
        samples.move_ticks,
        block,
        replicas=replicas,
        generator=generator,
    )
    gates = _judge(exact, rounded, control, int(train.sum()))
    parameters = msgspec.structs.replace(
        model,
        skill_r_squared=rounded.r_squared,
        skill_standard_error=rounded.r_squared_error,
        calibration_samples=int(train.sum()),
    )
    return SignalFit(
        parameters=parameters,
        coefficients=dict(zip(FEATURE_NAMES, per_unit.tolist(), strict=True)),
        intercept=constant,
        standard_errors={
            **dict(zip(FEATURE_NAMES, per_unit_errors.tolist(), strict=True)),
            "imbalance_coefficient": imbalance.coefficient_error,
            "r_squared": rounded.r_squared_error,
        },
        skill=exact,
        quantised_skill=rounded,
        control_r_squared=control,
        imbalance=imbalance,
        penalty=penalty,
        train_rows=int(train.sum()),
        test_rows=int(test.sum()),
        evidence=build_evidence(market, gates, insufficient={"training_rows": Verdict.TOO_FEW_EVENTS}),
    )


def find_holdout_start(sessions: Int64Array, holdout: float) -> int:
    """Return when the last ``holdout`` share of the trading time begins; from 3 sessions on, a session border.

    Examples
    --------
    >>> find_holdout_start(np.array([[0, 100], [200, 300], [400, 500]]), 0.2)
    400
    >>> find_holdout_start(np.array([[0, 100]]), 0.2)
    80
    """
    lengths = np.diff(sessions, axis=1)[:, 0]
    remaining = holdout * float(lengths.sum())
    for row in range(len(sessions) - 1, -1, -1):
        if remaining <= lengths[row]:
            whole = len(sessions) >= 3 and row > 0
            return int(sessions[row, 0] if whole else sessions[row, 1] - round(remaining))
        remaining -= float(lengths[row])
    return int(sessions[0, 0])


def _default_block_s(sessions: Int64Array, holdout: float, horizon_s: float) -> float:
    test_s = holdout * float(np.sum(np.diff(sessions, axis=1))) / 1e9
    return float(max(min(max(30.0 * horizon_s, 30.0), test_s / 20.0), 2.0 * horizon_s))


def _renumber(block: Int64Array) -> Int64Array:
    return np.cumsum(np.concatenate(([0], (np.diff(block) != 0).astype(np.int64))))


def _standardise(
    features: Float64Array, train: NDArray[np.bool_]
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Standardised columns by the training rows, saturating at 8 deviations as on the card; a constant one is 0."""
    centre, spread = features[train].mean(axis=0), features[train].std(axis=0)
    spread = np.where(spread > 1e-12 * np.maximum(np.abs(centre), 1.0), spread, 0.0)
    design = np.where(spread > 0.0, (features - centre) / np.where(spread > 0.0, spread, 1.0), 0.0)
    return np.clip(design, -8.0, 8.0), centre, spread


def _choose_penalty(
    samples: SignalSamples, design: Float64Array, train: NDArray[np.bool_], horizon_s: float
) -> float:
    """Penalty with the smallest squared error over purged folds in time order."""
    rows = np.flatnonzero(train)
    target = samples.target
    edges = np.array_split(rows, _FOLDS)
    losses = np.zeros(len(_PENALTIES))
    for part in edges:
        inner, held = split_purged(
            samples.time_ns[rows],
            test_start_ns=int(samples.time_ns[part[0]]),
            test_end_ns=int(samples.time_ns[part[-1]]) + 1,
            horizon_s=horizon_s,
            embargo_s=_MEMORY_S,
        )
        fit_rows, test_rows = rows[inner], rows[held]
        if len(fit_rows) < 100 or not len(test_rows):
            continue
        slopes, intercepts = fit_ridge_path(design[fit_rows], target[fit_rows][:, None], penalties=_PENALTIES)
        predicted = design[test_rows] @ np.column_stack(slopes) + np.concatenate(intercepts)
        losses += np.sum((target[test_rows][:, None] - predicted) ** 2, axis=0)
    return float(_PENALTIES[int(np.argmin(losses))])


def _shifted_controls(
    samples: SignalSamples,
    design: Float64Array,
    train: NDArray[np.bool_],
    test: NDArray[np.bool_],
    *,
    penalty: float,
    controls: int,
    generator: np.random.Generator,
) -> Float64Array:
    """Held-out R^2 after moving the targets round in time, training and test each by its own random step."""
    target = samples.target
    train_y, test_y = target[train], target[test]
    if controls < 1:
        return np.zeros(0)
    shifted, held = (_shift_randomly(y, controls, generator) for y in (train_y, test_y))
    slopes, intercepts = fit_ridge_path(design[train], shifted, penalties=(penalty,))
    predicted = design[test] @ slopes[0] + intercepts[0]
    total = np.sum((held - train_y.mean()) ** 2, axis=0)
    wrong = np.sum((held - predicted) ** 2, axis=0)
    found: Float64Array = np.where(total > 0.0, 1.0 - wrong / np.where(total > 0.0, total, 1.0), 0.0)
    return found


def _shift_randomly(values: Float64Array, copies: int, generator: np.random.Generator) -> Float64Array:
    """Copies moved round by a random step of 10 to 90 % of their length, shape (n, copies)."""
    n = len(values)
    steps = generator.integers(n // 10, max(n * 9 // 10, n // 10 + 1), size=copies)
    return np.column_stack([np.roll(values, int(step)) for step in steps])


def _judge(exact: Skill, rounded: Skill, control: Float64Array, train_rows: int) -> list[GateResult]:
    loss = exact.r_squared - rounded.r_squared
    allowed = max(0.01 * abs(exact.r_squared), 1e-4)
    luck = float(np.quantile(control, 0.95)) if len(control) else 0.0
    return [
        GateResult(
            name="training_rows",
            value=float(train_rows),
            limit=f">= {MINIMUM_ROWS}",
            passed=train_rows >= MINIMUM_ROWS,
            detail=f"{train_rows} training rows",
        ),
        GateResult(
            name="held_out_r_squared",
            value=rounded.r_squared,
            limit="95 % lower bound > 0",
            passed=rounded.r_squared_interval[0] > 0.0,
            detail=f"{rounded.r_squared:.4f}, 95 % interval {rounded.r_squared_interval[0]:.4f} .. "
            f"{rounded.r_squared_interval[1]:.4f} over {rounded.blocks} blocks",
        ),
        GateResult(
            name="rank_correlation",
            value=rounded.rank_correlation,
            limit="95 % lower bound > 0",
            passed=rounded.rank_correlation_interval[0] > 0.0,
            detail=f"{rounded.rank_correlation:.4f}, 95 % interval {rounded.rank_correlation_interval[0]:.4f} .. "
            f"{rounded.rank_correlation_interval[1]:.4f}",
        ),
        GateResult(
            name="random_target_control",
            value=rounded.r_squared - luck,
            limit="above the 95 % quantile of fits to shifted targets",
            passed=rounded.r_squared > luck,
            detail=f"{rounded.r_squared:.4f} against {luck:.4f} over {len(control)} controls",
        ),
        GateResult(
            name="quantisation_loss",
            value=loss,
            limit="<= 1 % of R^2 or 1e-4",
            passed=loss <= allowed,
            detail=f"R^2 {exact.r_squared:.5f} before, {rounded.r_squared:.5f} after rounding to integers",
        ),
    ]
