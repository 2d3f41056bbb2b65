"""Rolling fits run by any executor, even one that carries every job and result elsewhere as bytes."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from calibrig import fit_hawkes, fit_hawkes_rolling, simulate_market


class PickledExecutor(Executor):
    """What a cluster's executor does to a job: it leaves as bytes, runs elsewhere, comes back as bytes."""

    def __init__(self) -> None:
        self.jobs = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.jobs += 1
        future: Future[Any] = Future()
        call, there, options = pickle.loads(pickle.dumps((fn, args, kwargs)))
        future.set_result(pickle.loads(pickle.dumps(call(*there, **options))))
        return future


def test_jobs_and_results_travel_as_bytes() -> None:
    trades = simulate_market(seed=1, sessions=3, session_s=1_200.0).market.trades
    seen: list[str] = []
    with PickledExecutor() as pool:
        found = fit_hawkes_rolling(
            {"A": trades, "B": trades},
            window_sessions=2,
            executor=pool,
            on_done=lambda item: seen.append(item.symbol),
        )
    assert pool.jobs == 4  # two symbols, two windows of two sessions each
    assert [item.symbol for item in found] == ["A", "A", "B", "B"]
    assert sorted(seen) == ["A", "A", "B", "B"]
    alone = fit_hawkes(trades.between(found[1].start_ns, found[1].end_ns), threads=1)
    for item in (found[1], found[3]):
        assert item.fit is not None, item.error
        assert item.fit.parameters == alone.parameters
        assert item.fit.verdict is alone.verdict


def test_a_job_that_fails_stops_none_of_the_others_but_what_is_no_fit_is_raised() -> None:
    trades = simulate_market(seed=1, sessions=2, session_s=600.0).market.trades
    short = trades.between(int(trades.sessions[0, 0]), int(trades.time_ns[8]))
    with PickledExecutor() as pool:
        bad, good = fit_hawkes_rolling({"SHORT": short, "A": trades}, executor=pool)
        assert bad.fit is None
        assert "needs at least 10 of each" in bad.error
        assert good.fit is not None
        with pytest.raises(TypeError, match="no_such_option"):
            fit_hawkes_rolling({"A": trades}, executor=pool, no_such_option=1)


def test_plots_are_drawn_where_the_events_are() -> None:
    """The events don't travel back, and the kernel without a formula is estimated from them."""
    trades = simulate_market(seed=1, sessions=2, session_s=1_200.0).market.trades
    alone = fit_hawkes(trades, threads=1)
    assert alone.kernel_estimate is not None
    with PickledExecutor() as pool:
        (drawn,) = fit_hawkes_rolling({"A": trades}, executor=pool, draw=True)
        (plain,) = fit_hawkes_rolling({"A": trades}, executor=pool)
    assert drawn.plot is not None
    assert drawn.plot.to_svg() == alone.plot().to_svg()
    assert plain.plot is None
