"""Fits and their judgement."""

from calibrig.calibration.arrivals import ArrivalFit, fit_arrivals
from calibrig.calibration.backtest import BacktestResult, GammaTrial, backtest, split_market
from calibrig.calibration.hawkes import HawkesFit, compute_goodness_of_fit, evaluate_hawkes, fit_hawkes
from calibrig.calibration.hawkes_kernels import KernelFit, fit_hawkes_kernel
from calibrig.calibration.hawkes_rolling import RollingFit, fit_hawkes_rolling
from calibrig.calibration.inventory import InventoryChain, build_inventory_chain, choose_gamma
from calibrig.calibration.profit import ProfitEvidence, judge_profit
from calibrig.calibration.quoting import QuotingFit, fit_quoting
from calibrig.calibration.regimes import RegimeFit, fit_regimes
from calibrig.calibration.risk import RiskFit, ScenarioLoss, fit_risk
from calibrig.calibration.scenarios import SCENARIOS, Scenario, apply_scenario
from calibrig.calibration.signal import SignalFit, fit_signal, import_signal
from calibrig.calibration.volatility import VolatilityFit, estimate_volatility
from calibrig.calibration.walk_forward import Fold, WalkForward, walk_forward

__all__ = [
    "SCENARIOS",
    "ArrivalFit",
    "BacktestResult",
    "Fold",
    "GammaTrial",
    "HawkesFit",
    "InventoryChain",
    "KernelFit",
    "ProfitEvidence",
    "QuotingFit",
    "RegimeFit",
    "RiskFit",
    "RollingFit",
    "Scenario",
    "ScenarioLoss",
    "SignalFit",
    "VolatilityFit",
    "WalkForward",
    "apply_scenario",
    "backtest",
    "build_inventory_chain",
    "choose_gamma",
    "compute_goodness_of_fit",
    "estimate_volatility",
    "evaluate_hawkes",
    "fit_arrivals",
    "fit_hawkes",
    "fit_hawkes_kernel",
    "fit_hawkes_rolling",
    "fit_quoting",
    "fit_regimes",
    "fit_risk",
    "fit_signal",
    "import_signal",
    "judge_profit",
    "split_market",
    "walk_forward",
]
