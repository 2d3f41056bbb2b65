"""From a trained model to a `SignalFit`: rounded to integers, and measured on the held-out rows as it will run."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibrig.calibration.judging import build_evidence
from calibrig.calibration.regression import Skill, fit_slope, measure_skill, slope_errors
from calibrig.calibration.signal_judging import (
    INSUFFICIENT,
    judge_signal,
    measure_importance,
    measure_periods,
)
from calibrig.calibration.signal_result import Candidate, PeriodSkill, SignalFit
from calibrig.calibration.signal_rows import SignalRows
from calibrig.calibration.signal_training import Trained
from calibrig.market import MarketData
from calibrig.models.signal import evaluate_signal
from calibrig.parameters import FEATURE_NAMES, SignalModel

__all__ = ["complete_fit"]

Float64Array = NDArray[np.float64]
Int64Array = NDArray[np.int64]

_DEPTH_IMBALANCE = FEATURE_NAMES.index("depth_imbalance")


def complete_fit(
    market: MarketData,
    part: SignalRows,
    trained: Trained,
    control: Callable[[Float64Array], Float64Array],
    *,
    candidates: tuple[Candidate, ...],
    periods: tuple[PeriodSkill, ...],
    train_rows: int | None,
    feature_bits: int | None,
    device_ns: float,
    replicas: int,
    seed: int,
) -> SignalFit:
    """Judge ``trained`` on the held-out rows of ``part``; ``control`` answers the R^2 of predictions without skill."""
    samples, test = part.samples, part.test
    target = samples.target[test]
    block = _renumber(part.block[test])
    model = trained.quantise(samples.horizon_s, feature_bits)
    answers = evaluate_signal(model, samples.features[test])
    real = np.clip(trained.predict(part.design.values[test]), -1.0, 1.0)

    def measure(prediction: Float64Array) -> Skill:
        return measure_skill(
            prediction,
            target,
            block,
            benchmark=part.benchmark,
            replicas=replicas,
            generator=np.random.default_rng(seed),
        )

    exact, rounded = measure(real), measure(answers)
    luck = control(real)
    periods += tuple(
        one
        for unit in ("day", "hour")
        for one in measure_periods(
            answers,
            target,
            samples.time_ns[test],
            block,
            unit=unit,
            held_out=True,
            benchmark=part.benchmark,
            replicas=replicas,
            seed=seed,
        )
    )
    generator = np.random.default_rng(seed)
    imbalance = fit_slope(
        samples.features[:, _DEPTH_IMBALANCE],
        samples.move_ticks,
        part.block,
        replicas=replicas,
        generator=generator,
    )
    importance = measure_importance(
        lambda rows: evaluate_signal(model, rows),
        samples.features[test],
        target,
        block,
        benchmark=part.benchmark,
        generator=generator,
    )
    coefficients, intercept, errors = _describe_line(part, trained)
    gates = judge_signal(exact, rounded, luck, train_rows, device_ns)
    return SignalFit(
        parameters=_complete(model, rounded, train_rows),
        coefficients=coefficients,
        intercept=intercept,
        standard_errors={
            **errors,
            "imbalance_coefficient": imbalance.coefficient_error,
            "r_squared": rounded.r_squared_error,
        },
        skill=exact,
        quantised_skill=rounded,
        control_r_squared=luck,
        imbalance=imbalance,
        penalty=trained.penalty,
        train_rows=int(part.train.sum()),
        test_rows=int(test.sum()),
        evidence=build_evidence(market, gates, insufficient=INSUFFICIENT),
        candidates=candidates,
        importance=importance,
        periods=periods,
    )


def _complete(model: SignalModel, skill: Skill, train_rows: int | None) -> SignalModel:
    return msgspec.structs.replace(
        model,
        skill_r_squared=skill.r_squared,
        skill_standard_error=skill.r_squared_error,
        calibration_samples=train_rows,
    )


def _describe_line(part: SignalRows, trained: Trained) -> tuple[dict[str, float], float, dict[str, float]]:
    """Coefficients per unit of each feature, intercept and errors of a linear model; nothing for other kinds."""
    if not len(trained.slopes):
        return {}, 0.0, {}
    design, rows, spread = part.design, part.train, part.design.spread
    used = spread > 0.0
    unit = np.where(used, spread, 1.0)
    per_unit = np.where(used, trained.slopes / unit, 0.0)
    residual = part.samples.target[rows] - trained.intercept - design.values[rows] @ trained.slopes
    errors = slope_errors(design.values[rows], residual, _renumber(part.block[rows]), penalty=trained.penalty)
    return (
        dict(zip(FEATURE_NAMES, per_unit.tolist(), strict=True)),
        trained.intercept - float(per_unit @ design.centre),
        dict(zip(FEATURE_NAMES, np.where(used, errors / unit, 0.0).tolist(), strict=True)),
    )


def _renumber(block: Int64Array) -> Int64Array:
    return np.cumsum(np.concatenate(([0], (np.diff(block) != 0).astype(np.int64))))
