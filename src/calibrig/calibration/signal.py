"""Fit the signal model: a prediction of the mid move from 16 features, judged on held-out ticks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibrig.calibration.judging import build_evidence
from calibrig.calibration.regression import (
    Skill,
    assign_time_blocks,
    fit_slope,
    measure_skill,
    slope_errors,
)
from calibrig.calibration.samples import SignalSamples, build_samples, split_purged
from calibrig.calibration.signal_choice import WORTH_PER_NS, choose_kind, predict_folds
from calibrig.calibration.signal_import import ForeignModel, read_foreign
from calibrig.calibration.signal_judging import (
    INSUFFICIENT,
    control_linear,
    control_trained,
    judge_signal,
    measure_importance,
    measure_periods,
)
from calibrig.calibration.signal_result import Candidate, PeriodSkill, SignalFit
from calibrig.calibration.signal_training import (
    KINDS,
    MEMORY_S,
    Design,
    Trained,
    choose_penalty,
    standardise,
    train,
    wrap_foreign,
)
from calibrig.engine import FeatureRows, extract_features
from calibrig.errors import InvalidInputError, InvalidTicksError
from calibrig.market import MarketData
from calibrig.models.signal import evaluate_signal
from calibrig.parameters import FEATURE_NAMES, HawkesParameters, SignalModel

__all__ = ["SignalFit", "find_holdout_start", "fit_signal", "import_signal"]

Float64Array = NDArray[np.float64]
Int64Array = NDArray[np.int64]

DEVICE_NS = MappingProxyType({"trees": 28.9, "linear": 38.5, "network": 64.9})
"""Time in the card by kind, from place-and-route of trained models (docs/rtl.md)."""

_MOST_CONTROLS = MappingProxyType(
    {"linear": 1_000, "trees": 10, "network": 5}
)  # each is a training of its own
_DEPTH_IMBALANCE = FEATURE_NAMES.index("depth_imbalance")


def fit_signal(
    market: MarketData,
    *,
    kinds: Sequence[str] = ("linear",),
    hawkes: HawkesParameters | None = None,
    features: FeatureRows | None = None,
    horizon_s: float = 1.0,
    holdout: float = 0.2,
    block_s: float | None = None,
    max_rows: int = 200_000,
    feature_bits: int | None = None,
    n_trees: int = 20,
    depth: int = 3,
    weight_bits: int = 4,
    worth_per_ns: float = WORTH_PER_NS,
    device_ns: Mapping[str, float] = DEVICE_NS,
    controls: int = 40,
    replicas: int = 400,
    seed: int = 0,
) -> SignalFit:
    """Fit a signal and judge it on the last part of the ticks.

    The target is the mid move over the horizon in half-spreads, clipped to [-1, 1]. Training and test are purged
    (no training target reaches into the test) and, inside the folds, embargoed (features remember for a minute). Of
    several ``kinds`` one is chosen over purged folds of the training part, by skill for its nanoseconds
    (`calibrig.calibration.signal_choice.choose_kind`); the held-out part has no say in it. The chosen model is rounded
    to integers and judged again.

    Parameters
    ----------
    market : MarketData
        Trades and quotes.
    kinds : sequence of str
        ``"linear"``, ``"trees"`` (needs the ``signal`` extra) and ``"network"``: what may be chosen.
    hawkes : HawkesParameters, optional
        For the three intensity features; without it they are constant and the model leaves them out.
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
    feature_bits : int, optional
        Width of a feature in the fixed-point model; 16 for linear, 12 for the other kinds by default.
    n_trees, depth : int
        Shape of the trees: up to 100 of depth up to 4.
    weight_bits : int
        Width of a weight of the network.
    worth_per_ns : float
        R^2 that a slower kind must bring for every nanosecond.
    device_ns : mapping of str to float
        Nanoseconds in a card by kind.
    controls : int
        Fits to targets shifted in time (at most 10 of trees and 5 of networks: each is a training).
    replicas, seed : int
        Bootstrap; the seed is that of training, too.

    Returns
    -------
    SignalFit

    Raises
    ------
    InvalidTicksError
        Too few ticks to split.
    MissingDependencyError
        Trees are asked for and the ``signal`` extra is not installed.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds or len(set(kinds)) != len(kinds):
        raise InvalidInputError(f"kinds is {tuple(kinds)}; give some of {', '.join(KINDS)}, each once")
    part = _split(
        market,
        hawkes,
        features,
        horizon_s=horizon_s,
        holdout=holdout,
        block_s=block_s,
        max_rows=max_rows,
    )
    target = part.samples.target
    penalty = 0.0
    if "linear" in kinds:
        penalty = choose_penalty(part.samples, part.design.values, part.train, horizon_s)

    def train_kind(kind: str, rows: Any, wanted: Float64Array) -> Trained:
        return train(
            kind,
            part.design,
            rows,
            wanted,
            penalty=penalty,
            n_trees=n_trees,
            depth=depth,
            weight_bits=weight_bits,
            feature_bits=feature_bits,
            seed=seed,
        )

    chosen = kinds[0]
    candidates: tuple[Candidate, ...] = ()
    periods: tuple[PeriodSkill, ...] = ()
    if len(kinds) > 1:
        chosen, candidates, periods = _choose(
            part,
            kinds,
            train_kind,
            device_ns=device_ns,
            worth_per_ns=worth_per_ns,
            replicas=replicas,
            seed=seed,
        )
    trained = train_kind(chosen, part.train, target[part.train])
    generator = np.random.default_rng(seed)

    def control(prediction: Float64Array) -> Float64Array:
        number = min(controls, _MOST_CONTROLS[chosen])
        if chosen == "linear":
            return control_linear(
                part.design.values,
                target,
                part.train,
                part.test,
                penalty=penalty,
                controls=number,
                generator=generator,
            )
        return control_trained(
            lambda wanted: train_kind(chosen, part.train, wanted).predict(part.design.values[part.test]),
            prediction,
            target,
            part.train,
            part.test,
            controls=number,
            generator=generator,
        )

    return _judge(
        market,
        part,
        trained,
        control,
        candidates=candidates,
        periods=periods,
        train_rows=int(part.train.sum()),
        feature_bits=feature_bits,
        device_ns=device_ns[chosen],
        replicas=replicas,
        seed=seed,
    )


