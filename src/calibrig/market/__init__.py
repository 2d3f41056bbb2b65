"""What comes in: trades and quotes as columns, one reader per format, signing, quality, a simulated market."""

from calibrig.market.child_fills import ChildFillAssessment, assess_child_fills, merge_child_fills
from calibrig.market.parquet import write_market
from calibrig.market.quality import QualityReport, compute_fingerprint, report_quality
from calibrig.market.reading import (
    MarketReading,
    load_trades,
    read_columns,
    read_market,
    read_markets,
    read_quotes,
    read_trades,
)
from calibrig.market.signing import sign_trades
from calibrig.market.simulated_truth import MarketTruth
from calibrig.market.simulation import SimulatedMarket, simulate_market
from calibrig.market.ticks import MarketData, Quotes, Trades
from calibrig.parameters import Instrument

__all__ = [
    "ChildFillAssessment",
    "Instrument",
    "MarketData",
    "MarketReading",
    "MarketTruth",
    "QualityReport",
    "Quotes",
    "SimulatedMarket",
    "Trades",
    "assess_child_fills",
    "compute_fingerprint",
    "load_trades",
    "merge_child_fills",
    "read_columns",
    "read_market",
    "read_markets",
    "read_quotes",
    "read_trades",
    "report_quality",
    "sign_trades",
    "simulate_market",
    "write_market",
]
