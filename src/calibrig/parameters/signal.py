"""The signal model as it is stored: integers only, with the scales that make features into integers."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from calibrig.errors import InvalidParametersError
from calibrig.parameters._checks import check_integer, check_number
from calibrig.parameters.features import FEATURE_NAMES
from calibrig.parameters.version import ParameterVersion

__all__ = ["NetworkLayer", "SignalModel", "TreeEnsemble"]

_N_FEATURES = len(FEATURE_NAMES)
_WEIGHT_LIMIT = 2**15 - 1
_LEAF_LIMIT = 2**24
_MAX_TREES = 100
_MAX_DEPTH = 4
_MAX_WIDTHS = (32, 16, 1)


class TreeEnsemble(msgspec.Struct, frozen=True, kw_only=True):
    """Complete binary trees of one depth, stored breadth first, tree after tree.

    Node i of a tree goes on to node 2 i + 1 where ``feature <= threshold`` and to 2 i + 2 elsewhere; the
    answer is the sum of the leaves reached.

    Attributes
    ----------
    depth : int
        1 .. 4 decisions on the way to a leaf.
    features, thresholds : tuple of int
        2^depth - 1 per tree: index 0 .. 15 of the feature, and the integer it is compared with (16 bits, signed).
    leaves : tuple of int
        2^depth per tree, in units of ``2 ** -output_fraction_bits``, at most 2^24 in size.

    Examples
    --------
    >>> TreeEnsemble(depth=1, features=(1,), thresholds=(0,), leaves=(-100, 100)).n_trees
    1
    """

    depth: int
    features: tuple[int, ...]
    thresholds: tuple[int, ...]
    leaves: tuple[int, ...]

    def __post_init__(self) -> None:
        owner = "TreeEnsemble"
        check_integer(owner, "depth", self.depth, at_least=1, at_most=_MAX_DEPTH)
        n_trees = len(self.leaves) >> self.depth
        if not 1 <= n_trees <= _MAX_TREES or len(self.leaves) != n_trees << self.depth:
            raise InvalidParametersError(
                f"{owner}.leaves has {len(self.leaves)} values; give {1 << self.depth} per tree of depth "
                f"{self.depth}, for 1 to {_MAX_TREES} trees"
            )
        n_nodes = n_trees * ((1 << self.depth) - 1)
        for field in ("features", "thresholds"):
            if len(getattr(self, field)) != n_nodes:
                raise InvalidParametersError(
                    f"{owner}.{field} has {len(getattr(self, field))} values; {n_trees} trees of depth "
                    f"{self.depth} need {n_nodes}"
                )
        _check_all(owner, "features", self.features, at_least=0, at_most=_N_FEATURES - 1)
        _check_all(owner, "thresholds", self.thresholds, at_least=-(2**15), at_most=2**15 - 1)
        _check_all(owner, "leaves", self.leaves, at_least=-_LEAF_LIMIT, at_most=_LEAF_LIMIT)

    @property
    def n_trees(self) -> int:
        """Number of trees."""
        return len(self.leaves) >> self.depth


class NetworkLayer(msgspec.Struct, frozen=True, kw_only=True):
    """One dense layer in integers: ``(weights @ inputs + bias) >> shift``, the shift rounding downwards.

    Hidden layers then clamp to 0 .. 2^(activation_bits - 1) - 1 (a saturating rectifier); the last layer has
    shift 0. A half that makes the shift round to nearest is part of the bias.

    Attributes
    ----------
    weights : tuple of tuple of int
        One row per output, 16 bits signed without the most negative value.
    bias : tuple of int
        One per output, 32 bits.
    shift : int
        0 .. 31.

    Examples
    --------
    >>> NetworkLayer(weights=((1, -1),), bias=(0,), shift=0).shape
    (1, 2)
    """

    weights: tuple[tuple[int, ...], ...]
    bias: tuple[int, ...]
    shift: int = 0

    def __post_init__(self) -> None:
        owner = "NetworkLayer"
        if not self.weights or len(self.bias) != len(self.weights):
            raise InvalidParametersError(
                f"{owner}.bias has {len(self.bias)} values for {len(self.weights)} rows of weights; "
                "give one per row, and at least one row"
            )
        if len({len(row) for row in self.weights}) != 1:
            raise InvalidParametersError(f"{owner}.weights has rows of different lengths; make them equal")
        for row in self.weights:
            _check_all(owner, "weights", row, at_least=-_WEIGHT_LIMIT, at_most=_WEIGHT_LIMIT)
        _check_all(owner, "bias", self.bias, at_least=-(2**31), at_most=2**31 - 1)
        check_integer(owner, "shift", self.shift, at_least=0, at_most=31)

    @property
    def shape(self) -> tuple[int, int]:
        """Outputs, inputs."""
        return len(self.weights), len(self.weights[0])


class SignalModel(msgspec.Struct, frozen=True, kw_only=True):
    """A fixed-point signal model: 16 integer features in, one integer out.

    A feature x becomes ``clamp(rint((x - feature_offset) * feature_scale))`` in ``feature_bits`` bits, where
    rint rounds halves to even and the arithmetic before it is plain binary64. The model's integer is clamped
    to ``+-2 ** output_fraction_bits`` and divided by it: the predicted mid move over ``horizon_s`` in
    half-spreads, in [-1, 1]. Every step is exact, so NumPy, the compiled kernels and a card agree bit for bit.

    Attributes
    ----------
    kind : str
        ``"linear"``, ``"trees"`` or ``"network"``.
    feature_offset, feature_scale : tuple of float
        16 each.
    feature_bits : int
        Width of a feature, 8 to 16 bits, signed.
    weights : tuple of int
        Linear: 16 weights of 16 bits; empty for the other kinds.
    bias : int
        Linear and trees: added to the sum.
    trees : TreeEnsemble or None
        Trees: up to 100 of depth up to 4.
    layers : tuple of NetworkLayer
        Network: 16 features to at most 32, to at most 16, to 1.
    activation_bits : int
        Network: width of a hidden value, 8 to 16 bits, never negative.
    output_fraction_bits : int
        Fraction bits of the answer, 0 to 30: it fits the card's 32-bit result.
    horizon_s : float
        Horizon of the prediction, s.
    golden_features, golden_values : tuple
        Integer inputs (16 each) and the integers they must give: what a device is checked with.
    skill_r_squared, skill_standard_error : float or None
        Held-out R^2 and its block-bootstrap standard error; None where no fit was made.
    calibration_samples : int or None
        Rows used.
    version : ParameterVersion or None
        Set by the store.

    Examples
    --------
    >>> model = SignalModel(feature_offset=(0.0,) * 16, feature_scale=(1024.0,) * 16, weights=(512,) + (0,) * 15)
    >>> model.kind, len(model.content_hash)
    ('linear', 64)
    """

    kind: str = "linear"
    feature_offset: tuple[float, ...]
    feature_scale: tuple[float, ...]
    feature_bits: int = 16
    weights: tuple[int, ...] = ()
    bias: int = 0
    trees: TreeEnsemble | None = None
    layers: tuple[NetworkLayer, ...] = ()
    activation_bits: int = 16
    output_fraction_bits: int = 20
    horizon_s: float = 1.0
    golden_features: tuple[tuple[int, ...], ...] = ()
    golden_values: tuple[int, ...] = ()
    skill_r_squared: float | None = None
    skill_standard_error: float | None = None
    calibration_samples: int | None = None
    version: ParameterVersion | None = None

    def __post_init__(self) -> None:
        owner = "SignalModel"
        if self.kind not in {"linear", "trees", "network"}:
            raise InvalidParametersError(
                f"{owner}.kind is {self.kind!r}; give 'linear', 'trees' or 'network'"
            )
        for field in ("feature_offset", "feature_scale"):
            values = getattr(self, field)
            if len(values) != _N_FEATURES:
                raise InvalidParametersError(f"{owner}.{field} has {len(values)} values; give {_N_FEATURES}")
            # 1e100: far beyond any feature, and (x - offset) * scale can then never be NaN.
            low = 0.0 if field == "feature_scale" else -1e100
            for index, value in enumerate(values):
                check_number(owner, f"{field}[{index}]", value, at_least=low, at_most=1e100)
        check_integer(owner, "feature_bits", self.feature_bits, at_least=8, at_most=16)
        check_integer(owner, "activation_bits", self.activation_bits, at_least=8, at_most=16)
        check_integer(owner, "bias", self.bias, at_least=-(2**47), at_most=2**47)
        check_integer(owner, "output_fraction_bits", self.output_fraction_bits, at_least=0, at_most=30)
        check_number(owner, "horizon_s", self.horizon_s, above=0.0)
        self._check_shape(owner)
        self._check_golden(owner)

    def _check_shape(self, owner: str) -> None:
        has = {"linear": bool(self.weights), "trees": self.trees is not None, "network": bool(self.layers)}
        for kind, present in has.items():
            field = {"linear": "weights", "trees": "trees", "network": "layers"}[kind]
            if present != (kind == self.kind):
                verb = "is missing" if kind == self.kind else "is given"
                raise InvalidParametersError(f"{owner}.{field} {verb} for a {self.kind} model")
        if self.kind == "linear":
            if len(self.weights) != _N_FEATURES:
                raise InvalidParametersError(
                    f"{owner}.weights has {len(self.weights)} values; give {_N_FEATURES}"
                )
            _check_all(owner, "weights", self.weights, at_least=-_WEIGHT_LIMIT, at_most=_WEIGHT_LIMIT)
        elif self.kind == "network":
            self._check_layers(owner)

    def _check_layers(self, owner: str) -> None:
        if len(self.layers) != len(_MAX_WIDTHS):
            raise InvalidParametersError(
                f"{owner}.layers has {len(self.layers)} layers; give {len(_MAX_WIDTHS)}"
            )
        width, largest = _N_FEATURES, 2 ** (self.feature_bits - 1)
        for index, (layer, limit) in enumerate(zip(self.layers, _MAX_WIDTHS, strict=True)):
            where = f"{owner}.layers[{index}]"
            outputs, inputs = layer.shape
            if inputs != width or outputs > limit:
                raise InvalidParametersError(
                    f"{where} is {outputs} x {inputs}; give at most {limit} rows of {width} weights"
                )
            for row, bias in zip(layer.weights, layer.bias, strict=True):
                reach = sum(abs(weight) for weight in row) * largest + abs(bias)
                if reach >= 2**31:
                    raise InvalidParametersError(
                        f"{where} can reach {reach}, above the 32 bits of its sum; use fewer weight bits"
                    )
            width, largest = outputs, 2 ** (self.activation_bits - 1) - 1
        if self.layers[-1].shift:
            raise InvalidParametersError(
                f"{owner}.layers[2].shift is {self.layers[-1].shift}; the last layer has shift 0"
            )

    def _check_golden(self, owner: str) -> None:
        if len(self.golden_features) != len(self.golden_values):
            raise InvalidParametersError(
                f"{owner}.golden_values has {len(self.golden_values)} values for "
                f"{len(self.golden_features)} golden_features; give one each"
            )
        reach = 2 ** (self.feature_bits - 1)
        for row in self.golden_features:
            if len(row) != _N_FEATURES:
                raise InvalidParametersError(
                    f"{owner}.golden_features has a row of {len(row)}; give {_N_FEATURES}"
                )
            _check_all(owner, "golden_features", row, at_least=-reach, at_most=reach - 1)
        one = 2**self.output_fraction_bits
        _check_all(owner, "golden_values", self.golden_values, at_least=-one, at_most=one)

    @property
    def content_hash(self) -> str:
        """SHA-256 (hex) over what decides an answer: formats, scales and integers."""
        decisive = (
            self.kind,
            self.feature_offset,
            self.feature_scale,
            self.feature_bits,
            self.weights,
            self.bias,
            self.trees,
            self.layers,
            self.activation_bits,
            self.output_fraction_bits,
        )
        return hashlib.sha256(msgspec.json.encode(decisive)).hexdigest()

    @property
    def model_id(self) -> int:
        """First four bytes of the content hash, as the card reports it."""
        return int(self.content_hash[:8], 16)


def _check_all(owner: str, field: str, values: tuple[Any, ...], *, at_least: int, at_most: int) -> None:
    for index, value in enumerate(values):
        if type(value) is not int or not at_least <= value <= at_most:
            check_integer(owner, f"{field}[{index}]", value, at_least=at_least, at_most=at_most)
