"""Both errors of the profit gates, in small seeded samples; the larger table is benchmarks/bench_profit_gates.py."""

from __future__ import annotations

import math

import numpy as np
import pytest

from calibrig import Verdict
from calibrig.calibration.profit import judge_profit

DAYS = 120


def share_passed(draw, runs: int = 80, **settings) -> float:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(1)
    verdicts = [judge_profit(draw(rng), reconciled=True, seed=i, **settings).verdict for i in range(runs)]
    return verdicts.count(Verdict.PASS) / runs


def insurance(rng: np.random.Generator, days: int) -> np.ndarray:
    """Small daily gains and a loss of 20 one day in 60, mean zero."""
    return np.where(rng.random(days) < 1 / 60, -20.0, 20 / 59) + 0.1 * rng.standard_normal(days)


def test_no_edge_fails() -> None:
    # 95 % must fail; of 80 runs at most 4 + 2 standard deviations of the count may pass
    assert share_passed(lambda rng: rng.standard_normal(DAYS)) <= 0.1
    assert share_passed(lambda rng: rng.standard_t(3, DAYS)) <= 0.1


def test_a_true_sharpe_of_five_passes() -> None:
    edge = 5 / math.sqrt(252)
    assert share_passed(lambda rng: rng.standard_normal(DAYS) + edge, loss_budget=10.0) >= 0.8


def test_sellers_of_insurance_are_caught() -> None:
    blind = share_passed(lambda rng: insurance(rng, 60))
    caught = share_passed(lambda rng: insurance(rng, 60), loss_budget=10.0, scenarios={"crash": -20.0})
    assert blind > 0.2  # the Sharpe statistics alone do not see a loss that has not happened yet
    assert caught == 0.0


def test_each_gate_bites_alone() -> None:
    daily = np.random.default_rng(3).standard_normal(DAYS) + 0.5
    good = judge_profit(
        daily,
        reconciled=True,
        loss_budget=50.0,
        scenarios={"crash": -10.0},
        conditions={"conservative": 60.0, "doubled_latency": 40.0, "zero_rebate": 50.0},
    )
    assert good.verdict is Verdict.PASS, good.reason
    for settings, gate in (
        ({"conditions": {"conservative": 60.0, "doubled_latency": -1.0}}, "sign_kept"),
        ({"loss_budget": 50.0, "scenarios": {"crash": -51.0}}, "scenario_loss"),
        ({"loss_budget": 0.5}, "bootstrap_drawdown"),
        ({"trials": 10**9}, "deflated_sharpe"),
    ):
        judged = judge_profit(daily, reconciled=True, **settings)
        assert judged.verdict is Verdict.FAIL
        assert {g.name for g in judged.gates if g.passed is False} == {gate}
    unreconciled = judge_profit(daily)
    assert unreconciled.verdict is Verdict.RESTRICTED
    assert unreconciled.restrictions == ("paper_or_minimum_size",)


def test_picking_the_best_of_many_is_deflated() -> None:
    rng = np.random.default_rng(5)
    passed = 0
    for seed in range(15):
        variants = rng.standard_normal((DAYS, 50))
        best = variants[:, int(np.argmax(variants.mean(axis=0) / variants.std(axis=0)))]
        naive = judge_profit(best, reconciled=True, seed=seed).verdict is Verdict.PASS
        counted = judge_profit(best, variants=variants, reconciled=True, seed=seed).verdict
        passed += naive
        assert counted is not Verdict.PASS
    assert passed >= 10  # without the count, luck is taken for skill


def test_a_choice_by_results_among_noise_is_overfitting() -> None:
    variants = np.random.default_rng(7).standard_normal((DAYS, 10))
    variants += 0.5 - variants.mean(
        axis=0
    )  # equal means: what shone in one half must disappoint in the other
    picked = judge_profit(variants[:, 0], variants=variants, reconciled=True)
    ruled = judge_profit(variants[:, 0], variants=variants, reconciled=True, selection="rule")
    name = "overfitting_probability"
    assert {g.name: g.passed for g in picked.gates}[name] is False
    assert {g.name: g.passed for g in ruled.gates}[name] is None
    assert {g.name: g.value for g in ruled.gates}[name] == {g.name: g.value for g in picked.gates}[name]


@pytest.mark.parametrize("days", [0, 1, 2, 20, 59])
def test_few_days_cannot_say(days: int) -> None:
    judged = judge_profit(np.full(days, 1.0) + 0.01 * np.arange(days))
    assert judged.verdict is Verdict.TOO_FEW_DAYS
    assert f"days is {days}" in judged.reason
