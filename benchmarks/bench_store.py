"""The store's figures: reads, writes, pushes, verification, opening; beside MLflow's registry and Feast's online store.

The peers live in an environment of their own (:mod:`benchmarks.peers.environment`; some hundred MB, once). Where it
cannot be made, the rows say so and hold no ratio. Servers come from wheels, as in the tests, and are asked over their unix sockets.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

import msgspec

from benchmarks.peers.environment import peer_python
from calibrig import ModelStore
from calibrig.store import Backend, Sealed, open_backend
from calibrig.store.view import View, read_fetched
from calibrig.testing import SlowBackend
from calibrig.testing.servers import PostgresServer, ValkeyServer
from calibrig.testing.store import HAWKES, RISK, make_content

HERE = Path(__file__).parent
PROCESSES = HERE / "peers" / "store_processes.py"
SYMBOLS, VERSIONS = 1_000, 1_000


def run() -> list[dict[str, Any]]:
    """Measure all; the peers' medians come from the same run."""
    with tempfile.TemporaryDirectory(prefix="calibrig-bench-") as name:
        folder = Path(name)
        peers = {peer: _peer_median_s(peer, folder) for peer in ("mlflow_registry", "feast_online")}
        with ValkeyServer() as valkey, PostgresServer() as postgres:
            urls = {
                "sqlite": f"sqlite:///{folder}/store.db",
                "json": f"{folder}/store.json",
                "redis": valkey.socket_url,
                "postgres": postgres.socket_url,
            }
            rows = _hit(urls["sqlite"], peers)
            rows += _fetch(urls, peers)
            rows += [_push(backend, url) for backend, url in urls.items()]
            valkey.configure("appendfsync", "everysec")
            rows.append(_push("redis, appendfsync everysec", f"{valkey.socket_url}?prefix=everysec"))
            rows.append(_pushed(f"{valkey.socket_url}?prefix=pushed"))
        rows += [_put(backend, folder) for backend in ("sqlite", "json")]
        return rows + _large(folder / "large.db")


def _row(
    claim: str, value: float | None, unit: str, reach: str, holds: bool | None, **more: Any
) -> dict[str, Any]:
    return {"claim": claim, "value": value, "unit": unit, "reach": reach, "holds": holds, **more}


def _per_call_s(call: Callable[[], object], count: int, repeats: int = 21) -> float:
    """Return the median over repeats of the mean CPU time of one call."""
    found = []
    for _ in range(repeats):
        start = time.thread_time()
        for _ in range(count):
            call()
        found.append((time.thread_time() - start) / count)
    return statistics.median(found)


def _now_and_then_s(call: Callable[[], object], seconds: float) -> float:
    """Return the same, looked at again and again for ``seconds`` with pauses that leave the cores to others."""
    until, found = time.monotonic() + seconds, []
    while time.monotonic() < until:
        found.append(_per_call_s(call, 10_000, 3))
        time.sleep(0.02)
    return statistics.median(found)


def _wall_median_s(call: Callable[[], object], count: int) -> float:
    times = []
    for _ in range(count):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _hit(url: str, peers: dict[str, Any]) -> list[dict[str, Any]]:
    with ModelStore(url) as store:
        store.update("hawkes", "BTCUSDT", HAWKES, "bench", "x")

        def call() -> object:
            return store.get_hawkes_parameters("BTCUSDT")

        quiet_s = _per_call_s(call, 100_000)
        with _writers(url, 4, 1_000.0, 8.0) as counts:
            busy_s = _now_and_then_s(call, 6.5)
        alone_s = _per_call_s(call, 100_000)
    rows = [_row("store: get hit", quiet_s * 1e6, "us", "<= 0.3 us", quiet_s <= 0.3e-6)]
    slower = busy_s / statistics.mean((quiet_s, alone_s))
    rows.append(
        _row(
            "store: get under four writing processes asked for 1 kHz each, over get alone",
            slower,
            "x",
            "<= 1.3x",
            slower <= 1.3,
            writes_per_s=[round(count / 8.0) for count in counts],
        )
    )
    for peer, times in (("mlflow_registry", 10_000), ("feast_online", 500)):
        theirs = peers[peer]
        if not isinstance(theirs, float):
            rows.append(_row(f"store: get hit beside {peer}", None, "x", f">= {times}x", None, peer=theirs))
            continue
        ratio = theirs / quiet_s
        rows.append(
            _row(f"store: get hit beside {peer}", ratio, "x", f">= {times}x", ratio >= times, peer_s=theirs)
        )
    return rows