def import_signal(
    model: Any,
    market: MarketData,
    *,
    hawkes: HawkesParameters | None = None,
    features: FeatureRows | None = None,
    horizon_s: float = 1.0,
    holdout: float = 0.2,
    block_s: float | None = None,
    max_rows: int = 200_000,
    feature_bits: int | None = None,
    controls: int = 40,
    replicas: int = 400,
    seed: int = 0,
) -> SignalFit:
    """Take over a model that was trained elsewhere, round it to integers, and judge it on the last part of the ticks.

    Parameters
    ----------
    model : object or ForeignModel
        A fitted LightGBM regression, or scikit-learn's linear models, GradientBoostingRegressor or MLPRegressor, alone
        or behind a StandardScaler; trained on the 16 features to predict the move in half-spreads.
    market : MarketData
        The last ``holdout`` of its trading time judges the model, which must not have been trained on it; the earlier
        part sets offsets and scales of the features.
    hawkes, features, horizon_s, holdout, block_s, max_rows, feature_bits, replicas, seed
        As in `fit_signal`.
    controls : int
        Held-out targets shifted in time, against which the same predictions are held.

    Returns
    -------
    SignalFit
        ``train_rows`` counts the rows that set the scales.

    Raises
    ------
    InvalidInputError
        The model's shape is not supported.
    """
    foreign = model if isinstance(model, ForeignModel) else read_foreign(model)
    part = _split(
        market,
        hawkes,
        features,
        horizon_s=horizon_s,
        holdout=holdout,
        block_s=block_s,
        max_rows=max_rows,
    )
    trained = wrap_foreign(foreign, part.design, part.samples.features[part.train][:20_000])
    generator = np.random.default_rng(seed)

    def control(prediction: Float64Array) -> Float64Array:
        return control_trained(
            None,
            prediction,
            part.samples.target,
            part.train,
            part.test,
            controls=controls,
            generator=generator,
        )

    return _judge(
        market,
        part,
        trained,
        control,
        candidates=(),
        periods=(),
        train_rows=None,
        feature_bits=feature_bits,
        device_ns=DEVICE_NS[trained.kind],
        replicas=replicas,
        seed=seed,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Rows, and which of them train and which judge."""

    samples: SignalSamples
    design: Design
    train: NDArray[np.bool_]
    test: NDArray[np.bool_]
    block: Int64Array

    @property
    def benchmark(self) -> float:
        """Mean target of the training rows."""
        return float(self.samples.target[self.train].mean())


def _split(
    market: MarketData,
    hawkes: HawkesParameters | None,
    features: FeatureRows | None,
    *,
    horizon_s: float,
    holdout: float,
    block_s: float | None,
    max_rows: int,
) -> _Part:
    rows = extract_features(market, hawkes) if features is None else features
    samples = build_samples(market, rows, horizon_s=horizon_s, max_rows=max_rows)
    train_rows, test_rows = split_purged(
        samples.time_ns,
        test_start_ns=find_holdout_start(market.sessions, holdout),
        test_end_ns=int(market.sessions[-1, 1]),
        horizon_s=horizon_s,
        embargo_s=MEMORY_S,
    )
    if train_rows.sum() < 200 or test_rows.sum() < 50:
        raise InvalidTicksError(
            f"{int(train_rows.sum())} training and {int(test_rows.sum())} held-out rows for "
            f"{market.instrument.symbol!r}; a signal needs at least 200 and 50: give a longer span"
        )
    if block_s is None:
        block_s = _default_block_s(market.sessions, holdout, horizon_s)
    return _Part(
        samples=samples,
        design=standardise(samples.features, train_rows),
        train=train_rows,
        test=test_rows,
        block=assign_time_blocks(samples.time_ns, samples.session, block_s=block_s),
    )


def _choose(
    part: _Part,
    kinds: Sequence[str],
    train_kind: Callable[[str, Any, Float64Array], Trained],
    *,
    device_ns: Mapping[str, float],
    worth_per_ns: float,
    replicas: int,
    seed: int,
) -> tuple[str, tuple[Candidate, ...], tuple[PeriodSkill, ...]]:
    """Choose over purged folds; the folds' predictions also give the skill by day."""
    samples, values = part.samples, part.design.values

    def predictor(kind: str) -> Callable[[Int64Array, Int64Array], Float64Array]:
        return lambda learn, ask: train_kind(kind, learn, samples.target[learn]).predict(values[ask])

    predictions, mean = predict_folds(samples, part.train, {kind: predictor(kind) for kind in kinds})
    chosen, candidates = choose_kind(
        predictions,
        mean,
        samples.target,
        part.block,
        device_ns=device_ns,
        worth_per_ns=worth_per_ns,
    )
    known = np.isfinite(mean)
    periods = measure_periods(
        predictions[chosen][known],
        samples.target[known],
        samples.time_ns[known],
        part.block[known],
        unit="day",
        held_out=False,
        benchmark=part.benchmark,
        replicas=replicas,
        seed=seed,
    )
    return chosen, candidates, periods


def _judge(
    market: MarketData,
    part: _Part,
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


def _describe_line(part: _Part, trained: Trained) -> tuple[dict[str, float], float, dict[str, float]]:
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
