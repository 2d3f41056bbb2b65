"""What is traded: symbol, venue, tick, lot, calendar."""

from __future__ import annotations

import msgspec

from calibrig.parameters._checks import check_number, check_text

__all__ = [
    "SECONDS_PER_YEAR_24_5",
    "SECONDS_PER_YEAR_24_7",
    "SECONDS_PER_YEAR_CME",
    "SECONDS_PER_YEAR_US_EQUITIES",
    "Instrument",
]

SECONDS_PER_YEAR_24_7 = 31_557_600.0  # 365.25 days
SECONDS_PER_YEAR_24_5 = 22_464_000.0  # 52 weeks of 5 days
SECONDS_PER_YEAR_CME = 20_865_600.0  # 252 days of 23 hours
SECONDS_PER_YEAR_US_EQUITIES = 5_896_800.0  # 252 days of 23,400 s


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One traded instrument.

    Attributes
    ----------
    symbol, venue : str
        Names, as the data source writes them.
    tick_size : float
        Smallest price step, in price units.
    lot_size : float
        Smallest size step, in units of the instrument.
    price_unit : str
        Currency or unit of the price.
    calendar : str
        ``"24/7"``, ``"24/5"``, ``"cme"`` (18:00-17:00 New York) or ``"us_equities"`` (09:30-16:00 New York).
    seconds_per_year : float
        Trading seconds per year, for annualising.
    maker_fee, taker_fee : float
        Share of the traded value; negative is a rebate.

    Examples
    --------
    >>> Instrument(symbol="BAC", venue="consolidated", tick_size=0.01, lot_size=1.0).to_price(1412)
    14.12
    """

    symbol: str
    venue: str = ""
    tick_size: float
    lot_size: float
    price_unit: str = "USD"
    calendar: str = "24/7"
    seconds_per_year: float = SECONDS_PER_YEAR_24_7
    maker_fee: float = 0.0
    taker_fee: float = 0.0

    def __post_init__(self) -> None:
        check_text("Instrument", "symbol", self.symbol, max_length=200, empty=False)
        check_text("Instrument", "venue", self.venue, max_length=200)
        check_number("Instrument", "tick_size", self.tick_size, above=0.0)
        check_number("Instrument", "lot_size", self.lot_size, above=0.0)
        check_number("Instrument", "seconds_per_year", self.seconds_per_year, above=0.0)
        check_number("Instrument", "maker_fee", self.maker_fee, above=-1.0, below=1.0)
        check_number("Instrument", "taker_fee", self.taker_fee, above=-1.0, below=1.0)

    def to_price(self, ticks: float) -> float:
        """Return the price of ``ticks``, rounded to 12 significant digits."""
        return float(f"{ticks * self.tick_size:.12g}")
