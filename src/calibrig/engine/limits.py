"""What no order may exceed: the limits of the pre-trade checks."""

from __future__ import annotations

import msgspec

from calibrig.errors import InvalidInputError
from calibrig.parameters import Instrument

__all__ = ["REASONS", "PreTradeLimits"]

from calibrig._native import engine as _native  # noqa: TID251

REASONS: tuple[str, ...] = _native.reason_names
"""Why the engine did not trade or refused one order, in the order in which reasons take precedence."""

_UNLIMITED = 2**63 - 1


class PreTradeLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits checked before every order, beside the position limit of the risk parameters.

    Attributes
    ----------
    price_collar : float
        Largest distance of an order from the mid, share of the mid; above 0.
    max_order_lots : int or None
        Largest size of one order, lots.
    max_order_value : float or None
        Largest value of one order, price units.
    max_messages_per_s : int
        Most messages in any second; cancels count but are never refused.
    max_executions_per_s : int
        Most fills in any second; beyond it trading stops for the session.
    max_duplicates, duplicate_window_s : int, float
        Most orders of equal side, price and size within the window.
    quote_age_s : float
        Without a quote for longer than this the book counts as frozen.
    feed_gap_s, feed_loss_s : float
        Without any tick for longer: orders are taken out; and trading stops for the session.
    max_session_loss : float or None
        Loss (marked at mid, after fees) that stops trading for the session, price units.

    Examples
    --------
    >>> PreTradeLimits(max_order_lots=500).max_messages_per_s
    100
    """

    price_collar: float = 0.05
    max_order_lots: int | None = None
    max_order_value: float | None = None
    max_messages_per_s: int = 100
    max_executions_per_s: int = 1_000
    max_duplicates: int = 5
    duplicate_window_s: float = 1.0
    quote_age_s: float = 60.0
    feed_gap_s: float = 60.0
    feed_loss_s: float = 600.0
    max_session_loss: float | None = None

    def __post_init__(self) -> None:
        for name in ("price_collar", "duplicate_window_s", "quote_age_s", "feed_gap_s", "feed_loss_s"):
            _require(name, getattr(self, name), 0.0 < getattr(self, name) <= 1e9, "a number above 0")
        for name in ("max_messages_per_s", "max_executions_per_s", "max_duplicates"):
            value = getattr(self, name)
            _require(
                name, value, isinstance(value, int) and 1 <= value <= 1_000_000, "an integer in 1 .. 1000000"
            )
        for name in ("max_order_lots", "max_order_value", "max_session_loss"):
            value = getattr(self, name)
            _require(name, value, value is None or value > 0, "a number above 0, or None")
        _require("feed_loss_s", self.feed_loss_s, self.feed_loss_s >= self.feed_gap_s, "at least feed_gap_s")

    def to_native(
        self, instrument: Instrument
    ) -> tuple[int, int, int, int, int, int, int, int, int, int, float]:
        """Return the numbers in ticks, lots and nanoseconds, in the order of the native tuple."""
        unit = instrument.tick_size * instrument.lot_size
        value = _UNLIMITED if self.max_order_value is None else int(min(self.max_order_value / unit, 2.0**62))
        return (
            int(self.price_collar * 1e6),
            _UNLIMITED if self.max_order_lots is None else self.max_order_lots,
            value,
            self.max_messages_per_s,
            self.max_executions_per_s,
            self.max_duplicates,
            round(self.duplicate_window_s * 1e9),
            round(self.quote_age_s * 1e9),
            round(self.feed_gap_s * 1e9),
            round(self.feed_loss_s * 1e9),
            0.0 if self.max_session_loss is None else self.max_session_loss / unit,
        )


def _require(name: str, value: object, holds: bool, wanted: str) -> None:
    if not holds:
        raise InvalidInputError(f"PreTradeLimits.{name} is {value!r}; give {wanted}")
