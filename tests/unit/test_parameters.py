"""Records refuse what cannot be true, on every construction path."""

from __future__ import annotations

import math

import msgspec
import pytest

from calibrig import AvellanedaStoikovParameters, HawkesParameters, RiskParameters
from calibrig.errors import CalibrigError, InvalidParametersError

GOOD = {"alpha_self": 0.3, "alpha_cross": 0.1, "beta": 0.5, "gamma": 2.0, "lambda_base": 1.0}


@pytest.mark.parametrize("field", sorted(GOOD))
@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, True, "0.3", None])
def test_hawkes_refuses_impossible_numbers(field: str, value: object) -> None:
    with pytest.raises(InvalidParametersError, match=f"HawkesParameters.{field}"):
        HawkesParameters(**{**GOOD, field: value})  # type: ignore[arg-type]


def test_checks_run_when_decoding_and_replacing() -> None:
    parameters = HawkesParameters(**GOOD)
    with pytest.raises(CalibrigError, match="gamma"):
        msgspec.structs.replace(parameters, gamma=1.0)
    with pytest.raises(msgspec.ValidationError, match="beta"):
        msgspec.json.decode(msgspec.json.encode({**GOOD, "beta": 0.0}), type=HawkesParameters)


def test_branching_ratio_is_the_integral_of_the_kernel() -> None:
    parameters = HawkesParameters(**GOOD)
    # integral of 0.3 (0.5 + t)^-2 over t > 0 is 0.3 / 0.5 = 0.6; cross 0.1 / 0.5 = 0.2
    assert parameters.n_self == pytest.approx(0.6, rel=1e-15)
    assert parameters.branching_ratio == pytest.approx(0.8, rel=1e-15)


def test_sigma_abs_has_price_units() -> None:
    parameters = AvellanedaStoikovParameters(
        gamma=0.1,
        sigma=0.5,
        kappa=1.0,
        time_horizon_seconds=60.0,
        arrival_rate=1.0,
        reference_price=50_000.0,
        tick_size=0.1,
        lot_size=0.001,
    )
    assert parameters.sigma_abs == pytest.approx(50_000.0 * 0.5 / math.sqrt(31_557_600.0), rel=1e-14)


def test_risk_thresholds_must_increase() -> None:
    with pytest.raises(InvalidParametersError, match="increase"):
        RiskParameters(
            max_position=1,
            normal_volatility_threshold=2.0,
            elevated_volatility_threshold=2.0,
            high_stress_volatility_threshold=3.0,
        )
