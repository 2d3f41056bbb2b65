"""Take over a model that was trained elsewhere, with LightGBM or scikit-learn, where its shape fits."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrig.calibration.signal_network import NetworkWeights
from calibrig.calibration.signal_trees import (
    TreeArrays,
    TreeNode,
    evaluate_trees,
    read_lightgbm,
    require_lightgbm,
    stack_trees,
)
from calibrig.errors import FileFormatError, InvalidInputError, MissingFileError
from calibrig.models.signal import N_FEATURES, quantise_linear
from calibrig.models.signal_quantise import quantise_network, quantise_trees
from calibrig.parameters import SignalModel

__all__ = ["ForeignModel", "read_foreign", "read_lightgbm_file"]

Float64Array = NDArray[np.float64]
_WIDTHS = (32, 16, 1)
_WEIGHT_BITS = 8  # weights that were not trained for rounding need more than those that were


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignModel:
    """A model trained elsewhere, in real numbers and in the 16 features' own units.

    Attributes
    ----------
    kind : str
        ``"linear"``, ``"trees"`` or ``"network"``.
    linear : tuple of (ndarray, float) or None
        Coefficients and intercept.
    trees : TreeArrays or None
    network : NetworkWeights or None
        Of any number of hidden units that fits.
    """

    kind: str
    linear: tuple[Float64Array, float] | None = None
    trees: TreeArrays | None = None
    network: NetworkWeights | None = None

    def predict(self, features: Float64Array) -> Float64Array:
        """Answer in real numbers, half-spreads, before clipping."""
        if self.linear is not None:
            answers: Float64Array = features @ self.linear[0] + self.linear[1]
            return answers
        if self.trees is not None:
            return evaluate_trees(self.trees, features)
        assert self.network is not None
        return _run(self.network, features)[-1][:, 0]

    def quantise(
        self,
        centre: Float64Array,
        spread: Float64Array,
        sample: Float64Array,
        *,
        feature_bits: int | None,
        horizon_s: float,
    ) -> SignalModel:
        """Bring it into integers; ``sample`` (rows of features) shows how far hidden values reach."""
        if self.linear is not None:
            slopes = np.where(spread > 0.0, self.linear[0], 0.0)
            constant = self.linear[1] + float((self.linear[0] - slopes) @ centre)
            return quantise_linear(
                slopes, constant, centre, spread, feature_bits=feature_bits or 16, horizon_s=horizon_s
            )
        if self.trees is not None:
            t = self.trees
            return quantise_trees(
                t.features,
                t.thresholds,
                t.leaves,
                feature_offset=centre,
                feature_std=spread,
                feature_bits=feature_bits or 12,
                horizon_s=horizon_s,
            )
        assert self.network is not None
        return _quantise_network(
            self.network, centre, spread, sample, feature_bits=feature_bits or 12, horizon_s=horizon_s
        )


def read_lightgbm_file(path: str | os.PathLike[str]) -> ForeignModel:
    """Read a model that LightGBM saved as text (``booster.save_model``).

    Raises
    ------
    MissingFileError, FileFormatError
        No such file, or none of LightGBM's.
    """
    if not Path(path).is_file():
        raise MissingFileError(f"there is no file {path}; give one that booster.save_model wrote")
    lightgbm = require_lightgbm()
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    if not text.startswith("tree\n"):
        raise FileFormatError(f"{path} is no LightGBM model: it does not start with 'tree'")
    try:
        booster = lightgbm.Booster(model_str=text)
    except (lightgbm.basic.LightGBMError, ValueError) as error:
        raise FileFormatError(f"{path} is no LightGBM model: {error}") from error
    return read_foreign(booster)


def read_foreign(model: Any) -> ForeignModel:
    """Take over a fitted model object: LightGBM; scikit-learn's linear models, boosted trees, networks, and pipelines of
    a StandardScaler and one of these.

    Parameters
    ----------
    model : object
        Trained on the 16 features, in the order of ``FEATURE_NAMES``, to predict half-spreads.

    Returns
    -------
    ForeignModel

    Raises
    ------
    InvalidInputError
        Its shape is not supported; the message says what is.

    Examples
    --------
    >>> class Line:
    ...     coef_, intercept_ = np.full(16, 0.1), 0.5
    >>> read_foreign(Line()).predict(np.ones((1, 16))).round(6).tolist()
    [2.1]
    """  # noqa: D205
    centre, spread = np.zeros(N_FEATURES), np.ones(N_FEATURES)
    if hasattr(model, "steps"):
        *before, (_, model) = model.steps
        for _, step in before:
            if type(step).__name__ != "StandardScaler":
                raise InvalidInputError(
                    f"a pipeline with a {type(step).__name__} cannot be taken over; only StandardScaler can"
                )
            mean, scale = getattr(step, "mean_", None), getattr(step, "scale_", None)
            centre = centre + spread * (np.zeros(N_FEATURES) if mean is None else np.asarray(mean))
            spread = spread * (np.ones(N_FEATURES) if scale is None else np.asarray(scale))
    width = getattr(model, "n_features_in_", N_FEATURES)
    width = model.num_feature() if hasattr(model, "num_feature") else width
    if width != N_FEATURES:
        raise InvalidInputError(f"the model takes {width} features; a signal model takes {N_FEATURES}")
    return _unscale(_read_plain(model), centre, spread)


def _read_plain(model: Any) -> ForeignModel:
    if hasattr(model, "booster_") or hasattr(model, "dump_model"):
        return ForeignModel(kind="trees", trees=read_lightgbm(model))
    if hasattr(model, "coefs_"):
        return ForeignModel(kind="network", network=_read_perceptron(model))
    if hasattr(model, "coef_"):
        slopes, constant = np.ravel(np.asarray(model.coef_, dtype=np.float64)), np.ravel(model.intercept_)
        if slopes.shape != (N_FEATURES,):
            raise InvalidInputError(f"a linear model with {slopes.size} coefficients; give {N_FEATURES}")
        return ForeignModel(kind="linear", linear=(slopes, float(constant[0])))
    if hasattr(model, "estimators_") and hasattr(model, "learning_rate"):
        return ForeignModel(kind="trees", trees=_read_boosting(model))
    raise InvalidInputError(
        f"a {type(model).__name__} cannot be taken over; give a fitted LightGBM regression, or scikit-learn's linear "
        "regression, Ridge, Lasso, GradientBoostingRegressor or MLPRegressor (at most 32 and 16 hidden units)"
    )


def _read_perceptron(model: Any) -> NetworkWeights:
    if model.activation != "relu" or model.out_activation_ != "identity":
        raise InvalidInputError(
            f"a network with activation {model.activation!r} and output {model.out_activation_!r}; train with "
            "activation='relu' and one real answer"
        )
    weights = tuple(np.asarray(w, dtype=np.float64).T for w in model.coefs_)
    shapes = tuple(w.shape for w in weights)
    fits = len(shapes) == len(_WIDTHS) and all(
        s[0] <= limit for s, limit in zip(shapes, _WIDTHS, strict=True)
    )
    if not fits or shapes[-1][0] != 1:
        raise InvalidInputError(
            f"a network with layers {shapes}; give two hidden layers of at most 32 and 16 units, and one answer"
        )
    biases = tuple(np.asarray(b, dtype=np.float64) for b in model.intercepts_)
    return NetworkWeights(weights=weights, biases=biases, fraction_bits=(0, 0, 0))


def _read_boosting(model: Any) -> TreeArrays:
    if getattr(model, "loss", "") not in {"squared_error", "absolute_error", "huber", "quantile"}:
        raise InvalidInputError(f"boosted trees with loss {getattr(model, 'loss', '')!r}; train a regression")
    grown = np.ravel(np.asarray(model.estimators_, dtype=object))
    roots = [TreeNode.from_scikit(estimator.tree_, float(model.learning_rate)) for estimator in grown]
    trees = stack_trees(roots)
    leaves = trees.leaves.copy()
    if model.init_ != "zero":
        start = np.ravel(np.asarray(model.init_.constant_, dtype=np.float64))
        leaves[0] += float(start[0])
    return TreeArrays(features=trees.features, thresholds=trees.thresholds, leaves=leaves)


def _unscale(model: ForeignModel, centre: Float64Array, spread: Float64Array) -> ForeignModel:
    """Undo the scalers in front of a model: its answer to features in their own units."""
    if model.linear is not None:
        slopes = model.linear[0] / spread
        return ForeignModel(kind="linear", linear=(slopes, model.linear[1] - float(slopes @ centre)))
    if model.trees is not None:
        t = model.trees
        borders = t.thresholds * spread[t.features] + centre[t.features]
        return ForeignModel(
            kind="trees", trees=TreeArrays(features=t.features, thresholds=borders, leaves=t.leaves)
        )
    assert model.network is not None
    n = model.network
    first = n.weights[0] / spread
    biases = (n.biases[0] - first @ centre, *n.biases[1:])
    network = NetworkWeights(weights=(first, *n.weights[1:]), biases=biases, fraction_bits=n.fraction_bits)
    return ForeignModel(kind="network", network=network)


def _run(network: NetworkWeights, features: Float64Array) -> list[Float64Array]:
    """Values behind every layer; hidden ones rectified without a limit."""
    values, seen = features, []
    for index, (weights, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        values = values @ weights.T + bias
        if index < len(network.weights) - 1:
            values = np.maximum(values, 0.0)
        seen.append(values)
    return seen


def _quantise_network(
    network: NetworkWeights,
    centre: Float64Array,
    spread: Float64Array,
    sample: Float64Array,
    *,
    feature_bits: int,
    horizon_s: float,
) -> SignalModel:
    """Standardise the first layer; give each layer the bits that its largest weight and its values need."""
    hidden = _run(network, sample)[:-1]
    first = network.weights[0] * spread
    constant = network.biases[0] + network.weights[0] @ centre
    weights = (first, *network.weights[1:])
    biases = (constant, *network.biases[1:])
    largest = float((1 << (_WEIGHT_BITS - 1)) - 1)
    bits = [int(np.floor(np.log2(largest / max(float(np.abs(w).max()), 1e-9)))) for w in weights]
    reach = [max(int(np.ceil(np.log2(max(float(values.max(initial=0.0)), 1e-3)))), -4) for values in hidden]
    return quantise_network(
        weights,
        biases,
        fraction_bits=bits,
        feature_offset=centre,
        feature_std=spread,
        reach_bits=reach,
        feature_bits=feature_bits,
        horizon_s=horizon_s,
    )
