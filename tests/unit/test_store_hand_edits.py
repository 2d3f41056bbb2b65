"""A hand edit of the JSON file becomes a version; an edit that cannot be one is put aside, and nothing is lost."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from calibrig import ModelStore
from calibrig.testing.store import HAWKES, RISK, wait_until

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "parameters.json"
    with ModelStore(file) as store:
        store.update("hawkes", "BTCUSDT", HAWKES, "anna", "first")
        store.update("risk", "BTCUSDT", RISK, "anna", "first")
    return file


def change(path: Path, edit: Edit) -> None:
    """Save the file as an editor does: write beside it, then rename."""
    document = json.loads(path.read_text())
    edit(document["parameters"])
    beside = path.with_name("editor.tmp")
    beside.write_text(json.dumps(document, indent=4))
    beside.replace(path)


def set_beta(value: Any) -> Edit:
    return lambda parameters: parameters["BTCUSDT"]["hawkes"]["values"].update(beta=value)


def heads(path: Path) -> dict[str, tuple[int, Any]]:
    with ModelStore(path) as store:
        report = store.verify()
        assert report.ok, report.problems
        found = {kind: store.head(kind, "BTCUSDT") for kind in ("hawkes", "risk")}
        return {kind: (one.version.version_id, one.parameters) for kind, one in found.items() if one}


def test_an_edit_made_while_nobody_looked_becomes_a_version(path: Path) -> None:
    change(path, set_beta(0.6))
    with ModelStore(path) as store:
        head = store.head("hawkes", "BTCUSDT")
        assert head is not None
        assert (head.version.version_id, head.version.origin) == (2, "hand_edit")
        assert head.version.updated_by.startswith("hand edit by ")
        assert head.parameters.beta == 0.6  # type: ignore[union-attr]
        assert head.parameters.calibration_r_squared is None  # type: ignore[union-attr]
        assert head.calibrated_at == store.history("hawkes", "BTCUSDT")[0].calibrated_at
        assert store.history("risk", "BTCUSDT")[-1].version.version_id == 1
    written = json.loads(path.read_text())["parameters"]["BTCUSDT"]["hawkes"]
    assert (written["version_id"], written["values"]["beta"]) == (2, 0.6)


def test_an_edit_that_has_become_a_version_does_not_come_back(path: Path) -> None:
    """Nothing of it is left beside the file, to be taken for an edit of an old version by who opens next."""
    change(path, set_beta(0.6))
    with ModelStore(path) as store:
        assert store.snapshot("BTCUSDT").versions == {"hawkes": 2, "risk": 1}
        assert not list(path.parent.glob("*.edit-*"))
        store.update("hawkes", "BTCUSDT", {"beta": 0.9}, "anna", "third")
    with ModelStore(path) as store:
        assert store.status().rejected_edits == ()
        assert store.snapshot("BTCUSDT").versions == {"hawkes": 3, "risk": 1}
    assert not list(path.parent.glob("*.rejected-*"))


def test_a_copy_of_an_edit_that_is_a_version_already_is_removed(path: Path) -> None:
    """As two processes that see one edit leave it: the slower finds it done."""
    change(path, lambda p: p["BTCUSDT"]["risk"]["values"].update(max_position=5))
    copy = path.with_name(f"{path.name}.edit-1")
    copy.write_bytes(path.read_bytes())
    with ModelStore(path) as store:
        store.refresh()
        assert store.snapshot("BTCUSDT").versions == {"hawkes": 1, "risk": 2}
        assert store.status().rejected_edits == ()
    assert not list(path.parent.glob("*.edit-*"))


def test_an_edit_made_under_a_running_store_is_pushed_to_all(path: Path) -> None:
    with ModelStore(path) as first, ModelStore(path) as second:
        change(path, set_beta(0.7))
        for store in (first, second):
            assert wait_until(lambda s=store: s.get_hawkes_parameters("BTCUSDT").beta == 0.7)  # type: ignore[misc, union-attr]
            assert store.snapshot("BTCUSDT").versions == {"hawkes": 2, "risk": 1}
        assert first.verify().ok


def test_author_and_comment_are_taken_where_they_were_edited(path: Path) -> None:
    def edit(parameters: dict[str, Any]) -> None:
        entry = parameters["BTCUSDT"]["risk"]
        entry["values"]["max_position"] = 50
        entry.update(updated_by="ben", comment="risk committee of Monday")

    change(path, edit)
    with ModelStore(path) as store:
        head = store.head("risk", "BTCUSDT")
        assert head is not None
        assert (head.version.updated_by, head.version.comment) == ("ben", "risk committee of Monday")


def test_a_new_symbol_may_be_added_by_hand(path: Path) -> None:
    change(
        path,
        lambda p: p.update(ETH={"risk": {"values": {**p["BTCUSDT"]["risk"]["values"], "max_position": 7}}}),
    )
    with ModelStore(path) as store:
        assert store.get_risk_parameters("ETH").max_position == 7  # type: ignore[union-attr]


def test_blanks_and_order_are_no_edit(path: Path) -> None:
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document, indent=None, sort_keys=True))
    assert {kind: number for kind, (number, _) in heads(path).items()} == {"hawkes": 1, "risk": 1}


BAD: dict[str, tuple[Callable[[str], str], str]] = {
    "a comma is missing": (lambda t: t.replace(",", "", 1), "line"),
    "two keys": (lambda t: t.replace('"beta": 0.47', '"beta": 0.47,\n"beta": 0.9'), "twice"),
    "NaN": (lambda t: t.replace('"beta": 0.47', '"beta": NaN'), "NaN"),
    "infinity by overflow": (lambda t: t.replace('"beta": 0.47', '"beta": 1e999'), "beta"),
    "a number as text": (lambda t: t.replace('"beta": 0.47', '"beta": "0.47"'), "beta"),
    "a boolean": (lambda t: t.replace('"beta": 0.47', '"beta": true'), "beta"),
    "64 bits overflow": (lambda t: t.replace("1200000", "9" * 30), "calibration_samples"),
    "out of its domain": (lambda t: t.replace('"beta": 0.47', '"beta": -1'), "beta"),
    "an unknown field": (lambda t: t.replace('"beta": 0.47', '"beta": 0.47, "bate": 1'), "bate"),
    "an unknown kind": (lambda t: t.replace('"hawkes": {', '"hawk": {'), "hawk"),
    "a version that never was": (lambda t: t.replace('"version_id": 1', '"version_id": 9', 1), "version_id"),
    "cut in half": (lambda t: t[: len(t) // 2], "line"),
    "empty": (lambda t: "", "line"),
    "no UTF-8": (lambda t: t, "UTF-8"),
    "another document": (lambda t: "[]", "parameters"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_edit_is_put_aside_with_its_reason(path: Path, name: str) -> None:
    spoil, words = BAD[name]
    good = path.read_text()
    spoiled = spoil(good).encode() if name != "no UTF-8" else b"\xff" + good.encode()
    assert spoiled != good.encode()
    path.write_bytes(spoiled)
    with ModelStore(path) as store:
        (message,) = store.status().rejected_edits
        assert words in message
        assert store.snapshot("BTCUSDT").versions == {"hawkes": 1, "risk": 1}
        assert store.get_hawkes_parameters("BTCUSDT").beta == 0.47  # type: ignore[union-attr]
        store.update("hawkes", "BTCUSDT", {"beta": 0.5}, "anna", "goes on")
    (aside,) = [one for one in path.parent.glob("*.rejected-*") if not one.name.endswith(".why")]
    assert aside.read_bytes() == spoiled
    assert words in aside.with_name(aside.name + ".why").read_text()
    assert heads(path)["hawkes"][0] == 2
    json.loads(path.read_text())


def test_an_edit_from_an_old_version_does_not_overwrite_a_newer_one(path: Path) -> None:
    old = path.read_text()
    with ModelStore(path) as store:
        store.update("hawkes", "BTCUSDT", {"gamma": 2.5}, "anna", "newer")
    path.write_text(old.replace('"beta": 0.47', '"beta": 0.9'))
    with ModelStore(path) as store:
        (message,) = store.status().rejected_edits
        assert "at version 2" in message
        assert store.get_hawkes_parameters("BTCUSDT").gamma == 2.5  # type: ignore[union-attr]


def test_an_old_file_put_back_unedited_changes_nothing(path: Path) -> None:
    old = path.read_bytes()
    with ModelStore(path) as store:
        store.update("hawkes", "BTCUSDT", {"gamma": 2.5}, "anna", "newer")
    path.write_bytes(old)
    assert heads(path)["hawkes"][0] == 2
    with ModelStore(path) as store:
        store.update("hawkes", "BTCUSDT", {"gamma": 2.6}, "anna", "newest")
    assert '"gamma": 2.6' in path.read_text()


def test_a_deleted_file_is_written_again(path: Path) -> None:
    path.unlink()
    assert heads(path)["hawkes"][0] == 1
    with ModelStore(path):
        path.unlink()
        assert wait_until(path.exists)


def test_an_edit_saved_just_before_a_write_is_not_overwritten(path: Path) -> None:
    """The writer finds the edited file in its place when it brings its own; the edit is of another key."""
    from calibrig.store.backends.json_file import JSONFileBackend

    backend = JSONFileBackend(str(path))  # no watcher: what it would do at once is done here later
    with ModelStore(path, backend=backend) as store:
        store._watcher.stop()  # type: ignore[union-attr]
        change(path, lambda p: p["BTCUSDT"]["risk"]["values"].update(max_position=5))
        taken: list[int] = []
        store.subscribe(lambda version: taken.append(version.version_id))
        store.update("hawkes", "BTCUSDT", {"beta": 0.8}, "anna", "meanwhile")
        assert wait_until(lambda: store.get_risk_parameters("BTCUSDT").max_position == 5)  # type: ignore[union-attr]
        assert store.get_hawkes_parameters("BTCUSDT").beta == 0.8  # type: ignore[union-attr]
    assert heads(path)["risk"][0] == 2
    assert not list(path.parent.glob("*.edit-*"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_said_so(path: Path) -> None:
    from calibrig.errors import RefusedError

    path.parent.chmod(0o500)
    try:
        with pytest.raises(RefusedError, match="owner and mode"):
            ModelStore(path.parent / "new.json").initialize()
    finally:
        path.parent.chmod(0o700)
