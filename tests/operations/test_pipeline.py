"""The main job end to end on small simulated markets: files, versions, live update, JSON, faults."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from lean_files import write_lean

from calibrig import ModelStore
from calibrig.bridge import AcceleratorMode, HardwareInTheLoopBridge
from calibrig.engine import replay
from calibrig.errors import InvalidInputError
from calibrig.market import MarketData, Quotes, Trades, simulate_market
from calibrig.market.simulation import DEFAULT_FLOW
from calibrig.operations import Outcome, run_demo, run_market
from calibrig.operations.split import split_market
from calibrig.parameters import (
    AvellanedaStoikovParameters,
    HawkesParameters,
    Instrument,
    ParameterSet,
    RiskParameters,
    SignalModel,
)

SECTIONS = ("quality", "parameters", "hawkes", "gates", "loop", "latency", "versions", "facts")


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.done: list[str] = []

    def begin(self, stage: str) -> None:
        self.begun.append(stage)

    def advance(self, stage: str, detail: str) -> None:
        assert detail
        self.done.append(stage)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Heard]:
    heard = Heard()
    outcome = run_demo(
        tmp_path_factory.mktemp("demo"), seed=7, sessions=4, session_s=3_600.0, paths=100, listener=heard
    )
    return outcome, heard


@pytest.fixture(scope="module")
def lean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    flow = msgspec.structs.replace(DEFAULT_FLOW, lambda_base=0.08)
    market = simulate_market(seed=5, sessions=2, session_s=23_400.0, hawkes=flow).market
    return write_lean(market, tmp_path_factory.mktemp("lean"))


@pytest.fixture(scope="module")
def real(lean: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run_market(lean, tmp_path_factory.mktemp("run"), seed=7, paths=100, signal_kinds=("linear",))


@pytest.fixture(scope="module")
def real_again(real: Outcome, lean: Path) -> Outcome:
    """Run the same ticks a second time into the same folder."""
    return run_market(lean, real.report_path.parent, seed=7, paths=100, signal_kinds=("linear",))


def test_demo_recovers_the_truth(demo: tuple[Outcome, Heard]) -> None:
    outcome, _ = demo
    assert outcome.exit_code == 0
    assert outcome.verdict == "RECOVERED"
    judged = [row for row in outcome.result["parameters"] if row["z"] is not None]
    names = {row["name"] for row in judged}
    assert {
        "alpha_self",
        "alpha_cross",
        "beta",
        "gamma",
        "lambda_base",
        "sigma",
        "kappa",
        "arrival_rate",
    } <= names
    for row in judged:
        assert row["z"] == pytest.approx((row["estimate"] - row["truth"]) / row["standard_error"])
        assert abs(row["z"]) <= 4.0


def test_demo_writes_report_result_and_versions(demo: tuple[Outcome, Heard]) -> None:
    outcome, heard = demo
    page = outcome.report_path.read_text("utf-8")
    for section in SECTIONS:
        if section != "quality":  # a simulated market has no files to judge
            assert f'<section id="{section}"' in page
    assert page.count("<figure>") >= 5
    assert len(page) < 600_000
    assert json.loads(outcome.result_path.read_text("utf-8"))["schema"] == 1
    names = sorted(
        path.name for path in outcome.report_path.parent.iterdir() if not path.name.startswith("calibrig.db")
    )
    assert names == ["report.html", "result.json"]
    stored = [row for row in outcome.result["versions"] if row["version"] is not None]
    assert stored
    with ModelStore(outcome.store_url, create=False) as store:
        assert store.verify().ok
        for row in stored:
            record = store.read_version(row["kind"], "SIM", row["version"])
            assert record.evidence is not None
            assert str(record.evidence.verdict) == row["verdict"]
            assert record.version.origin == "calibrated"
    assert heard.done[:1] == ["simulate"]
    assert heard.done[-1] == "report"
    assert len(heard.done) == 9


def read_set(outcome: Outcome, store: ModelStore) -> ParameterSet:
    """Build the set the loop began with anew: the stored versions, and the fitted record where none was stored."""
    records: dict[str, Any] = {}
    structs = {
        "hawkes": HawkesParameters,
        "quoting": AvellanedaStoikovParameters,
        "risk": RiskParameters,
        "signal": SignalModel,
    }
    for kind, struct in structs.items():
        version = outcome.result["loop"]["versions"].get(kind)
        if version:
            records[kind] = store.read_version(kind, "SIM", version).parameters
        else:
            records[kind] = msgspec.convert(outcome.result["models"][kind]["parameters"], struct)
    return ParameterSet(symbol="SIM", **records)


def test_the_loop_ran_the_stored_signal(demo: tuple[Outcome, Heard]) -> None:
    """Replay anew with what the store holds: another model, or none, makes other orders."""
    outcome, _ = demo
    replayed = split_market(simulate_market(seed=7, sessions=4, session_s=3_600.0).market).replayed
    with ModelStore(outcome.store_url, create=False) as store:
        stored = store.get_signal_model("SIM")
        before = read_set(outcome, store)
        after = msgspec.structs.replace(before, quoting=store.read_version("quoting", "SIM", 2).parameters)
    assert stored is not None
    assert stored.version is not None
    told = outcome.result["loop"]["signal"]
    assert (told["content_hash"], told["version"]) == (stored.content_hash, stored.version.version_id)
    half = (len(replayed.trades) + len(replayed.quotes)) // 2
    with HardwareInTheLoopBridge(AcceleratorMode.SOFTWARE_STUB, model=stored) as bridge:
        bridge.initialize()
        again = replay(replayed, before, bridge, updates=[(half, after)])
    assert again.digest() == outcome.result["loop"]["digest"]
    silent = replay(replayed, before, updates=[(half, after)])
    assert silent.digest() != again.digest()


def test_what_is_not_deployable_is_not_stored(demo: tuple[Outcome, Heard]) -> None:
    outcome, _ = demo
    deployable = {"PASS", "RESTRICTED"}
    for row in outcome.result["versions"]:
        if row["verdict"] not in deployable:
            assert row["version"] is None
            assert "not deployable" in row["where"] or "no fit" in row["where"]


def test_the_live_update_was_seen_by_the_loop_and_can_be_repeated(demo: tuple[Outcome, Heard]) -> None:
    outcome, _ = demo
    update = outcome.result["update"]
    live = update["live"]
    assert live["event"] is not None
    assert live["event"] >= live["published_event"] >= 0
    assert live["repeatable"] is True
    events = outcome.result["loop"]["events"]
    assert 0 < live["event"] < events
    assert update["event"] == events // 2
    loop = outcome.content.loop
    assert loop is not None
    assert loop.update_time_ns == update["time_ns"]
    page = outcome.report_path.read_text("utf-8")
    assert f"from event {update['event']:,}" in page


def test_the_loop_made_money_or_lost_it_but_traded_within_its_limit(demo: tuple[Outcome, Heard]) -> None:
    loop = demo[0].result["loop"]
    assert loop["fills"] > 0
    assert loop["largest_position_lots"] <= loop["position_limit_lots"]
    assert loop["fill_model"] == "conservative"
    assert sum(loop["regime_share"].values()) == pytest.approx(1.0)


def test_latencies_are_honest(demo: tuple[Outcome, Heard]) -> None:
    device = next(row for row in demo[0].result["latency"] if row["path"] == "device path")
    assert device["p50"] >= 400.0  # the stub holds its 400 ns
    assert device["p50"] <= device["p95"] <= device["p99"] <= device["p99.9"] <= device["max"]
    trip = next(row for row in demo[0].result["latency"] if row["path"] == "round trip")
    assert trip["p50"] >= device["p50"]


def test_result_holds_plain_finite_values_only(demo: tuple[Outcome, Heard], real: Outcome) -> None:
    def walk(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                assert isinstance(key, str)
                walk(item, f"{path}.{key}")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                walk(item, f"{path}[{index}]")
        else:
            assert value is None or isinstance(value, (str, int, float, bool)), path
            assert not isinstance(value, float) or math.isfinite(value), path

    for outcome in (demo[0], real):
        walk(json.loads(outcome.result_path.read_text("utf-8")), "result")


SCHEMA = {
    "schema", "calibrig", "command", "symbol", "seed", "verdict", "reason", "exit_code", "split", "quality", "truth",
    "parameters", "models", "versions", "backtest", "backtest_reason", "loop", "loop_reason", "update", "card", "latency", "files", "seconds",
}  # fmt: skip


def test_result_has_the_documented_fields(demo: tuple[Outcome, Heard], real: Outcome) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "report.md").read_text("utf-8")
    for name in SCHEMA:
        assert f"`{name}" in page, name
    assert set(real.result) == SCHEMA
    assert set(demo[0].result) == SCHEMA | {"recovered", "deployment"}
    card = demo[0].result["card"]
    assert card["identical"] is True
    assert card["profit"] == card["software_profit"]
    assert real.result["card"] is None
    assert set(real.result["models"]) == {"hawkes", "quoting", "risk", "signal"}


def test_run_on_files_says_why_and_exits_4(real: Outcome) -> None:
    assert real.exit_code in {0, 4}
    assert (real.exit_code == 0) == (real.verdict == "PASS")
    assert real.result["quality"]["symbol"] == "ACME"
    assert real.result["quality"]["trades"] > 5_000
    assert real.result["truth"] is None
    assert real.result["loop"]["fills"] > 0
    assert real.result["split"]["rule"] == "fitted on the first 1 session, replayed on the last"
    page = real.report_path.read_text("utf-8")
    assert '<section id="quality"' in page
    assert real.reason.split(":")[0] in {
        "hawkes",
        "quoting",
        "risk",
        "signal",
        "every gate of every model holds",
    }


def test_equal_seeds_give_equal_figures(real: Outcome, real_again: Outcome) -> None:
    for field in ("parameters", "models", "loop"):
        assert _without_timings(real.result[field]) == _without_timings(real_again.result[field]), field


def test_a_second_run_appends_versions(real: Outcome, real_again: Outcome) -> None:
    for before, after in zip(real.result["versions"], real_again.result["versions"], strict=True):
        if before["version"] is not None:
            assert after["version"] > before["version"]


def _without_timings(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            k: _without_timings(v)
            for k, v in value.items()
            if k not in {"seconds", "events_per_s", "version", "versions", "digest"}
        }
    if isinstance(value, list):
        return [_without_timings(item) for item in value]
    return value


def test_an_override_names_who_decided(lean: Path, tmp_path: Path) -> None:
    outcome = run_market(
        lean, tmp_path, seed=7, paths=100, signal_kinds=("linear",), override="anna: paper trading only"
    )
    for row in outcome.result["versions"]:
        if row["verdict"] not in {"PASS", "RESTRICTED"} and row["version"] is not None:
            assert "anna: paper trading only" in row["where"]
    with ModelStore(outcome.store_url, create=False) as store:
        kinds = {
            kind for kind in ("hawkes", "quoting", "risk", "signal") if store.get(kind, "ACME") is not None
        }
    fitted = {kind for kind, model in outcome.result["models"].items() if model["parameters"] is not None}
    assert kinds == fitted


def tiny_market(*, trades: int, quotes: int) -> MarketData:
    fix: Any = {
        "instrument": Instrument(symbol="TINY", tick_size=0.01, lot_size=1.0),
        "sessions": [[0, 100 * 10**9]],
    }
    q = Quotes(
        time_ns=np.linspace(0, 99e9, quotes).astype(np.int64),
        bid_ticks=np.full(quotes, 999),
        bid_lots=np.ones(quotes),
        ask_ticks=np.full(quotes, 1001),
        ask_lots=np.ones(quotes),
        **fix,
    )
    t = Trades(
        time_ns=np.linspace(1e9, 99e9, trades).astype(np.int64),
        price_ticks=np.full(trades, 1001),
        size_lots=np.ones(trades),
        side=np.ones(trades),
        id=np.arange(trades),
        **fix,
    )
    return MarketData(trades=t, quotes=q)


def test_split_leaves_out_and_doubles_no_tick() -> None:
    market = tiny_market(trades=50, quotes=50)
    split = split_market(market)
    assert len(split.training.trades) + len(split.replayed.trades) == 50
    assert split.training.sessions.tolist() == [[0, 80 * 10**9]]
    assert split.replayed.sessions.tolist() == [[80 * 10**9, 100 * 10**9]]


def test_a_market_with_ten_events_gives_a_verdict_not_a_crash(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    day = simulate_market(seed=1, sessions=1, session_s=60.0).market
    start = int(day.sessions[0, 0])
    few = day.between(start, int(day.trades.time_ns[min(10, len(day.trades) - 1)]))
    outcome = run_market(write_lean(few, folder), tmp_path / "out", paths=100)
    assert outcome.exit_code == 4
    assert outcome.result["models"]["hawkes"]["verdict"] == "TOO_FEW_EVENTS"
    assert outcome.result["loop"] is None
    assert outcome.result["loop_reason"]
    assert outcome.report_path.exists()


def test_trades_without_quotes_are_refused_with_the_remedy(lean: Path, tmp_path: Path) -> None:
    files = sorted(lean.glob("*_trade.zip"))
    with pytest.raises(InvalidInputError, match="no quotes"):
        run_market(files, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("failing", ["report", "result"])
def test_a_full_disk_leaves_no_half_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    from calibrig.reports import write

    real_replace = Path.replace

    def full(self: Path, target: Path) -> Path:
        if failing in Path(target).name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real_replace(self, target)

    monkeypatch.setattr(write.Path, "replace", full)
    with pytest.raises(OSError, match="No space left") as caught:
        run_demo(tmp_path, seed=7, sessions=2, session_s=900.0, paths=100)
    assert failing in str(caught.value.filename)
    left = {path.name for path in tmp_path.iterdir() if not path.name.startswith("calibrig.db")}
    assert left == (set() if failing == "report" else {"report.html"})
    with ModelStore(f"sqlite:///{tmp_path / 'calibrig.db'}", create=False) as store:
        assert store.verify().ok


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT], ids=["kill", "interrupt"])
def test_a_process_that_dies_leaves_a_store_that_opens_and_no_half_report(tmp_path: Path, sign: int) -> None:
    """End the process at the moments at which its stages are done, the store's and the report's among them.

    After the replay little is left to do, so it waits there for a signal that comes late; before, one meets it at work.
    """
    code = (
        "import sys, time\nfrom calibrig.cli.frame import run_command_line\nfrom calibrig.operations import pipeline\n"
        "real = pipeline.run_demo\n"
        "pipeline.run_demo = lambda out, **k: real(out, sessions=3, session_s=600.0, **{**k, 'paths': 100})\n"
        "from calibrig.cli import console\n"
        "advance = console.StageProgress.advance\n"
        "def wait_at_the_end(self, stage, detail):\n"
        "    advance(self, stage, detail)\n"
        "    if stage == 'replay': time.sleep(3600)\n"
        "console.StageProgress.advance = wait_at_the_end\n"
        "sys.exit(run_command_line(['demo', '--out', sys.argv[1], '--seed', '3']))\n"
    )
    for moment in ("fit quoting", "store", "replay"):
        out = tmp_path / moment.replace(" ", "_")
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(out)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        for line in process.stderr:
            if f" {moment}:" in line:
                process.send_signal(sign)
                break
        try:
            _, rest = process.communicate(timeout=120)
        finally:
            process.kill()
        assert "Traceback" not in rest
        if sign == signal.SIGINT:
            assert process.returncode == 130
            assert "interrupted" in rest
        _check_whole(out)


def _check_whole(out: Path) -> None:
    report, result = out / "report.html", out / "result.json"
    if report.exists():
        assert report.read_text("utf-8").endswith("</html>\n")
    if result.exists():
        json.loads(result.read_text("utf-8"))
    database = out / "calibrig.db"
    if database.exists():
        with ModelStore(f"sqlite:///{database}", create=False) as store:
            assert store.verify().ok
            versions = store.history()
        assert [v.version.version_id for v in versions if v.version.kind == "quoting"] in ([], [1], [1, 2])
