"""Unjudged kernel fits against exact sums, formulas and simulated truths; one side and two."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from calibrig import HawkesParameters, fit_hawkes, fit_hawkes_kernel, simulate_hawkes
from calibrig.errors import InvalidInputError, InvalidTicksError
from calibrig.models.hawkes_exact import exact_log_likelihood

SECOND = 10**9
SESSION = [(0, 2_000 * SECOND)]
TRUTH = HawkesParameters(alpha_self=0.3, alpha_cross=0.0, beta=0.5, gamma=2.0, lambda_base=1.0)


@pytest.fixture(scope="module")
def stream() -> np.ndarray:
    time_ns, side = simulate_hawkes(TRUTH, sessions=SESSION, seed=21)
    return time_ns[side == 1]


def recursive_exponential(
    times_s: np.ndarray, sides: np.ndarray, *, end_s: float, base: np.ndarray, n: np.ndarray, decay: float
) -> float:
    """Ozaki's recursion (1979) for any number of sides: base[m], n[m, source]; an independent computation."""
    state, last, value = np.zeros(len(base)), 0.0, 0.0
    for t, m in zip(times_s, sides, strict=True):
        state *= math.exp(-decay * (t - last))
        value += math.log(base[m] + decay * float(n[m] @ state))
        state[m] += 1.0
        last = t
    missed = np.zeros(len(base))
    np.add.at(missed, sides, 1.0 - np.exp(-decay * (end_s - times_s)))
    return value - float(base.sum()) * end_s - float((n @ missed).sum())


def test_one_sided_power_law_recovers_its_truth(stream: np.ndarray) -> None:
    fit = fit_hawkes_kernel(stream, sessions=SESSION)
    truth = {"lambda_base": 1.0, "n_self": 0.6, "beta": 0.5, "gamma": 2.0}
    assert fit.sides == 1
    assert set(fit.estimates) == set(truth)
    for name, value in truth.items():
        assert abs(fit.estimates[name] - value) < 4 * fit.standard_errors[name]


def test_one_sided_value_is_the_exact_sum(stream: np.ndarray) -> None:
    """The two-sided O(N^2) sum over one side also charges the empty side its baseline, which is taken out."""
    fit = fit_hawkes_kernel(stream, sessions=SESSION)
    e = fit.estimates
    alpha = e["n_self"] * (e["gamma"] - 1) * e["beta"] ** (e["gamma"] - 1)
    theta = [e["lambda_base"], alpha, 0.0, e["beta"], e["gamma"]]
    exact, _ = exact_log_likelihood(theta, stream * 1e-9, np.zeros(len(stream), dtype=np.int64), 2_000.0)
    assert fit.log_likelihood == pytest.approx(exact + e["lambda_base"] * 2_000.0, abs=1e-6)


@pytest.mark.parametrize("sides", [1, 2])
def test_exponential_value_is_the_recursion(sides: int) -> None:
    time_ns, side = simulate_hawkes(TRUTH, sessions=[(0, 300 * SECOND)], seed=5)
    events = (time_ns, side) if sides == 2 else time_ns
    fit = fit_hawkes_kernel(events, kernel="exponential", sessions=[(0, 300 * SECOND)])
    e = fit.estimates
    which = np.where(side == 1, 0, 1) if sides == 2 else np.zeros(len(time_ns), dtype=int)
    tilt = e.get("asymmetry", 0.0)
    base = e["lambda_base"] * np.exp([tilt, -tilt][:sides])
    n = np.full((sides, sides), e.get("n_cross", 0.0))
    np.fill_diagonal(n, e["n_self"])
    expected = recursive_exponential(time_ns * 1e-9, which, end_s=300.0, base=base, n=n, decay=e["decay"])
    assert fit.log_likelihood == pytest.approx(expected, abs=1e-6)
    for name in ("n_self", "decay"):  # it is a maximum: no neighbour is better
        for factor in (0.99, 1.01):
            moved = dict(e, **{name: e[name] * factor})
            m = np.full((sides, sides), moved.get("n_cross", 0.0))
            np.fill_diagonal(m, moved["n_self"])
            other = recursive_exponential(
                time_ns * 1e-9, which, end_s=300.0, base=base, n=m, decay=moved["decay"]
            )
            assert other < expected


