"""``calibrig store``: every command on a real file, its output, its exit code, and that a dry run writes nothing."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from calibrig import HardwareInTheLoopBridge, MicrostructureFeatures, ModelStore
from calibrig.cli.frame import run_command_line
from calibrig.cli.store_options import parse_time
from calibrig.errors import InvalidInputError
from calibrig.parameters import Evidence, Verdict
from calibrig.testing.store import HAWKES, QUOTING, RISK


class Shell:
    """Runs command lines against one store and keeps what they print."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.url = url
        self._capsys = capsys

    def __call__(self, *words: str, code: int = 0) -> str:
        self._capsys.readouterr()
        found = run_command_line(["store", *words, "--store", self.url])
        out, self.err = self._capsys.readouterr()
        assert found == code, (found, out, self.err)
        return out

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self(*words, "--json", code=code))


@pytest.fixture(params=["store.db", "store.json"])
def shell(tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Shell:
    with ModelStore(tmp_path / str(request.param)) as store:
        store.update("hawkes", "BTC", HAWKES, "anna", "first", evidence=Evidence(verdict=Verdict.PASS))
        store.update("quoting", "BTC", QUOTING, "anna", "first")
        for limit in (100, 200, 300):
            store.update(
                "risk", "BTC", msgspec.structs.replace(RISK, max_position=limit), "ben", f"limit {limit}"
            )
    return Shell(str(tmp_path / str(request.param)), capsys)


def test_get_by_head_number_and_time(shell: Shell) -> None:
    head = shell.json("get", "risk", "BTC")
    assert (head["version"]["version_id"], head["parameters"]["max_position"]) == (3, 300)
    assert shell.json("get", "risk", "BTC", "--version", "1")["parameters"]["max_position"] == 100
    stamp = shell.json("history", "risk", "BTC")[1]["version"]["updated_at"]
    assert shell.json("get", "risk", "BTC", "--as-of", str(stamp))["version"]["version_id"] == 2
    assert "limit 300" in shell("get", "risk", "BTC")
    for words in (("risk", "NONE"), ("bogus", "BTC"), ("risk", "BTC", "--version", "9")):
        shell("get", *words, code=2)
    assert "1 .. 3" in shell.err


def test_the_three_questions_of_the_source_document(shell: Shell) -> None:
    assert len(shell.json("history", "--since", "30d")) == 5
    changed = shell.json("history", "risk")
    assert {one["version"]["updated_by"] for one in changed} == {"ben"}
    assert shell.json("history", "risk", "--by", "nobody") == []
    back = shell.json("rollback", "risk", "BTC", "1", "--by", "carl", "-m", "back to 1")
    assert (back["version"]["version_id"], back["version"]["origin"]) == (4, "rollback")


def test_set_shows_the_difference_and_a_dry_run_writes_nothing(shell: Shell) -> None:
    out = shell("set", "risk", "BTC", "max_position=150", "--dry-run")
    assert "-50.00%" in out
    assert shell.json("get", "risk", "BTC")["version"]["version_id"] == 3
    for words in (("rollback", "risk", "BTC", "1"), ("tighten", "BTC", "max_position=1")):
        assert shell.json(*words, "--dry-run")["changes"][0]["field"] == "max_position"
    assert shell.json("get", "risk", "BTC")["version"]["version_id"] == 3
    done = shell.json("set", "risk", "BTC", "max_position=150", "--by", "anna", "-m", "half")
    assert (done["version"]["version_id"], done["changes"][0]["relative"]) == (4, -0.5)
    shell("set", "risk", "BTC", "max_position=1", "-m", "x", "--expected-version", "3", code=5)


def test_what_cannot_be_is_refused_in_one_sentence(shell: Shell) -> None:
    for words in (
        ("max_position=abc",),
        ("max_position=-1",),
        ("bogus=1",),
        ("novalue",),
        (),
        ("max_position=NaN",),
        ("max_position=5", "max_position=6"),
        ("x" * 100_000 + "=1",),
    ):
        shell("set", "risk", "BTC", *words, "-m", "x", code=2)
        assert shell.err.count("\n") == 1
        assert "Traceback" not in shell.err
        assert len(shell.err) < 1_000
    shell("set", "risk", "BTC", "max_position=5", code=2)
    assert "--comment" in shell.err
    assert shell.json("get", "risk", "BTC")["version"]["version_id"] == 3


def test_a_dry_run_refuses_what_the_write_would_refuse(shell: Shell) -> None:
    limits = ("max_position=1", "normal_volatility_threshold=2", "elevated_volatility_threshold=3")
    fields = (*limits, "high_stress_volatility_threshold=5")
    shell("set", "risk", "X" * 100_000, *fields, "--dry-run", code=2)
    assert "symbol has 100000 characters; give 1 to 200" in shell.err
    shell("set", "risk", "BTC", "max_position=NaN", "--dry-run", code=2)
    assert "it is 'NaN': give a value of that kind" in shell.err


def test_a_file_of_fields_is_read_strictly(shell: Shell, tmp_path: Path) -> None:
    """Two equal names, NaN and a missing comma are said with their place; nothing is written."""
    path = tmp_path / "fields.json"
    for text, words in (
        ('{"max_position": 1, "max_position": 2}', "'max_position' stands there twice"),
        ('{"max_position": NaN}', "NaN is no number"),
        ('{"max_position": 1 "normal_multiplier": 1}', "line 1, column 20"),
        ("[1]", "no object of fields"),
    ):
        path.write_text(text)
        shell("set", "risk", "BTC", "--file", str(path), "--by", "anna", "-m", "x", code=2)
        assert words in shell.err
    shell("set", "risk", "BTC", "--file", str(tmp_path), "--by", "anna", "-m", "x", code=2)
    assert "cannot be read" in shell.err
    assert shell.json("get", "risk", "BTC")["version"]["version_id"] == 3


def test_two_people(shell: Shell) -> None:
    shell("init", "--second-person", "risk,rollback", "--by", "ben")
    assert "proposed" in shell("set", "risk", "BTC", "max_position=900", "--by", "anna", "-m", "more")
    assert shell.json("pending")[0]["proposal"]["updated_by"] == "anna"
    shell("approve", "risk", "BTC", "--by", "anna", code=5)
    assert shell.json("approve", "risk", "BTC", "--by", "ben")["version"]["version_id"] == 4
    shell("tighten", "BTC", "max_position=901", "--by", "carl", "-m", "x", code=5)
    assert (
        shell.json("tighten", "BTC", "max_position=10", "--by", "carl", "-m", "x")["version"]["version_id"]
        == 5
    )
    assert "proposed" in shell("rollback", "hawkes", "BTC", "1", "--by", "anna", "-m", "x")


def test_verify_export_import_and_anchor(shell: Shell, tmp_path: Path) -> None:
    anchor = tmp_path / "anchor.json"
    report = shell.json("verify", "--write-anchor", str(anchor))
    assert (report["ok"], report["records"]) == (True, 5)
    assert "all is as it was written" in shell("verify", "--anchor", str(anchor))
    shell("verify", "--anchor", str(tmp_path / "none"), code=2)
    export = tmp_path / "all.calibrig"
    assert shell.json("export", str(export))["versions"] == 5
    other = Shell(str(tmp_path / "other.db"), shell._capsys)
    other("init")
    assert other.json("import", str(export), "--dry-run")["versions"] == 5
    assert other.json("verify")["records"] == 0
    assert other.json("import", str(export))["versions"] == 5
    other("verify", "--anchor", str(anchor), code=1)  # another store: the anchor is not of this one


def test_quality_exits_4_where_something_is_due(shell: Shell) -> None:
    shell("quality")
    shell("quality", "--max-age-days", "0.0000000001", code=4)
    with ModelStore(shell.url) as store:
        store.update(
            "hawkes", "BTC", HAWKES, "a", "x", evidence=Evidence(verdict=Verdict.FAIL), override="anna"
        )
    found = shell.json("quality", code=4)
    assert found[0]["quality"]["verdicts"]["hawkes"] == "FAIL"


def test_a_missing_store_and_a_password_in_a_flag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Shell(str(tmp_path / "none.db"), capsys)("history", code=2)
    assert not (tmp_path / "none.db").exists()
    shell = Shell("redis://u:hunter2@127.0.0.1:1/0", capsys)
    shell("history", code=2)
    assert "CALIBRIG_STORE" in shell.err
    assert "hunter2" not in shell.err
    monkeypatch.setenv("CALIBRIG_STORE", shell.url)
    shell("history", code=75)
    assert "hunter2" not in shell.err


def test_signed_from_the_command_line(shell: Shell, tmp_path: Path) -> None:
    key = tmp_path / "anna.key"
    assert run_command_line(["store", "keygen", str(key), "--by", "anna"]) == 0
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    Path(f"{key}.pub").rename(trusted / "anna.pub")
    words = ("set", "risk", "BTC", "max_position=5", "-m", "x", "--key", str(key))
    shell(*words, "--by", "ben", code=0)
    out = shell("verify", "--trusted-keys", str(trusted), code=1)
    assert "belongs to 'anna', not to 'ben'" in out
    assert "not signed" in out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-02", 86_400 * 10**9),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1700000000123456789", 1_700_000_000_123_456_789),
    ],
)
def test_times(text: str, expected: int) -> None:
    assert parse_time(text) == expected


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "d", "-5d", "1e9d"])
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="is no time"):
        parse_time(text)


