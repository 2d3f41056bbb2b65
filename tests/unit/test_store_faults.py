"""The small fault campaigns of the file backends, and that each of them can fail."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from calibrig.testing.store_campaigns import check_power_cuts, prove_store, record_updates, work_folder
from calibrig.testing.store_workload import check_store, make_updates, open_store_file
from calibrig.testing.syscalls import Call, build_shim

UPDATES = 6


@pytest.mark.parametrize(
    "name",
    ["power cut", "failing", "disk full", "kill -9", "tampered", "clock"],
    ids=lambda name: name.replace(" ", "-"),
)
def test_no_promise_is_broken(name: str) -> None:
    proof = prove_store(seed=20_261, full=False, only=name)
    assert proof.skipped == ()
    assert {row.backend for row in proof.rows} == {"json", "sqlite"}
    for row in proof.rows:
        assert row.violations == 0, row.problems
        assert row.runs >= 10


@pytest.fixture(scope="module")
def recorded() -> Iterator[tuple[Path, dict[str, list[Call]]]]:
    with work_folder() as folder:
        shim = build_shim(folder)
        yield folder, {suffix: record_updates(shim, folder, suffix, UPDATES) for suffix in (".json", ".db")}


@pytest.mark.parametrize("suffix", [".json", ".db"])
def test_the_campaign_sees_what_missing_syncs_cost(
    recorded: tuple[Path, dict[str, list[Call]]], suffix: str
) -> None:
    """The same calls without their syncs: acknowledged updates must be found lost, or nothing is proven."""
    folder, calls = recorded
    found = check_power_cuts(calls[suffix], folder, suffix, updates=UPDATES, states=250, seed=3)
    assert found["violations"] == 0, found["problems"]
    unsynced = [call for call in calls[suffix] if call.what != "S"]
    found = check_power_cuts(unsynced, folder, suffix, updates=UPDATES, states=250, seed=3)
    assert found["violations"] > 30
    assert any("lost an update" in problem or "damaged" in problem for problem in found["problems"])


def test_the_campaign_sees_what_a_missing_folder_sync_costs(
    recorded: tuple[Path, dict[str, list[Call]]],
) -> None:
    folder, calls = recorded
    unsynced = [
        call for call in calls[".json"] if not (call.what == "S" and call.path.endswith("recorded.json"))
    ]
    assert len(unsynced) < len(calls[".json"])
    found = check_power_cuts(unsynced, folder, ".json", updates=UPDATES, states=250, seed=3)
    assert found["violations"] > 10


@pytest.mark.parametrize("suffix", [".json", ".db"])
def test_the_check_itself_finds_each_kind_of_loss(tmp_path: Path, suffix: str) -> None:
    updates = make_updates(4)
    backend = open_store_file(tmp_path, suffix)
    for batch in updates[:3]:
        backend.append(batch)
    backend.close()

    def copy() -> Path:
        place = tmp_path / "copy"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        for file in tmp_path.glob("store*"):
            shutil.copy(file, place)
        return place

    assert check_store(copy(), suffix, updates, 3) == ""
    assert "lost an update" in check_store(copy(), suffix, updates, 4)
    assert "no beginning" in check_store(copy(), suffix, make_updates(5)[1:], 0)
    place = copy()
    if suffix == ".db":
        connection = sqlite3.connect(place / "store.db")
        connection.execute("DROP TRIGGER versions_are_never_changed")
        connection.execute("UPDATE versions SET payload = replace(payload, 'update 0', 'update 9')")
        connection.commit()
        connection.close()
    else:
        log = place / "store.json.log"
        log.write_bytes(log.read_bytes().replace(b"update 0", b"update 9"))
    assert check_store(place, suffix, updates, 3) != ""
