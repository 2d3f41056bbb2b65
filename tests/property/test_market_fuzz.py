"""Readers meet damaged files: whatever the bytes, the answer is ticks or an error of the tree, never a crash."""

from __future__ import annotations

import gzip
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from calibrig.errors import CalibrigError
from calibrig.market import MarketReading, read_columns, read_market, simulate_market, write_market

EQUITY_TRADES = "".join(
    f"{34_200_000 + 700 * i},{139_400 + 50 * (i % 5)},{100 + i},P,20000020,0\n" for i in range(12)
)
EQUITY_QUOTES = "".join(
    f"{34_200_000 + 900 * i},{139_400 if i % 2 else 0},{500 * (i % 2)},{0 if i % 2 else 139_500},{700 * (1 - i % 2)},Z,1,0\n"
    for i in range(12)
)
CAPTURE = "".join(
    f"{1_723_161_255_000_000_000 + i * 10**7} "
    + json.dumps(
        {"stream": "btcusdt@trade", "data": {"e": "trade", "E": 1_723_161_256_299 + 10 * i, "T": 1_723_161_256_298 + 10 * i,
         "s": "BTCUSDT", "t": i, "p": "61800.30", "q": "0.006", "X": "MARKET", "m": bool(i % 2)}}
        if i % 3 == 0 else
        {"stream": "btcusdt@bookTicker", "data": {"u": i, "s": "BTCUSDT", "b": "61800.20", "B": f"{i}.5", "a": "61800.30", "A": "2"}}
        if i % 3 == 1 else
        {"stream": "btcusdt@depth", "data": {"e": "depthUpdate", "E": 1_723_161_256_299 + 10 * i, "s": "BTCUSDT", "U": i, "u": i,
         "b": [["61800.20", "1.0"]], "a": []}}
    )
    + "\n"
    for i in range(12)
)  # fmt: skip
SEEDS: dict[str, tuple[str, str]] = {
    "equity trades": ("20131007_trade.csv", EQUITY_TRADES),
    "equity quotes": ("20131007_quote.csv", EQUITY_QUOTES),
    "dealer quotes": ("20140501_quote.csv", "43.142,1291.677,1292.033\n45.852,1291.652,1292.043\n"),
    "futures": ("20131007_gc_tick_trade_201312.csv", "4933381,1313.8,1,usa,,0\n4933382,1313.9,2,usa,,0\n"),
    "capture": ("capture.txt", CAPTURE),
    "dump": (
        "BTCUSDT-trades-2024-01-01.csv",
        "id,price,qty,quote_qty,time,is_buyer_maker\n7,100.1,0.5,50.05,1704067200000,true\n8,100.2,1,1,1704067200005,false\n",
    ),
    "book dump": (
        "BTCUSDT-bookTicker-2024-01-01.csv",
        "5,100.0,2,100.1,3,1704067200001,1704067200003\n6,100.0,1,100.1,3,1704067200004,1704067200006\n",
    ),
    "tardis": (
        "t.csv",
        "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
        "deribit,B,1585699200000000,1585699200004000,a1,buy,6400.5,1e2\n"
        "deribit,B,1585699201000000,1585699201004000,a2,sell,6400,30.5\n",
    ),
    "book updates": (
        "b.csv",
        "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount\n"
        "x,Y,1585699200000000,1585699200000005,true,bid,100,1\nx,Y,1585699200000000,1585699200000005,true,ask,101,2\n"
        "x,Y,1585699201000000,1585699201000005,false,bid,100.5,3\n",
    ),
    "depth only": (
        "depth.txt",
        "".join(line + "\n" for line in CAPTURE.splitlines() if "bookTicker" not in line),
    ),
    "bitstamp": (
        "orders.csv",
        "id,timestamp,exchange.timestamp,price,volume,action,direction\n"
        "1,1430438400000,1430438400000,236.47,200000000,created,bid\n"
        "2,1430438401000,1430438401000,236.50,150000000,created,ask\n"
        "4,1430438403000,1430438403000,236.60,170000000,created,bid\n"
        "2,1430438403005,1430438401000,236.50,0,deleted,ask\n",
    ),
    "lobster": (
        "AAPL_2012-06-21_34200000_57600000_message_1.csv",
        "34200.004241176,1,16113575,18,5853300,1\n34200.025551909,4,16113584,18,5853400,-1\n",
    ),
}
PIECES = st.sampled_from(
    [b"", b"\n", b",", b"\r\n", b"-", b"0", b"9" * 25, b".", b"1e308", b"-1e18", b"nan", b"\xff\xfe", b"\0", b'"', b"[", b"}",
     b"1e-400", b"92233720368547758.07", b"0x1f", b" ", b"true", b"34200000,1,1,1,1,P,1,0\n", b'{"data":{"data":{}}}']
)  # fmt: skip
EDITS = st.lists(
    st.tuples(st.floats(0.0, 1.0), st.integers(0, 30), PIECES | st.binary(max_size=4)), min_size=1, max_size=6
)


