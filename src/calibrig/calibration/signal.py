"""Fit the signal model: a prediction of the mid move from 16 features, judged on held-out ticks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrig.calibration.signal_choice import WORTH_PER_NS, choose_kind, predict_folds
from calibrig.calibration.signal_import import ForeignModel, read_foreign
from calibrig.calibration.signal_judging import control_linear, control_trained, measure_periods
from calibrig.calibration.signal_outcome import complete_fit
from calibrig.calibration.signal_result import Candidate, PeriodSkill, SignalFit
from calibrig.calibration.signal_rows import SignalRows, split_rows
from calibrig.calibration.signal_training import KINDS, Trained, choose_penalty, train, wrap_foreign
from calibrig.engine import FeatureRows
from calibrig.errors import InvalidInputError
from calibrig.market import MarketData
from calibrig.parameters import HawkesParameters

__all__ = ["DEVICE_NS", "SignalFit", "fit_signal", "import_signal"]

Float64Array = NDArray[np.float64]
Int64Array = NDArray[np.int64]

DEVICE_NS = MappingProxyType({"trees": 29.1, "linear": 38.5, "network": 73.7})
"""Time in the card by kind, from place-and-route of trained models (docs/rtl.md)."""

_MOST_CONTROLS = MappingProxyType(
    {"linear": 1_000, "trees": 10, "network": 5}
)  # each is a training of its own


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
    part = split_rows(
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

    return complete_fit(
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
    part = split_rows(
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

    return complete_fit(
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


def _choose(
    part: SignalRows,
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
