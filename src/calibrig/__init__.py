"""Calibrate, version and serve the models of a market maker.

Names are imported when they are first used, so ``import calibrig`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from calibrig.bridge import AcceleratorMode as AcceleratorMode
    from calibrig.bridge import HardwareInTheLoopBridge as HardwareInTheLoopBridge
    from calibrig.bridge import HardwareStatus as HardwareStatus
    from calibrig.bridge import LatencyStats as LatencyStats
    from calibrig.calibration import QuotingFit as QuotingFit
    from calibrig.calibration import RiskFit as RiskFit
    from calibrig.calibration import SignalFit as SignalFit
    from calibrig.calibration import fit_quoting as fit_quoting
    from calibrig.calibration import fit_risk as fit_risk
    from calibrig.calibration import fit_signal as fit_signal
    from calibrig.calibration import import_signal as import_signal
    from calibrig.calibration.hawkes import HawkesFit as HawkesFit
    from calibrig.calibration.hawkes import compute_goodness_of_fit as compute_goodness_of_fit
    from calibrig.calibration.hawkes import evaluate_hawkes as evaluate_hawkes
    from calibrig.calibration.hawkes import fit_hawkes as fit_hawkes
    from calibrig.calibration.hawkes_kernels import KernelFit as KernelFit
    from calibrig.calibration.hawkes_kernels import fit_hawkes_kernel as fit_hawkes_kernel
    from calibrig.calibration.hawkes_rolling import fit_hawkes_rolling as fit_hawkes_rolling
    from calibrig.calibration.hawkes_two_scale import TwoScaleFit as TwoScaleFit
    from calibrig.calibration.hawkes_two_scale import fit_two_scale_hawkes as fit_two_scale_hawkes
    from calibrig.engine import Engine as Engine
    from calibrig.engine import PreTradeLimits as PreTradeLimits
    from calibrig.engine import Replay as Replay
    from calibrig.engine import extract_features as extract_features
    from calibrig.engine import replay as replay
    from calibrig.market import MarketData as MarketData
    from calibrig.market import MarketReading as MarketReading
    from calibrig.market import MarketTruth as MarketTruth
    from calibrig.market import QualityReport as QualityReport
    from calibrig.market import Quotes as Quotes
    from calibrig.market import SimulatedMarket as SimulatedMarket
    from calibrig.market import Trades as Trades
    from calibrig.market import load_trades as load_trades
    from calibrig.market import merge_child_fills as merge_child_fills
    from calibrig.market import read_columns as read_columns
    from calibrig.market import read_market as read_market
    from calibrig.market import read_markets as read_markets
    from calibrig.market import read_quotes as read_quotes
    from calibrig.market import read_trades as read_trades
    from calibrig.market import sign_trades as sign_trades
    from calibrig.market import simulate_market as simulate_market
    from calibrig.market import write_market as write_market
    from calibrig.models.hawkes import HawkesEngine as HawkesEngine
    from calibrig.models.hawkes import simulate_hawkes as simulate_hawkes
    from calibrig.models.hawkes_two_scale_simulation import (
        simulate_two_scale_hawkes as simulate_two_scale_hawkes,
    )
    from calibrig.models.quoting import AvellanedaStoikov as AvellanedaStoikov
    from calibrig.parameters import AvellanedaStoikovParameters as AvellanedaStoikovParameters
    from calibrig.parameters import Evidence as Evidence
    from calibrig.parameters import GateResult as GateResult
    from calibrig.parameters import HawkesParameters as HawkesParameters
    from calibrig.parameters import Instrument as Instrument
    from calibrig.parameters import MicrostructureFeatures as MicrostructureFeatures
    from calibrig.parameters import ParameterSet as ParameterSet
    from calibrig.parameters import ParameterVersion as ParameterVersion
    from calibrig.parameters import RiskParameters as RiskParameters
    from calibrig.parameters import SignalModel as SignalModel
    from calibrig.parameters import TwoScaleParameters as TwoScaleParameters
    from calibrig.parameters import Verdict as Verdict
    from calibrig.store import CalibrationQuality as CalibrationQuality
    from calibrig.store import ModelStore as ModelStore
    from calibrig.store import PostgreSQLModelStore as PostgreSQLModelStore
    from calibrig.store import RedisModelStore as RedisModelStore

_HOME = {
    "HawkesFit": "calibration.hawkes",
    "compute_goodness_of_fit": "calibration.hawkes",
    "evaluate_hawkes": "calibration.hawkes",
    "fit_hawkes": "calibration.hawkes",
    "fit_hawkes_kernel": "calibration.hawkes_kernels",
    "KernelFit": "calibration.hawkes_kernels",
    "fit_hawkes_rolling": "calibration.hawkes_rolling",
    "TwoScaleFit": "calibration.hawkes_two_scale",
    "fit_two_scale_hawkes": "calibration.hawkes_two_scale",
    "AcceleratorMode": "bridge",
    "AvellanedaStoikov": "models.quoting",
    "AvellanedaStoikovParameters": "parameters",
    "CalibrationQuality": "store",
    "Engine": "engine",
    "Evidence": "parameters",
    "GateResult": "parameters",
    "HardwareInTheLoopBridge": "bridge",
    "HardwareStatus": "bridge",
    "HawkesEngine": "models.hawkes",
    "HawkesParameters": "parameters",
    "Instrument": "parameters",
    "LatencyStats": "bridge",
    "MarketData": "market",
    "MarketReading": "market",
    "MarketTruth": "market",
    "MicrostructureFeatures": "parameters",
    "ModelStore": "store",
    "ParameterSet": "parameters",
    "ParameterVersion": "parameters",
    "PostgreSQLModelStore": "store",
    "PreTradeLimits": "engine",
    "QualityReport": "market",
    "Quotes": "market",
    "QuotingFit": "calibration",
    "RedisModelStore": "store",
    "Replay": "engine",
    "RiskParameters": "parameters",
    "RiskFit": "calibration",
    "SignalFit": "calibration",
    "SignalModel": "parameters",
    "SimulatedMarket": "market",
    "Trades": "market",
    "TwoScaleParameters": "parameters",
    "Verdict": "parameters",
    "extract_features": "engine",
    "fit_quoting": "calibration",
    "fit_risk": "calibration",
    "fit_signal": "calibration",
    "import_signal": "calibration",
    "load_trades": "market",
    "merge_child_fills": "market",
    "read_columns": "market",
    "read_market": "market",
    "read_markets": "market",
    "read_quotes": "market",
    "read_trades": "market",
    "replay": "engine",
    "sign_trades": "market",
    "simulate_hawkes": "models.hawkes",
    "simulate_market": "market",
    "simulate_two_scale_hawkes": "models.hawkes_two_scale_simulation",
    "write_market": "market",
}

__all__ = [*sorted(_HOME), "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    room = _HOME.get(name)
    if room is None:
        raise AttributeError(f"module 'calibrig' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"calibrig.{room}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
