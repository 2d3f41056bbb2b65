"""What the Hawkes fit has to show: expected against counted events, and the Q-Q plot of its residuals."""

from __future__ import annotations

from typing import Any

from calibrig.operations.fitting import Fitted
from calibrig.reports import IntensityCurve, QuantileCurve

__all__ = ["draw_order_flow"]


def draw_order_flow(
    hawkes: Fitted | None,
) -> tuple[tuple[IntensityCurve, ...], tuple[QuantileCurve, ...]]:
    """Return the curves of a Hawkes fit; none where there was no fit."""
    if hawkes is None or hawkes.fit is None:
        return (), ()
    fit: Any = hawkes.fit
    return _intensity(fit), _quantiles(fit)


def _intensity(fit: Any) -> tuple[IntensityCurve, ...]:
    curve = fit.curve
    if curve is None:
        return ()
    return (
        IntensityCurve(
            side="buy and sell", time_ns=curve.time_ns, counted=curve.counted, expected=curve.expected
        ),
    )


def _quantiles(fit: Any) -> tuple[QuantileCurve, ...]:
    held = fit.held_out
    if held is None:
        return ()
    return tuple(
        QuantileCurve(
            side=name,
            theoretical=held.quantiles[side].theory,
            empirical=held.quantiles[side].model,
            band_low=held.quantiles[side].low,
            band_high=held.quantiles[side].high,
            skill=held.skill[side],
            poisson=held.quantiles[side].poisson,
        )
        for name, side in (("buy", 1), ("sell", -1))
    )