def test_share_puts_the_block_beside_the_file_and_a_reader_sees_it(
    shell: Shell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / shell.url.rsplit("/", 1)[-1]
    place = file.with_name(file.name + ".block")
    out = shell("share", "--for-s", "0.01")
    assert f"sharing BTC at {place}" in out
    assert not place.exists()  # it went with the process that shared
    with ModelStore(shell.url) as store, store.share(place):
        assert run_command_line(["store", "block", str(place), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["symbols"][0]["versions"]["risk"]["version_id"] == 3
        assert run_command_line(["store", "block", str(place)]) == 0
        assert "risk/BTC" in capsys.readouterr().out
        kept = place.read_bytes()
    place.write_bytes(kept)  # as a killed writer leaves it
    time.sleep(1.0)
    assert run_command_line(["store", "block", str(place)]) == 4
    assert "STALE" in capsys.readouterr().out
    assert run_command_line(["store", "applied", str(place)]) == 2
    assert "not a block" in capsys.readouterr().err


def test_a_servers_block_needs_a_path() -> None:
    assert run_command_line(["store", "share", "--store", "redis://127.0.0.1:1"]) == 2


def test_observations_are_recorded_and_read(shell: Shell, tmp_path: Path) -> None:
    """Of the store itself, of a running bridge, and of a running loop."""
    shell("quality", "--record")
    recorded = shell.json("observe")
    assert {"hawkes_r_squared", "stale", "contact_age_s"} <= {one["metric"] for one in recorded}
    found = shell.json("observations", "quality", "BTC", "hawkes_r_squared")
    assert [one["value"] for one in found] == [0.87, 0.87]
    assert [one["source"] for one in found] == ["calibrig store quality", "calibrig store observe"]
    assert "hawkes_r_squared" in shell("observations", "quality", "--since", "1d")
    assert shell.json("observations", "--until", "2020-01-01") == []
    with HardwareInTheLoopBridge(status_path=str(tmp_path / "bridge")) as bridge:
        bridge.initialize()
        for _ in range(10):
            bridge.predict(MicrostructureFeatures())
        shell("observe", "--bridge", str(tmp_path / "bridge"), "--symbol", "BTC")
        (count,) = shell.json("observations", "latency", "BTC", "device.count")
        assert count["value"] == 10
    for words in (
        ("observe", "--applied", str(tmp_path / "none")),
        ("observe", "--every-s", "-1"),
        ("observe", "--keep-days", "0"),
        ("observations", "bogus"),
        ("observations", "--limit", "0"),
    ):
        shell(*words, code=2)
    shell("observe", "--bridge", str(tmp_path / "none"), code=3)