def _pushed(url: str, hertz: float = 1_000.0, seconds: float = 8.0) -> dict[str, Any]:
    """`get` while four processes append to Redis, on a server that does not sync each command, and all is pushed here."""
    with ModelStore(url) as store:
        store.update("hawkes", "BTCUSDT", HAWKES, "bench", "x")

        def call() -> object:
            return store.get_hawkes_parameters("BTCUSDT")

        before_s = _per_call_s(call, 100_000)
        with _writers(url, 4, hertz, seconds, "appender") as counts:
            busy_s = _now_and_then_s(call, seconds * 0.8)
            pushes = store.status().pushes
        after_s = _per_call_s(call, 100_000)
    slower = busy_s / statistics.mean((before_s, after_s))
    return _row(
        "store: get under four processes that append to Redis (everysec), asked for 1 kHz each, over get alone",
        slower,
        "x",
        "<= 1.3x",
        slower <= 1.3,
        writes_per_s=[round(count / seconds) for count in counts],
        views_taken_over_meanwhile=pushes,
    )


def _fetch(urls: dict[str, str], peers: dict[str, Any]) -> list[dict[str, Any]]:
    """Median times of `fetch`: of a version that is known here, and of one that has to be decoded and checked in full."""
    rows = []
    limits = {"sqlite": None, "redis": 40e-6, "postgres": 45e-6}
    feast = peers["feast_online"]
    nothing = View({}, 0, "")
    for backend, limit in limits.items():
        with ModelStore(urls[backend]) as store, closing(open_backend(urls[backend])) as bare:
            store.update("hawkes", "BTCUSDT", HAWKES, "bench", "x")

            def known(store: ModelStore = store) -> object:
                return store.fetch("hawkes", "BTCUSDT")

            def new(bare: Backend = bare) -> object:
                stored = bare.as_of("hawkes", "BTCUSDT", None)
                assert stored is not None
                return read_fetched(nothing, "hawkes", "BTCUSDT", stored)

            for what, call in (("of a version known here", known), ("decoded in full", new)):
                median_s = _wall_median_s(call, 5_000)
                ratio = feast / median_s if isinstance(feast, float) else None
                rows.append(
                    _row(
                        f"store: fetch from {backend}, checked, {what}",
                        median_s * 1e6,
                        "us",
                        f"<= {limit * 1e6:.0f} us; >= 5x faster than Feast" if limit else "-",
                        median_s <= limit and (ratio is None or ratio >= 5) if limit else None,
                        faster_than_feast=ratio,
                    )
                )
    return rows


@contextmanager
def _writers(url: str, count: int, hertz: float, seconds: float, role: str = "writer") -> Iterator[list[int]]:
    """Let other processes write while the block runs; their counts are filled in afterwards."""
    counts: list[int] = []
    others = [
        _start(role, url, f"W{index}", str(hertz), str(seconds), stdin=subprocess.PIPE)
        for index in range(count)
    ]
    for other in others:
        _read_line(other)
    for other in others:
        assert other.stdin is not None
        other.stdin.write("go\n")
        other.stdin.flush()
    yield counts
    for other in others:
        counts.append(int(_read_line(other)))
        other.communicate()


def _start(*words: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PROCESSES), *words], stdin=stdin, stdout=subprocess.PIPE, text=True
    )


def _read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def _push(backend: str, url: str) -> dict[str, Any]:
    """Median times to another process's callback: from the moment the append was acknowledged, and from the stamp.

    The second holds the writing process's own work and the durable write. Negative: told before the writer was.
    """
    limit_ms = {"sqlite": 5.0, "json": 5.0, "postgres": 1.0}.get(backend, 0.5)
    listener = _start("listener", url, "100")
    _read_line(listener)
    written: dict[int, tuple[int, int]] = {}
    with _Noting(open_backend(url)) as noting, ModelStore(backend=noting) as store:
        for _ in range(100):
            version = store.update("risk", "PUSH", RISK, "bench", "x")
            written[version.version_id] = (version.updated_at, noting.acknowledged_ns)
            time.sleep(0.02)
    out, _ = listener.communicate(timeout=150)
    told = [(written[number], at) for number, at in json.loads(out) if number in written]
    pushed_ms, whole_ms, write_ms = (
        statistics.median(times) / 1e6
        for times in (
            [at - acknowledged for (_, acknowledged), at in told],
            [at - stamp for (stamp, _), at in told],
            [acknowledged - stamp for stamp, acknowledged in written.values()],
        )
    )
    value = whole_ms if limit_ms == 5.0 else pushed_ms
    since = "the stamp, with the durable write" if limit_ms == 5.0 else "the acknowledgement of the append"
    return _row(
        f"store: push to another process, {backend} (from {since})",
        value,
        "ms",
        f"<= {limit_ms:g} ms",
        value <= limit_ms,
        from_acknowledgement_ms=pushed_ms,
        from_stamp_ms=whole_ms,
        durable_write_ms=write_ms,
    )


