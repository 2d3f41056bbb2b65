"""The store for trading loops: what the native block costs, and how long a new version takes to be in force.

The time to apply runs from the version's stamp, in the process that writes it, to the first cycle that uses it in the
process of the loop; it holds the durable write.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.bench_store import _per_call_s, _read_line, _row, _start, _writers
from calibrig import ModelStore, simulate_market
from calibrig.engine import Engine
from calibrig.testing.servers import PostgresServer, ValkeyServer
from calibrig.testing.store import HAWKES, QUOTING, RISK, SIGNAL

HERE = Path(__file__).parent
SECONDS = 4.0


def run() -> list[dict[str, Any]]:
    """Measure costs, the read under writers, and the time to apply for each backend."""
    with tempfile.TemporaryDirectory(prefix="calibrig-bench-", dir=_shared_memory()) as name:
        folder = Path(name)
        program = _build(folder)
        rows = _costs(program, folder) + _get_under_writers(folder)
        with ValkeyServer() as valkey, PostgresServer() as postgres:
            for backend, url in (
                ("sqlite", f"sqlite:///{folder}/apply.db"),
                ("redis", valkey.socket_url),
                ("postgres", postgres.socket_url),
            ):
                rows.append(_time_to_apply(backend, url, program, folder))
            rows.append(_engine_applies(f"sqlite:///{folder}/engine.db"))
        rows.append(_following_costs(f"sqlite:///{folder}/following.db"))
        return rows


def _shared_memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _build(folder: Path) -> Path:
    compiler = shutil.which("c++") or "c++"
    program = folder / "block_reads"
    source = HERE / "block_reads.cpp"
    flags = ["-std=c++20", "-O3", "-ffp-contract=off", "-pthread", f"-I{HERE.parent / 'native'}"]
    subprocess.run([compiler, *flags, str(source), "-o", str(program)], check=True)
    return program


def _costs(program: Path, folder: Path) -> list[dict[str, Any]]:
    done = subprocess.run([str(program), "cost", str(folder)], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    names = {
        "poll": "a cycle's look for a newer set, nothing new",
        "stale": "a cycle's look at the heartbeat",
        "copy_small": "copy of a set without a signal model",
        "copy_large": "copy of a set with a network 16-32-16-1",
        "publish": "publication of that set, by the writer",
        "poll_busy": "a cycle's look while a writer publishes at 4 kHz",
        "copy_busy": "copy while a writer publishes at 4 kHz",
    }
    return [_row(f"block, C++: {text}", found[name], "ns", "-", None) for name, text in names.items()]


def _get_under_writers(folder: Path) -> list[dict[str, Any]]:
    url = f"sqlite:///{folder}/get.db"
    with ModelStore(url) as store, store.share(folder / "get.block"):
        store.update("hawkes", "BTCUSDT", HAWKES, "bench", "x")

        def call() -> object:
            return store.get_hawkes_parameters("BTCUSDT")

        before_s = _per_call_s(call, 100_000)
        with _writers(url, 4, 1_000.0, 8.0) as counts:
            busy_s = _per_call_s(call, 20_000, 41)
        after_s = _per_call_s(call, 100_000)
    slower = busy_s / statistics.mean((before_s, after_s))
    claim = "store: get under four writing processes asked for 1 kHz each, block shared, over get alone"
    written = [round(count / 8.0) for count in counts]
    return [_row(claim, slower, "x", "<= 1.3x", slower <= 1.3, writes_per_s=written)]


def _time_to_apply(backend: str, url: str, program: Path, folder: Path) -> dict[str, Any]:
    """Three processes: one writes 50 versions a second, one shares the store, one is the loop in C++."""
    block = folder / f"{backend}.block"
    with ModelStore(url) as store:
        store.publish(
            "SIM", {"hawkes": HAWKES, "quoting": QUOTING, "risk": RISK, "signal": SIGNAL}, "bench", "x"
        )
        with store.share(block), _writers(url, 0, 0.0, 0.0):
            command = [
                str(program),
                "loop",
                str(block),
                "SIM",
                str(folder / f"{backend}.applied"),
                str(SECONDS + 2),
            ]
            loop = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            _read_line(loop)
            writer = _start("writer", url, "SIM", "50", str(SECONDS), stdin=subprocess.PIPE)
            _read_line(writer)
            writer.communicate("go\n")
            out, _ = loop.communicate(timeout=60)
    found = json.loads(out)
    return _row(
        f"put to applied in a C++ loop of another process, {backend} (median)",
        found["stamp_p50"] / 1e6,
        "ms",
        "-",
        None,
        sets=found["sets"],
        p99_ms=found["stamp_p99"] / 1e6,
        from_block_p50_us=found["handover_p50"] / 1e3,
        from_block_p99_us=found["handover_p99"] / 1e3,
        stale_cycles=found["stale"],
    )


def _engine_applies(url: str) -> dict[str, Any]:
    """The engine follows the store while it replays; runs until 100 sets were taken over."""
    market = simulate_market(seed=3, sessions=4).market
    grid = market.instrument
    quoting = msgspec.structs.replace(
        QUOTING, tick_size=grid.tick_size, lot_size=grid.lot_size, order_size=grid.lot_size
    )
    times: list[np.ndarray] = []
    hand_overs: list[float] = []
    with ModelStore(url) as store:
        store.publish("SIM", {"hawkes": HAWKES, "quoting": quoting, "risk": RISK}, "bench", "x")
        writer = _start("writer", url, "SIM", "50", "10", stdin=subprocess.PIPE)
        _read_line(writer)
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
        while sum(map(len, times)) < 100 and writer.poll() is None:
            engine = Engine(market, store.snapshot("SIM"))
            end = engine.follow(store)
            result = engine.run()
            end()
            times.append(result.apply_ns[result.apply_ns >= 0])
            hand_overs.append(engine.time_to_apply.from_handover["p50"])
        writer.communicate()
    whole = np.concatenate(times) / 1e6
    return _row(
        "put to applied in the engine (Engine.follow), sqlite (median)",
        float(np.median(whole)),
        "ms",
        "-",
        None,
        sets=len(whole),
        percentiles_ms={str(p): round(float(np.percentile(whole, p)), 3) for p in (5, 25, 75, 95, 99)},
        from_hand_over_p50_us=statistics.median(hand_overs) / 1e3,
    )


def _following_costs(url: str) -> dict[str, Any]:
    """CPU time of a replay that looks at the heartbeat at every cycle, over one that does not; taken in turns."""
    market = simulate_market(seed=3, sessions=2).market
    grid = market.instrument
    quoting = msgspec.structs.replace(
        QUOTING, tick_size=grid.tick_size, lot_size=grid.lot_size, order_size=grid.lot_size
    )
    spent: dict[bool, list[float]] = {True: [], False: []}
    with ModelStore(url) as store:
        store.publish("SIM", {"hawkes": HAWKES, "quoting": quoting, "risk": RISK}, "bench", "x")
        for _ in range(11):
            for follows in (False, True):
                engine = Engine(market, store.snapshot("SIM"))
                end = engine.follow(store) if follows else None
                start = time.thread_time()
                engine.run()
                spent[follows].append(time.thread_time() - start)
                if end is not None:
                    end()
    ratio = statistics.median(spent[True]) / statistics.median(spent[False])
    return _row("engine: replay that follows a store, over one that does not (CPU)", ratio, "x", "-", None)
