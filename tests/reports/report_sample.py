"""A report filled with drawn numbers: what the tests render and a reader may look at."""

from __future__ import annotations

import numpy as np

from calibrig.parameters import GateResult, ParameterVersion
from calibrig.reports import (
    Figure,
    FillMarks,
    IntensityCurve,
    LatencyCurve,
    LoopCurve,
    ModelSection,
    ParameterRow,
    QuantileCurve,
    ReportContent,
    VersionRow,
)

START_NS = 1_722_502_800_000_000_000
SECOND = 1_000_000_000


def sample_intensity(rng: np.random.Generator) -> tuple[IntensityCurve, ...]:
    time_ns = START_NS + np.arange(390, dtype=np.int64) * 60 * SECOND
    expected = 3.0 + 2.0 * np.linspace(-1, 1, 390) ** 2
    return tuple(
        IntensityCurve(side=s, time_ns=time_ns, counted=rng.poisson(expected * 60) / 60, expected=expected)
        for s in ("buy", "sell")
    )


def sample_quantiles(rng: np.random.Generator) -> tuple[QuantileCurve, ...]:
    n = 4_000
    p = (np.arange(n) + 0.5) / n
    theoretical = -np.log1p(-p)
    half = 1.96 * np.sqrt(p / (n * (1 - p)))
    curves = []
    for side in ("buy", "sell"):
        empirical = np.sort(rng.exponential(size=n))
        curves.append(
            QuantileCurve(
                side=side,
                theoretical=theoretical,
                empirical=empirical,
                band_low=np.maximum(theoretical - half, 0),
                band_high=theoretical + half,
                skill=0.981,
                poisson=theoretical**1.35,
            )
        )
    return tuple(curves)


def sample_loop(rng: np.random.Generator, n: int = 23_400) -> LoopCurve:
    time_ns = START_NS + np.arange(n, dtype=np.int64) * SECOND
    mid = 100 + np.round(np.cumsum(rng.normal(0, 0.004, n)), 2)
    fills = np.sort(rng.choice(n, 300, replace=False))
    side = rng.choice(np.asarray([-1, 1], np.int8), 300)
    inventory = np.zeros(n)
    inventory[fills] = side
    own_bid = mid - 0.02
    own_bid[5_000:5_400] = np.nan
    return LoopCurve(
        time_ns=time_ns,
        market_bid=mid - 0.01,
        market_ask=mid + 0.01,
        own_bid=own_bid,
        own_ask=mid + 0.03,
        inventory_lots=np.cumsum(inventory),
        profit=np.cumsum(rng.normal(0.01, 0.6, n)),
        regime=np.where(np.arange(n) % 7_000 > 6_200, 1, 0).astype(np.int8),
        fills=FillMarks(time_ns=time_ns[fills], price=mid[fills] - 0.01 * side, side=side),
        update_time_ns=int(time_ns[n // 2]),
        update_label="v2 in force at event 123 456",
        price_unit="USD",
        fill_model="conservative",
    )


def sample_content(text: str = "simulated market") -> ReportContent:
    rng = np.random.default_rng(7)
    edges = np.geomspace(50, 1e6, 120)
    counts = np.exp(-0.5 * ((np.log(edges[:-1]) - np.log(420)) / 0.25) ** 2) * 1e5
    gates = (
        GateResult(name="ks_distance_buy", value=0.0112, limit="<= 0.02", passed=True, detail=text),
        GateResult(
            name="mean_residual_sell", value=1.052, limit="within 0.03 of 1", passed=False, detail="n = 9,120"
        ),
        GateResult(
            name="seasonality", value=None, limit="not significant", passed=None, detail="one session only"
        ),
    )
    version = ParameterVersion(
        version_id=2,
        updated_at=START_NS,
        updated_by="recalibration",
        comment=text,
        kind="hawkes",
        symbol="SIM",
    )
    return ReportContent(
        title=f"Demo of {text}",
        subtitle="5 sessions of 6.5 h, 1.2 million events, seed 7",
        verdict="RESTRICTED",
        verdict_reason="The quoting model has no reconciliation with own fills: paper or minimum size only.",
        figures=(
            Figure(label="truth recovered", value="14 of 14", note="95 % intervals that hold the truth"),
            Figure(label="net profit, last day", value="+412.50 USD", note="after fees, liquidated at the far side"),
            Figure(label="largest inventory", value="38 lots", note="limit 60 lots"),
            Figure(label="inference, p99", value="402 ns", note="device path, software stub"),
            Figure(label="live update", value="event 123,456", note="first cycle after publication"),
        ),
        notices=("The position limit is PRELIMINARY: 1,000 bootstrap paths.",),
        quality=(("rows read", "1,234,567"), ("crossed quotes", "0.004 % of the time"), ("trades signed", text)),
        parameters=(
            ParameterRow(
                model="hawkes", name="alpha_self", unit="s^(gamma−1)", estimate=0.3055, standard_error=0.011, truth=0.3, z=0.5
            ),
            ParameterRow(model="hawkes", name="beta", unit="s", estimate=0.47, standard_error=0.011, truth=0.5, z=-2.7),
            ParameterRow(model="quoting", name="kappa", unit="1/USD", estimate=51.0, standard_error=0.8, truth=50.0, z=1.25),
            ParameterRow(model="risk", name="max_position", unit="lots", estimate=60, preliminary=True, note=text),
        ),
        models=(
            ModelSection(
                kind="hawkes", title="Hawkes", verdict="PASS", reason="All gates hold.", gates=gates, fitted_on="4 days"
            ),
            ModelSection(
                kind="quoting",
                title="Quoting",
                verdict="TOO_FEW_DAYS",
                reason="A Sharpe of 5 days says nothing.",
                gates=gates[:1],
                restrictions=("live_trading",),
            ),
            ModelSection(kind="risk", title="Risk", verdict="FAIL", reason=text, gates=gates, preliminary="1,000 paths."),
        ),
        intensity=sample_intensity(rng),
        quantiles=sample_quantiles(rng),
        loop=sample_loop(rng),
        latencies=(
            LatencyCurve(
                path="device",
                edges_ns=edges,
                counts=np.round(counts),
                percentiles=(("p50", 400.0), ("p95", 520.0), ("p99", 702.0), ("p99.9", 1_400.0), ("max", 9_000.0)),
                sla_ns=400.0,
            ),
        ),
        versions=(
            VersionRow(version=version, kind="hawkes", verdict="PASS", stored="store.db"),
            VersionRow(version=None, kind="risk", verdict="FAIL", stored="scratch set of this run: not deployable"),
        ),
        made_by="calibrig 0.1.0",
        facts=(("seed", "7"), ("instruction set", "avx2")),
    )  # fmt: skip
