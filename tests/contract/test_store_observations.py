"""SQLite and the JSON file keep the contract of observations; what is special to each."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from calibrig import ModelStore
from calibrig.errors import CorruptRecordError, InvalidInputError, UnavailableError
from calibrig.store.backends.sqlite import SQLiteBackend
from calibrig.testing.store import HAWKES, RISK, contract_tests
from calibrig.testing.store_observations import NOW_NS, ObservationContract, make_observations


class TestSQLiteObservations(ObservationContract):
    def url(self, folder: Path) -> str:
        return f"sqlite:///{folder}/store.db"


class TestJSONFileObservations(ObservationContract):
    def url(self, folder: Path) -> str:
        return f"{folder}/store.json"


@pytest.mark.parametrize("suite", [TestSQLiteObservations, TestJSONFileObservations, ObservationContract])
def test_the_whole_contract_is_inherited(suite: type[ObservationContract]) -> None:
    assert len(contract_tests(suite)) == ObservationContract.TESTS


def clock() -> int:
    return NOW_NS + 1_000_000


def test_a_torn_last_batch_is_left_out_whole_and_cut_off(tmp_path: Path) -> None:
    """As a power cut leaves it: cut at every byte, or any byte of it never written."""
    url, first, second = tmp_path / "a.json", make_observations(2), make_observations(3, metric="later")
    path = tmp_path / "a.json.observations"
    with ModelStore(url, clock_ns=clock) as store:
        store.record_observations(first)
        start = path.stat().st_size
        store.record_observations(second)
        whole = path.read_bytes()
        torn = [whole[:cut] for cut in range(start, len(whole))]
        torn += [whole[:at] + b"\0" + whole[at + 1 :] for at in range(start, len(whole))]
        for content in torn:
            path.write_bytes(content)
            assert store.observations() == first
        for content in torn[:: len(torn) // 7]:
            path.write_bytes(content)
            store.record_observations(second)
            assert path.read_bytes() == whole
        path.write_bytes(whole.replace(b"later", b"LATER", 1) + whole[start:])
        with pytest.raises(CorruptRecordError, match="damaged at line 2"):
            store.observations()
        assert store.history() == []  # versions do not depend on it


def test_a_disk_that_is_full_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ModelStore(tmp_path / "a.json", clock_ns=clock) as store:
        store.record_observations(make_observations(2))
        monkeypatch.setattr(os, "fdatasync", _full)
        with pytest.raises(OSError, match="full"):
            store.record_observations(make_observations(5))
        monkeypatch.undo()
        assert store.observations() == make_observations(2)


def _full(file: int) -> None:
    raise OSError(28, os.strerror(28))


def test_sql_answers_the_questions_in_sqlite(tmp_path: Path) -> None:
    """The views that docs/store.md shows."""
    with ModelStore(tmp_path / "a.db", clock_ns=clock) as store:
        store.update_risk_parameters("X", RISK, "ben", "limits")
        store.update_hawkes_parameters("X", HAWKES, "anna", "fit")
        store.record_observations(make_observations(2))
    connection = sqlite3.connect(tmp_path / "a.db")
    rows = connection.execute(
        "SELECT symbol, version_id, updated_time, updated_by, comment, parameters FROM history WHERE kind = 'risk'"
    ).fetchall()
    assert rows[0][:2] + rows[0][3:5] == ("X", 1, "ben", "limits")
    assert rows[0][2].startswith("2026-09-21 ")  # NOW_NS
    assert json.loads(rows[0][5])["max_position"] == 100
    (seen,) = connection.execute("SELECT max(value) FROM observed WHERE metric = 'device.p99_ns'").fetchone()
    assert seen == 401.0
    connection.close()


def test_a_backend_of_six_functions_keeps_none(tmp_path: Path) -> None:
    class Six:
        def __init__(self, inner: SQLiteBackend) -> None:
            for name in ("load_heads", "append", "history", "as_of", "wait", "close"):
                setattr(self, name, getattr(inner, name))

    with ModelStore(backend=Six(SQLiteBackend(str(tmp_path / "a.db")))) as store:  # type: ignore[arg-type]
        with pytest.raises(UnavailableError, match="keeps no observations"):
            store.observations()
        with pytest.raises(UnavailableError, match="keeps no observations"):
            store.observe()


@pytest.mark.parametrize("days", [0, -1, float("nan"), 1e9])
def test_impossible_retention_is_refused(days: float) -> None:
    with pytest.raises(InvalidInputError, match="observation_days"):
        ModelStore("a.db", observation_days=days)


RECORDER = """
import sys, time
from calibrig import ModelStore
from calibrig.store import Observation
with ModelStore(sys.argv[1]) as store:
    for batch in range(10**6):
        now = time.time_ns()
        store.record_observations(
            [Observation("latency", "X", f"m{one}", now, float(batch), "recorder") for one in range(5)]
        )
        print(batch, flush=True)
"""


@pytest.mark.parametrize("name", ["a.db", "a.json"])
def test_a_killed_recorder_loses_nothing_that_was_acknowledged(name: str, tmp_path: Path) -> None:
    """kill -9 at any moment, again and again: what was acknowledged is there, and a batch is whole or absent."""
    known = 0
    for attempt in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", RECORDER, str(tmp_path / name)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(1 + 7 * attempt)]
            process.send_signal(signal.SIGKILL)
            rest = process.stdout.read().split("\n")
        acknowledged = len(lines) + sum(line != "" for line in rest)
        with ModelStore(tmp_path / name) as store:
            found = store.observations()
        by_batch = Counter((one.time_ns, one.value) for one in found)
        assert set(by_batch.values()) == {5}
        assert len(by_batch) - known in {
            acknowledged,
            acknowledged + 1,
        }  # the last one: written, not yet said
        known = len(by_batch)
