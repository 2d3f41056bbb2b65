"""The doubles of a store backend keep its contract, fail as they are told, and replay what was recorded."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from calibrig import ModelStore
from calibrig.errors import (
    CalibrigError,
    FileFormatError,
    MissingFileError,
    StoreError,
    StoreUnavailableError,
    VersionConflictError,
)
from calibrig.store import Backend, HistoryQuery, open_backend
from calibrig.store.record import seal
from calibrig.testing import FlakyBackend, RecordingBackend, ReplayedBackend, SlowBackend, StoreContract
from calibrig.testing.store import HAWKES, RISK, SteppedClock, contract_tests, make_content, wait_until


class _Doubled(StoreContract):
    """The contract through a double around SQLite."""

    def double(self, backend: Backend) -> Backend:
        raise NotImplementedError

    def url(self, folder: Path) -> str:
        return f"sqlite:///{folder}/store.db"

    def open_raw(self, url: str) -> Backend:
        return self.double(open_backend(url))

    @contextmanager
    def opened(self, url: str, **options: Any) -> Iterator[ModelStore]:
        with ModelStore(url, backend=self.double(open_backend(url)), **options) as store:
            yield store

    def raw_tamper(
        self, url: str, kind: str, symbol: str, version_id: int, change: Callable[[bytes], bytes]
    ) -> None:
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        connection.execute("DROP TRIGGER versions_are_never_changed")
        where = "kind = ? AND symbol = ? AND version_id = ?"
        (payload,) = connection.execute(
            f"SELECT CAST(payload AS BLOB) FROM versions WHERE {where}", (kind, symbol, version_id)
        ).fetchone()
        connection.execute(
            f"UPDATE versions SET payload = ? WHERE {where}",
            (change(payload).decode(), kind, symbol, version_id),
        )
        connection.commit()
        connection.close()


class TestSlow(_Doubled):
    def double(self, backend: Backend) -> Backend:
        return SlowBackend(backend, 0.0002)


class TestRecording(_Doubled):
    def double(self, backend: Backend) -> Backend:
        return RecordingBackend(backend)


class TestFlakyThatNeverFails(_Doubled):
    def double(self, backend: Backend) -> Backend:
        return FlakyBackend(backend)


@pytest.mark.parametrize("suite", [TestSlow, TestRecording, TestFlakyThatNeverFails])
def test_the_whole_contract_is_inherited(suite: type[StoreContract]) -> None:
    assert len(contract_tests(suite)) == StoreContract.TESTS


def test_a_delay_can_depend_on_the_call(tmp_path: Path) -> None:
    asked: list[str] = []

    def delay(call: str) -> float:
        asked.append(call)
        return 0.0

    with ModelStore(backend=SlowBackend(open_backend(f"sqlite:///{tmp_path}/a.db"), delay)) as store:
        store.update("risk", "A", RISK, "anna", "x")
        store.fetch("risk", "A")
    assert {"load_heads", "append", "as_of"} <= set(asked)


# -- flaky -------------------------------------------------------------------------------------------------------------


def test_an_append_whose_answer_is_lost_was_written_once(tmp_path: Path) -> None:
    flaky = FlakyBackend(open_backend(f"sqlite:///{tmp_path}/a.db"))
    with ModelStore(backend=flaky) as store:
        flaky.script_appends("lose answer")
        assert store.update("risk", "A", RISK, "anna", "x").version_id == 1
        flaky.script_appends("refuse")
        with pytest.raises(StoreUnavailableError, match="the double fails this append"):
            store.update("risk", "A", RISK, "anna", "y")
        assert [one.version.comment for one in store.history("risk", "A")] == ["x"]
        assert flaky.faults == 2


@pytest.mark.parametrize("seed", range(5))
def test_what_was_acknowledged_by_a_flaky_backend_is_there(tmp_path: Path, seed: int) -> None:
    """The dice decide; what update() returned is in the history under that number, and numbers have no gaps."""
    path = f"sqlite:///{tmp_path}/a.db"
    flaky = FlakyBackend(open_backend(path), seed=seed)
    acknowledged: dict[int, str] = {}
    with ModelStore(backend=flaky) as store:
        flaky.rate = 0.2
        for index in range(60):
            try:
                version = store.update("risk", "A", RISK, "anna", f"update {index}")
            except StoreUnavailableError:
                continue
            acknowledged[version.version_id] = f"update {index}"
        flaky.rate = 0.0
    assert flaky.faults > 0
    with ModelStore(path) as store:
        written = {one.version.version_id: one.version.comment for one in store.history("risk", "A")}
        assert store.verify().ok
    assert acknowledged.items() <= written.items()
    assert sorted(written) == list(range(1, len(written) + 1))


def test_reads_go_on_while_the_backend_is_down(tmp_path: Path) -> None:
    flaky = FlakyBackend(open_backend(f"sqlite:///{tmp_path}/a.db"))
    with ModelStore(backend=flaky) as store:
        store.update("risk", "A", RISK, "anna", "x")
        with flaky.down():
            assert wait_until(lambda: store.stale)
            assert store.get_risk_parameters("A") is not None
            with pytest.raises(StoreUnavailableError):
                store.fetch("risk", "A")
        assert wait_until(lambda: not store.stale)


# -- recorded ----------------------------------------------------------------------------------------------------------


def _talk(store: ModelStore) -> list[object]:
    """Write, read, roll back, fail; return what was answered."""
    heard: list[object] = [store.fetch("risk", "A")]
    for limit in (10, 20, 30):
        record = msgspec.structs.replace(RISK, max_position=limit)
        heard.append(store.update("risk", "A", record, "anna", f"limit {limit}"))
        heard.append(store.fetch("risk", "A"))
    heard.append(store.publish("B", {"risk": RISK, "hawkes": HAWKES}, "ben", "release"))
    heard.append(store.rollback("risk", "A", version_id=1, updated_by="ben", comment="back"))
    heard += store.history()
    heard.append(store.as_of("risk", "A", 1_700_000_001 * 10**9))
    heard.append(store.verify())
    return heard


def test_a_replay_answers_as_the_backend_did(tmp_path: Path) -> None:
    recording = RecordingBackend(open_backend(f"sqlite:///{tmp_path}/a.db"))
    with ModelStore(backend=recording, clock_ns=SteppedClock()) as store:
        expected = _talk(store)
    recording.save(tmp_path / "a.conversation")
    for _ in range(2):
        replayed = ReplayedBackend.load(tmp_path / "a.conversation")
        with ModelStore(backend=replayed, clock_ns=SteppedClock()) as store:
            assert _talk(store) == expected
            assert wait_until(lambda: not store.stale)
        assert replayed.is_used_up


def test_a_replay_refuses_what_was_not_recorded(tmp_path: Path) -> None:
    recording = RecordingBackend(open_backend(f"sqlite:///{tmp_path}/a.db"))
    with ModelStore(backend=recording, clock_ns=SteppedClock()) as store:
        store.update("risk", "A", RISK, "anna", "x")
    recording.save(tmp_path / "a.conversation")
    replayed = ReplayedBackend.load(tmp_path / "a.conversation")
    with (
        ModelStore(backend=replayed, clock_ns=SteppedClock()) as store,
        pytest.raises(StoreError, match=r"append 1 is not the one.*recorded.*with the same clock"),
    ):
        store.update("risk", "A", RISK, "anna", "another comment")
    replayed = ReplayedBackend.load(tmp_path / "a.conversation")
    with ModelStore(backend=replayed, clock_ns=SteppedClock()) as store:
        store.update("risk", "A", RISK, "anna", "x")
        with pytest.raises(StoreError, match=r"has no as_of\(\('risk', 'Z', None\)\) after append 1"):
            store.fetch("risk", "Z")
        with pytest.raises(StoreError, match="ends after 1 appends"):
            store.update("risk", "A", RISK, "anna", "y")
    with pytest.raises(StoreError, match="closed"):
        replayed.load_heads(0)


def test_recorded_errors_are_raised_again(tmp_path: Path) -> None:
    recording = RecordingBackend(open_backend(f"sqlite:///{tmp_path}/a.db"))
    second = seal(make_content(2, "f" * 64))
    with pytest.raises(VersionConflictError) as recorded:
        recording.append([second])
    recording.save(tmp_path / "a.conversation")
    recording.close()
    replayed = ReplayedBackend.load(tmp_path / "a.conversation")
    with pytest.raises(VersionConflictError) as again:
        replayed.append([second])
    assert str(again.value) == str(recorded.value)


def test_a_recording_that_cannot_be_read_says_where(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="RecordingBackend"):
        ReplayedBackend.load(tmp_path / "none")
    recording = RecordingBackend(open_backend(f"sqlite:///{tmp_path}/a.db"))
    list(recording.history(HistoryQuery()))
    recording.close()
    recording.save(tmp_path / "a.conversation")
    path = tmp_path / "a.conversation"
    for damage in (b"{", b'{"epoch": "x"}', b"\xff"):
        path.write_bytes(path.read_bytes().splitlines()[0] + b"\n" + damage + b"\n")
        with pytest.raises(FileFormatError, match="line 2") as caught:
            ReplayedBackend.load(path)
        assert isinstance(caught.value, CalibrigError)
