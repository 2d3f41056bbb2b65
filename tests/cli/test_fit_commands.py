"""``calibrig fit hawkes`` on a small file: table, JSON, plots, exit codes."""

from __future__ import annotations

import json
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from calibrig import (
    HawkesParameters,
    ModelStore,
    SignalModel,
    simulate_hawkes,
    simulate_market,
    write_market,
)
from calibrig.calibration.hawkes_rolling import fit_hawkes_rolling
from calibrig.cli.frame import run_command_line
from calibrig.errors import InvalidInputError


@pytest.fixture
def ticks(tmp_path: Path) -> Path:
    """One day of trades in the LEAN layout, bursty, up a tick for buys and down for sells."""
    truth = HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=0.2)
    time_ns, side = simulate_hawkes(truth, sessions=[(0, 1_200 * 10**9)], seed=2)
    price = 100_000 + 100 * np.where(side > 0, 1, 0)
    rows = [
        f"{34_200_000 + t // 10**6},{p},100,P,0,0"
        for t, p in zip(time_ns.tolist(), price.tolist(), strict=True)
    ]
    folder = tmp_path / "acme"
    folder.mkdir()
    with zipfile.ZipFile(folder / "20131007_trade.zip", "w") as archive:
        archive.writestr("20131007_acme_Trade_Tick.csv", "\n".join(rows) + "\n")
    return folder


def test_json_holds_the_fit_and_the_exit_code_the_verdict(
    ticks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_command_line(["fit", "hawkes", str(ticks), "--json", "--plot", str(tmp_path / "plots")])
    (fit,) = json.loads(capsys.readouterr().out)
    assert fit["fit"]["evidence"]["verdict"] == "TOO_FEW_EVENTS"
    assert code == 4
    assert len(list((tmp_path / "plots").glob("*.svg"))) == 1


def test_model_is_chosen_by_name(ticks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plots = tmp_path / "plots"
    code = run_command_line(
        ["fit", "hawkes", str(ticks), "--model", "two-scale", "--json", "--plot", str(plots)]
    )
    (found,) = json.loads(capsys.readouterr().out)
    assert found["fit"]["model"] == "two_scale"
    assert len(list(plots.glob("*.svg"))) == 1
    assert found["fit"]["evidence"]["verdict"] == "TOO_FEW_EVENTS"
    assert code == 4
    assert run_command_line(["fit", "hawkes", str(ticks), "--model", "three-scale"]) == 2
    assert "two-scale" in capsys.readouterr().err


def test_rolling_windows_keep_their_order_and_report_as_they_come() -> None:
    trades = simulate_market(seed=1, sessions=3, session_s=300.0).market.trades
    seen: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        found = fit_hawkes_rolling(
            {"A": trades, "B": trades},
            window_sessions=2,
            executor=pool,
            on_done=lambda item: seen.append(item.symbol),
        )
    assert [item.symbol for item in found] == ["A", "A", "B", "B"]
    assert sorted(seen) == ["A", "A", "B", "B"]
    assert found[0].start_ns < found[1].start_ns
    first, same = found[0].fit, found[2].fit
    assert first is not None
    assert same is not None
    assert first.parameters == same.parameters


def test_windows_of_no_session_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="window_sessions is 0"):
        fit_hawkes_rolling({}, window_sessions=0)


def test_a_signal_is_trained_judged_written_and_stored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    market = simulate_market(seed=5, sessions=3, session_s=1_200.0).market
    write_market(market, tmp_path / "ticks")
    url, out = f"sqlite:///{tmp_path / 's.db'}", tmp_path / "model.json"
    assert run_command_line(["store", "init", "--store", url]) == 0
    capsys.readouterr()
    words = ["fit", "signal", str(tmp_path / "ticks"), "--kind", "linear", "--kind", "network", "--json"]
    code = run_command_line([*words, "--store", url, "--out", str(out), "--override", "a test"])
    fit = json.loads(capsys.readouterr().out)
    assert code == (0 if fit["evidence"]["verdict"] == "PASS" else 4)
    assert {c["kind"] for c in fit["candidates"]} == {"linear", "network"}
    written = msgspec.json.decode(out.read_bytes(), type=SignalModel)
    with ModelStore(url, create=False) as store:
        head = store.get_signal_model(market.instrument.symbol)
        assert head is not None
        assert head.content_hash == written.content_hash
        record = store.history("signal", market.instrument.symbol)[0]
        assert record.evidence is not None
        gate = next(gate for gate in record.evidence.gates if gate.name == "device_ns")
    assert gate.limit == "< 400 ns at the slowest seed"


def test_an_imported_file_that_is_no_model_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_market(simulate_market(seed=5, sessions=1, session_s=600.0).market, tmp_path / "ticks")
    (tmp_path / "model.txt").write_text("not a model")
    words = ["fit", "signal", str(tmp_path / "ticks"), "--import", str(tmp_path / "model.txt")]
    assert run_command_line(words) == 2
    assert "no LightGBM model" in capsys.readouterr().err


def test_every_symbol_of_a_folder_is_fitted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, symbol in enumerate(("AAA", "BBB")):
        market = simulate_market(seed=seed, sessions=1, session_s=300.0).market
        instrument = msgspec.structs.replace(market.instrument, symbol=symbol)
        write_market(
            replace(
                market,
                trades=replace(market.trades, instrument=instrument),
                quotes=replace(market.quotes, instrument=instrument),
            ),
            tmp_path,
        )
    code = run_command_line(["fit", "hawkes", str(tmp_path), "--json"])
    fits = json.loads(capsys.readouterr().out)
    assert [fit["symbol"] for fit in fits] == ["AAA", "BBB"]
    assert all(fit["fit"]["parameters"]["calibration_samples"] > 0 for fit in fits)
    assert code == 4  # 300 s are too few events


def test_quotes_alone_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with zipfile.ZipFile(tmp_path / "20131007_quote.zip", "w") as archive:
        rows = "35999000,100000,500,0,0,P,1,0\n35999000,0,0,100100,200,P,1,0\n"
        archive.writestr("20131007_acme_Quote_Tick.csv", rows)
    assert run_command_line(["fit", "hawkes", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert "no trades in these files" in said.err
    assert said.out == ""
