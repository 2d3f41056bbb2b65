"""The Hawkes likelihood against the exact O(N^2) sum, closed forms, finite differences and invariances."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from calibrig import HawkesParameters, simulate_hawkes
from calibrig.errors import InvalidTicksError
from calibrig.models.hawkes_events import prepare_events
from calibrig.models.hawkes_exact import exact_log_likelihood
from calibrig.models.hawkes_likelihood import (
    HawkesLikelihood,
    compensator,
    from_search,
    gradient,
    intensity,
    log_likelihood,
    precise_nodes,
    residuals,
    to_search,
)
from calibrig.models.hawkes_nodes import (
    choose_nodes,
    digamma,
    exponential_weights,
    power_law_weights,
    trigamma,
)

REFERENCE = Path(__file__).parents[2] / ".." / "shared" / "reference" / "hawkes_exact.json"
HOUR = 3_600_000_000_000
DAY = 24 * HOUR


def record(theta: list[float]) -> HawkesParameters:
    mu, alpha_self, alpha_cross, beta, gamma = theta
    return HawkesParameters(
        lambda_base=mu, alpha_self=alpha_self, alpha_cross=alpha_cross, beta=beta, gamma=gamma
    )


@pytest.fixture(scope="module")
def history() -> tuple[HawkesParameters, np.ndarray, np.ndarray, list[tuple[int, int]]]:
    truth = HawkesParameters(
        alpha_self=0.3,
        alpha_cross=0.1,
        beta=0.5,
        gamma=2.0,
        lambda_base=0.5,
        asymmetry=0.3,
        profile=(1.5, 0.5, 1.0),
    )
    sessions = [(k * DAY, k * DAY + (200 + 150 * k) * 10**9) for k in range(4)]
    return truth, *simulate_hawkes(truth, sessions=sessions, seed=1), sessions


def test_exact_sum_equals_the_reference_values() -> None:
    if not REFERENCE.exists():
        pytest.skip(f"{REFERENCE.name} is not there: the reference values are kept outside the repository")
    for case in json.loads(REFERENCE.read_text())["cases"]:
        for known in case["values"]:
            value, slope = exact_log_likelihood(known["theta"], case["time_s"], case["side"], case["T"])
            assert value == pytest.approx(known["log_likelihood"], abs=1e-11)
            assert slope == pytest.approx(known["gradient"], rel=1e-11)


def test_fast_likelihood_equals_the_reference_values() -> None:
    if not REFERENCE.exists():
        pytest.skip(f"{REFERENCE.name} is not there: the reference values are kept outside the repository")
    for case in json.loads(REFERENCE.read_text())["cases"]:
        time_ns = np.round(np.array(case["time_s"]) * 1e9).astype(np.int64)
        side = np.where(np.array(case["side"]) == 0, 1, -1)
        sessions = [(0, int(case["T"] * 1e9))]
        for known in case["values"]:
            p = record(known["theta"])
            assert log_likelihood(p, time_ns, side, sessions=sessions) == pytest.approx(
                known["log_likelihood"], abs=5e-9
            )
            slope = list(gradient(p, time_ns, side, sessions=sessions).values())[:5]
            assert slope == pytest.approx(known["gradient"], rel=1e-6)


@pytest.mark.parametrize(
    "theta", [[1.0, 0.3, 0.1, 0.5, 2.0], [0.8, 0.02, 0.01, 0.001, 1.3], [0.5, 0.5, 0.4, 2.0, 3.5]]
)
def test_fast_likelihood_equals_the_exact_sum(theta: list[float]) -> None:
    rng = np.random.default_rng(3)
    time_ns = np.sort(rng.choice(600 * 10**9, 2_000, replace=False))
    side = rng.choice([1, -1], 2_000)
    exact, slope = exact_log_likelihood(theta, time_ns * 1e-9, (1 - side) // 2, 600.0)
    p = record(theta)
    assert log_likelihood(p, time_ns, side, sessions=[(0, 600 * 10**9)]) == pytest.approx(exact, abs=5e-8)
    fast = list(gradient(p, time_ns, side, sessions=[(0, 600 * 10**9)]).values())[:5]
    assert fast == pytest.approx(slope, rel=1e-7)


def test_hessian_is_the_slope_of_the_gradient(history) -> None:  # type: ignore[no-untyped-def]
    truth, time_ns, side, sessions = history
    likelihood = HawkesLikelihood(prepare_events(time_ns, side, sessions=sessions), profile=truth.profile)
    likelihood.prepare(choose_nodes(beta_low_s=0.25, horizon_s=650.0))
    u = to_search(truth)
    hessian = likelihood.evaluate(u, 2).hessian
    for k in range(6):
        bump = 1e-5 * np.eye(6)[k]
        slope = (likelihood.evaluate(u + bump, 1).gradient - likelihood.evaluate(u - bump, 1).gradient) / 2e-5
        assert hessian[k] == pytest.approx(slope, rel=1e-5, abs=1e-4)


def test_exponential_kernel_has_the_slope_of_its_value(history) -> None:  # type: ignore[no-untyped-def]
    truth, time_ns, side, sessions = history
    likelihood = HawkesLikelihood(prepare_events(time_ns, side, sessions=sessions), profile=truth.profile)
    likelihood.prepare(choose_nodes(beta_low_s=0.05, horizon_s=650.0, per_octave=2))
    u = to_search(truth) + 0.1
    at = likelihood.evaluate(u, 2, kernel="exponential")
    bump = np.array([0, 0, 0, 1e-5, 0, 0])
    up = likelihood.evaluate(u + bump, 1, kernel="exponential")
    down = likelihood.evaluate(u - bump, 1, kernel="exponential")
    assert at.gradient[3] == pytest.approx((up.value - down.value) / 2e-5, rel=1e-5)
    assert at.hessian[3] == pytest.approx((up.gradient - down.gradient) / 2e-5, rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_threads_lanes_and_instruction_sets_do_not_change_the_result(history, isa: str) -> None:  # type: ignore[no-untyped-def]
    truth, time_ns, side, sessions = history
    events = prepare_events(time_ns, side, sessions=sessions)
    u, nodes = to_search(truth), choose_nodes(beta_low_s=0.25, horizon_s=650.0)

    def everything(threads: int, lane_steps: int | None, name: str) -> np.ndarray:
        likelihood = HawkesLikelihood(
            events, profile=truth.profile, threads=threads, lane_steps=lane_steps, isa=name
        )
        likelihood.prepare(nodes)
        at = likelihood.evaluate(u, 2)
        trace = likelihood.trace(u)
        return np.concatenate(
            [[at.value], at.gradient, at.hessian.reshape(-1), trace.buy, np.cumsum(trace.sell_growth)]
        )

    expected = everything(1, None, "baseline")
    try:
        same = everything(1, None, isa)
    except ValueError as error:
        pytest.skip(f"this processor lacks {isa}: {error}")
    assert same == pytest.approx(expected, rel=1e-10, abs=1e-8)
    for threads in (1, 2, 5):
        for lane_steps in (2, 3, 17, 400):
            assert everything(threads, lane_steps, isa) == pytest.approx(expected, rel=1e-10, abs=1e-8)
    assert np.array_equal(everything(1, 17, isa), everything(3, 17, isa))  # threads: to the last bit


def test_likelihood_is_the_sum_over_sessions(history) -> None:  # type: ignore[no-untyped-def]
    truth, time_ns, side, sessions = history
    nodes, u = choose_nodes(beta_low_s=0.25, horizon_s=650.0), to_search(truth)
    whole = HawkesLikelihood(prepare_events(time_ns, side, sessions=sessions), profile=truth.profile)
    whole.prepare(nodes)
    by_session = whole.evaluate_sessions(u)
    for (start, end), part in zip(sessions, by_session, strict=True):
        inside = (time_ns >= start) & (time_ns < end)
        events = prepare_events(time_ns[inside], side[inside], sessions=[(start, end)])
        alone = HawkesLikelihood(events, profile=truth.profile)
        alone.prepare(nodes)
        assert alone.evaluate(u).value == pytest.approx(part.value, abs=1e-10)
        assert alone.evaluate(u, 1).gradient == pytest.approx(part.gradient, abs=1e-9)
    assert whole.evaluate(u).value == pytest.approx(sum(part.value for part in by_session), abs=1e-10)


def test_swapping_sides_mirrors_the_asymmetry(history) -> None:  # type: ignore[no-untyped-def]
    truth, time_ns, side, sessions = history
    mirrored = from_search(to_search(truth) * [1, 1, 1, 1, 1, -1], profile=truth.profile)
    assert log_likelihood(mirrored, time_ns, -side, sessions=sessions) == pytest.approx(
        log_likelihood(truth, time_ns, side, sessions=sessions), abs=1e-9
    )


def test_time_unit_only_shifts_the_likelihood() -> None:
    # time in units c times longer: rates times c, beta over c, same ratios; n log c more log-likelihood
    truth = HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=1.0)
    time_ns, side = simulate_hawkes(truth, sessions=[(0, 200 * 10**9)], seed=8)
    c = 64
    slow = from_search(to_search(truth) + np.array([-math.log(c), 0, 0, math.log(c), 0, 0]))
    value = log_likelihood(truth, time_ns, side, sessions=[(0, 200 * 10**9)])
    stretched = log_likelihood(slow, time_ns * c, side, sessions=[(0, 200 * 10**9 * c)])
    assert stretched == pytest.approx(value - len(time_ns) * math.log(c), rel=1e-10)


def test_one_sided_model_equals_the_two_sided_one_without_the_other_side() -> None:
    truth = HawkesParameters(alpha_self=0.3, alpha_cross=0.0, beta=0.5, gamma=2.0, lambda_base=1.0)
    time_ns, _ = simulate_hawkes(truth, sessions=[(0, 200 * 10**9)], seed=8)
    events = prepare_events(time_ns, np.ones(len(time_ns)), sessions=[(0, 200 * 10**9)])
    nodes = precise_nodes(events, 0.5, 2.0)
    values = []
    for sides in (1, 2):
        likelihood = HawkesLikelihood(events, sides=sides)  # type: ignore[arg-type]
        likelihood.prepare(nodes)
        values.append(likelihood.evaluate(to_search(truth)).value)
    # the empty side adds exactly its baseline's compensator, 1/s * 200 s
    assert values[0] == pytest.approx(values[1] + 200.0, abs=1e-6)


def test_trace_gives_the_terms_of_the_likelihood(history) -> None:  # type: ignore[no-untyped-def]
    truth, time_ns, side, sessions = history
    likelihood = HawkesLikelihood(prepare_events(time_ns, side, sessions=sessions), profile=truth.profile)
    likelihood.prepare(choose_nodes(beta_low_s=0.25, horizon_s=650.0))
    u = to_search(truth)
    trace = likelihood.trace(u)
    at = likelihood.evaluate(u, 1)
    # derivative along log lambda_base of the compensator is the baseline's part; the rest is the excitation's
    total = float(np.log(trace.own_intensity()).sum()) - at.value
    seen = float((trace.buy_growth + trace.sell_growth).sum())
    last = int(time_ns[-1])
    left = sessions[-1][1] - last
    after = trace.buy[-1] + trace.sell[-1] + (truth.alpha_self + truth.alpha_cross) * truth.beta**-truth.gamma
    assert seen <= total <= seen + after * left * 1e-9 + 1e-6
    assert np.array_equal(likelihood.trace(u, 500, 900).buy, trace.buy[500:900])


def test_residuals_of_the_true_model_are_unit_exponentials() -> None:
    truth = HawkesParameters(
        alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=1.0, asymmetry=0.2
    )
    sessions = [(k * DAY, k * DAY + 2 * HOUR) for k in range(3)]
    time_ns, side = simulate_hawkes(truth, sessions=sessions, seed=5)
    for values in residuals(truth, time_ns, side, sessions=sessions):
        ordered = np.sort(values)
        distance = np.abs(-np.expm1(-ordered) - (np.arange(len(ordered)) + 0.5) / len(ordered)).max()
        assert distance < 1.95 / math.sqrt(len(ordered))  # Kolmogorov, 0.1 %


def test_compensator_of_a_poisson_with_profile_is_its_integral() -> None:
    p = HawkesParameters(
        alpha_self=0.0,
        alpha_cross=0.0,
        beta=0.5,
        gamma=2.0,
        lambda_base=2.0,
        asymmetry=0.5,
        profile=(1.5, 0.5),
    )
    sessions = [(0, 10 * 10**9), (100 * 10**9, 110 * 10**9)]
    buy, sell = compensator(p, [2 * 10**9, 7 * 10**9, 106 * 10**9], [1, -1, 1], sessions=sessions)
    integral = np.array([3.0, 7.5 + 1.0, 10.0 + 7.5 + 0.5])
    assert buy == pytest.approx(2.0 * math.exp(0.5) * integral, rel=1e-9)
    assert sell == pytest.approx(2.0 * math.exp(-0.5) * integral, rel=1e-9)


def test_intensity_equals_the_defining_sum() -> None:
    p = record([1.0, 0.3, 0.1, 0.5, 2.0])
    buy, sell = intensity(p, [10**9, 3 * 10**9], [1, -1], [4 * 10**9], sessions=[(0, 5 * 10**9)])
    assert buy[0] == pytest.approx(1 + 0.3 * 3.5**-2 + 0.1 * 1.5**-2, rel=2e-4)
    assert sell[0] == pytest.approx(1 + 0.1 * 3.5**-2 + 0.3 * 1.5**-2, rel=2e-4)


@pytest.mark.parametrize(("beta", "gamma"), [(0.5, 2.0), (1e-6, 1.15), (10.0, 1.5), (0.01, 4.0)])
def test_weights_make_the_power_law(beta: float, gamma: float) -> None:
    nodes = choose_nodes(
        beta_low_s=beta, horizon_s=1e5, gamma=gamma, per_octave=2, low_margin=1e-5, high_margin=32
    )
    tau = np.geomspace(beta * 1e-3, 1e5, 50)
    exact = (gamma - 1) * beta ** (gamma - 1) * (beta + tau) ** -gamma
    assert power_law_weights(nodes, beta=beta, gamma=gamma)(tau) == pytest.approx(exact, rel=3e-8)


def test_weights_of_an_exponential() -> None:
    nodes = choose_nodes(beta_low_s=0.01, horizon_s=1e4, per_octave=2)
    tau = np.geomspace(1e-3, 5, 20)
    assert exponential_weights(nodes, decay=1.7)(tau) == pytest.approx(1.7 * np.exp(-1.7 * tau), abs=2e-5)


def test_digamma_and_trigamma_at_known_points() -> None:
    assert digamma(0.5) == pytest.approx(-0.5772156649015329 - 2 * math.log(2), rel=1e-14)
    assert trigamma(0.5) == pytest.approx(math.pi**2 / 2, rel=1e-14)
    assert digamma(1e-3 + 1) - digamma(1e-3) == pytest.approx(1e3, rel=1e-13)


@pytest.mark.parametrize(
    ("time_ns", "side", "words"),
    [
        ([0.0, math.nan, 2.0], [1, 1, -1], "nan at row 1"),
        ([0.5, 1.5, 2.5], [1, 1, -1], "int64 nanoseconds"),
        ([10**9, 5 * 10**8, 2 * 10**9], [1, 1, -1], "goes back by 500000000 ns at row 1"),
        ([-5, 10**9], [1, -1], "-5 at row 0"),
        ([7, 7, 7], [1, -1, 1], "constant clock"),
        ([0, 1, 2, 3], [1, -1, 1, -1], "look like seconds"),
        ([1_700_000_000, 1_700_000_100, 1_700_000_900], [1, -1, 1], "look like seconds"),
        ([0, 10**9], [1, 2], "side is 2 at row 1"),
        ([0, 10**9], [1, 0], "sign the trades first"),
        ([0, 10**9], [1], "equal lengths"),
        ([], [], "empty"),
    ],
)
def test_bad_events_are_refused_in_one_sentence(time_ns: list[float], side: list[int], words: str) -> None:
    with pytest.raises(InvalidTicksError, match=words):
        prepare_events(time_ns, side)


def test_sessions_must_hold_the_events() -> None:
    with pytest.raises(InvalidTicksError, match="outside every session"):
        prepare_events([10**9, 5 * 10**9], [1, -1], sessions=[(0, 2 * 10**9)])
    with pytest.raises(InvalidTicksError, match=r"session 1 .* has no events"):
        prepare_events([10**9], [1], sessions=[(0, 2 * 10**9), (3 * 10**9, 4 * 10**9)])


def test_ties_are_spread_inside_the_clock_step_in_list_order() -> None:
    time_ns = np.repeat(np.arange(100) * 10**7, 3)
    events = prepare_events(time_ns, np.tile([1, -1, 1], 100), resolution_ns=10**7)
    assert events.tied_share == 1.0
    assert events.offset_ns is not None
    assert 0.0 <= events.offset_ns.min() < events.offset_ns.max() < 10**7
    assert np.all(np.diff(events.time_ns + events.offset_ns) > 0)
    again = prepare_events(time_ns, np.tile([1, -1, 1], 100), resolution_ns=10**7)
    assert np.array_equal(events.offset_ns, again.offset_ns)  # type: ignore[arg-type]


def test_clock_step_is_found_from_the_stamps() -> None:
    rng = np.random.default_rng(1)
    stamps = np.sort(rng.integers(0, 10**6, 500)) * 10**6
    assert prepare_events(stamps, rng.choice([1, -1], 500)).resolution_ns == 10**6
