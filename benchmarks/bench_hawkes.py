"""Hawkes: simulation, cost per event and pass, whole fits, accuracy and coverage; beside tick and Omi's hawkes.

The peers live in an environment of their own (:mod:`benchmarks.peers.environment`); where it cannot be made their rows
say so. Passes in CPU time; fits are judged by the wall time of two threads, with the CPU time of one beside it.
``CALIBRIG_BENCH_FULL=1`` adds the 10M-event fit and gives Omi's package 1e5 events (minutes).
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.hawkes_coverage import run as run_coverage
from benchmarks.peers.environment import peer_python
from calibrig import HawkesParameters, fit_hawkes, simulate_hawkes
from calibrig.calibration.hawkes_search import search_nodes, search_optimum
from calibrig.models.hawkes_events import prepare_events
from calibrig.models.hawkes_exact import exact_log_likelihood
from calibrig.models.hawkes_likelihood import HawkesLikelihood, gradient, log_likelihood, to_search

ROOT = Path(__file__).parents[1]
TRUTH = HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=4.27)
FULL = os.environ.get("CALIBRIG_BENCH_FULL", "") not in {"", "0"}


def run() -> list[dict[str, Any]]:
    """Measure everything."""
    session = [(0, 23_400 * 10**9)]
    events = simulate_hawkes(TRUTH, sessions=session, seed=1)
    rows = [
        _simulation(session),
        *_passes(events, session),
        *_fits(events, session),
        *_accuracy(),
        _coverage(),
    ]
    return [*rows, *_peers(events, session)]


def _cpu(work: Callable[[], object], repeats: int = 5) -> float:
    work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return median(times)


def _wall(work: Callable[[], object], repeats: int = 3) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return median(times)


def _peak_bytes(work: Callable[[], object]) -> float:
    """Most memory held at once while working, beyond what was held before (Linux)."""

    def held(name: str) -> int:
        line = next(
            line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)
        )
        return int(line.split()[1]) * 1024

    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = held("VmRSS")
    work()
    return float(held("VmHWM") - before)


def _row(claim: str, value: float, unit: str, reach: str, holds: bool | None, **more: Any) -> dict[str, Any]:
    return {"claim": claim, "value": value, "unit": unit, "reach": reach, "holds": holds, **more}


def _on_two_threads(
    claim: str, work: Callable[[int], None], reach_s: float, repeats: int = 5
) -> dict[str, Any]:
    """Judge the wall time on two threads, and give what one thread costs beside it."""
    wall_s = _wall(lambda: work(2), repeats)
    cpu_s = _cpu(lambda: work(1), repeats)
    reach = f"<= {reach_s:g}"
    return _row(
        f"{claim}, two threads", wall_s, "s of wall time", reach, wall_s <= reach_s, one_thread_cpu_s=cpu_s
    )


def _simulation(session: list[tuple[int, int]]) -> dict[str, Any]:
    count = len(simulate_hawkes(TRUTH, sessions=session, seed=1)[0])
    rate = count / _cpu(lambda: simulate_hawkes(TRUTH, sessions=session, seed=1))
    return _row("Hawkes simulation, cluster form", rate, "events/s of CPU", ">= 7e6", rate >= 7e6)


def _passes(events: Any, session: list[tuple[int, int]]) -> list[dict[str, Any]]:
    sample = prepare_events(*events, sessions=session, resolution_ns=1)
    likelihood = HawkesLikelihood(sample, threads=1)
    nodes = search_nodes(sample, 0.35 * TRUTH.beta)
    likelihood.prepare(nodes)
    u = to_search(TRUTH)
    rows = []
    for order, (name, reach) in enumerate(
        (("value", 8.0), ("value + gradient", 13.0), ("value to Hessian", 20.0))
    ):
        cost = _cpu(lambda order=order: likelihood.evaluate(u, order)) / len(sample) * 1e9  # type: ignore[misc]
        rows.append(
            _row(f"Hawkes pass, {name}", cost, "ns/event", f"<= {reach:g}", cost <= reach, nodes=len(nodes))
        )
    held = likelihood.bytes_per_event
    return [*rows, _row("Hawkes fit, memory beyond the input", held, "bytes/event", "<= 60", held <= 60)]


def _fits(events: Any, session: list[tuple[int, int]]) -> list[dict[str, Any]]:
    count = len(events[0])

    def search(threads: int) -> None:
        sample = prepare_events(*events, sessions=session, resolution_ns=1)
        search_optimum(sample, profile=np.ones(1), threads=threads)

    def whole(threads: int) -> None:
        fit_hawkes(events, sessions=session, threads=threads, resolution_ns=1)

    rows = [
        _on_two_threads(f"Hawkes fit of {count:,} events", search, 0.10),
        _on_two_threads(f"the same with errors and gates, {count:,}", whole, 0.30, 3),
    ]
    if FULL:
        long = [(0, 232_000 * 10**9)]
        many = simulate_hawkes(TRUTH, sessions=long, seed=2)

        def search_many(threads: int) -> None:
            sample = prepare_events(*many, sessions=long, resolution_ns=1)
            search_optimum(sample, profile=np.ones(1), threads=threads)

        peak = _peak_bytes(lambda: fit_hawkes(many, sessions=long, resolution_ns=1)) / len(many[0])
        rows += [
            _on_two_threads(f"Hawkes fit of {len(many[0]):,} events", search_many, 1.5, 1),
            _row("its peak memory, errors and gates included", peak, "bytes/event", "<= 60", peak <= 60),
        ]
    return rows


def _accuracy() -> list[dict[str, Any]]:
    theta = [1.0, 0.3, 0.1, 0.5, 2.0]
    p = HawkesParameters(lambda_base=1.0, alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0)
    session = [(0, 200 * 10**9)]
    time_ns, side = simulate_hawkes(p, sessions=session, seed=3)
    exact, slope = exact_log_likelihood(theta, time_ns * 1e-9, (1 - side) // 2, 200.0)
    off = abs(log_likelihood(p, time_ns, side, sessions=session) - exact)
    found = np.array(list(gradient(p, time_ns, side, sessions=session).values())[:5])
    tilt = float(np.max(np.abs(found / slope - 1.0)))
    more = {"events": len(time_ns)}
    return [
        _row("Hawkes log-likelihood against the exact sum", off, "nats", "<= 5e-9", off <= 5e-9, **more),
        _row("Hawkes gradient against the exact sum", tilt, "relative", "<= 1e-6", tilt <= 1e-6, **more),
    ]


def _coverage() -> dict[str, Any]:
    found = run_coverage(runs=100 if FULL else 30)
    worst = min(row["cover_95"] for row in found.values())  # type: ignore[index,call-overload]
    low = 0.90 if FULL else 0.80  # 30 runs: 0.95 +- 0.04
    return _row(
        "Hawkes 95 % intervals, least coverage of any parameter",
        worst,
        "share",
        f">= {low}",
        worst >= low,
        by=found,
    )


def _ask(python: str, name: str, path: Path) -> dict[str, Any]:
    script = ROOT / "benchmarks" / "peers" / "hawkes_peers.py"
    done = subprocess.run(
        [python, "-W", "ignore", str(script), name, str(path)], check=True, capture_output=True, text=True
    )
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def _peers(events: Any, session: list[tuple[int, int]]) -> list[dict[str, Any]]:
    python = peer_python("hawkes", "tick==0.8.0.1", "hawkes==1.0.0", "numpydoc", "six")
    if python is None:
        return [_row("Hawkes fit over tick and Omi", 0.0, "x", "peers could not be installed", None)]
    return [_over_tick(python, events, session), _over_omi(python)]


def _over_tick(python: str, events: Any, session: list[tuple[int, int]]) -> dict[str, Any]:
    """Same events; tick's decay is given, ours is found, and so are the shape and both ratios."""
    time_ns, side = events
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.npz"
        np.savez(path, time_s=time_ns * 1e-9, side=side, end_s=session[0][1] * 1e-9, decay=1.0)
        peer = _ask(python, "tick", path)
    fit_s = _cpu(lambda: search_optimum(
        prepare_events(time_ns, side, sessions=session, resolution_ns=1), profile=np.ones(1), threads=1
    ), 3)  # fmt: skip
    found = fit_hawkes(events, sessions=session, threads=1, resolution_ns=1, holdout=0.0)
    ratio = peer["cpu_s"] / fit_s
    return _row(
        f"Hawkes fit of {len(time_ns):,} events over tick (decay fixed)", ratio, "x faster", ">= 5, higher likelihood",
        ratio >= 5.0 and found.log_likelihood > peer["log_likelihood"],
        ours_s=fit_s, peer_s=peer["cpu_s"], gain_nats=found.log_likelihood - peer["log_likelihood"],
    )  # fmt: skip


