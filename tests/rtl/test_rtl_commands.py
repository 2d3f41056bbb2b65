"""``calibrig rtl``: what it writes, prints and ends with."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import msgspec
import pytest

from calibrig import ModelStore
from calibrig.cli.frame import run_command_line
from calibrig.models.signal import add_golden_vectors
from calibrig.parameters import SignalModel
from calibrig.rtl import verify_manifest


def test_build_writes_a_card_with_manifest_and_vendor_scripts(
    trees: SignalModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "model.json", tmp_path / "card"
    file.write_bytes(msgspec.json.encode(trees))
    assert (
        run_command_line(["rtl", "build", str(file), "--out", str(out), "--clock-mhz", "125", "--json"]) == 0
    )
    told = json.loads(capsys.readouterr().out)
    manifest = verify_manifest(out, trees)
    assert told["model_hash"] == trees.content_hash
    assert told["clock_hz"] == manifest.clock_hz == 125_000_000
    for name in ("calibrig_vivado.tcl", "calibrig_quartus.tcl", "calibrig.xdc", "calibrig.sdc"):
        text = (out / "vendor" / name).read_text()
        assert "NOT RUN" in text
        assert manifest.build_hash[:16] in text
    vivado = (out / "vendor" / "calibrig_vivado.tcl").read_text()
    named = set(re.findall(r"rtl (\S+?)\]", vivado))
    on_disk = {path.name for path in (out / "rtl").iterdir() if path.name != "calibrig_faults.sv"}
    assert named == on_disk, "every source is read, fault injection is not"
    assert "-period 8.000" in (out / "vendor" / "calibrig.xdc").read_text()


def test_verify_counts_differences(
    trees: SignalModel,
    trees_build: Path,
    build_cache: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "model.json"
    file.write_bytes(msgspec.json.encode(trees))
    line = ["rtl", "verify", str(file), "--vectors", "5000", "--cache", str(build_cache), "--json"]
    assert run_command_line(line) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["exact"] is True
    assert (told["vectors"], told["kernel"], told["interpreter"], told["card"]) == (5000, 0, 0, 0)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["build", "no-such-file.json"], 2, "there is no model file"),
        (["timing", "sample:trees", "--seeds", "1,two"], 2, "give whole numbers"),
        (["build", "sample:trees", "--clock-mhz", "0"], 2, "clock-mhz"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line(["rtl", *words]) == code
    assert message in capsys.readouterr().err


def test_a_stored_model_becomes_a_card(
    trees: SignalModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path / 's.db'}"
    with ModelStore(url) as store:
        store.update_signal_model("BAC", trees, "test", "first")
        other = add_golden_vectors(msgspec.structs.replace(trees, bias=trees.bias + 1))
        store.update_signal_model("BAC", other, "test", "second")
    for name, expected in (("BAC@1", trees.content_hash), ("BAC", None)):
        out = tmp_path / name
        assert run_command_line(["rtl", "build", name, "--store", url, "--out", str(out), "--json"]) == 0
        built = json.loads(capsys.readouterr().out)["model_hash"]
        assert (built == trees.content_hash) is (expected is not None)
    for name, words in (("AIG", "no signal model of 'AIG'"), ("BAC@x", "names no version")):
        assert run_command_line(["rtl", "build", name, "--store", url, "--out", str(tmp_path / "no")]) == 2
        assert words in capsys.readouterr().err


def test_a_served_card_that_is_killed_ends_the_command_and_leaves_no_file(
    trees: SignalModel, tmp_path: Path
) -> None:
    """Without a compiler the interpreter serves: the card's death is the same, and nothing is built."""
    file, name = tmp_path / "model.json", f"calibrig-killed-{uuid.uuid4().hex[:8]}"
    file.write_bytes(msgspec.json.encode(trees))
    run = "import sys; from calibrig.cli.frame import run_command_line as run; sys.exit(run(sys.argv[1:]))"
    line = [sys.executable, "-c", run, "bridge", "emulate", f"shm:///{name}", "--model", str(file)]
    environment = {key: value for key, value in os.environ.items() if key != "CXX"} | {"PATH": str(tmp_path)}
    with subprocess.Popen(
        line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as served:
        assert served.stdout is not None
        assert served.stderr is not None
        said = served.stdout.readline()
        found = re.search(r"\(interpreter \(no C\+\+ compiler found .* in process (\d+):", said)
        assert found, said + served.stderr.read()
        assert Path("/dev/shm", name).exists()
        os.kill(int(found[1]), signal.SIGKILL)
        assert served.wait() == 3
        assert "the emulated card's process is gone; start it again" in served.stderr.read()
    assert not Path("/dev/shm", name).exists()
