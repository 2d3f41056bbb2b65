"""Fits and their judgement."""

from calibrig.calibration.arrivals import ArrivalFit, fit_arrivals
from calibrig.calibration.inventory import InventoryChain, build_inventory_chain, choose_gamma
from calibrig.calibration.quoting import QuotingFit, fit_quoting
from calibrig.calibration.regimes import RegimeFit, fit_regimes
from calibrig.calibration.risk import RiskFit, ScenarioLoss, fit_risk
from calibrig.calibration.scenarios import SCENARIOS, Scenario, apply_scenario
from calibrig.calibration.signal import SignalFit, fit_signal
from calibrig.calibration.volatility import VolatilityFit, estimate_volatility

__all__ = [
    "SCENARIOS",
    "ArrivalFit",
    "InventoryChain",
    "QuotingFit",
    "RegimeFit",
    "RiskFit",
    "Scenario",
    "ScenarioLoss",
    "SignalFit",
    "VolatilityFit",
    "apply_scenario",
    "build_inventory_chain",
    "choose_gamma",
    "estimate_volatility",
    "fit_arrivals",
    "fit_quoting",
    "fit_regimes",
    "fit_risk",
    "fit_signal",
]
