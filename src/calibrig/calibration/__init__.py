"""Fits and their judgement."""

from calibrig.calibration.arrivals import ArrivalFit, fit_arrivals
from calibrig.calibration.inventory import InventoryChain, build_inventory_chain, choose_gamma
from calibrig.calibration.quoting import QuotingFit, fit_quoting
from calibrig.calibration.signal import SignalFit, fit_signal
from calibrig.calibration.volatility import VolatilityFit, estimate_volatility

__all__ = [
    "ArrivalFit",
    "InventoryChain",
    "QuotingFit",
    "SignalFit",
    "VolatilityFit",
    "build_inventory_chain",
    "choose_gamma",
    "estimate_volatility",
    "fit_arrivals",
    "fit_quoting",
    "fit_signal",
]