def mutate(content: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    for where, removed, added in edits:
        at = int(where * len(content))
        content = content[:at] + added + content[at + removed :]
    return content


def read_or_refuse(read: Callable[[], MarketReading]) -> None:
    try:
        reading = read()
    except CalibrigError as error:
        message = str(error)
        assert message
        assert "\n" not in message
        return
    quality, market = reading.quality, reading.market
    assert quality.trades == len(market.trades)
    assert quality.quotes == len(market.quotes)
    assert np.all(market.trades.size_lots >= 0)
    assert np.all(market.quotes.bid_ticks > 0)
    for ticks in (market.trades, market.quotes):
        row = np.searchsorted(market.sessions[:, 0], ticks.time_ns, side="right") - 1
        assert np.all(row >= 0)
        assert np.all(ticks.time_ns < market.sessions[row, 1])
    json.dumps(quality.to_dict(), allow_nan=False)
    assert quality.summary()


@pytest.mark.parametrize("name", sorted(SEEDS))
@given(edits=EDITS, skip=st.booleans())
@example(edits=[(0.0, 0, b"")], skip=False)
@settings(max_examples=80, deadline=None)
def test_damaged_text(name: str, edits: list[tuple[float, int, bytes]], skip: bool) -> None:
    file, text = SEEDS[name]
    with TemporaryDirectory() as folder:
        (Path(folder) / file).write_bytes(mutate(text.encode(), edits))
        read_or_refuse(lambda: read_market(folder, skip_bad_rows=skip))


@pytest.mark.parametrize("suffix", [".zip", ".gz", ".xz", ".parquet"])
@given(edits=EDITS)
@settings(max_examples=60, deadline=None)
def test_damaged_archives(suffix: str, edits: list[tuple[float, int, bytes]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"20131007_trade{suffix}"
        if suffix == ".zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr("20131007_bac_Trade_Tick.csv", EQUITY_TRADES)
        elif suffix == ".parquet":
            path, _ = write_market(simulate_market(seed=1, sessions=1, session_s=60.0).market, folder)
        else:
            path.write_bytes((gzip if suffix == ".gz" else lzma).compress(EQUITY_TRADES.encode()))
        path.write_bytes(mutate(path.read_bytes(), edits))
        read_or_refuse(lambda: read_market(path))


@given(edits=EDITS, skip=st.booleans())
@settings(max_examples=80, deadline=None)
def test_damaged_mapped_tables(edits: list[tuple[float, int, bytes]], skip: bool) -> None:
    text = "t,p,n,s\n1704205800000,10.5,3,buy\n1704205801000,10.4,1,sell\n1704205802000,10.4,2,buy\n"
    columns = {"time": "t", "price": "p", "size": "n", "side": "s"}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "m.csv"
        path.write_bytes(mutate(text.encode(), edits))
        read_or_refuse(lambda: read_columns({path: columns}, symbol="X", skip_bad_rows=skip))
