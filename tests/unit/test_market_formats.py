"""One small file of each further format, written here as its publisher describes it, read back and refused."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from calibrig.errors import (
    CalibrigError,
    FileFormatError,
    InvalidInputError,
    InvalidTicksError,
    MissingFileError,
)
from calibrig.market import read_columns, read_market, read_quotes, read_trades

DAY_NS = 1_398_902_400_000_000_000  # 2014-05-01 UTC


def zipped(path: Path, **members: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


# --- LEAN forex, CFD, crypto


def test_lean_dealer_quotes_have_prices_and_nanoseconds_but_no_sizes(tmp_path: Path) -> None:
    rows = "43.142,1291.677,1292.033\n45.852,1291.652,1292.043\n46,1291.652,1292.043\n"
    zipped(tmp_path / "xauusd" / "20140501_quote.zip", **{"20140501_xauusd_tick_quote.csv": rows})
    reading = read_market(tmp_path)
    quotes = reading.market.quotes
    assert quotes.time_ns.tolist() == [DAY_NS + 43_142_000, DAY_NS + 45_852_000]
    assert quotes.bid_ticks.tolist() == [1_291_677, 1_291_652]
    assert quotes.ask_lots.tolist() == [1, 1]
    assert reading.quality.unchanged == 1
    assert any("no sizes" in text for text in reading.quality.warnings)
    assert reading.market.instrument.calendar == "24/5"


def test_lean_crypto_quotes_with_sizes_and_trades(tmp_path: Path) -> None:
    zipped(
        tmp_path / "btcusd" / "20140501_quote.zip",
        **{"20140501_btcusd_tick_quote.csv": "1000,100.1,0.5,100.3,1.25\n2000,100.2,0.5,100.3,1.25\n"},
    )
    zipped(
        tmp_path / "btcusd" / "20140501_trade.zip",
        **{"20140501_btcusd_tick_trade.csv": "1500,100.3,0.01\n2500,100.2,0.02\n"},
    )
    market = read_market(tmp_path).market
    assert market.quotes.ask_lots.tolist() == [125, 125]
    assert market.trades.size_lots.tolist() == [1, 2]
    assert market.trades.side.tolist() == [1, -1]
    assert market.instrument.lot_size == 0.01


# --- LEAN futures


def futures(folder: Path) -> Path:
    rows = "4933381,1313.8,1,usa,,0\n4933381,1313.9,0,usa,,0\n80000000,1314.0,3,usa,,0\n"
    return zipped(
        folder / "gc" / "20131007_trade.zip",
        **{
            "20131007_gc_tick_trade_201312.csv": rows,
            "20131007_gc_tick_trade_201402.csv": "5000000,1320.5,2,usa,,0\n",
        },
    )


def test_lean_futures_take_the_most_traded_expiry_and_say_so(tmp_path: Path) -> None:
    futures(tmp_path)
    reading = read_market(tmp_path)
    assert reading.quality.symbol == "GC201312"
    assert reading.quality.zero_size == 1
    assert any("most traded of 2 expiries" in text for text in reading.quality.warnings)
    # 00:00-21:15 and 22:00-24:00 UTC: the break is 17:15-18:00 New York
    assert ((reading.market.sessions - 1_381_104_000 * 10**9) / 3.6e12).tolist() == [
        [0.0, 21.25],
        [22.0, 24.0],
    ]
    assert read_market(tmp_path, symbol="gc").quality.symbol == "GC201312"
    assert read_market(tmp_path, symbol="GC201402").market.trades.price_ticks.tolist() == [13205]


def test_a_friday_evening_without_trades_is_no_session(tmp_path: Path) -> None:
    rows = "4933381,1313.8,1,usa,,0\n6933381,1313.9,1,usa,,0\n"
    zipped(tmp_path / "gc" / "20131011_trade.zip", **{"20131011_gc_tick_trade_201312.csv": rows})
    assert len(read_market(tmp_path).market.sessions) == 1


def test_formats_of_different_decimals_share_one_grid(tmp_path: Path) -> None:
    trades = "34201000,100100,300,P,1,0\n"
    zipped(tmp_path / "acme" / "20131007_trade.zip", **{"20131007_acme_Trade_Tick.csv": trades})
    tardis = "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount\n"
    (tmp_path / "acme" / "q.csv").write_text(
        tardis + "x,ACME,1381152600000000,1381152600000001,5,10.01,10.00,7\n"
    )
    market = read_market(tmp_path).market
    assert (market.quotes.bid_ticks.tolist(), market.trades.price_ticks.tolist()) == ([1000], [1001])
    assert market.quotes.bid_lots.tolist() == [7]
    assert market.trades.side.tolist() == [1]


# --- Binance public dumps

SPOT_AGG = "1,100.10,0.5,1,1,1735689600000000,False,True\n2,100.20,0.25,2,4,1735689600000001,True,True\n"
UM_TRADES = "id,price,qty,quote_qty,time,is_buyer_maker\n7,100.1,0.5,50.05,1704067200000,true\n9,100.2,1,100.2,1704067200005,false\n"
UM_BOOK = (
    "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time\n"
    "5,100.0,2,100.1,3,1704067200001,1704067200003\n6,100.0,1,100.1,3,1704067200004,1704067200006\n"
)


def test_binance_spot_dump_in_microseconds(tmp_path: Path) -> None:
    zipped(tmp_path / "BTCUSDT-aggTrades-2025-01-01.zip", **{"BTCUSDT-aggTrades-2025-01-01.csv": SPOT_AGG})
    reading = read_market(tmp_path)
    trades = reading.market.trades
    assert trades.time_ns.tolist() == [1_735_689_600_000_000_000, 1_735_689_600_000_001_000]
    assert trades.side.tolist() == [1, -1]
    assert (reading.quality.time_unit, trades.resolution_ns) == ("us", 1_000)
    assert trades.sessions.tolist() == [[1_735_689_600 * 10**9, 1_735_776_000 * 10**9]]
    assert (reading.market.instrument.venue, reading.quality.symbol) == ("binance spot", "BTCUSDT")


def test_binance_futures_dumps_with_headers_join_to_one_market(tmp_path: Path) -> None:
    (tmp_path / "BTCUSDT-trades-2024-01-01.csv").write_text(UM_TRADES)
    (tmp_path / "BTCUSDT-bookTicker-2024-01-01.csv").write_text(UM_BOOK)
    reading = read_market(tmp_path)
    assert reading.market.trades.side.tolist() == [-1, 1]
    assert reading.market.quotes.bid_lots.tolist() == [
        20,
        10,
    ]  # one lot of 0.1 covers trades and quotes alike
    assert reading.market.instrument.lot_size == 0.1
    assert reading.quality.missing_ids == 1
    assert reading.quality.time_unit == "ms"


def test_spot_and_futures_of_one_name_are_not_mixed(tmp_path: Path) -> None:
    (tmp_path / "BTCUSDT-trades-2024-01-01.csv").write_text(UM_TRADES)
    (tmp_path / "BTCUSDT-aggTrades-2025-01-01.csv").write_text(SPOT_AGG)
    with pytest.raises(InvalidTicksError, match=r"several venues .*binance spot.*give the files of one"):
        read_market(tmp_path)


def test_checksum_file_is_verified(tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "BTCUSDT-aggTrades-2025-01-01.zip", **{"BTCUSDT-aggTrades-2025-01-01.csv": SPOT_AGG}
    )
    beside = path.with_name(path.name + ".CHECKSUM")
    beside.write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    assert len(read_trades(tmp_path)) == 2
    beside.write_text("0" * 64 + f"  {path.name}\n")
    with pytest.raises(FileFormatError, match=r"SHA-256.*CHECKSUM.*fetch both again"):
        read_trades(tmp_path)


# --- Tardis

TARDIS_TRADES = (
    "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
    "deribit,BTC-PERPETUAL,1585699200000000,1585699200004000,a1,buy,6400.5,1e2\n"
    "deribit,BTC-PERPETUAL,1585699201000000,1585699201004000,a2,sell,6400,30.000000000000004\n"
    "deribit,BTC-PERPETUAL,1585699202000000,1585699202004000,a3,unknown,6400.5,10\n"
)
TARDIS_QUOTES = (
    "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount\n"
    "deribit,BTC-PERPETUAL,1585699199000000,1585699199004000,10,6400.5,6400,20\n"
    "deribit,BTC-PERPETUAL,1585699199500000,1585699199504000,,,6400,20\n"
)


def test_tardis_trades_and_quotes(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(TARDIS_TRADES.encode()))
    (tmp_path / "q.csv.gz").write_bytes(gzip.compress(TARDIS_QUOTES.encode()))
    reading = read_market(tmp_path)
    market = reading.market
    assert market.trades.side.tolist() == [1, -1, 1]  # the last one by Lee-Ready
    assert market.instrument.tick_size == 0.1
    assert (market.trades.size_lots * market.instrument.lot_size).tolist() == [100, 30, 10]
    assert market.trades.local_time_ns is not None
    assert len(market.quotes) == 1
    assert len(market.sessions) == 2  # 23:59:59 lies on the day before


def test_tardis_book_snapshot_gives_the_best_level(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text(
        "exchange,symbol,timestamp,local_timestamp,asks[0].price,asks[0].amount,bids[0].price,bids[0].amount,"
        "asks[1].price,asks[1].amount,bids[1].price,bids[1].amount\n"
        "x,Y,1585699200000000,1585699200000001,101,5,100,7,102,1,99,1\n"
    )
    quotes = read_quotes(tmp_path)
    assert (quotes.bid_ticks[0], quotes.bid_lots[0], quotes.ask_ticks[0], quotes.ask_lots[0]) == (
        100,
        7,
        101,
        5,
    )


def test_tardis_book_updates_become_best_quotes(tmp_path: Path) -> None:
    rows = [  # local time in s, snapshot, side, price, amount
        (0, "true", "bid", 100, 1), (0, "true", "bid", 99, 2), (0, "true", "ask", 101, 3), (0, "true", "ask", 102, 4),
        (1, "false", "bid", 100, 0),  # the best bid goes
        (2, "false", "ask", 101, 0), (2, "false", "ask", 100, 5),  # one message
        (3, "false", "bid", 98, 7),  # nothing at the best
        (4, "false", "bid", 101, 6),  # crosses the ask of 100 set before: that one is stale
        (5, "true", "bid", 50, 1), (5, "true", "ask", 60, 1),  # starts anew
    ]  # fmt: skip
    start = 1_585_699_200_000_000
    (tmp_path / "b.csv").write_text(
        "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount\n"
        + "".join(
            f"x,Y,{start + s * 10**6},{start + s * 10**6 + 5},{c},{d},{p},{a}\n" for s, c, d, p, a in rows
        )
    )
    reading = read_market(tmp_path)
    quotes = reading.market.quotes
    table = np.column_stack((quotes.bid_ticks, quotes.bid_lots, quotes.ask_ticks, quotes.ask_lots))
    assert table.tolist() == [
        [100, 1, 101, 3],
        [99, 2, 101, 3],
        [99, 2, 100, 5],
        [101, 6, 102, 4],
        [50, 1, 60, 1],
    ]
    assert any("1 book level(s)" in text for text in reading.quality.warnings)


# --- LOBSTER

NAME = "AAPL_2012-06-21_34200000_57600000_{}_1.csv"
MESSAGES = (
    "34200.004241176,1,16113575,18,5853300,1\n34200.025551909,4,16113584,18,5853400,-1\n"
    "34200.201743222,5,0,100,5853350,1\n34201.000000000,7,0,0,-1,-1\n"
)
BOOK = "5853400,18,5853300,18\n5859400,200,5853300,18\n5859400,200,5853300,18\n9999999999,0,5853300,18\n"


def test_lobster_executions_are_signed_by_the_resting_side(tmp_path: Path) -> None:
    (tmp_path / NAME.format("message")).write_text(MESSAGES)
    (tmp_path / NAME.format("orderbook")).write_text(BOOK)
    market = read_market(tmp_path).market
    assert market.trades.side.tolist() == [1, -1]
    assert market.trades.price_ticks.tolist() == [58534, 58533]
    assert market.trades.sub_tick is not None
    assert market.trades.sub_tick.tolist() == [0.0, 0.5]
    midnight = int(dt.datetime(2012, 6, 21, 4, tzinfo=dt.UTC).timestamp()) * 10**9
    assert market.trades.time_ns[0] == midnight + 34_200_025_551_909
    assert market.quotes.ask_ticks.tolist() == [58534, 58594]
    assert market.sessions.tolist() == [[midnight + 34_200 * 10**9, midnight + 57_600 * 10**9]]


# --- Bitstamp, order by order

L3 = """id,timestamp,exchange.timestamp,price,volume,action,direction
1,1430438400000,1430438400000,236.47,200000000,created,bid
2,1430438401000,1430438401000,236.50,150000000,created,ask
3,1430438402000,1430438402000,236.55,300000000,created,ask
4,1430438403000,1430438403000,236.60,170000000,created,bid
2,1430438403005,1430438401000,236.50,0,deleted,ask
4,1430438403010,1430438403000,236.60,20000000,changed,bid
3,1430438403015,1430438402000,236.55,280000000,changed,ask
4,1430438403020,1430438403000,236.60,0,deleted,bid
1,1430438404000,1430438400000,236.47,200000000,deleted,bid
5,1430438405000,1430438405000,236.40,100000000,created,bid
"""


def test_bitstamp_trades_are_matched_halves_and_quotes_skip_the_trading_order(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(L3)
    market = read_market(tmp_path).market
    # the bid of 1.7 at 236.60 takes 1.5 at 236.50 and 0.2 at 236.55, at the prices of the resting orders
    assert market.trades.price_ticks.tolist() == [23650, 23655]
    assert market.trades.side.tolist() == [1, 1]
    assert market.trades.id.tolist() == [4, 4]
    assert (market.trades.size_lots * market.instrument.lot_size).tolist() == pytest.approx([1.5, 0.2])
    assert market.quotes.bid_ticks.tolist() == [23647, 23647, 23640]
    assert market.quotes.ask_ticks.tolist() == [23650, 23655, 23655]
    assert market.quotes.ask_lots[-1] * market.instrument.lot_size == pytest.approx(2.8)


def test_a_bitstamp_level_whose_end_is_missing_is_dropped(tmp_path: Path) -> None:
    late = "6,1430438410000,1430438410000,236.60,100000000,created,bid\n7,1430438420000,1430438420000,236.70,1,created,ask\n"
    (tmp_path / "orders.csv").write_text(L3 + late)
    reading = read_market(tmp_path)
    assert any("never told" in text for text in reading.quality.warnings)
    assert reading.market.quotes.bid_ticks[-1] < reading.market.quotes.ask_ticks[-1]


# --- any table


def test_mapped_parquet_and_csv(tmp_path: Path) -> None:
    times = pl.datetime_range(
        pl.datetime(2024, 1, 2, 14, 30), pl.datetime(2024, 1, 2, 14, 30, 2), "1s", time_unit="us", eager=True
    )
    pl.DataFrame({"ts": times, "p": [10.5, 10.25, 10.75], "n": [1, 2, 3]}).write_parquet(
        tmp_path / "t.parquet"
    )
    (tmp_path / "q.csv").write_text("t;bp;bs;ap;as\n1704205799000;10.25;4;10.75;2\n")
    reading = read_columns(
        {
            tmp_path / "t.parquet": {"time": "ts", "price": "p", "size": "n"},
        },
        symbol="X",
        tick_size=0.25,
    )
    assert reading.market.trades.price_ticks.tolist() == [42, 41, 43]
    assert reading.market.trades.time_ns[0] == 1_704_205_800 * 10**9
    quotes = {"time": "t", "bid": "bp", "bid_size": "bs", "ask": "ap", "ask_size": "as"}
    assert read_columns(
        {tmp_path / "q.csv": quotes}, symbol="X", separator=";"
    ).market.quotes.bid_lots.tolist() == [4]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-02T14:30:00", 1_704_205_800),
        ("2024-01-02 14:30:00.5", 1_704_205_800.5),
        ("2024-01-02T14:30:00Z", 1_704_205_800),
        ("2024-01-02T09:30:00-05:00", 1_704_205_800),
        ("1704205800", 1_704_205_800),
        ("1704205800500", 1_704_205_800.5),
    ],
)
def test_mapped_times(tmp_path: Path, text: str, expected: float) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"t,p,n\n{text},1,1\n")
    reading = read_columns({path: {"time": "t", "price": "p", "size": "n"}}, symbol="X")
    assert reading.market.trades.time_ns[0] == expected * 1e9


def test_mapped_times_in_a_zone(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("t,p,n\n2024-01-02T09:30:00,1,1\n")
    reading = read_columns(
        {path: {"time": "t", "price": "p", "size": "n"}}, symbol="X", time_zone="America/New_York"
    )
    assert reading.market.trades.time_ns[0] == 1_704_205_800 * 10**9


MAP = {"time": "t", "price": "p", "size": "n"}


def mapped(folder: Path, text: str) -> Path:
    path = folder / "m.csv"
    path.write_text(text)
    return path


REFUSED: list[tuple[str, str, type[CalibrigError], str]] = [
    ("BTCUSDT-trades-2024-01-01.csv", UM_TRADES + "9,100.2,1,100.2,1704067200006,false\n", FileFormatError, "row 4 repeats the number 9"),
    ("BTCUSDT-trades-2024-01-01.csv", UM_TRADES + "10,100.2,1,100.2,1704067200001,false\n", FileFormatError, "row 4 goes back in time by 4000000 ns"),
    ("BTCUSDT-trades-2024-01-01.csv", UM_TRADES.replace("true", "maybe"), FileFormatError, "row 2 field 'isBuyerMaker' is neither"),
    ("BTCUSDT-trades-2024-01-01.csv", UM_TRADES.replace("1704067200000", "17"), FileFormatError, "a time reads as 1970"),
    ("BTCUSDT-trades-2024-01-01.csv", UM_TRADES.replace("100.1,", "1OO.1,"), FileFormatError, "row 2 field 'price' .'1OO.1'. is not a number"),
    ("x.csv", TARDIS_TRADES.replace("6400,", "64x00,"), FileFormatError, "row 3 field 'price'"),
    ("x.csv", "exchange,symbol,timestamp,local_timestamp,type,strike\nx,Y,1,1,call,1\n", FileFormatError, "incremental_book_L2 are read"),
    (NAME.format("message"), MESSAGES.replace("34200.025551909", "34199.0"), FileFormatError, "row 2 goes back in time"),
    (NAME.format("orderbook"), BOOK, FileFormatError, "has no message file beside it"),
    ("20131399_trade.csv", "34201000,100100,300,P,1,0\n", FileFormatError, "20131399 is not a day"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "error", "message"), REFUSED)
def test_bad_rows_are_named(
    tmp_path: Path, name: str, text: str, error: type[CalibrigError], message: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(error, match=message):
        read_market(tmp_path)


def test_a_lobster_pair_of_unequal_length_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAME.format("message")).write_text(MESSAGES)
    (tmp_path / NAME.format("orderbook")).write_text(BOOK + BOOK)
    with pytest.raises(FileFormatError, match="has 8 rows, its message file 4"):
        read_market(tmp_path)


@pytest.mark.parametrize(
    ("text", "columns", "error", "message"),
    [
        ("t,p,n\n1,2,3\n", {"time": "t", "price": "p"}, InvalidInputError, "map time, price, size"),
        (
            "t,p,n\n1,2,3\n",
            {**MAP, "size": "qty"},
            FileFormatError,
            "has no column 'qty'; its columns are t, p, n",
        ),
        ("t,p,n\n1704205800,x,3\n", MAP, FileFormatError, "row 2 field 'price' .'x'. cannot be read"),
        ("t,p,n\n1704205800,1,3\n1704205799,1,3\n", MAP, FileFormatError, "row 3 goes back in time"),
        ("t,p,n\n12,1,3\n", MAP, FileFormatError, "a time reads as 1970"),
        (
            "t,p,n\n1704205800,1,3\n1704205801,1\n",
            MAP,
            FileFormatError,
            "row 3 has 2 fields, the header has 3",
        ),
        ("", MAP, FileFormatError, "is empty"),
        ("t,p,n\n", MAP, InvalidTicksError, "holds no row"),
    ],
)
def test_mapped_files_are_refused_with_a_reason(
    tmp_path: Path, text: str, columns: dict[str, str], error: type[CalibrigError], message: str
) -> None:
    with pytest.raises(error, match=message):
        read_columns({mapped(tmp_path, text): columns}, symbol="X")


def test_mapped_files_that_are_not_there_or_not_tables(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"none\.csv is not there"):
        read_columns({tmp_path / "none.csv": MAP}, symbol="X")
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(FileFormatError, match="not a readable table"):
        read_columns({tmp_path / "x.parquet": MAP}, symbol="X")
    with pytest.raises(InvalidInputError, match="tables is empty"):
        read_columns({}, symbol="X")
