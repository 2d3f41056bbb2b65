"""simulate_hawkes and HawkesEngine against closed forms and direct sums."""

from __future__ import annotations

import numpy as np
import pytest

from calibrig import HawkesEngine, HawkesParameters, simulate_hawkes
from calibrig.errors import InvalidInputError, InvalidParametersError, InvalidTicksError

TRUTH = HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=1.0)
HOUR = 3_600_000_000_000


def direct_intensity(p: HawkesParameters, t: float, times: np.ndarray, sides: np.ndarray) -> list[float]:
    """The defining sum, from the exact power law."""
    kernel = (p.beta + t - times) ** -p.gamma
    out = []
    for side in (1, -1):
        alpha = np.where(sides == side, p.alpha_self, p.alpha_cross)
        out.append(p.lambda_base * np.exp(side * p.asymmetry) + float(alpha @ kernel))
    return out


@pytest.mark.parametrize(
    ("beta", "gamma", "tolerance"),
    [(0.5, 2.0, 1e-4), (1e-4, 1.3, 1e-4), (1e-6, 1.15, 1e-4), (0.05, 3.5, 2e-3)],
)
def test_engine_equals_the_defining_sum(beta: float, gamma: float, tolerance: float) -> None:
    alpha = 0.5 * (gamma - 1) * beta ** (gamma - 1)
    p = HawkesParameters(
        alpha_self=alpha, alpha_cross=alpha / 3, beta=beta, gamma=gamma, lambda_base=0.7, asymmetry=0.2
    )
    rng = np.random.default_rng(5)
    times_ns = np.cumsum(rng.integers(1, 10 ** rng.integers(1, 10, 400)))
    sides = rng.choice([1, -1], 400)
    engine = HawkesEngine(p, session=(0, HOUR * 7))
    for t, s in zip(times_ns.tolist(), sides.tolist(), strict=True):
        engine.update(t, s)
    for later in (1, 1_000, 10**6, 10**9, 10**12):
        t = int(times_ns[-1]) + later
        expected = direct_intensity(p, t * 1e-9, times_ns * 1e-9, sides)
        assert engine.compute_intensity(t) == pytest.approx(expected, rel=tolerance)


def test_engine_follows_the_profile_and_forgets_at_a_session() -> None:
    p = HawkesParameters(
        alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=2.0, profile=(1.5, 0.5)
    )
    engine = HawkesEngine(p, session=(0, 1000))
    assert engine.compute_intensity(499)[0] == 3.0
    assert engine.compute_intensity(500)[0] == 1.0
    engine.update(600, -1)
    assert engine.compute_intensity(600)[1] > 2.0
    engine.reset(2000, 3000)
    assert engine.compute_intensity(2000) == (3.0, 3.0)


def test_engine_refuses_what_it_cannot_use() -> None:
    engine = HawkesEngine(TRUTH, session=(0, HOUR))
    engine.update(10, 1)
    with pytest.raises(InvalidTicksError, match=r"side is 0"):
        engine.update(11, 0)
    with pytest.raises(InvalidTicksError, match=r"5 ns before"):
        engine.compute_intensity(5)


@pytest.mark.parametrize("method", ["cluster", "thinning"])
def test_mean_rate_is_the_baseline_over_one_minus_the_branching_matrix(method: str) -> None:
    p = HawkesParameters(alpha_self=0.2, alpha_cross=0.1, beta=0.5, gamma=2.5, lambda_base=2.0, asymmetry=0.3)
    base = 2.0 * np.exp([0.3, -0.3])
    n = np.array([[p.n_self, p.n_cross], [p.n_cross, p.n_self]])
    rates = np.linalg.solve(np.eye(2) - n, base)  # Hawkes 1971
    time_ns, side = simulate_hawkes(p, sessions=[(0, 20 * HOUR)], seed=3, method=method)  # type: ignore[arg-type]
    assert np.all(np.diff(time_ns) >= 0)
    assert time_ns[-1] < 20 * HOUR
    for m, rate in zip((1, -1), rates, strict=True):
        count = int((side == m).sum())
        expected = rate * 20 * 3600
        # variance of a Hawkes count is at most mean / (1 - n)^2
        assert abs(count - expected) < 5 * np.sqrt(expected) / (1 - p.branching_ratio)


def test_cluster_and_thinning_agree_in_count_dispersion() -> None:
    windows = {}
    for method in ("cluster", "thinning"):
        time_ns, _ = simulate_hawkes(TRUTH, sessions=[(0, 40 * HOUR)], seed=11, method=method)  # type: ignore[arg-type]
        for width_s in (1, 10, 100):
            counts = np.bincount(time_ns // (width_s * 10**9))
            windows[method, width_s] = counts.var() / counts.mean()
    for width_s in (1, 10, 100):
        assert windows["cluster", width_s] == pytest.approx(windows["thinning", width_s], rel=0.08)


def test_sessions_profile_and_seed() -> None:
    p = HawkesParameters(
        alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=1.0, profile=(1.8, 0.2)
    )
    sessions = [(0, HOUR), (24 * HOUR, 25 * HOUR), (48 * HOUR, 49 * HOUR)]
    time_ns, side = simulate_hawkes(p, sessions=sessions, seed=1)
    again = simulate_hawkes(p, sessions=sessions, seed=1)
    other, _ = simulate_hawkes(p, sessions=sessions, seed=2)
    assert np.array_equal(time_ns, again[0])
    assert np.array_equal(side, again[1])
    assert not np.array_equal(time_ns[:100], other[:100])
    phase = time_ns % (24 * HOUR)
    assert phase.max() < HOUR
    early = (phase < HOUR // 2).mean()
    assert 0.85 < early < 0.95  # baseline share 0.9; few children cross the middle


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1, "sessions": [(0.0, 1.0)]}, "nanoseconds"),
        ({"seed": 1, "sessions": [(5, 5)]}, "end after start"),
        ({"seed": 1, "max_events": 10}, "max_events = 10"),
        ({"seed": 1, "method": "magic"}, "method is 'magic'"),
    ],
)
def test_simulation_refuses_bad_arguments(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        simulate_hawkes(TRUTH, **arguments)  # type: ignore[arg-type]


def test_simulation_refuses_a_process_that_explodes() -> None:
    p = HawkesParameters(alpha_self=0.4, alpha_cross=0.2, beta=0.5, gamma=2.0, lambda_base=1.0)
    with pytest.raises(InvalidParametersError, match=r"branching_ratio is 1\.2"):
        simulate_hawkes(p, seed=1)
