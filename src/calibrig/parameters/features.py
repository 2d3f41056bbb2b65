"""The 16 microstructure features, their order and their units."""

from __future__ import annotations

import msgspec

from calibrig.parameters._checks import check_number

__all__ = ["FEATURE_NAMES", "MicrostructureFeatures"]


class MicrostructureFeatures(msgspec.Struct, frozen=True, kw_only=True):
    """What the signal model sees at one tick; the field order is the order on the card.

    Attributes
    ----------
    spread_ticks : float
        Best ask minus best bid, ticks.
    depth_imbalance : float
        (bid size - ask size) / (bid size + ask size) at the touch, in [-1, 1].
    microprice_offset : float
        (microprice - mid) / half-spread, in [-1, 1]; the microprice takes the touch sizes averaged over 1 s.
    order_flow_imbalance_fast, order_flow_imbalance_slow : float
        Order-flow imbalance (Cont, Kukanov, Stoikov 2014), exponentially weighted over 1 s and 10 s, in units of
        the average touch size.
    signed_volume_fast, signed_volume_slow : float
        Signed traded volume, exponentially weighted over 1 s and 10 s, in units of the average touch size.
    buy_intensity, sell_intensity : float
        Hawkes intensity of market orders per side over its stationary mean; 1 where there is no model.
    intensity_imbalance : float
        (buy - sell) / (buy + sell) of the two intensities, in [-1, 1].
    volatility_fast, volatility_slow : float
        Realised volatility of the mid, ticks per sqrt second, exponentially weighted over 10 s and 60 s.
    mid_return_fast, mid_return_slow : float
        Mid minus its exponentially weighted average over 1 s and 10 s, half-spreads.
    time_since_trade_s, quote_age_s : float
        Seconds since the last trade and since the last quote change before this tick, at most 60.

    Examples
    --------
    >>> MicrostructureFeatures(depth_imbalance=0.5).to_tuple()[1]
    0.5
    """

    spread_ticks: float = 0.0
    depth_imbalance: float = 0.0
    microprice_offset: float = 0.0
    order_flow_imbalance_fast: float = 0.0
    order_flow_imbalance_slow: float = 0.0
    signed_volume_fast: float = 0.0
    signed_volume_slow: float = 0.0
    buy_intensity: float = 0.0
    sell_intensity: float = 0.0
    intensity_imbalance: float = 0.0
    volatility_fast: float = 0.0
    volatility_slow: float = 0.0
    mid_return_fast: float = 0.0
    mid_return_slow: float = 0.0
    time_since_trade_s: float = 0.0
    quote_age_s: float = 0.0

    def __post_init__(self) -> None:
        for field in FEATURE_NAMES:
            check_number("MicrostructureFeatures", field, getattr(self, field))

    def to_tuple(self) -> tuple[float, ...]:
        """Return the 16 values in the order of the card."""
        return tuple(getattr(self, field) for field in FEATURE_NAMES)


FEATURE_NAMES: tuple[str, ...] = MicrostructureFeatures.__struct_fields__
