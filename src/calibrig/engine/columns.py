"""How records and ticks become the plain columns and numbers of the native engine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calibrig._native import engine as _native  # noqa: TID251
from calibrig.errors import InvalidTicksError
from calibrig.market import MarketData, Trades, assess_child_fills
from calibrig.models.risk import regime_multipliers
from calibrig.parameters import AvellanedaStoikovParameters, HawkesParameters, RiskParameters

__all__ = ["hawkes_numbers", "mark_new_orders", "quoting_numbers", "risk_numbers", "to_native_market"]

_FORMS = {"stationary": 0, "finite_horizon": 1}


def mark_new_orders(trades: Trades, *, rule: str = "auto") -> NDArray[np.uint8]:
    """Return 1 where a trade begins a market order, 0 where it is a further fill of one already seen.

    ``rule`` is that of :func:`calibrig.market.merge_child_fills`: ``"id"``, ``"stamp"``, ``"none"`` or ``"auto"``
    (what :func:`calibrig.market.assess_child_fills` advises), so that the intensity online is driven by the events
    it was fitted on. Rows of side 0 stay apart.

    Examples
    --------
    >>> from calibrig.market import Trades
    >>> from calibrig.parameters import Instrument
    >>> trades = Trades(time_ns=[1, 1, 2], price_ticks=[5, 6, 6], size_lots=[1, 1, 1], side=[1, 1, 1],
    ...     id=[0, 1, 2], instrument=Instrument(symbol="X", tick_size=1.0, lot_size=1.0), sessions=[[0, 10]])
    >>> mark_new_orders(trades, rule="stamp").tolist()
    [1, 0, 1]
    """
    if rule == "auto":
        rule = assess_child_fills(trades).rule
    new = np.ones(len(trades), np.uint8)
    if rule == "id" and len(trades) > 1:
        new[1:] = (np.diff(trades.id) != 0) | (np.diff(trades.side) != 0) | (trades.side[1:] == 0)
    elif rule == "stamp":
        for side in (-1, 1):
            rows = np.flatnonzero(trades.side == side)
            new[rows[1:]] = np.diff(trades.time_ns[rows]) != 0
    return new


def to_native_market(market: MarketData) -> _native.Market:
    """Return the native view of a market; refuses what the engine cannot walk."""
    trades, quotes = market.trades, market.quotes
    if len(quotes) == 0:
        raise InvalidTicksError(
            "the market has no quotes; features and the engine need the best bid and ask, so give a quote file too"
        )
    if len(trades) and int(np.abs(trades.side).max()) > 1:
        raise InvalidTicksError("Trades.side holds values outside -1, 0, +1; sign the trades first")
    return _native.Market(
        trades.time_ns,
        trades.price_ticks,
        trades.size_lots,
        trades.side,
        trades.sub_tick,
        mark_new_orders(trades),
        quotes.time_ns,
        quotes.bid_ticks,
        quotes.bid_lots,
        quotes.ask_ticks,
        quotes.ask_lots,
        np.ascontiguousarray(market.sessions.reshape(-1)),
    )


def hawkes_numbers(p: HawkesParameters) -> tuple[float, float, float, float, float, float, list[float]]:
    """Return the numbers of a Hawkes record in the order of the native tuple."""
    return p.alpha_self, p.alpha_cross, p.beta, p.gamma, p.lambda_base, p.asymmetry, list(p.profile)


def quoting_numbers(
    p: AvellanedaStoikovParameters,
    *,
    maker_fee: float = 0.0,
    signal_weight: float = 1.0,
    form: str = "stationary",
) -> tuple[float, float, float, float, float, float, float, float, float, float, int, bool]:
    """Return the numbers of a quoting record in the order of the native tuple."""
    return (
        p.gamma,
        p.sigma_abs,
        p.kappa,
        p.time_horizon_seconds,
        p.arrival_rate,
        p.tick_size,
        p.lot_size,
        p.order_size,
        maker_fee,
        signal_weight,
        _FORMS[form],
        p.touch_only,
    )


def risk_numbers(
    p: RiskParameters, *, typical_volatility: float
) -> tuple[list[float], list[float], float, float, float, float, float, list[float], float]:
    """Return the numbers of a risk record in the order of the native tuple."""
    return (
        [
            p.normal_volatility_threshold,
            p.elevated_volatility_threshold,
            p.high_stress_volatility_threshold,
        ],
        list(regime_multipliers(p)),
        p.volatility_half_life_s,
        p.volatility_sample_s,
        p.hysteresis,
        p.hysteresis_s,
        p.halt_s,
        list(p.volatility_medians),
        typical_volatility,
    )
