"""fit_two_scale_hawkes recovers known truths, names what is wrong, and never claims the trading loop."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest

from calibrig import (
    HawkesParameters,
    ModelStore,
    TwoScaleFit,
    TwoScaleParameters,
    Verdict,
    fit_hawkes,
    fit_hawkes_rolling,
    fit_two_scale_hawkes,
    read_market,
    simulate_hawkes,
    simulate_market,
    simulate_two_scale_hawkes,
)
from calibrig.calibration.hawkes_above_resolution import judge_above_resolution
from calibrig.calibration.hawkes_two_scale_held_out import follow_two_scale, grow_two_scale
from calibrig.errors import InvalidInputError, InvalidParametersError
from calibrig.models.hawkes_events import prepare_events

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
LENGTH_S = 2_400
SESSIONS = [(k * DAY, k * DAY + LENGTH_S * SECOND) for k in range(3)]
TRUTH = TwoScaleParameters(
    fast_self=0.35, fast_cross=0.08, fast_s=0.004, slow_self=0.3, slow_cross=0.1, beta=0.1, gamma=1.5,
    horizon_s=float(LENGTH_S), lambda_base=0.8, asymmetry=0.1,
)  # fmt: skip
FIELDS = (
    "lambda_base", "asymmetry", "fast_self", "fast_cross", "fast_s", "slow_self", "slow_cross", "beta", "gamma",
)  # fmt: skip


@pytest.fixture(scope="module")
def events() -> tuple[np.ndarray, np.ndarray]:
    return simulate_two_scale_hawkes(TRUTH, sessions=SESSIONS, seed=21)


@pytest.fixture(scope="module")
def fit(events: tuple[np.ndarray, np.ndarray]) -> TwoScaleFit:
    return fit_two_scale_hawkes(events, sessions=SESSIONS, resolution_ns=1)


@pytest.mark.parametrize("field", [*FIELDS, "branching_ratio"])
def test_truth_lies_within_four_standard_errors(fit: TwoScaleFit, field: str) -> None:
    error = fit.standard_errors[field]
    assert error > 0
    assert abs(getattr(fit.parameters, field) - getattr(TRUTH, field)) < 4 * error


def test_its_own_data_fail_no_gate(fit: TwoScaleFit) -> None:
    assert [gate.name for gate in fit.gates if gate.passed is False] == []
    assert fit.verdict is Verdict.RESTRICTED
    assert fit.evidence.restrictions == ("not_in_trading_loop",)
    names = {gate.name for gate in fit.gates}
    assert {"gain_over_power_law", "ks_above_resolution_buy", "n_spread", "stability", "seasonality"} <= names


def test_result_does_not_depend_on_threads(events: tuple[np.ndarray, np.ndarray], fit: TwoScaleFit) -> None:
    alone = fit_two_scale_hawkes(events, sessions=SESSIONS, resolution_ns=1, threads=1)
    for field in FIELDS:
        assert getattr(alone.parameters, field) == pytest.approx(getattr(fit.parameters, field), rel=1e-10)
    assert [gate.value for gate in alone.gates] == pytest.approx([gate.value for gate in fit.gates])


def test_result_is_text_and_json(fit: TwoScaleFit) -> None:
    text = fit.summary()
    for word in ("fast_self", "within the horizon", "ks_above_resolution_sell", "RESTRICTED"):
        assert word in text
    plain = json.loads(json.dumps(fit.to_dict()))
    assert plain["model"] == "two_scale"
    assert plain["evidence"]["verdict"] == "RESTRICTED"


def test_store_takes_no_two_scale_parameters(fit: TwoScaleFit, tmp_path: object) -> None:
    with ModelStore(f"{tmp_path}/p.json") as store:
        store.initialize()
        with pytest.raises(InvalidInputError, match="TwoScaleParameters"):
            store.update_hawkes_parameters("X", fit.parameters, "tester", "two time scales")  # type: ignore[arg-type]
        assert store.get_hawkes_parameters("X") is None


def test_one_power_law_is_said_to_be_enough() -> None:
    p = HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=1.0)
    span = [(0, 7_200 * SECOND)]
    fit = fit_two_scale_hawkes(simulate_hawkes(p, sessions=span, seed=3), sessions=span)
    assert "POWER_LAW_IS_ENOUGH" in fit.reason
    assert fit.verdict is Verdict.RESTRICTED


def test_poisson_is_named() -> None:
    p = HawkesParameters(alpha_self=0.0, alpha_cross=0.0, beta=0.5, gamma=2.0, lambda_base=3.0)
    span = [(0, 7_200 * SECOND)]
    fit = fit_two_scale_hawkes(simulate_hawkes(p, sessions=span, seed=3), sessions=span)
    assert fit.verdict is Verdict.NO_SELF_EXCITATION


def changed(
    after: TwoScaleParameters, seed: int
) -> tuple[tuple[np.ndarray, np.ndarray], list[tuple[int, int]]]:
    """Four fifths of the session by TRUTH, the last fifth by something else."""
    span, cut = (0, 5 * LENGTH_S * SECOND), 4 * LENGTH_S * SECOND
    longer = {"horizon_s": 5.0 * LENGTH_S}
    a = simulate_two_scale_hawkes(msgspec.structs.replace(TRUTH, **longer), sessions=[(0, cut)], seed=seed)
    b = simulate_two_scale_hawkes(
        msgspec.structs.replace(after, **longer), sessions=[(cut, span[1])], seed=seed + 1
    )
    return (np.concatenate([a[0], b[0]]), np.concatenate([a[1], b[1]])), [span]


def test_regime_change_is_named() -> None:
    calmer = msgspec.structs.replace(TRUTH, slow_self=0.1, lambda_base=0.8 * 0.37 / 0.17)  # the same rate
    events, span = changed(calmer, seed=5)
    fit = fit_two_scale_hawkes(events, sessions=span, resolution_ns=1)
    assert fit.verdict is Verdict.FAIL
    assert "stability" in fit.reason


def test_level_follows_a_baseline_that_doubles() -> None:
    events, span = changed(msgspec.structs.replace(TRUTH, lambda_base=1.6), seed=5)
    failed = {}
    for events_weight in (100.0, None):
        fit = fit_two_scale_hawkes(events, sessions=span, resolution_ns=1, level_events=events_weight)
        failed[events_weight] = {gate.name for gate in fit.gates if gate.passed is False}
    assert {"mean_residual_buy", "mean_residual_sell"} <= failed[None]
    assert not {"mean_residual_buy", "mean_residual_sell"} & failed[100.0]


def test_coarse_clock_is_restricted_and_tested_above_it(events: tuple[np.ndarray, np.ndarray]) -> None:
    ms = 1_000_000
    stamp = events[0] // ms * ms
    _, first = np.unique(
        stamp * 2 + (events[1] > 0), return_index=True
    )  # orders of one stamp and side merged
    first.sort()
    fit = fit_two_scale_hawkes((stamp[first], events[1][first]), sessions=SESSIONS, resolution_ns=ms)
    assert fit.verdict is Verdict.RESTRICTED, fit.reason
    assert "RESOLUTION_LIMITED" in fit.reason
    assert "no_time_scale_below_resolution" in fit.evidence.restrictions
    above = {gate.name: gate for gate in fit.gates}["ks_above_resolution_buy"]
    assert above.passed
    assert above.value is not None


def test_wrong_intensity_above_the_clock_is_named(events: tuple[np.ndarray, np.ndarray]) -> None:
    sample = prepare_events(*events, sessions=SESSIONS, resolution_ns=1_000_000)
    wrong = msgspec.structs.replace(TRUTH, slow_self=0.0, lambda_base=1.6)
    for p, passes in ((TRUTH, True), (wrong, False)):
        _, level = follow_two_scale(sample, p, None)
        gates = judge_above_resolution(sample, 0, grow_two_scale(p, None), level)
        assert [gate.passed for gate in gates] == [passes, passes]


def test_simulation_has_the_rate_of_the_branching_form() -> None:
    # a long session, a short memory: 2 mu T cosh(a) / (1 - n) events, and sides in the ratio of the two-type means
    p = msgspec.structs.replace(TRUTH, gamma=3.0, beta=0.05, horizon_s=40_000.0)
    _, side = simulate_two_scale_hawkes(p, sessions=[(0, 40_000 * SECOND)], seed=8)
    expected = 2 * 0.8 * np.cosh(0.1) * 40_000 / (1 - 0.83)
    assert len(side) == pytest.approx(expected, rel=0.01)
    tilt = 2 * 0.8 * np.sinh(0.1) * 40_000 / (1 - (0.65 - 0.18))
    assert side.sum() == pytest.approx(tilt, rel=0.1)


def test_simulated_residuals_are_exponential(events: tuple[np.ndarray, np.ndarray]) -> None:
    # the compensator is checked against the exact sum elsewhere, so this checks the simulation
    trace, _ = follow_two_scale(prepare_events(*events, sessions=SESSIONS, resolution_ns=1), TRUTH, None)
    for side in (1, -1):
        values = np.sort(trace.residuals(side))
        n = len(values)
        distance = np.abs(-np.expm1(-values) - (np.arange(n) + 0.5) / n).max()
        assert distance < 1.63 / np.sqrt(n)  # 1 % critical value of Kolmogorov


def test_rolling_fits_take_the_model() -> None:
    from concurrent.futures import ThreadPoolExecutor

    trades = simulate_market(seed=1, sessions=1, session_s=600.0).market.trades
    with ThreadPoolExecutor(1) as pool:
        (found,) = fit_hawkes_rolling({"SIM": trades}, model="two_scale", executor=pool)
    assert isinstance(found.fit, TwoScaleFit)
    with pytest.raises(InvalidInputError, match="two_scale"):
        fit_hawkes_rolling({"SIM": trades}, model="three")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"level_s": 0.0}, "level_s"),
        ({"level_events": -1.0}, "level_events"),
        ({"holdout": 0.7}, "holdout"),
        ({"profile_bins": 0}, "profile_bins"),
    ],
)
def test_bad_options_are_refused(
    events: tuple[np.ndarray, np.ndarray], options: dict[str, float], says: str
) -> None:
    with pytest.raises(InvalidInputError, match=says):
        fit_two_scale_hawkes(events, sessions=SESSIONS, **options)  # type: ignore[arg-type]


def test_nothing_held_out_is_nothing_judged(events: tuple[np.ndarray, np.ndarray]) -> None:
    fit = fit_two_scale_hawkes(events, sessions=SESSIONS, resolution_ns=1, holdout=0.0)
    assert fit.verdict is Verdict.FAIL
    assert "held_out" in fit.reason


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"fast_self": 0.9}, "branching_ratio"), ({"fast_s": 0.0}, "fast_s"), ({"gamma": 1.0}, "gamma")],
)
def test_impossible_parameters_are_refused(changes: dict[str, float], says: str) -> None:
    with pytest.raises(InvalidParametersError, match=says):
        simulate_two_scale_hawkes(TwoScaleParameters(**{**msgspec.structs.asdict(TRUTH), **changes}), seed=1)


def test_session_beyond_the_horizon_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="horizon_s"):
        simulate_two_scale_hawkes(TRUTH, sessions=[(0, DAY)], seed=1)


def test_too_many_events_are_refused_before_they_are_made() -> None:
    crowded = msgspec.structs.replace(TRUTH, lambda_base=1e12)
    with pytest.raises(InvalidInputError, match="max_events"):
        simulate_two_scale_hawkes(crowded, sessions=SESSIONS, seed=1)


DEGENERATE = {
    "two stamps": np.repeat([0, SECOND], 4_000),
    "equally spaced": np.arange(8_000) * SECOND,
    "a burst, then silence": np.concatenate([np.arange(7_999) * 1_000, [10**15]]),
    "ever slower": np.cumsum(np.exp(np.linspace(0, 25, 8_000))).astype(np.int64) + 1,
    "ten bursts": np.sort(
        np.random.default_rng(1).integers(0, 10, 8_000) * DAY
        + np.random.default_rng(2).integers(0, SECOND, 8_000)
    ),
}


@pytest.mark.parametrize("kind", DEGENERATE)
def test_degenerate_lists_are_flagged(kind: str) -> None:
    side = np.random.default_rng(2).choice([1, -1], 8_000)
    fit = fit_two_scale_hawkes((DEGENERATE[kind], side))
    assert fit.verdict in (Verdict.FAIL, Verdict.NO_SELF_EXCITATION)
    assert fit.summary()


@pytest.mark.data
@pytest.mark.slow
def test_real_ticks_are_told_apart_from_one_power_law() -> None:
    """Three days of AIG: docs/hawkes-real-ticks.md."""
    folder = Path(__file__).resolve().parents[3] / "shared" / "data" / "us_equities_2013" / "aig"
    if not folder.exists():
        pytest.skip(f"{folder} is not here")
    trades = read_market([folder], symbol="AIG").market.trades
    one, two = fit_hawkes(trades), fit_two_scale_hawkes(trades)
    assert one.verdict is Verdict.FAIL
    assert "ks_above_resolution_buy" in one.reason
    assert two.verdict is Verdict.RESTRICTED, two.reason
    assert two.held_out is not None
    assert two.held_out.gain_over_power_law[1] > 0.01
    assert two.parameters.branching_ratio == pytest.approx(0.906, abs=0.01)


def test_plot_shows_both_time_scales(fit: TwoScaleFit) -> None:
    svg = "{http://www.w3.org/2000/svg}"
    root = ElementTree.fromstring(fit.plot().to_svg())
    assert len(root.findall(f"./{svg}rect")) == 4
    assert not [text.text for text in root.findall(f"./{svg}text") if "too few" in (text.text or "")]
    # the kernel's two curves are the only lines of 200 points that start at the left edge of its panel
    lines = [line.get("points", "").split() for line in root.findall(f"./{svg}polyline")]
    kernel = [
        np.array([point.split(",") for point in points], dtype=np.float64)
        for points in lines
        if len(points) == 200 and float(points[0].split(",")[0]) == 520.0
    ]
    assert len(kernel) == 2
    p = fit.parameters
    delay_s = p.fast_s * 1e-2 * (p.beta / p.fast_s * 1e6) ** ((kernel[0][:, 0] - 520.0) / 380.0)
    slow = (p.gamma - 1.0) / p.beta * (1.0 + delay_s / p.beta) ** -p.gamma
    slow /= 1.0 - (1.0 + p.horizon_s / p.beta) ** (1.0 - p.gamma)
    planted = p.fast_self * np.exp(-delay_s / p.fast_s) / p.fast_s + p.slow_self * slow
    # the axis is a logarithm: heights are a straight line in log10 of the formula, down to half a pixel
    inside = (kernel[0][:, 1] > 340.0) & (kernel[0][:, 1] < 560.0) & (delay_s < p.horizon_s)
    fitted = np.polyfit(np.log10(planted[inside]), kernel[0][inside, 1], 1)
    assert np.abs(np.polyval(fitted, np.log10(planted[inside])) - kernel[0][inside, 1]).max() < 0.5
    assert fitted[0] < 0.0
