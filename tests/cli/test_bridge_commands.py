"""``calibrig bridge``, ``doctor`` and ``prove bridge``, as a person would call them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from calibrig import HardwareInTheLoopBridge
from calibrig.bridge.devices.shared_memory import SoftwareCard
from calibrig.models.signal import quantise_linear, reference_model


def calibrig(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "calibrig.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_bench_measures_every_path() -> None:
    done = calibrig("bridge", "bench", "--calls", "2000", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    names = [row["name"] for row in shown["paths"]]
    assert names == [
        "kernel alone",
        "bridge, as fast as possible",
        "bridge, 400 ns stub",
        "shared memory, empty line",
        "shared memory, model",
    ]
    assert [row["name"] for row in shown["peers"]] == [
        "bridge, predict from Python",
        "numpy",
        "onnxruntime, IO binding",
        "onnxruntime, run",
    ]


def test_status_reads_a_running_bridge(tmp_path: Path) -> None:
    path = str(tmp_path / "block")
    with HardwareInTheLoopBridge(status_path=path) as bridge:
        done = calibrig("bridge", "status", path)
        assert (done.returncode, done.stdout.split()[0]) == (3, "UNINITIALIZED")
        bridge.initialize()
        bridge.predict([0.0] * 16)
        done = calibrig("bridge", "status", path, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["counts"]["calls"] == 1
    done = calibrig("bridge", "status", path)
    assert done.returncode == 3
    assert "no bridge shows itself" in done.stderr


def test_validate_passes_a_good_card_and_names_another_model(tmp_path: Path) -> None:
    path = tmp_path / "card"
    arguments = ["--calls", "3000", "--deadline-ns", "50000000", "--sla-ns", "1e9", "--json"]
    with SoftwareCard(str(path), reference_model()):
        done = calibrig("bridge", "validate", f"shm://{path}", *arguments)
        report = json.loads(done.stdout)
        assert done.returncode == 0, report
        assert [check["name"] for check in report["checks"]] == [
            "identity",
            "golden vectors",
            "stress",
            "device latency",
            "roundtrip latency",
        ]
        other = tmp_path / "other.json"
        model = quantise_linear([0.1] * 16, 0.0, [0.0] * 16, [1.0] * 16)
        other.write_bytes(msgspec.json.encode(model))
        done = calibrig("bridge", "validate", f"shm://{path}", "--model", str(other), *arguments)
        assert done.returncode == 3
        assert "expected model" in json.loads(done.stdout)["checks"][0]["detail"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "no model file"), (b"{", "not a signal model"), ("golden", "changed by hand")],
)
def test_a_bad_model_file_is_one_sentence(tmp_path: Path, content: bytes | str | None, sentence: str) -> None:
    path = tmp_path / "model.json"
    if content == "golden":
        model = reference_model()
        wrong = (model.golden_values[0] + 1, *model.golden_values[1:])
        path.write_bytes(msgspec.json.encode(msgspec.structs.replace(model, golden_values=wrong)))
    elif isinstance(content, bytes):
        path.write_bytes(content)
    done = calibrig("bridge", "bench", "--model", str(path))
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_emulate_serves_and_cleans_up(tmp_path: Path) -> None:
    done = calibrig("bridge", "emulate", f"shm://{tmp_path}/card", "--card", "software", "--seconds", "0.1")
    assert done.returncode == 0, done.stderr
    assert "not RTL" in done.stdout
    assert not (tmp_path / "card").exists()


def test_doctor_says_what_it_found_and_what_to_change() -> None:
    done = calibrig("doctor", "--stall-s", "0.01", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert all(finding["meaning"] for finding in report["findings"])
    assert {"instruction set", "clock", "stall floor"} <= {finding["name"] for finding in report["findings"]}
    plain = calibrig("doctor", "--stall-s", "0.01")
    assert "This machine" in plain.stdout


def test_prove_bridge_writes_its_table(tmp_path: Path) -> None:
    out = tmp_path / "proof.json"
    done = calibrig("prove", "bridge", "--faults", "700", "--deaths", "2", "--out", str(out), "--json")
    proof = json.loads(done.stdout)
    assert proof == json.loads(out.read_text())
    assert sum(row["wrong"] + row["unanswered"] for row in proof["rows"]) == 0
    assert done.returncode == (0 if proof["passed"] else 1)
