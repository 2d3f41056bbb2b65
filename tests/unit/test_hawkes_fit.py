"""fit_hawkes recovers known truths, is independent of threads, and names what it cannot use."""

from __future__ import annotations

import json

import numpy as np
import pytest

from calibrig import HawkesFit, HawkesParameters, Verdict, evaluate_hawkes, fit_hawkes, simulate_hawkes
from calibrig.errors import InvalidInputError, InvalidTicksError

HOUR = 3_600_000_000_000
DAY = 24 * HOUR
TRUTH = HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=1.0, asymmetry=0.1)
SESSIONS = [(k * DAY, k * DAY + 2 * HOUR) for k in range(3)]
FIELDS = ("lambda_base", "alpha_self", "alpha_cross", "beta", "gamma", "asymmetry")


@pytest.fixture(scope="module")
def events() -> tuple[np.ndarray, np.ndarray]:
    return simulate_hawkes(TRUTH, sessions=SESSIONS, seed=12)


@pytest.fixture(scope="module")
def fit(events: tuple[np.ndarray, np.ndarray]) -> HawkesFit:
    return fit_hawkes(events, sessions=SESSIONS)


@pytest.mark.parametrize("field", [*FIELDS, "n_self", "n_cross", "branching_ratio"])
def test_truth_lies_within_four_standard_errors(fit: HawkesFit, field: str) -> None:
    error = fit.standard_errors[field]
    assert error > 0
    assert abs(getattr(fit.parameters, field) - getattr(TRUTH, field)) < 4 * error


def test_well_specified_data_pass_every_gate(fit: HawkesFit) -> None:
    assert fit.verdict is Verdict.PASS, fit.reason
    assert fit.parameters.calibration_r_squared is not None
    assert fit.parameters.calibration_r_squared > 0.8


def test_result_does_not_depend_on_threads(events: tuple[np.ndarray, np.ndarray], fit: HawkesFit) -> None:
    alone = fit_hawkes(events, sessions=SESSIONS, threads=1)
    for field in FIELDS:
        assert getattr(alone.parameters, field) == pytest.approx(getattr(fit.parameters, field), rel=1e-10)
    assert alone.log_likelihood == pytest.approx(fit.log_likelihood, rel=1e-12)
    assert [gate.value for gate in alone.gates] == pytest.approx(
        [gate.value for gate in fit.gates], nan_ok=True
    )


def test_result_is_text_and_json(fit: HawkesFit) -> None:
    text = fit.summary()
    for word in ("branching_ratio", "sandwich", "ks_distance_buy", "PASS"):
        assert word in text
    assert json.loads(json.dumps(fit.to_dict()))["evidence"]["verdict"] == "PASS"


def test_arrays_for_plots_are_there(fit: HawkesFit) -> None:
    assert fit.curve is not None
    assert fit.held_out is not None
    assert fit.curve.counted.mean() == pytest.approx(fit.curve.expected.mean(), rel=0.1)
    plot = fit.held_out.quantiles[1]
    assert len(plot.theory) == len(plot.model) == len(plot.low)


def test_reference_maximum_is_found() -> None:
    # reference/hawkes_exact.json, fast_kernel: maximum of the exact likelihood, checked with 40-digit arithmetic
    import pathlib

    path = pathlib.Path(__file__).parents[2] / ".." / "shared" / "reference" / "hawkes_exact.json"
    if not path.exists():
        pytest.skip(f"{path.name} is not there: the reference values are kept outside the repository")
    few, fast = json.loads(path.read_text())["cases"]
    for case in (few, fast):
        time_ns = np.round(np.array(case["time_s"]) * 1e9).astype(np.int64)
        side = np.where(np.array(case["side"]) == 0, 1, -1)
        try:
            got = fit_hawkes((time_ns, side), sessions=[(0, int(case["T"] * 1e9))], resolution_ns=1)
        except InvalidTicksError:
            assert case is few
            continue
        assert got.verdict is Verdict.TOO_FEW_EVENTS
        if case is few:
            assert any(gate.name == "bounds" and gate.passed is False for gate in got.gates)
            continue
        # the reference has no asymmetry; it adds one parameter, so the maximum may only be higher, by little
        known = case["maximum_likelihood"]
        assert known["log_likelihood"] - 1e-3 <= got.log_likelihood <= known["log_likelihood"] + 5.0
        p = got.parameters
        estimate = np.log([p.lambda_base, p.alpha_self, p.alpha_cross, p.beta, p.gamma - 1])
        truth = np.log([*known["theta"][:4], known["theta"][4] - 1])
        assert np.all(
            np.abs(estimate - truth) < 0.6 * np.array(known["standard_error_of_log_theta_with_gamma_minus_1"])
        )


def test_stale_parameters_are_found_out(events: tuple[np.ndarray, np.ndarray]) -> None:
    good = evaluate_hawkes(TRUTH, events, sessions=SESSIONS)
    assert good.verdict is Verdict.PASS, good.reason
    stale = HawkesParameters(alpha_self=0.2, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=1.0)
    assert evaluate_hawkes(stale, events, sessions=SESSIONS).verdict is Verdict.FAIL


def test_poisson_data_have_no_self_excitation() -> None:
    poisson = HawkesParameters(alpha_self=0.0, alpha_cross=0.0, beta=0.5, gamma=2.0, lambda_base=2.0)
    session = [(0, 3 * HOUR)]
    fit = fit_hawkes(simulate_hawkes(poisson, sessions=session, seed=3), sessions=session)
    assert fit.verdict is Verdict.NO_SELF_EXCITATION, fit.summary()


def test_few_events_are_said_to_be_few() -> None:
    session = [(0, HOUR // 20)]
    fit = fit_hawkes(simulate_hawkes(TRUTH, sessions=session, seed=3), sessions=session)
    assert fit.verdict is Verdict.TOO_FEW_EVENTS


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"holdout": 0.9}, "holdout is 0.9"),
        ({"profile_bins": 0}, "profile_bins is 0"),
        ({"threads": 0}, "threads is 0"),
    ],
)
def test_bad_options_are_refused(
    events: tuple[np.ndarray, np.ndarray], arguments: dict[str, object], words: str
) -> None:
    with pytest.raises(InvalidInputError, match=words):
        fit_hawkes(events, sessions=SESSIONS, **arguments)  # type: ignore[arg-type]


def test_one_side_only_is_refused() -> None:
    with pytest.raises(InvalidTicksError, match="all 100 events are buys"):
        fit_hawkes((np.arange(100) * 10**9, np.ones(100)))


def test_three_events_are_refused() -> None:
    with pytest.raises(InvalidTicksError, match="2 buys and 1 sells"):
        fit_hawkes(([0, 10**9, 3 * 10**9], [1, 1, -1]))