class _Noting(SlowBackend):
    """Passes every call on, and notes when an append was acknowledged."""

    acknowledged_ns = 0

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend, 0.0)

    def append(self, records: Sequence[Sealed]) -> int | None:
        change = super().append(records)
        self.acknowledged_ns = time.time_ns()
        return change

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _put(backend: str, folder: Path) -> dict[str, Any]:
    """A durable update beside a bare append of the same bytes with fdatasync, in alternation."""
    path = folder / ("put.db" if backend == "sqlite" else "put.json")
    bare = os.open(folder / f"bare-{backend}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    data = msgspec.json.encode(make_content(1, "0" * 64))
    ours, theirs = [], []
    with ModelStore(path) as store:
        for _ in range(300):
            start = time.perf_counter()
            os.write(bare, data)
            os.fdatasync(bare)
            theirs.append(time.perf_counter() - start)
            start = time.perf_counter()
            store.update("risk", "A", RISK, "bench", "x")
            ours.append(time.perf_counter() - start)
    os.close(bare)
    ratio = statistics.median(ours) / statistics.median(theirs)
    return _row(
        f"store: durable put on {backend} over a bare append + fdatasync",
        ratio,
        "x",
        "<= 1.5x",
        ratio <= 1.5,
        put_ms=statistics.median(ours) * 1e3,
        bare_ms=statistics.median(theirs) * 1e3,
    )


def _make_large(path: Path) -> None:
    """Write 1,000 symbols x 1,000 versions straight into the tables: the store itself would sync each of them."""
    with ModelStore(path):
        pass
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    template = msgspec.json.encode(make_content(1, "0" * 64))
    change = 0
    for symbol in range(SYMBOLS):
        rows, before = [], "0" * 64
        for number in range(1, VERSIONS + 1):
            change += 1
            payload = template.replace(
                b'"symbol":"RAW","version_id":1', b'"symbol":"S%d","version_id":%d' % (symbol, number)
            ).replace(b"0" * 64, before.encode())
            before = hashlib.sha256(payload).hexdigest()
            rows.append(
                (
                    change,
                    "hawkes",
                    f"S{symbol}",
                    number,
                    1,
                    "raw",
                    "raw 1",
                    "manual",
                    before,
                    payload.decode(),
                )
            )
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO versions VALUES (?,?,?,?,?,?,?,?,?,?)", rows)
        connection.execute(
            "INSERT INTO heads VALUES (?,?,?,?,?)", ("hawkes", f"S{symbol}", VERSIONS, before, change)
        )
        connection.execute("COMMIT")
    connection.close()


def _large(path: Path) -> list[dict[str, Any]]:
    _make_large(path)
    peak_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    opened = []
    for _ in range(3):
        start = time.perf_counter()
        with ModelStore(path) as store:
            opened.append(time.perf_counter() - start)
    grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak_before) / 1024
    with ModelStore(path) as store:
        start = time.process_time()
        report = store.verify()
        rate = report.records / (time.process_time() - start)
    if not report.ok or report.records != SYMBOLS * VERSIONS:
        raise RuntimeError(f"the large store is not what was written: {report.problems[:1]}")
    open_s = statistics.median(opened)
    return [
        _row(
            f"store: open {SYMBOLS} symbols x {VERSIONS} versions",
            open_s,
            "s",
            "<= 0.5 s",
            open_s <= 0.5,
            peak_memory_grew_mb=grown_mb,
            file_mb=path.stat().st_size / 2**20,
        ),
        _row("store: verify", rate, "records/s of CPU time", ">= 200000", rate >= 200_000),
    ]


def _peer_median_s(peer: str, folder: Path) -> float | str:
    """Return the peer's median, or why there is none."""
    place = folder / peer
    place.mkdir()
    python = peer_python("store", "mlflow>=2.20", "feast>=0.40")
    if python is None:
        return "not measured: could not be installed"
    try:
        script = str(HERE / "peers" / f"{peer}.py")
        done = subprocess.run(
            [python, script, str(place)], capture_output=True, text=True, check=True, timeout=300
        )
    except (subprocess.SubprocessError, OSError) as error:
        words = getattr(error, "stderr", None) or str(error)
        return f"not measured: {' '.join(str(words).split())[-300:]}"
    return float(json.loads(done.stdout.strip().splitlines()[-1])["median_s"])