def _over_omi(python: str) -> dict[str, Any]:
    """One side, constant baseline, the same power-law kernel."""
    p = HawkesParameters(alpha_self=0.4, alpha_cross=0.0, beta=0.5, gamma=2.0, lambda_base=1.0)
    length = (20_000 if FULL else 1_000) * 10**9
    time_ns, side = simulate_hawkes(p, sessions=[(0, length)], seed=5)
    time_ns = time_ns[side == 1]
    sample = prepare_events(time_ns, np.ones(len(time_ns)), sessions=[(0, length)], resolution_ns=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.npz"
        np.savez(path, time_s=time_ns * 1e-9, side=np.ones(len(time_ns)), end_s=length * 1e-9)
        peer = _ask(python, "omi", path)
    fit_s = _cpu(lambda: search_optimum(sample, profile=np.ones(1), sides=1, threads=1))
    optimum, _ = search_optimum(sample, profile=np.ones(1), sides=1, threads=1)
    ratio = peer["cpu_s"] / fit_s
    apart = optimum.evaluation.value - peer["log_likelihood"]
    return _row(
        f"Hawkes fit of {len(sample):,} one-sided events over Omi hawkes", ratio, "x faster", ">= 500 at 1e5",
        ratio >= 500.0 if FULL else None, ours_s=fit_s, peer_s=peer["cpu_s"], log_likelihood_apart=apart,
    )  # fmt: skip
