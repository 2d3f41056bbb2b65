"""The default parameters of the product's source document: marked as such, never calibrated."""

from __future__ import annotations

from calibrig.parameters import (
    AvellanedaStoikovParameters,
    HawkesParameters,
    Instrument,
    RiskParameters,
)
from calibrig.store.record import Parameters

__all__ = ["default_parameters"]


def default_parameters(*, instrument: Instrument, reference_price: float) -> dict[str, Parameters]:
    """Return default Hawkes, quoting and risk records; they carry no quality figures.

    Hawkes: alpha 0.3 and 0.1, beta 0.5, gamma 2.0 (the orders of magnitude of Bacry, Mastromatteo, Muzy 2015);
    quoting: gamma 0.1, sigma 0.5 (Avellaneda, Stoikov 2008 use gamma 0.1, kappa 1.5 per price unit); risk: regimes at
    2, 3 and 5 times the usual volatility.

    Examples
    --------
    >>> sorted(default_parameters(instrument=Instrument(symbol="X", tick_size=0.01, lot_size=1.0),
    ...     reference_price=100.0))
    ['hawkes', 'quoting', 'risk']
    """
    return {
        "hawkes": HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=1.0),
        "quoting": AvellanedaStoikovParameters(
            gamma=0.1,
            sigma=0.5,
            kappa=1.5,
            time_horizon_seconds=600.0,
            arrival_rate=1.0,
            reference_price=reference_price,
            tick_size=instrument.tick_size,
            lot_size=instrument.lot_size,
            seconds_per_year=instrument.seconds_per_year,
            order_size=instrument.lot_size,
            price_unit=instrument.price_unit,
        ),
        "risk": RiskParameters(
            max_position=100,
            normal_volatility_threshold=2.0,
            elevated_volatility_threshold=3.0,
            high_stress_volatility_threshold=5.0,
        ),
    }
