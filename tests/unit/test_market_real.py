"""The real ticks of ../shared/data: what their description says about them holds for what is read."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from calibrig.market import assess_child_fills, read_market

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data (real ticks) is not there"),
]


@pytest.mark.parametrize(
    ("symbol", "rows", "low", "high"), [("bac", 2_034_707, 13.5, 14.5), ("aig", 3_742_788, 47, 50)]
)
def test_us_equities(symbol: str, rows: int, low: float, high: float) -> None:
    reading = read_market(DATA / "us_equities_2013" / symbol)
    market, quality = reading.market, reading.quality
    assert quality.rows == rows  # lines of the six files
    assert quality.sessions == 3
    assert quality.crossed_share < 1e-4  # one book per exchange would be crossed 99 % of the time
    assert quality.signed_by["unsigned"] == 0.0
    assert quality.signed_by["mid"] > 0.9
    assert 0.35 < quality.tied_share < 0.55
    mid = market.quotes.mid_ticks() * 0.01
    assert low < mid.min() < mid.max() < high
    # a minute's realised volatility of the mid, the description's 15-21 % (AIG is of the same order)
    grid = np.concatenate([np.arange(a, b + 1, 60 * 10**9) for a, b in market.sessions])
    day = np.repeat(np.arange(3), 391)
    last = np.log(mid[np.maximum(np.searchsorted(market.quotes.time_ns, grid, side="right") - 1, 0)])
    variance = sum(np.sum(np.diff(last[day == d]) ** 2) for d in range(3)) / 3
    assert 0.10 < np.sqrt(variance * 252) < 0.35


@pytest.mark.parametrize(
    ("name", "trades", "quotes", "tick"),
    [
        ("usdm_btcusdt", 21_313, 66_089, 0.1),
        ("usdm_ethusdt", 14_076, 53_992, 0.01),
        ("spot_btcusdt", 9_757, 28_040, 0.01),
        ("spot_ethusdt", 6_106, 24_077, 0.01),
    ],
)
def test_binance_captures(name: str, trades: int, quotes: int, tick: float) -> None:
    reading = read_market(DATA / "binance_capture_2024" / f"{name}_20240808.gz")
    market, quality = reading.market, reading.quality
    assert (len(market.trades), len(market.quotes)) == (trades, quotes)
    assert market.instrument.tick_size == tick
    assert quality.clock_offset_ms is not None
    assert -1280 < quality.clock_offset_ms[0] < quality.clock_offset_ms[1] < -1265
    assert quality.crossed_share == 0.0
    assert assess_child_fills(market.trades).rule == "stamp"
    local = market.trades.local_time_ns
    assert local is not None
    assert np.median(local - market.trades.time_ns) < 20e6
    assert 300 < (quality.end_ns - quality.start_ns) / 1e9 < 400


@pytest.mark.parametrize("name", ["usdm_btcusdt", "spot_btcusdt"])
def test_a_book_built_from_depth_agrees_with_the_streamed_best_quotes(name: str, tmp_path: Path) -> None:
    path = DATA / "binance_capture_2024" / f"{name}_20240808.gz"
    with gzip.open(path) as stream:
        (tmp_path / "c.txt").write_bytes(b"".join(line for line in stream if b"@bookTicker" not in line))
    built, streamed = read_market(tmp_path).market.quotes, read_market(path).market.quotes
    grid = np.arange(streamed.time_ns[0] + 5 * 10**9, streamed.time_ns[-1], 10**8)
    mids = [q.mid_ticks()[np.searchsorted(q.time_ns, grid, side="right") - 1] for q in (built, streamed)]
    assert np.mean(mids[0] == mids[1]) > 0.9  # depth comes every 30 to 100 ms, best quotes at once


def test_trades_alone_are_signed_by_the_tick_rule() -> None:
    reading = read_market(DATA / "us_equities_2013" / "spy")
    assert reading.quality.rows == 1_141_823
    assert reading.quality.signed_by["tick_rule"] > 0.999
    assert reading.quality.signed_by["unsigned"] == 0.0
    assert len(reading.market.quotes) == 0
