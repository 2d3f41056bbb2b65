"""Parameters of the Avellaneda-Stoikov quoting model."""

from __future__ import annotations

import math

import msgspec

from calibrig.parameters._checks import check_number
from calibrig.parameters.instrument import SECONDS_PER_YEAR_24_7
from calibrig.parameters.version import ParameterVersion

__all__ = ["AvellanedaStoikovParameters"]


class AvellanedaStoikovParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Quoting parameters with the units that make them computable.

    Attributes
    ----------
    gamma : float
        Risk aversion, 1/price unit per unit of inventory; above 0.
    sigma : float
        Annualised volatility of returns; above 0.
    kappa : float
        Decay of the arrival rate with distance, 1/price unit; above 0.
    time_horizon_seconds : float
        Trading window, s; above 0.
    arrival_rate : float
        A: market orders per second and side at distance 0; above 0.
    reference_price : float
        Price at which ``sigma`` is turned into price units; above 0.
    tick_size, lot_size : float
        Price and size steps; above 0.
    seconds_per_year : float
        Y, for annualising; above 0.
    order_size : float
        D: size of one quote in units of the instrument; above 0.
    backtest_sharpe, backtest_pnl : float or None
        Held-out backtest; None where none was made.
    touch_only : bool
        True where kappa is not identified (large tick): quote at the touch, use the inventory skew only.
    version : ParameterVersion or None
        Set by the store.

    Examples
    --------
    >>> p = AvellanedaStoikovParameters(gamma=0.1, sigma=0.5, kappa=1.5, time_horizon_seconds=600.0,
    ...     arrival_rate=1.0, reference_price=100.0, tick_size=0.01, lot_size=1.0)
    >>> round(p.sigma_abs, 6)  # price units per sqrt second
    0.008901
    """

    gamma: float
    sigma: float
    kappa: float
    time_horizon_seconds: float
    arrival_rate: float
    reference_price: float
    tick_size: float
    lot_size: float
    seconds_per_year: float = SECONDS_PER_YEAR_24_7
    order_size: float = 1.0
    price_unit: str = "USD"
    touch_only: bool = False
    backtest_sharpe: float | None = None
    backtest_pnl: float | None = None
    version: ParameterVersion | None = None

    def __post_init__(self) -> None:
        owner = "AvellanedaStoikovParameters"
        for field in (
            "gamma",
            "sigma",
            "kappa",
            "time_horizon_seconds",
            "arrival_rate",
            "reference_price",
            "tick_size",
            "lot_size",
            "seconds_per_year",
            "order_size",
        ):
            check_number(owner, field, getattr(self, field), above=0.0)
        for field in ("backtest_sharpe", "backtest_pnl"):
            if getattr(self, field) is not None:
                check_number(owner, field, getattr(self, field))

    @property
    def sigma_abs(self) -> float:
        """Volatility in price units per sqrt second: ``reference_price * sigma / sqrt(Y)``."""
        return self.reference_price * self.sigma / math.sqrt(self.seconds_per_year)
