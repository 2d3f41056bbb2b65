"""Reading zipped CSV ticks with the quality report, beside polars alone; websocket captures, beside msgspec."""

from __future__ import annotations

import gzip
import io
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import numpy as np
import polars as pl

from calibrig.market import MarketData, read_market, simulate_market

REPEATS = 5


def _cost(work: Callable[[], object]) -> tuple[float, float]:
    """Median CPU and wall seconds."""
    work()
    cpu, wall = [], []
    for _ in range(REPEATS):
        start_cpu, start = time.process_time(), time.perf_counter()
        work()
        cpu.append(time.process_time() - start_cpu)
        wall.append(time.perf_counter() - start)
    return median(cpu), median(wall)


def _write_lean(folder: Path, market: MarketData) -> tuple[Path, int]:
    """One day of one-sided quote rows, laid out like consolidated equity quotes."""
    quotes = market.quotes
    ms = 34_200_000 + (quotes.time_ns - quotes.sessions[0, 0]) // 3_000_000
    n = len(quotes)
    rows = np.zeros((2 * n, 5), np.int64)
    rows[:, 0] = np.repeat(ms, 2)
    rows[0::2, 1], rows[0::2, 2] = quotes.bid_ticks * 100, quotes.bid_lots * 100
    rows[1::2, 3], rows[1::2, 4] = quotes.ask_ticks * 100, quotes.ask_lots * 100
    frame = pl.DataFrame(rows, schema=["t", "b", "bs", "a", "as"], orient="row").with_columns(
        pl.lit("P").alias("e"), pl.lit("1").alias("c"), pl.lit(0).alias("s")
    )
    text = io.BytesIO()
    frame.write_csv(text, include_header=False)
    path = folder / "sim" / "20131007_quote.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("20131007_sim_Quote_Tick.csv", text.getvalue())
    return path, 2 * n


def _write_capture(folder: Path, market: MarketData) -> tuple[Path, int]:
    quotes = market.quotes.between(0, int(market.quotes.time_ns[200_000]))
    lines = [
        f'{t + 5_000_000} {{"stream":"simusdt@bookTicker","data":{{"e":"bookTicker","u":{i},"s":"SIMUSDT",'
        f'"b":"{b / 100:.2f}","B":"{bs}.000","a":"{a / 100:.2f}","A":"{sz}.000","T":{t // 1_000_000},'
        f'"E":{t // 1_000_000}}}}}'
        for i, (t, b, bs, a, sz) in enumerate(
            zip(
                quotes.time_ns.tolist(),
                quotes.bid_ticks.tolist(),
                quotes.bid_lots.tolist(),
                quotes.ask_ticks.tolist(),
                quotes.ask_lots.tolist(),
                strict=True,
            )
        )
    ]
    path = folder / "capture.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode(), 6))
    return path, len(lines)


def _polars(path: Path) -> pl.DataFrame:
    with zipfile.ZipFile(path) as archive:
        return pl.read_csv(archive.read(archive.namelist()[0]), has_header=False)


def _msgspec(path: Path) -> list[Any]:
    decode = msgspec.json.Decoder().decode
    with gzip.open(path) as stream:
        return [(int(line[:19]), decode(line[20:])) for line in stream.read().split(b"\n")]


def run() -> list[dict[str, Any]]:
    """Measure both on files made here, so that the figure needs no data."""
    market = simulate_market(seed=1, sessions=1, session_s=23_400.0 * 3).market
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table, rows = _write_lean(folder, market)
        ours, ours_wall = _cost(lambda: read_market(table))
        peer, peer_wall = _cost(lambda: _polars(table))
        capture, lines = _write_capture(folder, market)
        parsed, _ = _cost(lambda: read_market(capture))
        decoded, _ = _cost(lambda: _msgspec(capture))
    return [
        {
            "claim": "reading zipped CSV ticks with the quality report, times polars alone (CPU)",
            "value": ours / peer,
            "unit": "x",
            "reach": "<= 1.5",
            "holds": ours / peer <= 1.5,
            "rows": rows,
            "rows_per_s": rows / ours,
            "polars_rows_per_s": rows / peer,
            "wall_ratio": ours_wall / peer_wall,
        },
        {
            "claim": "reading websocket captures, messages per second over msgspec decoding alone (CPU)",
            "value": decoded / parsed,
            "unit": "x",
            "reach": ">= 1",
            "holds": decoded / parsed >= 1.0,
            "rows": lines,
            "rows_per_s": lines / parsed,
            "msgspec_rows_per_s": lines / decoded,
        },
    ]
