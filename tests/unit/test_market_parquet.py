"""calibrig's own files give back exactly what was written, and say when they cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from calibrig.errors import CalibrigError, FileFormatError, InvalidInputError, InvalidTicksError
from calibrig.market import (
    MarketData,
    compute_fingerprint,
    read_market,
    report_quality,
    simulate_market,
    write_market,
)


@pytest.fixture(scope="module")
def market() -> MarketData:
    market = simulate_market(seed=5, sessions=2, session_s=120.0).market
    trades = replace(market.trades, sub_tick=np.linspace(0.0, 0.9, len(market.trades)), resolution_ns=7)
    instrument = replace_instrument(market, symbol="AbC", maker_fee=-0.0001)
    return MarketData(
        trades=replace(trades, instrument=instrument),
        quotes=replace(market.quotes, instrument=instrument, resolution_ns=7),
    )


def replace_instrument(market: MarketData, **fields: object) -> object:
    import msgspec

    return msgspec.structs.replace(market.instrument, **fields)


def test_what_is_written_is_read_back(market: MarketData, tmp_path: Path) -> None:
    write_market(market, tmp_path / "new" / "folder")
    reading = read_market(tmp_path)
    assert compute_fingerprint(reading.market) == compute_fingerprint(market) == reading.quality.fingerprint
    assert reading.market.instrument == market.instrument
    assert reading.market.trades.resolution_ns == 7
    assert reading.quality == replace(report_quality(market, []), files=reading.quality.files)
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == [
        "abc.quotes.parquet",
        "abc.trades.parquet",
    ]


def test_days_written_apart_are_joined(market: MarketData, tmp_path: Path) -> None:
    for i, (start, end) in enumerate(market.sessions):
        write_market(market.between(int(start), int(end)), tmp_path, name=f"day{i}")
    assert compute_fingerprint(read_market(tmp_path).market) == compute_fingerprint(market)
    assert len(read_market(tmp_path, days=["2024-01-09"]).market.sessions) == 1
    with pytest.raises(InvalidTicksError, match="2024-01-08, 2024-01-09"):
        read_market(tmp_path, days=["2024-01-10"])
    with pytest.raises(InvalidTicksError, match="hold AbC"):
        read_market(tmp_path, symbol="other")


def test_trades_alone_can_be_read(market: MarketData, tmp_path: Path) -> None:
    trades_path, quotes_path = write_market(market, tmp_path)
    assert len(read_market(trades_path).market.quotes) == 0
    assert len(read_market(quotes_path).market.trades) == 0


def test_damage_and_strangers_are_refused(market: MarketData, tmp_path: Path) -> None:
    trades_path, _ = write_market(market, tmp_path)
    whole = trades_path.read_bytes()
    trades_path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileFormatError, match="damaged or cut off"):
        read_market(tmp_path)
    metadata = {
        "calibrig": pl.read_parquet_metadata(tmp_path / "abc.quotes.parquet")["calibrig"].replace(
            "quotes", "trades", 1
        )
    }
    write_market(market, tmp_path)
    frame = pl.read_parquet(trades_path).with_columns(pl.col("price_ticks") + 1)
    frame.write_parquet(trades_path, metadata=metadata)
    with pytest.raises(FileFormatError, match="fingerprint"):
        read_market(tmp_path)
    pl.DataFrame({"a": [1]}).write_parquet(trades_path)
    with pytest.raises(FileFormatError, match="not one of calibrig's; read it with read_columns"):
        read_market(tmp_path)


def test_formats_are_not_mixed_and_names_are_plain(market: MarketData, tmp_path: Path) -> None:
    write_market(market, tmp_path)
    (tmp_path / "20131007_trade.csv").write_text("34201000,100100,300,P,1,0\n")
    with pytest.raises(FileFormatError, match="different formats"):
        read_market(tmp_path)
    with pytest.raises(InvalidInputError, match="plain file name"):
        write_market(market, tmp_path, name="../x")


def test_a_file_that_cannot_be_written_leaves_nothing(market: MarketData, tmp_path: Path) -> None:
    (tmp_path / "abc.trades.parquet").mkdir()
    with pytest.raises(CalibrigError, match="cannot be written"):
        write_market(market, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["abc.trades.parquet"]
