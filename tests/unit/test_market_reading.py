"""Readers: small files of each format written here, read back and refused with one clear sentence."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from calibrig.errors import CalibrigError, FileFormatError, InvalidTicksError, MissingFileError
from calibrig.market import load_trades, read_market, read_quotes, read_trades

OPEN_MS = 34_200_000  # 09:30
OPEN_NS = 1_381_152_600_000_000_000  # 2013-10-07 13:30 UTC = 09:30 New York in summer
TRADES = ["34201000,100100,300,P,1,0", "34202000,100050,200,D,1,0", "34203000,100000,100,P,1,0"]
QUOTES = [
    "34199000,100000,500,0,0,P,1,0",
    "34199000,0,0,100100,700,Q,1,0",
    "34202500,100000,400,0,0,Z,1,0",
]


def write_lean(
    folder: Path, kind: str, rows: list[str], *, day: str = "20131007", symbol: str = "acme"
) -> Path:
    folder = folder / symbol
    folder.mkdir(exist_ok=True)
    path = folder / f"{day}_{kind}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{day}_{symbol}_{kind.capitalize()}_Tick.csv", "\n".join(rows))
    return path


def test_lean_day_becomes_one_session_on_the_tick_grid(tmp_path: Path) -> None:
    write_lean(tmp_path, "trade", ["3600000,90000,1,P,1,0", *TRADES, "57600000,90000,1,P,1,0"])
    write_lean(tmp_path, "quote", QUOTES)
    reading = read_market(tmp_path / "acme")
    trades, quotes = reading.market.trades, reading.market.quotes
    assert trades.time_ns.tolist() == [OPEN_NS + s * 10**9 for s in (1, 2, 3)]
    assert trades.price_ticks.tolist() == [1001, 1000, 1000]
    assert trades.sub_tick is not None
    assert trades.sub_tick.tolist() == [0.0, 0.5, 0.0]
    # above the mid 10.005: buyer; at the mid after a higher price: seller; below: seller
    assert trades.side.tolist() == [1, -1, -1]
    assert reading.market.sessions.tolist() == [[OPEN_NS, OPEN_NS + 23_400 * 10**9]]
    # the quote that stood before the open is dated at the open
    assert quotes.time_ns.tolist() == [OPEN_NS, OPEN_NS + 2_500_000_000]
    assert quotes.bid_lots.tolist() == [500, 400]
    assert quotes.ask_ticks.tolist() == [1001, 1001]
    quality = reading.quality
    assert (quality.symbol, quality.rows, quality.outside_hours) == ("ACME", 8, 2)
    assert quality.signed_by["mid"] == pytest.approx(2 / 3)
    assert quality.off_grid_share == pytest.approx(1 / 3)
    assert "ACME: 3 trades, 2 quotes in 1 session(s)" in quality.summary()
    json.dumps(quality.to_dict())


@pytest.mark.parametrize(
    ("day", "open_utc", "hours"),
    [("20131007", 13.5, 6.5), ("20131104", 14.5, 6.5), ("20131129", 14.5, 3.5), ("20130703", 13.5, 3.5)],
)
def test_sessions_follow_summer_time_and_early_closes(
    tmp_path: Path, day: str, open_utc: float, hours: float
) -> None:
    write_lean(tmp_path, "trade", TRADES, day=day)
    start, end = read_trades(tmp_path).sessions[0].tolist()
    midnight = dt.datetime.strptime(day, "%Y%m%d").replace(tzinfo=dt.UTC).timestamp()
    assert start / 1e9 - midnight == open_utc * 3600
    assert (end - start) / 3.6e12 == hours


def test_best_quotes_are_carried_over_all_exchanges(tmp_path: Path) -> None:
    rows = [
        "34201000,100000,500,0,0,P,1,0",
        "34201000,0,0,100100,700,Q,1,0",
        "34202000,100100,100,0,0,P,1,0",  # locked until the next row of the same stamp
        "34202000,0,0,100200,300,Z,1,0",
        "34203000,0,0,100200,300,K,1,0",  # nothing new
        "34204000,100300,100,0,0,P,1,1",  # marked suspicious
    ]
    write_lean(tmp_path, "quote", rows)
    reading = read_market(tmp_path)
    quotes = reading.market.quotes
    assert quotes.bid_ticks.tolist() == [1000, 1001]
    assert quotes.ask_ticks.tolist() == [1001, 1002]
    quality = reading.quality
    assert (quality.transient, quality.suspicious, quality.crossed_share) == (1, 1, 0.0)


def test_days_and_symbols_are_chosen_not_guessed(tmp_path: Path) -> None:
    for day in ("20131007", "20131008"):
        write_lean(tmp_path, "trade", TRADES, day=day)
    write_lean(tmp_path, "trade", TRADES, symbol="other")
    with pytest.raises(InvalidTicksError, match=r"ACME, OTHER.*symbol="):
        read_market(tmp_path)
    assert len(read_market(tmp_path, symbol="acme").market.sessions) == 2
    assert len(read_market(tmp_path, symbol="acme", days=["2013-10-08"]).market.sessions) == 1
    with pytest.raises(InvalidTicksError, match="2013-10-07"):
        read_market(tmp_path, symbol="acme", days=[dt.date(2013, 10, 9)])
    assert len(load_trades("acme", start="2013-10-08", end="2013-10-09", folder=tmp_path)) == 3
    with pytest.raises(MissingFileError, match="nothere"):
        load_trades("nothere", folder=tmp_path)


def capture_lines() -> list[str]:
    # the local clock is 1 s behind; latency 2 ms, then 5 ms
    def at(exchange_ms: int, latency_ms: int) -> int:
        return (exchange_ms + latency_ms - 1000) * 1_000_000

    def trade(i: int, ms: int, price: str, size: str, maker: bool) -> str:
        data = {"e": "trade", "E": ms, "T": ms, "s": "BTCUSDT", "t": i, "p": price, "q": size, "m": maker}
        return f"{at(ms, 2 if i < 3 else 5)} " + json.dumps({"stream": "btcusdt@trade", "data": data})

    def quote(i: int, ms: int, bid: str, ask: str) -> str:
        data = {"u": i, "s": "BTCUSDT", "b": bid, "B": "1.5", "a": ask, "A": "0.25"}
        return f"{at(ms, 3)} " + json.dumps(
            {"stream": "btcusdt@bookTicker", "data": data}, separators=(",", ":")
        )

    base = 1_700_000_000_000
    return [
        quote(1, base, "100.00", "100.10"),
        trade(1, base + 10, "100.10", "0.020", False),
        quote(2, base + 20, "100.10", "100.20"),
        trade(2, base + 30, "100.10", "0.005", True),
        f"{at(base + 31, 2)} " + json.dumps({"lastUpdateId": 3, "bids": [["100.10", "1.0"]], "asks": []}),
        trade(3, base + 40, "100.05", "1.000", True),
    ]


def test_capture_in_exchange_time_with_inferred_grid(tmp_path: Path) -> None:
    path = tmp_path / "btc.gz"
    path.write_bytes(gzip.compress("\n".join(capture_lines()).encode()))
    reading = read_market(path)
    trades, quotes = reading.market.trades, reading.market.quotes
    base = 1_700_000_000_000_000_000
    assert (trades.time_ns - base).tolist() == [10_000_000, 30_000_000, 40_000_000]
    assert trades.side.tolist() == [1, -1, -1]
    # the lower envelope takes the 2 ms of the fastest message for latency zero
    assert (quotes.time_ns - base).tolist() == [1_000_000, 21_000_000]
    assert reading.quality.clock_offset_ms == (-998.0, -998.0)
    assert reading.market.instrument.tick_size == 0.01
    assert reading.market.instrument.lot_size == 0.001
    assert trades.price_ticks.tolist() == [10010, 10010, 10005]
    assert reading.quality.resolution_ns == 1_000_000
    assert reading.quality.signed_by["source"] == 1.0


def test_rotated_captures_are_one_session_and_may_overlap_for_a_moment(tmp_path: Path) -> None:
    lines = capture_lines()
    (tmp_path / "a.txt").write_text("\n".join(lines[:4]))
    (tmp_path / "b.txt").write_text("\n".join(lines[3:]))  # the fourth message was recorded twice
    whole = tmp_path / "whole"
    whole.mkdir()
    (whole / "c.txt").write_text("\n".join(lines))
    parts, one = read_market([tmp_path / "a.txt", tmp_path / "b.txt"]), read_market(whole)
    assert len(parts.market.sessions) == 1
    assert parts.quality.duplicates == 1
    assert parts.market.trades.id.tolist() == one.market.trades.id.tolist()
    assert parts.market.trades.time_ns.tolist() == one.market.trades.time_ns.tolist()
    (tmp_path / "b.txt").write_text("\n".join(lines))
    with pytest.raises(InvalidTicksError, match="covers the same"):
        read_market([tmp_path / "b.txt", whole])


def test_minute_bars_are_not_taken_for_ticks(tmp_path: Path) -> None:
    write_lean(tmp_path, "trade", ["34200000,100100,100200,100000,100100,1200"])
    with pytest.raises(FileFormatError, match="of no format known"):
        read_market(tmp_path)


def test_capture_without_best_quotes_builds_them_from_depth(tmp_path: Path) -> None:
    def depth(i: int, ms: int, bids: list[list[str]], asks: list[list[str]]) -> str:
        data = {
            "e": "depthUpdate",
            "E": ms,
            "T": ms,
            "s": "BTCUSDT",
            "U": i,
            "u": i,
            "pu": i - 1,
            "b": bids,
            "a": asks,
        }
        return f"{(ms + 2) * 1_000_000} " + json.dumps({"stream": "btcusdt@depth@0ms", "data": data})

    base = 1_700_000_000_000
    snapshot = {
        "lastUpdateId": 10,
        "bids": [["100.0", "1"], ["99.9", "2"]],
        "asks": [["100.2", "3"], ["100.3", "4"]],
    }
    lines = [
        f"{base * 1_000_000} " + json.dumps(snapshot),
        depth(10, base, [["150.0", "9"]], []),  # part of the snapshot already
        depth(11, base + 10, [["100.1", "5"]], []),
        depth(12, base + 20, [], [["100.2", "0"]]),
        depth(13, base + 30, [["90.0", "5"]], []),
        depth(
            15, base + 40, [["100.3", "6"]], []
        ),  # 14 is missing: the ask of 100.3 is stale and there is no other
        depth(16, base + 50, [], [["100.4", "7"]]),
    ]
    path = tmp_path / "c.txt"
    path.write_text("\n".join(lines))
    reading = read_market(path, tick_size=0.1, lot_size=1.0)
    quotes = reading.market.quotes
    assert quotes.bid_ticks.tolist() == [1001, 1001, 1003]
    assert quotes.ask_ticks.tolist() == [1002, 1003, 1004]
    assert quotes.ask_lots.tolist() == [3, 4, 7]
    assert any("from a snapshot (1 stale levels dropped)" in text for text in reading.quality.warnings)
    assert any("1 break(s) in the sequence of depth" in text for text in reading.quality.warnings)


def bad(tmp_path: Path, case: str) -> Path:
    capture = capture_lines()
    if case == "missing":
        return tmp_path / "nothere.zip"
    if case == "empty folder":
        return tmp_path
    if case == "empty":
        (tmp_path / "20131007_trade.csv").write_bytes(b"")
        return tmp_path
    if case == "empty member":
        return write_lean(tmp_path, "trade", [])
    if case == "truncated zip":
        path = write_lean(tmp_path, "trade", TRADES * 100)
        path.write_bytes(path.read_bytes()[:-40])
        return path
    if case == "damaged zip":
        path = write_lean(tmp_path, "trade", TRADES * 100)
        content = bytearray(path.read_bytes())
        content[200] ^= 0xFF
        path.write_bytes(content)
        return path
    if case == "truncated gz":
        path = tmp_path / "c.gz"
        path.write_bytes(gzip.compress("\n".join(capture).encode())[:-20])
        return path
    if case == "wrong format":
        (tmp_path / "x.csv").write_text("what,is,this\n1,2,3\n")
        return tmp_path
    if case == "not a number":
        return write_lean(tmp_path, "trade", [TRADES[0], "34202000,abc,200,D,1,0"])
    if case == "too few":
        return write_lean(tmp_path, "trade", [TRADES[0], "34202000,100"])
    if case == "too many":
        return write_lean(tmp_path, "trade", [TRADES[0], TRADES[1] + ",9"])
    if case == "unsorted":
        return write_lean(tmp_path, "trade", [TRADES[1], TRADES[0]])
    if case == "outside the day":
        return write_lean(tmp_path, "trade", [TRADES[0], "86400000,100000,1,P,1,0"])
    if case == "twice":
        path = write_lean(tmp_path, "trade", TRADES)
        (tmp_path / "copy").mkdir()
        (tmp_path / "copy" / path.name).write_bytes(path.read_bytes())
        return tmp_path
    if case == "crossed":
        return write_lean(tmp_path, "quote", [QUOTES[0], "34199000,0,0,99900,700,Q,1,0"])
    if case == "cut capture":
        path = tmp_path / "c.txt"
        path.write_text("\n".join([*capture, capture[0][:-30]]))
        return path
    path = tmp_path / "c.txt"
    path.write_text("\n".join([*capture, capture[1].replace('"100.10"', '"x"')]))
    return path


BAD: list[tuple[str, type[CalibrigError], str]] = [
    ("missing", MissingFileError, r"nothere\.zip is not there; check"),
    ("empty folder", MissingFileError, "holds no data files"),
    ("empty", FileFormatError, r"20131007_trade\.csv is empty"),
    ("empty member", FileFormatError, r"Tick\.csv is empty"),
    ("truncated zip", FileFormatError, "is damaged or cut off .*fetch"),
    ("damaged zip", FileFormatError, "is damaged or cut off .*fetch"),
    ("truncated gz", FileFormatError, "is damaged or cut off .*fetch"),
    ("wrong format", FileFormatError, r"x\.csv row 1 .*'what,is,this'.*no format"),
    (
        "not a number",
        FileFormatError,
        r"Tick\.csv row 2 field 'price' \('abc'\) is not a number; .*skip_bad_rows",
    ),
    ("too few", FileFormatError, "row 2 has too few fields: 6"),
    ("too many", FileFormatError, "row 2 has too many fields: 6"),
    ("unsorted", FileFormatError, "row 2 field 'time_ms' goes back from 34202000 to 34201000; sort"),
    ("outside the day", FileFormatError, "row 2 field 'time_ms' is 86400000"),
    ("twice", InvalidTicksError, "covers the same trades as .*once"),
    ("crossed", InvalidTicksError, "bid is above ask 100.0% of the time, the limit is 1%"),
    ("cut capture", FileFormatError, r"c\.txt row 7 ends inside .*cut off"),
    ("capture number", FileFormatError, r"row 7 has a trade price \(p\) that is not a number"),
]


@pytest.mark.parametrize(("case", "error", "message"), BAD)
def test_bad_input_is_one_clear_sentence(
    tmp_path: Path, case: str, error: type[CalibrigError], message: str
) -> None:
    with pytest.raises(error, match=message):
        read_market(bad(tmp_path, case))


@pytest.mark.parametrize(
    ("case", "count", "rows_left"),
    [("not a number", 1, 1), ("outside the day", 1, 1), ("capture number", 1, 3)],
)
def test_bad_rows_are_counted_when_asked(tmp_path: Path, case: str, count: int, rows_left: int) -> None:
    reading = read_market(bad(tmp_path, case), skip_bad_rows=True)
    assert reading.quality.bad_rows == count
    assert len(reading.market.trades) == rows_left
    assert any("bad row" in text for text in reading.quality.warnings)


def test_unsorted_rows_are_sorted_and_counted_when_asked(tmp_path: Path) -> None:
    reading = read_market(bad(tmp_path, "unsorted"), skip_bad_rows=True)
    assert reading.quality.out_of_order == 1
    assert np.all(np.diff(reading.market.trades.time_ns) > 0)


def test_a_day_of_few_events_and_a_symbol_without_trades(tmp_path: Path) -> None:
    write_lean(tmp_path, "quote", QUOTES)
    reading = read_market(tmp_path)
    assert len(reading.market.trades) == 0
    assert any("no trades" in text for text in reading.quality.warnings)
    with pytest.raises(InvalidTicksError, match="no trades are in the files"):
        read_trades(tmp_path)
    write_lean(tmp_path, "trade", TRADES)
    assert any("only 3 trades" in text for text in read_market(tmp_path).quality.warnings)


def test_trades_only_have_no_quotes(tmp_path: Path) -> None:
    write_lean(tmp_path, "trade", TRADES)
    with pytest.raises(InvalidTicksError, match="no quotes are in the files"):
        read_quotes(tmp_path)


def test_gaps_are_stretches_without_trade_and_quote(tmp_path: Path) -> None:
    quotes = [
        "34200000,100000,500,0,0,P,1,0",
        "34200000,0,0,100100,700,Q,1,0",
        "45000000,100000,400,0,0,Z,1,0",
    ]
    trades = ["34300000,100100,300,P,1,0", "34330000,100100,300,P,1,0", "57500000,100100,300,P,1,0"]
    write_lean(tmp_path, "quote", quotes)
    write_lean(tmp_path, "trade", trades)
    quality = read_market(tmp_path).quality
    # 100 s, (30 s), 10,670 s, 12,500 s, 100 s
    assert quality.gaps == 4
    assert quality.longest_gap_s == 12_500.0


def test_fingerprint_changes_with_any_value(tmp_path: Path) -> None:
    def print_of(rows: list[str]) -> str:
        write_lean(tmp_path, "trade", rows)
        return read_market(tmp_path).quality.fingerprint

    read: Callable[[list[str]], str] = print_of
    assert read(TRADES) == read(list(TRADES))
    assert read(TRADES) != read([*TRADES[:2], TRADES[2].replace(",100,", ",101,")])
