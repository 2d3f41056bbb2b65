"""Features: what a tick costs the native loop, and a row costs ``extract_features`` from Python."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from calibrig import HawkesParameters, extract_features
from calibrig.market import MarketData, read_market, simulate_market

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "shared" / "data" / "us_equities_2013" / "bac"
REACH_NS = 60.0
HAWKES = HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=1.0)


def run() -> list[dict[str, Any]]:
    """Measure on the simulated market, and on real ticks where they are present."""
    markets = {"simulated": simulate_market(seed=1, sessions=2).market}
    if DATA.is_dir():
        markets["BAC 2013-10-07..09"] = read_market([DATA], symbol="BAC").market
    with tempfile.TemporaryDirectory() as folder:
        program = _build(Path(folder))
        return [row for name, market in markets.items() for row in _measure(name, market, program)]


def _build(folder: Path) -> Path:
    program = folder / "features_cost"
    flags = ["-std=c++20", "-O3", "-ffp-contract=off", f"-I{HERE.parent / 'native'}"]
    source = str(HERE / "features_cost.cpp")
    subprocess.run([shutil.which("c++") or "c++", *flags, source, "-o", str(program)], check=True)
    return program


def _measure(name: str, market: MarketData, program: Path) -> list[dict[str, Any]]:
    ticks = program.with_name("ticks")
    _ticks(market).tofile(ticks)
    cost = float(subprocess.run([program, ticks], check=True, capture_output=True, text=True).stdout)
    rows = [_row(f"features, native, update and write, {name}", cost, f"<= {REACH_NS:g}", cost <= REACH_NS)]
    for words, hawkes in (("without", None), ("with", HAWKES)):
        extract_features(market, hawkes)
        costs = []
        for _ in range(5):
            start = time.process_time()
            count = len(extract_features(market, hawkes).time_ns)
            costs.append((time.process_time() - start) / count * 1e9)
        claim = f"extract_features from Python, a row, {words} Hawkes intensities, {name}"
        rows.append(_row(claim, statistics.median(costs), "-", None))
    return rows


def _ticks(market: MarketData) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Ticks in order of time as features_cost.cpp reads them; at equal stamps the trade comes first."""
    trades, quotes = market.trades, market.quotes
    rows = np.zeros((len(trades) + len(quotes), 8), np.int64)
    rows[: len(trades), 0], rows[: len(trades), 1] = trades.time_ns, 1
    rows[: len(trades), 2], rows[: len(trades), 3] = trades.side, trades.size_lots
    rows[len(trades) :, 0] = quotes.time_ns
    for column, values in enumerate(
        (quotes.bid_ticks, quotes.bid_lots, quotes.ask_ticks, quotes.ask_lots), 4
    ):
        rows[len(trades) :, column] = values
    return rows[np.argsort(rows[:, 0], kind="stable")]


def _row(claim: str, value: float, reach: str, holds: bool | None) -> dict[str, Any]:
    return {"claim": claim, "value": value, "unit": "ns of CPU", "reach": reach, "holds": holds}
