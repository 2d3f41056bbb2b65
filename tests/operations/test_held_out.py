"""The backtest of a run: what it says of the quoting record, and that the loop trades the stored signal."""

from __future__ import annotations

import dataclasses
import importlib.util
import types
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from calibrig import ModelStore
from calibrig.calibration.profit import judge_profit
from calibrig.calibration.statistics import compute_sharpe
from calibrig.cli.frame import run_command_line
from calibrig.errors import InvalidInputError
from calibrig.market import simulate_market
from calibrig.operations import Outcome, run_demo, run_market
from calibrig.operations.comparing import compare_parameters
from calibrig.operations.fitting import Fitted, choose_signal_kinds
from calibrig.operations.held_out import HeldOut, add_backtest, collect_set
from calibrig.operations.inference import open_bridge, trades_signal
from calibrig.operations.split import split_market
from calibrig.parameters import (
    Evidence,
    GateResult,
    RiskParameters,
    Verdict,
)
from calibrig.testing.store_samples import QUOTING as SAMPLE
from calibrig.testing.store_samples import SIGNAL

SEED, SESSIONS, SESSION_S = 7, 10, 600.0


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Ten sessions: two of them are held out, so that a Sharpe ratio is defined."""
    return run_demo(
        tmp_path_factory.mktemp("demo"), seed=SEED, sessions=SESSIONS, session_s=SESSION_S, paths=100
    )


def test_a_fifth_of_the_sessions_is_held_out_and_the_last_is_replayed(demo: Outcome) -> None:
    market = simulate_market(seed=SEED, sessions=SESSIONS, session_s=SESSION_S).market
    split = split_market(market)
    assert (len(split.training.sessions), len(split.held_out.sessions), len(split.replayed.sessions)) == (
        8,
        2,
        1,
    )
    assert split.held_out.sessions[-1].tolist() == split.replayed.sessions[0].tolist()
    assert demo.result["split"]["rule"] == split.rule
    assert split.rule == "fitted on the first 8 sessions, backtested on the last 2, replayed on the last"


def test_the_sharpe_ratio_has_its_error_and_its_verdict(demo: Outcome) -> None:
    result = demo.result["backtest"]
    daily = np.array(result["daily_pnl"])
    assert len(daily) == 2
    ratio = compute_sharpe(
        daily, periods_per_year=252.0
    )  # the simulated market has the calendar of US equities
    assert result["sharpe"] == pytest.approx(ratio.annual)
    assert result["sharpe_error"] == pytest.approx(ratio.annual_error)
    assert result["evidence"]["verdict"] == "TOO_FEW_DAYS"
    row = next(row for row in demo.result["parameters"] if row["name"] == "backtest Sharpe")
    assert (row["estimate"], row["standard_error"]) == (result["sharpe"], result["sharpe_error"])
    gate = next(g for g in demo.result["models"]["quoting"]["gates"] if g["name"] == "backtest")
    assert gate["value"] == pytest.approx(result["sharpe"])
    assert f"± {result['sharpe_error']:.2f}" in gate["detail"]


def test_the_stored_quoting_record_carries_the_figure_and_the_restriction(demo: Outcome) -> None:
    with ModelStore(demo.store_url, create=False) as store:
        first = store.read_version("quoting", "SIM", 1)
        head = store.get_as_parameters("SIM")
        quality = store.get_calibration_quality()[0]
    assert first.parameters.backtest_sharpe == pytest.approx(demo.result["backtest"]["sharpe"])
    assert first.parameters.backtest_pnl == pytest.approx(demo.result["backtest"]["pnl"])
    assert first.evidence is not None
    assert first.evidence.verdict is Verdict.RESTRICTED
    assert "paper_or_minimum_size" in first.evidence.restrictions
    assert "TOO_FEW_DAYS" in first.evidence.reason
    # the recalibrated record was tried on the same days with its own figures
    assert head is not None
    assert head.version is not None
    assert head.version.version_id == 2
    assert head.backtest_sharpe is not None
    assert quality.as_sharpe == head.backtest_sharpe


def test_store_quality_shows_it(demo: Outcome, capsys: pytest.CaptureFixture[str]) -> None:
    with ModelStore(demo.store_url, create=False) as store:
        head = store.get_as_parameters("SIM")
    assert head is not None
    assert run_command_line(["store", "quality", "--json", "--store", demo.store_url]) == 0
    shown = msgspec.json.decode(capsys.readouterr().out)
    assert shown[0]["quality"]["as_sharpe"] == pytest.approx(head.backtest_sharpe)


def test_without_shown_skill_the_loop_quotes_without_a_signal(demo: Outcome) -> None:
    """80 minutes of training are too few to show a skill of 2 %: not stored, not used, and said."""
    assert demo.result["models"]["signal"]["verdict"] == "FAIL"
    assert demo.result["models"]["signal"]["gates"]
    assert demo.result["loop"]["signal"] is None
    assert "signal" not in demo.result["loop"]["versions"]
    row = next(row for row in demo.result["versions"] if row["kind"] == "signal")
    assert row["version"] is None
    assert "neither stored nor used" in row["where"]
    words = [notice for notice in demo.content.notices if "without a signal" in notice]
    assert len(words) == 1
    assert "held_out_r_squared" in words[0]
    assert words[0] in demo.report_path.read_text("utf-8").replace("&gt;", ">")
    with ModelStore(demo.store_url, create=False) as store:
        assert store.get_signal_model("SIM") is None


def fitted(kind: str, verdict: Verdict, parameters: Any = None, **more: Any) -> Fitted:
    evidence = Evidence(verdict=verdict, reason="as judged", gates=(), **more)
    return Fitted(kind=kind, verdict=verdict, reason="as judged", parameters=parameters, evidence=evidence)


QUOTING = msgspec.structs.replace(SAMPLE, backtest_sharpe=None, backtest_pnl=None)


@pytest.fixture(scope="module")
def judged() -> Any:
    """Backtest a small market, for its form; tests put other daily results in."""
    from calibrig.calibration import backtest
    from calibrig.calibration.walk_forward import fit_parameters

    market = simulate_market(seed=3, sessions=4, session_s=900.0).market
    split = split_market(market)
    return backtest(split.held_out, fit_parameters(split.training), gamma_multiples=(1.0,), scenarios=())


def with_days(result: Any, daily: np.ndarray, *, reconciled: bool) -> HeldOut:
    profit = judge_profit(daily, reconciled=reconciled)
    evidence = msgspec.structs.replace(
        result.evidence, verdict=profit.verdict, reason=profit.reason, gates=profit.gates
    )
    return HeldOut(result=dataclasses.replace(result, daily_pnl=daily, profit=profit, evidence=evidence))


@pytest.mark.parametrize(
    ("before", "days", "mean", "reconciled", "after"),
    [
        ("PASS", 120, 1.0, True, "PASS"),  # a profit that is evidence changes nothing
        ("PASS", 120, 1.0, False, "RESTRICTED"),  # no own fills
        ("PASS", 120, -1.0, True, "FAIL"),  # enough days, and they lose
        ("RESTRICTED", 120, -1.0, True, "FAIL"),
        ("PASS", 20, 1.0, True, "RESTRICTED"),  # cannot be judged yet
        ("RESTRICTED", 1, 1.0, True, "RESTRICTED"),
        ("TOO_FEW_EVENTS", 120, -1.0, True, "TOO_FEW_EVENTS"),  # never lifted, never renamed
        ("FAIL", 20, 1.0, True, "FAIL"),
    ],
)
def test_a_backtest_can_restrict_or_fail_a_record_and_never_lifts_one(
    judged: Any, *, before: str, days: int, mean: float, reconciled: bool, after: str
) -> None:
    daily = mean + np.random.default_rng(5).standard_normal(days)
    model = add_backtest(
        fitted("quoting", Verdict(before), QUOTING), with_days(judged, daily, reconciled=reconciled)
    )
    assert model.verdict == Verdict(after)
    assert model.evidence is not None
    assert model.evidence.verdict == model.verdict
    assert model.gates[-1].name == "backtest"
    assert model.gates[-1].passed is (days == 120 and mean > 0 and reconciled)
    assert ("paper_or_minimum_size" in model.evidence.restrictions) == (
        after == "RESTRICTED" and not model.gates[-1].passed
    )
    if days == 1:
        assert model.parameters.backtest_sharpe is None
        assert "not defined under 2 days" in model.gates[-1].detail
    else:
        assert model.parameters.backtest_sharpe == pytest.approx(compute_sharpe(daily).annual)


def test_days_that_do_not_vary_have_no_sharpe_ratio(judged: Any) -> None:
    """A ratio of 0 without an error would look like a measurement."""
    held_out = with_days(judged, np.zeros(30), reconciled=True)
    model = add_backtest(fitted("quoting", Verdict.PASS, QUOTING), held_out)
    assert model.parameters.backtest_sharpe is None
    assert "without variation" in model.gates[-1].detail


def test_a_backtest_that_cannot_be_run_says_why_and_restricts() -> None:
    model = add_backtest(fitted("quoting", Verdict.PASS, QUOTING), HeldOut(reason="not run: no risk"))
    assert model.verdict is Verdict.RESTRICTED
    assert model.parameters.backtest_sharpe is None
    assert model.gates[-1] == GateResult(
        name="backtest", value=None, limit=model.gates[-1].limit, passed=False, detail="not run: no risk"
    )


@pytest.mark.parametrize(
    ("verdict", "override", "used"),
    [
        (Verdict.PASS, "", True),
        (Verdict.RESTRICTED, "", True),
        (Verdict.FAIL, "", False),
        (Verdict.TOO_FEW_EVENTS, "", False),
        (Verdict.FAIL, "anna: to see what it does", True),
    ],
)
def test_a_signal_without_skill_is_not_traded(verdict: Verdict, override: str, used: bool) -> None:
    model = fitted("signal", verdict, SIGNAL)
    assert trades_signal(model, override) is used
    parameters = collect_set("X", {"signal": model}, override)
    assert (parameters.signal is not None) is used
    assert open_bridge(parameters) is None  # there is no Hawkes record either


def test_without_lightgbm_the_linear_signal_stays_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "lightgbm" else real(name))
    kinds, words = choose_signal_kinds(("linear", "trees", "network"))
    assert kinds == ("linear",)
    assert "trees, network" in words
    assert "calibrig[signal]" in words


@pytest.mark.parametrize("preliminary", [True, False])
def test_a_position_limit_is_called_preliminary_only_where_it_is(preliminary: bool) -> None:
    risk = RiskParameters(
        max_position=5,
        normal_volatility_threshold=2.0,
        elevated_volatility_threshold=3.0,
        high_stress_volatility_threshold=5.0,
    )
    fit = types.SimpleNamespace(preliminary=preliminary)
    model = dataclasses.replace(fitted("risk", Verdict.RESTRICTED, risk), fit=fit)
    row = next(row for row in compare_parameters({"risk": model}) if row.name == "max_position")
    assert row.preliminary is preliminary


@pytest.mark.parametrize("kinds", [("oracle",), (), ("linear", "linear")])
def test_a_signal_that_does_not_exist_is_refused_before_anything_runs(
    kinds: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError, match="linear, trees, network, each once"):
        run_market(tmp_path / "nowhere.zip", tmp_path / "out", signal_kinds=kinds)
    assert not (tmp_path / "out").exists()


def test_a_run_without_lightgbm_says_so_in_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "lightgbm" else real(name))
    outcome = run_demo(tmp_path, seed=3, sessions=2, session_s=600.0, paths=100)
    assert outcome.result["models"]["signal"]["parameters"]["kind"] == "linear"
    assert any("Only a linear signal was trained" in notice for notice in outcome.content.notices)
    assert "Only a linear signal was trained" in outcome.report_path.read_text("utf-8")
