"""Risk parameters: position limit and volatility regimes."""

from __future__ import annotations

import msgspec

from calibrig.errors import InvalidParametersError
from calibrig.parameters._checks import check_integer, check_number
from calibrig.parameters.version import ParameterVersion

__all__ = ["RiskParameters"]


class RiskParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Position limit and volatility regimes.

    The regime signal is ``z``: EWMA volatility of the mid over its time-of-day median (no unit). NORMAL below
    ``normal_volatility_threshold``, then ELEVATED, HIGH_STRESS, and HALTED above
    ``high_stress_volatility_threshold``.

    Attributes
    ----------
    max_position : int
        Position limit, lots; at least 0.
    normal_volatility_threshold, elevated_volatility_threshold, high_stress_volatility_threshold : float
        Upper ends of the regimes in z, strictly increasing; above 0.
    normal_multiplier, elevated_multiplier, high_stress_multiplier, halted_multiplier : float
        Share of position limit and order size in each regime, in [0, 1], not increasing.
    volatility_half_life_s : float
        Half-life of the EWMA, s.
    volatility_sample_s : float
        Spacing of the mid returns that enter the EWMA, s.
    volatility_medians : tuple of float
        Median EWMA volatility by equal time-of-day bin, mid return per sqrt second; ``()`` until calibrated.
    hysteresis : float
        A regime is left downwards below ``hysteresis * threshold``; in (0, 1].
    hysteresis_s : float
        ... held for this long, s.
    halt_s : float
        A HALTED regime caused by volatility alone ends after this time, s.
    version : ParameterVersion or None
        Set by the store.

    Examples
    --------
    >>> RiskParameters(max_position=100, normal_volatility_threshold=2.0, elevated_volatility_threshold=3.0,
    ...     high_stress_volatility_threshold=5.0).halted_multiplier
    0.0
    """

    max_position: int
    normal_volatility_threshold: float
    elevated_volatility_threshold: float
    high_stress_volatility_threshold: float
    normal_multiplier: float = 1.0
    elevated_multiplier: float = 0.7
    high_stress_multiplier: float = 0.4
    halted_multiplier: float = 0.0
    volatility_half_life_s: float = 300.0
    volatility_sample_s: float = 5.0
    volatility_medians: tuple[float, ...] = ()
    hysteresis: float = 0.8
    hysteresis_s: float = 300.0
    halt_s: float = 900.0
    version: ParameterVersion | None = None

    def __post_init__(self) -> None:
        owner = "RiskParameters"
        check_integer(owner, "max_position", self.max_position, at_least=0, at_most=2**31 - 1)
        thresholds = (
            self.normal_volatility_threshold,
            self.elevated_volatility_threshold,
            self.high_stress_volatility_threshold,
        )
        names = ("normal", "elevated", "high_stress")
        for name, value in zip(names, thresholds, strict=True):
            check_number(owner, f"{name}_volatility_threshold", value, above=0.0)
        if not thresholds[0] < thresholds[1] < thresholds[2]:
            raise InvalidParametersError(
                f"RiskParameters volatility thresholds are {thresholds}; they must increase strictly"
            )
        multipliers = (
            self.normal_multiplier,
            self.elevated_multiplier,
            self.high_stress_multiplier,
            self.halted_multiplier,
        )
        for name, value in zip((*names, "halted"), multipliers, strict=True):
            check_number(owner, f"{name}_multiplier", value, at_least=0.0, at_most=1.0)
        if sorted(multipliers, reverse=True) != list(multipliers):
            raise InvalidParametersError(
                f"RiskParameters multipliers are {multipliers}; they must not increase with stress"
            )
        check_number(owner, "volatility_half_life_s", self.volatility_half_life_s, above=0.0)
        check_number(owner, "volatility_sample_s", self.volatility_sample_s, above=0.0)
        for index, value in enumerate(self.volatility_medians):
            check_number(owner, f"volatility_medians[{index}]", value, above=0.0)
        check_number(owner, "hysteresis", self.hysteresis, above=0.0, at_most=1.0)
        check_number(owner, "hysteresis_s", self.hysteresis_s, at_least=0.0)
        check_number(owner, "halt_s", self.halt_s, at_least=0.0)