def test_poisson_is_counts_over_time() -> None:
    rng = np.random.default_rng(3)
    time_ns = np.sort(rng.integers(0, 1_000 * SECOND, 4_000))
    side = np.where(rng.random(4_000) < 0.6, 1, -1)
    fit = fit_hawkes_kernel((time_ns, side), kernel="poisson", sessions=[(0, 1_000 * SECOND)])
    buys, sells = int((side == 1).sum()), int((side == -1).sum())
    assert fit.estimates["lambda_base"] == pytest.approx(math.sqrt(buys * sells) / 1_000, rel=1e-12)
    assert fit.estimates["asymmetry"] == pytest.approx(0.5 * math.log(buys / sells), rel=1e-12)
    value = buys * math.log(buys / 1_000) + sells * math.log(sells / 1_000) - 4_000
    assert fit.log_likelihood == pytest.approx(value, rel=1e-12)
    assert fit.standard_errors["asymmetry"] == pytest.approx(0.5 * math.sqrt(1 / buys + 1 / sells))


def test_power_law_is_the_judged_fit_without_its_judgement() -> None:
    truth = HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=1.0)
    events = simulate_hawkes(truth, sessions=SESSION, seed=2)
    judged = fit_hawkes(events, sessions=SESSION, holdout=0.0)
    fit = fit_hawkes_kernel(events, sessions=SESSION)
    assert fit.log_likelihood == pytest.approx(judged.log_likelihood, abs=1e-6)
    assert fit.estimates["gamma"] == pytest.approx(judged.parameters.gamma, rel=1e-9)
    assert fit.standard_errors["n_self"] == pytest.approx(judged.standard_errors["n_self"], rel=1e-6)


def test_steep_power_law_is_nearly_exponential() -> None:
    """A steep power law, (beta + t)^-6 with beta 10 s, is nearly exponential within its memory."""
    limit = HawkesParameters(
        alpha_self=0.5 * 5 * 10.0**5, alpha_cross=0.0, beta=10.0, gamma=6.0, lambda_base=1.0
    )
    time_ns, side = simulate_hawkes(limit, sessions=SESSION, seed=9)
    one = time_ns[side == 1]
    values = {
        k: fit_hawkes_kernel(one, kernel=k, sessions=SESSION) for k in ("power_law", "exponential", "poisson")
    }
    assert values["exponential"].information_criterion < values["poisson"].information_criterion
    assert values["exponential"].log_likelihood == pytest.approx(values["power_law"].log_likelihood, abs=5.0)


def test_result_is_text_and_json(stream: np.ndarray) -> None:
    fit = fit_hawkes_kernel(stream, kernel="exponential", sessions=SESSION)
    assert "one-sided exponential Hawkes process" in fit.summary()
    assert json.loads(json.dumps(fit.to_dict()))["kernel"] == "exponential"


@pytest.mark.parametrize(
    ("events", "options", "error", "words"),
    [
        (np.arange(1, 100) * SECOND, {"kernel": "weibull"}, InvalidInputError, "'power_law', 'exponential'"),
        (np.array([1, 2, 3]) * SECOND, {}, InvalidTicksError, "at least 10"),
        (np.array([3, 2, 1] * 10) * SECOND, {}, InvalidTicksError, "sort"),
        (np.array([0.5, 1.5, math.nan] * 10), {}, InvalidTicksError, "nan"),
    ],
)
def test_what_cannot_be_fitted_is_refused(events, options, error, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=words):
        fit_hawkes_kernel(events, **options)
