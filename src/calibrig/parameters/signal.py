"""The signal model as it is stored: integers only, with the scales that make features into integers."""

from __future__ import annotations

import hashlib

import msgspec

from calibrig.errors import InvalidParametersError
from calibrig.parameters._checks import check_integer, check_number
from calibrig.parameters.features import FEATURE_NAMES
from calibrig.parameters.version import ParameterVersion

__all__ = ["SignalModel"]


class SignalModel(msgspec.Struct, frozen=True, kw_only=True):
    """A fixed-point signal model: 16 integer features in, one integer out.

    A feature x becomes ``clamp(rint((x - feature_offset) * feature_scale))`` in ``feature_bits`` bits; the
    answer is ``clamp(value / 2 ** output_fraction_bits, -1, 1)``: the predicted mid move over ``horizon_s`` in
    half-spreads.

    Attributes
    ----------
    kind : str
        ``"linear"`` (others follow).
    feature_offset, feature_scale : tuple of float
        16 each.
    feature_bits : int
        Width of a feature, 8 to 16 bits, signed.
    weights : tuple of int
        Linear: 16 weights.
    bias : int
        Linear: added to the dot product.
    output_fraction_bits : int
        Fraction bits of the answer.
    horizon_s : float
        Horizon of the prediction, s.
    skill_r_squared, skill_standard_error : float or None
        Held-out R^2 and its block-bootstrap standard error; None where no fit was made.
    calibration_samples : int or None
        Rows used.
    version : ParameterVersion or None
        Set by the store.
    """

    kind: str = "linear"
    feature_offset: tuple[float, ...]
    feature_scale: tuple[float, ...]
    feature_bits: int = 16
    weights: tuple[int, ...]
    bias: int = 0
    output_fraction_bits: int = 20
    horizon_s: float = 1.0
    skill_r_squared: float | None = None
    skill_standard_error: float | None = None
    calibration_samples: int | None = None
    version: ParameterVersion | None = None

    def __post_init__(self) -> None:
        owner = "SignalModel"
        if self.kind != "linear":
            raise InvalidParametersError(f"{owner}.kind is {self.kind!r}; give 'linear'")
        for field in ("feature_offset", "feature_scale", "weights"):
            values = getattr(self, field)
            if len(values) != len(FEATURE_NAMES):
                raise InvalidParametersError(
                    f"{owner}.{field} has {len(values)} values; give {len(FEATURE_NAMES)}"
                )
        for index in range(len(FEATURE_NAMES)):
            check_number(owner, f"feature_offset[{index}]", self.feature_offset[index])
            check_number(owner, f"feature_scale[{index}]", self.feature_scale[index], at_least=0.0)
            check_integer(
                owner, f"weights[{index}]", self.weights[index], at_least=-(2**31), at_most=2**31 - 1
            )
        check_integer(owner, "feature_bits", self.feature_bits, at_least=8, at_most=16)
        check_integer(owner, "bias", self.bias, at_least=-(2**47), at_most=2**47)
        check_integer(owner, "output_fraction_bits", self.output_fraction_bits, at_least=0, at_most=40)
        check_number(owner, "horizon_s", self.horizon_s, above=0.0)

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
            self.output_fraction_bits,
        )
        return hashlib.sha256(msgspec.json.encode(decisive)).hexdigest()

    @property
    def model_id(self) -> int:
        """First four bytes of the content hash, as the card reports it."""
        return int(self.content_hash[:8], 16)
