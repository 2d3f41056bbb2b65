"""Ctrl-C ends a long native pass or simulation at once, from inside it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import Future

import numpy as np
import pytest

from calibrig import HawkesParameters
from calibrig.calibration.hawkes_side_by_side import SideBySide
from calibrig.models.hawkes_events import prepare_events
from calibrig.models.hawkes_likelihood import HawkesLikelihood, precise_nodes, to_search

SCRIPT = """
import signal, sys, threading, time, os
import numpy as np
from calibrig import HawkesParameters
from calibrig.models.hawkes_events import HawkesEvents
from calibrig.models.hawkes_likelihood import HawkesLikelihood, precise_nodes, to_search

n = 1_500_000
times = np.arange(n, dtype=np.int64) * 1_000_000
side = np.where(np.arange(n) % 2, 1, -1).astype(np.int8)
spans = np.array([[0, n * 1_000_000]])
events = HawkesEvents(time_ns=times, offset_ns=None, side=side, sessions=spans, profile_sessions=spans,
                      resolution_ns=1, tied_share=0.0)
likelihood = HawkesLikelihood(events, threads=1, isa="baseline")
p = HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=1.0)
likelihood.prepare(precise_nodes(events, 0.5, 2.0))
whole = time.thread_time()
likelihood.evaluate(to_search(p), 2)
whole = time.thread_time() - whole
threading.Timer(0.02, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
began = time.thread_time()
try:
    likelihood.evaluate(to_search(p), 2)
except KeyboardInterrupt:
    print("stopped", time.thread_time() - began, whole)
"""

SIMULATION = """
import signal, threading, time, os
from calibrig import HawkesParameters, simulate_hawkes

p = HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=4.0)
session = [(0, 50_000 * 10**9)]
simulate_hawkes(p, sessions=[(0, 10**9)], seed=1)
whole = time.thread_time()
simulate_hawkes(p, sessions=session, seed=1)
whole = time.thread_time() - whole
threading.Timer(0.02, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
began = time.thread_time()
try:
    simulate_hawkes(p, sessions=session, seed=1)
except KeyboardInterrupt:
    print("stopped", time.thread_time() - began, whole)
"""


@pytest.mark.parametrize("script", [SCRIPT, SIMULATION], ids=["pass", "simulation"])
def test_ctrl_c_stops_inside_the_native_code(script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    word, spent, whole = done.stdout.split()
    assert word == "stopped", done.stderr
    assert float(spent) < 0.5 * float(whole)  # CPU time: most of the work was never done


def test_a_piece_that_runs_beside_its_caller_stops_with_it() -> None:
    count = 600_000
    side = np.where(np.arange(count) % 2, 1, -1)
    events = prepare_events(np.arange(count) * 1_000_000, side, sessions=[(0, count * 1_000_000)])
    likelihood = HawkesLikelihood(events, threads=1, isa="baseline")
    likelihood.prepare(precise_nodes(events, 0.5, 2.0))
    u = to_search(HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=1.0))
    runs = threading.Event()

    def pass_over_and_over() -> None:
        runs.set()
        for _ in range(1_000):  # minutes
            likelihood.evaluate(u, 2)

    started: list[Future[None]] = []

    def work_beside() -> None:
        with SideBySide(2) as pieces:
            started.append(pieces.start(pass_over_and_over))
            runs.wait()
            raise ZeroDivisionError  # stands for the KeyboardInterrupt that only the main thread gets

    with pytest.raises(ZeroDivisionError):
        work_beside()
    assert isinstance(started[0].exception(), KeyboardInterrupt)


def test_pieces_without_threads_run_at_once() -> None:
    with SideBySide(1) as pieces:
        done = pieces.start(threading.get_ident)
        assert done.done()
        assert done.result() == threading.get_ident()
    assert pieces.threads_each == 1


@pytest.mark.parametrize(("threads", "each"), [(2, 1), (3, 1), (4, 1), (8, 2), (9, 3)])
def test_threads_are_shared_out_over_the_pieces(threads: int, each: int) -> None:
    with SideBySide(threads) as pieces:
        assert pieces.threads_each == each


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_pieces_that_nobody_waits_for_inside_the_block_are_done_at_its_end(threads: int) -> None:
    """Most of them have not begun when the block ends; their results are read afterwards, as a fit does."""

    def work(number: int) -> int:
        time.sleep(0.005)
        return number

    with SideBySide(threads) as pieces:
        started = [pieces.start(work, number) for number in range(20)]
    assert [piece.result(timeout=0) for piece in started] == list(range(20))


def test_pieces_that_wait_are_dropped_where_the_block_fails() -> None:
    gate, running = threading.Event(), threading.Semaphore(0)
    started: list[Future[None]] = []

    def work() -> None:
        running.release()
        gate.wait(30.0)

    def fail() -> None:
        with SideBySide(2) as pieces:
            started.extend(pieces.start(work) for _ in range(4))
            for _ in range(2):
                running.acquire()
            threading.Timer(0.05, gate.set).start()
            raise ValueError("the caller's own mistake")

    with pytest.raises(ValueError, match="the caller's"):
        fail()
    assert [piece.cancelled() for piece in started] == [False, False, True, True]
