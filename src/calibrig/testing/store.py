"""The contract of a store backend: inherit ``StoreContract``, say how to open it, and run pytest.

A backend is held to it through ``ModelStore`` and through ``raw_*`` functions that bypass the store, so that a backend
cannot pass by agreeing with itself. ``CONTRACT_TESTS`` is how many tests a complete run has; a suite that silently ran
fewer is a failure (``check_contract_was_run``).
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from calibrig.errors import (
    CorruptRecordError,
    InvalidInputError,
    InvalidParametersError,
    RefusedError,
    StoreError,
    VersionConflictError,
)
from calibrig.parameters import (
    FEATURE_NAMES,
    AvellanedaStoikovParameters,
    Evidence,
    GateResult,
    HawkesParameters,
    RiskParameters,
    SignalModel,
    Verdict,
)
from calibrig.store import Backend, HistoryQuery, ModelStore, Stored
from calibrig.store.record import Content, Parameters, encode_parameters, seal

__all__ = [
    "HAWKES",
    "QUOTING",
    "RISK",
    "SIGNAL",
    "SteppedClock",
    "StoreContract",
    "contract_tests",
    "wait_until",
]

HAWKES = HawkesParameters(
    alpha_self=0.31,
    alpha_cross=0.09,
    beta=0.47,
    gamma=2.13,
    lambda_base=2.5,
    profile=(1.5, 0.5),
    calibration_r_squared=0.87,
    calibration_samples=1_200_000,
)
QUOTING = AvellanedaStoikovParameters(
    gamma=0.1,
    sigma=0.5,
    kappa=1.5,
    time_horizon_seconds=600.0,
    arrival_rate=1.0,
    reference_price=100.0,
    tick_size=0.01,
    lot_size=1.0,
    backtest_sharpe=2.5,
    backtest_pnl=1000.0,
)
RISK = RiskParameters(
    max_position=100,
    normal_volatility_threshold=2.0,
    elevated_volatility_threshold=3.0,
    high_stress_volatility_threshold=5.0,
)
SIGNAL = SignalModel(
    feature_offset=(0.0,) * len(FEATURE_NAMES),
    feature_scale=(1.0,) * len(FEATURE_NAMES),
    weights=tuple(range(len(FEATURE_NAMES))),
    skill_r_squared=0.02,
)
RECORDS: dict[str, Parameters] = {"hawkes": HAWKES, "quoting": QUOTING, "risk": RISK, "signal": SIGNAL}
DAY_NS = 86_400 * 10**9


class SteppedClock:
    """A wall clock that tests set; every reading is one microsecond later.

    Examples
    --------
    >>> clock = SteppedClock(1_000)
    >>> clock(), clock()
    (2000, 3000)
    """

    def __init__(self, start_ns: int = 1_700_000_000 * 10**9) -> None:
        self.now_ns = start_ns

    def __call__(self) -> int:
        """Return the time, ns."""
        self.now_ns += 1_000
        return self.now_ns

    def step(self, days: float) -> None:
        """Move the clock by ``days``, also backwards."""
        self.now_ns += round(days * DAY_NS)


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> bool:
    """Return whether ``condition`` came true within ``timeout_s``."""
    until = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.001)
    return True


def make_content(number: int, previous_hash: str, *, symbol: str = "RAW", updated_at: int = 1) -> Content:
    """Return version ``number`` of a key, for tests that bypass the store."""
    return Content(
        kind="hawkes",
        symbol=symbol,
        version_id=number,
        updated_at=updated_at,
        updated_by="raw",
        comment=f"raw {number}",
        origin="manual",
        parameters=msgspec.Raw(encode_parameters(msgspec.structs.replace(HAWKES, beta=0.1 + number / 1000))),
        calibrated_at=updated_at,
        previous_hash=previous_hash,
    )


def contract_tests(suite: type) -> list[str]:
    """Return the names of the contract's tests that ``suite`` has.

    Examples
    --------
    >>> len(contract_tests(StoreContract)) == StoreContract.TESTS
    True
    """
    return [name for name in dir(suite) if name.startswith("test_")]


class StoreContract:
    """Promises every backend keeps. Subclass it, name the class ``Test...``, and define ``url``.

    Class attributes say what a backend can do: ``shares`` (two opens see the same versions), ``pushes``
    (others learn of a write within ``push_timeout_s``), ``can_tamper`` (``raw_tamper`` is defined).
    """

    TESTS: ClassVar[int] = 32
    shares: ClassVar[bool] = True
    pushes: ClassVar[bool] = True
    can_tamper: ClassVar[bool] = True
    push_timeout_s: ClassVar[float] = 10.0

    # -- what a backend's suite defines -----------------------------------------------------------------------------

    def url(self, folder: Path) -> str:
        """Return the URL of an empty store."""
        raise NotImplementedError("define url(folder) in the subclass")

    def open_raw(self, url: str) -> Backend:
        """Open the backend itself, bypassing ModelStore."""
        from calibrig.store.urls import open_backend

        return open_backend(url)

    def raw_tamper(
        self, url: str, kind: str, symbol: str, version_id: int, change: Callable[[bytes], bytes]
    ) -> None:
        """Change the stored payload of one version behind the store's back."""
        raise NotImplementedError("define raw_tamper or set can_tamper = False")

    # -- how the tests open it ---------------------------------------------------------------------------------------

    @contextmanager
    def opened(self, url: str, **options: Any) -> Iterator[ModelStore]:
        """Open a store and close it."""
        with ModelStore(url, **options) as store:
            yield store

    # -- reading and writing -------------------------------------------------------------------------------------------

    def test_an_empty_store_has_nothing(self, tmp_path: Path) -> None:
        """Reads of unknown keys are None, not errors."""
        with self.opened(self.url(tmp_path)) as store:
            assert store.get_hawkes_parameters("X") is None
            assert store.get_as_parameters("X") is None
            assert store.get_risk_parameters("X") is None
            assert store.get_signal_model("X") is None
            assert store.fetch("hawkes", "X") is None
            assert store.as_of("hawkes", "X", 2**62) is None
            assert store.history() == []
            assert store.snapshot("X").versions == {}
            assert store.symbols() == ()

    def test_what_was_written_is_read_exactly(self, tmp_path: Path) -> None:
        """Every kind, every field, to the last bit; times to the nanosecond."""
        clock = SteppedClock(1_733_000_000_123_456_789)
        url = self.url(tmp_path)
        with self.opened(url, clock_ns=clock) as store:
            for kind, record in RECORDS.items():
                version = store.update(kind, "BTC/USDT", record, "anna", f"first {kind}")
                assert version.version_id == 1
                assert version.updated_at % 1000 == 789
        with self.opened(url, clock_ns=clock) as store:
            for kind, record in RECORDS.items():
                for found in (store.get(kind, "BTC/USDT"), store.fetch(kind, "BTC/USDT")):
                    assert found is not None
                    assert encode_parameters(found) == encode_parameters(record)
                    assert found.version is not None
                    assert found.version.comment == f"first {kind}"

    def test_versions_count_from_one_per_key(self, tmp_path: Path) -> None:
        """Keys do not share numbers."""
        with self.opened(self.url(tmp_path)) as store:
            for expected in (1, 2, 3):
                assert store.update("hawkes", "A", HAWKES, "anna", "x").version_id == expected
            assert store.update("hawkes", "B", HAWKES, "anna", "x").version_id == 1
            assert store.update("risk", "A", RISK, "anna", "x").version_id == 1
            assert store.symbols() == ("A", "B")

    def test_a_dict_changes_only_its_fields(self, tmp_path: Path) -> None:
        """Missing fields come from the head; stale quality figures do not."""
        with self.opened(self.url(tmp_path)) as store:
            store.update_hawkes_parameters("A", HAWKES, "anna", "first")
            store.update_hawkes_parameters("A", {"beta": 0.5}, "anna", "beta")
            found = store.get_hawkes_parameters("A")
            assert found is not None
            assert (found.alpha_self, found.beta, found.calibration_r_squared) == (0.31, 0.5, None)
            with _raises(InvalidParametersError, "bogus"):
                store.update_hawkes_parameters("A", {"bogus": 1}, "anna", "x")
            with _raises(InvalidParametersError, "lacks"):
                store.update_hawkes_parameters("NEW", {"beta": 0.5}, "anna", "x")

    def test_impossible_values_are_refused_on_every_path(self, tmp_path: Path) -> None:
        """NaN, infinities, booleans, text, overflow; and nothing is written."""
        numbers: list[Any] = [math.nan, math.inf, -math.inf, True, "0.5", None, -1.0, [], 10**400]
        bad: list[dict[str, Any]] = [{"beta": value} for value in numbers]
        bad += [{"calibration_samples": value} for value in (2**63, 1.5, "7", True)]
        bad += [{"profile": value} for value in ([math.nan], ["1"], [2.0], [], 1.0)]
        with self.opened(self.url(tmp_path)) as store:
            store.update_hawkes_parameters("A", HAWKES, "anna", "first")
            for fields in bad:
                with _raises(InvalidParametersError, next(iter(fields))):
                    store.update_hawkes_parameters("A", fields, "anna", "bad")
            assert len(store.history("hawkes", "A")) == 1

    def test_a_write_says_who_and_why(self, tmp_path: Path) -> None:
        """Blank authors and comments, wrong kinds and symbols are refused."""
        with self.opened(self.url(tmp_path)) as store:
            for author, comment in (("", "x"), ("anna", " "), ("a" * 201, "x"), ("anna", "x" * 10_001)):
                with _raises(InvalidInputError, ""):
                    store.update("hawkes", "A", HAWKES, author, comment)
            for symbol in ("", " A", "A\n", "A\0", "x" * 201, "x" * 10_000_000):
                with _raises(InvalidInputError, "symbol"):
                    store.update("hawkes", symbol, HAWKES, "anna", "x")
            with _raises(InvalidInputError, "kind"):
                store.update("hawk", "A", HAWKES, "anna", "x")
            with _raises(InvalidInputError, "HawkesParameters"):
                store.update("hawkes", "A", RISK, "anna", "x")
            assert store.history() == []

    def test_text_survives_unchanged(self, tmp_path: Path) -> None:
        """Quotes, newlines, other scripts and emoji in comment, author and symbol."""
        comment = 'he said "no"\n\t\\ \u2028 Größe 日本語 🚀 {"a": [1]} %s $1 \x7f'
        url = self.url(tmp_path)
        with self.opened(url) as store:
            store.update("risk", "Ünïcode/日本:*?[]", RISK, "O'Brien", comment)
        with self.opened(url) as store:
            (record,) = store.history("risk", "Ünïcode/日本:*?[]")
            assert (record.version.comment, record.version.updated_by) == (comment, "O'Brien")

    # -- conflicts, gates, rollback ------------------------------------------------------------------------------

    def test_expected_version_conflicts_name_the_head(self, tmp_path: Path) -> None:
        """A write from an old version is refused with the present number."""
        with self.opened(self.url(tmp_path)) as store:
            store.update("risk", "A", RISK, "anna", "x", expected_version=0)
            store.update("risk", "A", RISK, "anna", "x", expected_version=1)
            for wrong in (0, 1, 3):
                with _raises(VersionConflictError, "at version 2"):
                    store.update("risk", "A", RISK, "anna", "x", expected_version=wrong)
            assert len(store.history("risk", "A")) == 2

    def test_a_failed_gate_needs_a_named_override(self, tmp_path: Path) -> None:
        """FAIL is not stored by accident; evidence and override travel with the version."""
        gate = GateResult(name="ks", value=0.5, limit="<= 0.02", passed=False, detail="both sides")
        evidence = Evidence(verdict=Verdict.FAIL, reason="ks", gates=(gate,), data_fingerprint="ab" * 32)
        url = self.url(tmp_path)
        with self.opened(url) as store:
            with _raises(RefusedError, "override"):
                store.update("hawkes", "A", HAWKES, "bot", "x", evidence=evidence)
            assert store.history() == []
            store.update(
                "hawkes", "A", HAWKES, "bot", "x", evidence=evidence, override="anna: test desk only"
            )
        with self.opened(url) as store:
            head = store.head("hawkes", "A")
            assert head is not None
            assert head.evidence == evidence
            assert head.override == "anna: test desk only"
            assert head.version.origin == "calibrated"

    def test_rollback_is_a_new_version(self, tmp_path: Path) -> None:
        """Old content, new number; what was never there cannot come back."""
        with self.opened(self.url(tmp_path)) as store:
            for limit in (10, 20, 30):
                store.update(
                    "risk", "A", msgspec.structs.replace(RISK, max_position=limit), "anna", str(limit)
                )
            version = store.rollback("risk", "A", version_id=1, updated_by="ben", comment="back")
            assert (version.version_id, version.origin) == (4, "rollback")
            found = store.get_risk_parameters("A")
            assert found is not None
            assert found.max_position == 10
            assert [one.parameters.max_position for one in store.history("risk", "A")] == [10, 20, 30, 10]  # type: ignore[union-attr]
            with _raises(InvalidInputError, "1 .. 4"):
                store.rollback("risk", "A", version_id=5, updated_by="ben", comment="back")

    def test_a_release_is_written_whole_or_not_at_all(self, tmp_path: Path) -> None:
        """Publishing several kinds either changes all heads or none."""
        with self.opened(self.url(tmp_path)) as store:
            versions = store.publish("A", RECORDS, "anna", "release 1")
            assert [one.version_id for one in versions] == [1, 1, 1, 1]
            bad: dict[str, Parameters | dict[str, Any]] = {"hawkes": HAWKES, "risk": {"max_position": -1}}
            with _raises(InvalidParametersError, "max_position"):
                store.publish("A", bad, "anna", "release 2")
            with _raises(VersionConflictError, "risk/A"):
                store.publish("A", RECORDS, "anna", "release 2", expected_versions={"risk": 7})
            assert store.snapshot("A").versions == dict.fromkeys(RECORDS, 1)

    # -- history -----------------------------------------------------------------------------------------------------

    def test_history_filters_by_key_time_and_author(self, tmp_path: Path) -> None:
        """All of them, alone and together; bounds are inclusive."""
        clock = SteppedClock()
        with self.opened(self.url(tmp_path), clock_ns=clock) as store:
            stamps = [
                store.update(kind, symbol, RECORDS[kind], author, "x").updated_at
                for kind, symbol, author in (
                    ("risk", "A", "anna"),
                    ("risk", "A", "ben"),
                    ("risk", "B", "anna"),
                    ("hawkes", "A", "anna"),
                )
            ]
            assert len(store.history()) == 4
            assert len(store.history("risk")) == 3
            assert len(store.history(symbol="A")) == 3
            assert len(store.history("risk", "A", updated_by="anna")) == 1
            assert len(store.history(since=stamps[1])) == 3
            assert len(store.history(until=stamps[1])) == 2
            assert len(store.history(since=stamps[1], until=stamps[2])) == 2
            assert [one.version.version_id for one in store.history("risk", "A")] == [1, 2]

    def test_as_of_is_what_was_live_then(self, tmp_path: Path) -> None:
        """To the nanosecond, before the first version too."""
        clock = SteppedClock()
        with self.opened(self.url(tmp_path), clock_ns=clock) as store:
            stamps = [store.update("risk", "A", RISK, "anna", "x").updated_at for _ in range(3)]
            for number, stamp in enumerate(stamps, start=1):
                found, before = store.as_of("risk", "A", stamp), store.as_of("risk", "A", stamp - 1)
                assert found is not None
                assert found.version.version_id == number
                assert (before.version.version_id if before else 0) == number - 1

    def test_diff_names_each_field(self, tmp_path: Path) -> None:
        """Field, before, after, relative change."""
        with self.opened(self.url(tmp_path)) as store:
            store.update("hawkes", "A", HAWKES, "anna", "x")
            store.update("hawkes", "A", {"beta": 0.94, "profile": (0.5, 1.5)}, "anna", "x")
            found = {one.field: one for one in store.diff("hawkes", "A", 1, 2)}
            assert set(found) == {
                "beta",
                "profile[0]",
                "profile[1]",
                "calibration_r_squared",
                "calibration_samples",
            }
            assert (found["beta"].before, found["beta"].after) == (0.47, 0.94)
            assert math.isclose(found["beta"].relative or 0.0, 1.0)
            assert store.diff("hawkes", "A", 2) == ()
            assert [one.field for one in store.preview("hawkes", "A", {"gamma": 2.5})] == ["gamma"]

    def test_export_and_import_carry_everything(self, tmp_path: Path) -> None:
        """Another store has the same versions, hashes and links; twice is once."""
        first, second = tmp_path / "first", tmp_path / "second"
        first.mkdir()
        second.mkdir()
        with self.opened(self.url(first)) as store:
            for kind, record in RECORDS.items():
                store.update(kind, "A", record, "anna", "x")
                store.update(kind, "A", record, "ben", "y")
            expected = store.history()
            assert store.export_to(tmp_path / "all.calibrig") == 8
        with self.opened(self.url(second)) as store:
            assert store.import_from(tmp_path / "all.calibrig") == 8
            assert store.import_from(tmp_path / "all.calibrig") == 0
            assert store.history() == expected
            assert store.verify().ok
            store.update("risk", "A", RISK, "ben", "goes on")
        data = (tmp_path / "all.calibrig").read_bytes()
        (tmp_path / "bad.calibrig").write_bytes(data.replace(b"0.47", b"0.48", 1))
        (tmp_path / "cut.calibrig").write_bytes(data[: len(data) // 2])
        with self.opened(self.url(second)) as store:
            for name in ("bad", "cut"):
                with _raises((CorruptRecordError, InvalidInputError), name):
                    store.import_from(tmp_path / f"{name}.calibrig")

    # -- chain ---------------------------------------------------------------------------------------------------------

    def test_the_chain_links_every_version(self, tmp_path: Path) -> None:
        """Each names the hash of the one before; verify counts them all."""
        with self.opened(self.url(tmp_path)) as store:
            for _ in range(5):
                store.update("risk", "A", RISK, "anna", "x")
            records = store.history("risk", "A")
            assert records[0].previous_hash == "0" * 64
            assert [one.previous_hash for one in records[1:]] == [one.hash for one in records[:-1]]
            report = store.verify()
            assert (report.ok, report.records, report.keys) == (True, 5, 1)
            assert report.anchor.heads == {"risk/A": (5, records[-1].hash)}

    def test_a_changed_byte_is_found(self, tmp_path: Path) -> None:
        """Whatever byte of a stored version is changed, opening or verifying says so."""
        if not self.can_tamper:
            return
        url = self.url(tmp_path)
        with self.opened(url) as store:
            for _ in range(3):
                store.update("risk", "A", RISK, "anna", "x")

        def change(payload: bytes) -> bytes:
            return payload.replace(b'"max_position":100', b'"max_position":900')

        self.raw_tamper(url, "risk", "A", 2, change)
        assert self.finds_damage(url)

    def finds_damage(self, url: str) -> bool:
        """Whether opening or verifying the store reports damage."""
        try:
            with self.opened(url) as store:
                return not store.verify().ok
        except StoreError:
            return True

    def test_an_anchor_finds_a_cut_tail(self, tmp_path: Path) -> None:
        """The anchor of a longer history does not fit a shorter one, nor another store."""
        with self.opened(self.url(tmp_path)) as store:
            for _ in range(3):
                store.update("risk", "A", RISK, "anna", "x")
            anchor = store.verify().anchor
            assert store.verify(anchor).ok
            store.update("risk", "A", RISK, "anna", "x")
            assert store.verify(anchor).ok
            number, digest = anchor.heads["risk/A"]
            longer = msgspec.structs.replace(anchor, heads={"risk/A": (number + 9, digest)})
            other = msgspec.structs.replace(anchor, heads={"risk/A": (number, "f" * 64)})
            foreign = msgspec.structs.replace(anchor, store_id="another")
            gone = msgspec.structs.replace(anchor, heads={"risk/Z": (1, digest)})
            for wrong in (longer, other, foreign, gone):
                assert not store.verify(wrong).ok

    # -- the backend itself, without the store -------------------------------------------------------------------------

    def test_append_refuses_what_does_not_follow(self, tmp_path: Path) -> None:
        """Wrong number, wrong link, second of a batch wrong: nothing of it is kept."""
        backend = self.open_raw(self.url(tmp_path))
        try:
            first = seal(make_content(1, "0" * 64))
            second = seal(make_content(2, first.hash))
            with _raises(VersionConflictError, "RAW"):
                backend.append([second])
            backend.append([first])
            with _raises(VersionConflictError, "RAW"):
                backend.append([first])
            with _raises(VersionConflictError, "RAW"):
                backend.append([seal(make_content(2, "f" * 64))])
            other = seal(make_content(1, "0" * 64, symbol="OTHER"))
            with _raises(VersionConflictError, "RAW"):
                backend.append([other, seal(make_content(3, second.hash))])
            assert backend.as_of("hawkes", "OTHER", None) is None
            backend.append([other, second, seal(make_content(3, second.hash))])
            assert len(list(backend.history(HistoryQuery(symbol="RAW")))) == 3
        finally:
            backend.close()

    def test_bytes_come_back_as_they_were(self, tmp_path: Path) -> None:
        """Payload and hash, through heads, history and as_of."""
        backend = self.open_raw(self.url(tmp_path))
        try:
            first = seal(make_content(1, "0" * 64, updated_at=1_733_000_000_123_456_789))
            backend.append([first])
            expected = (first.payload, first.hash)
            found = [
                backend.load_heads(0).heads[0],
                next(iter(backend.history(HistoryQuery()))),
                backend.as_of("hawkes", "RAW", None),
                backend.as_of("hawkes", "RAW", 1_733_000_000_123_456_789),
            ]
            for one in found:
                assert isinstance(one, Stored)
                assert (one.payload, one.hash) == expected
            assert backend.as_of("hawkes", "RAW", 1_733_000_000_123_456_788) is None
        finally:
            backend.close()

    def test_load_heads_tells_only_what_changed(self, tmp_path: Path) -> None:
        """Only keys that changed after the number asked for, each once."""
        backend = self.open_raw(self.url(tmp_path))
        try:
            assert backend.load_heads(0).heads == ()
            first = seal(make_content(1, "0" * 64, symbol="A"))
            backend.append([first, seal(make_content(1, "0" * 64, symbol="B"))])
            loaded = backend.load_heads(0)
            assert len(loaded.heads) == 2
            second = seal(make_content(2, first.hash, symbol="A"))
            backend.append([second, seal(make_content(3, second.hash, symbol="A"))])
            later = backend.load_heads(loaded.change)
            assert [msgspec.json.decode(one.payload)["version_id"] for one in later.heads] == [3]
            assert later.change > loaded.change
            assert backend.load_heads(later.change).heads == ()
            assert loaded.store_id == later.store_id != ""
        finally:
            backend.close()

    def test_wait_returns_in_time_and_at_close(self, tmp_path: Path) -> None:
        """A timeout is kept; closing ends a wait in another thread; closing twice is safe."""
        backend = self.open_raw(self.url(tmp_path))
        start = time.monotonic()
        backend.wait(0.05)
        assert time.monotonic() - start < 5.0
        thread = threading.Thread(target=lambda: _quietly(lambda: backend.wait(60.0)))
        thread.start()
        time.sleep(0.05)
        backend.close()
        thread.join(10.0)
        assert not thread.is_alive()
        backend.close()

    # -- several openers ---------------------------------------------------------------------------------------------

    def test_another_opener_learns_of_a_write(self, tmp_path: Path) -> None:
        """Pushed to the reader's view with no call of its own; subscribers are told, in order, once."""
        if not self.pushes:
            return
        url = self.url(tmp_path)
        with self.opened(url) as writer, self.opened(url) as reader:
            told: list[int] = []
            end = reader.subscribe(lambda version: told.append(version.version_id))
            for number in (1, 2, 3):
                writer.update("risk", "A", RISK, "anna", "x")
                assert wait_until(lambda: told[-1:] == [number], self.push_timeout_s)  # noqa: B023
                found = reader.get_risk_parameters("A")
                assert found is not None
                assert found.version is not None
                assert found.version.version_id == number
            end()
            writer.update("risk", "A", RISK, "anna", "x")
            assert wait_until(lambda: reader.snapshot("A").versions == {"risk": 4}, self.push_timeout_s)
            assert told == [1, 2, 3]

    def test_a_failing_subscriber_stops_nothing(self, tmp_path: Path) -> None:
        """The writer's call succeeds and later subscribers are told."""
        with self.opened(self.url(tmp_path)) as store:
            told: list[int] = []

            def fail(version: object) -> None:
                raise ValueError(f"a subscriber's own mistake with {version}")

            store.subscribe(fail)
            store.subscribe(lambda version: told.append(version.version_id))
            store.update("risk", "A", RISK, "anna", "x")
            assert told == [1]
            assert not store.stale

    def test_writers_lose_nothing(self, tmp_path: Path) -> None:
        """Four openers, four threads, one key: every update has its own number, without gaps."""
        url, each = self.url(tmp_path), 8
        if not self.shares:
            return
        numbers: list[int] = []

        def write(author: str) -> None:
            with self.opened(url) as store:
                for index in range(each):
                    numbers.append(store.update("risk", "A", RISK, author, str(index)).version_id)

        threads = [threading.Thread(target=write, args=(f"writer {index}",)) for index in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120.0)
        assert sorted(numbers) == list(range(1, 4 * each + 1))
        with self.opened(url) as store:
            records = store.history("risk", "A")
            assert [one.version.version_id for one in records] == list(range(1, 4 * each + 1))
            assert {(one.version.updated_by, one.version.comment) for one in records} == {
                (f"writer {writer}", str(index)) for writer in range(4) for index in range(each)
            }
            assert store.verify().ok

    def test_readers_see_whole_releases_that_never_go_back(self, tmp_path: Path) -> None:
        """While releases are published, each snapshot is of one release, and releases only advance."""
        url = self.url(tmp_path)
        if not self.shares:
            return
        seen: list[int] = []
        mixed: list[dict[str, int]] = []
        done = threading.Event()
        with self.opened(url) as writer, self.opened(url) as reader:

            def read() -> None:
                while not done.is_set():
                    versions = reader.snapshot("A").versions
                    if len(set(versions.values())) > 1 or len(versions) not in {0, 2}:
                        mixed.append(versions)
                    seen.append(versions.get("risk", 0))

            thread = threading.Thread(target=read)
            thread.start()
            for _ in range(15):
                writer.publish("A", {"hawkes": HAWKES, "risk": RISK}, "anna", "x")
            assert wait_until(lambda: reader.snapshot("A").versions.get("risk") == 15, self.push_timeout_s)
            done.set()
            thread.join(30.0)
        assert mixed == []
        assert seen == sorted(seen)

    # -- age, clock, life cycle -----------------------------------------------------------------------------------------

    def test_age_and_recalibration(self, tmp_path: Path) -> None:
        """Old, partial, default and rolled back calibrations need a new one; quality says why."""
        clock = SteppedClock()
        week = 7 * 24 * 3600
        with self.opened(self.url(tmp_path), clock_ns=clock) as store:
            assert store.needs_recalibration("A", week)
            store.update("hawkes", "A", HAWKES, "anna", "x")
            assert store.needs_recalibration("A", week)
            store.update("quoting", "A", QUOTING, "anna", "x")
            assert not store.needs_recalibration("A", week)
            clock.step(8)
            assert store.needs_recalibration("A", week)
            store.update("hawkes", "A", {"beta": 0.5}, "anna", "a tweak is no calibration")
            store.rollback("quoting", "A", version_id=1, updated_by="anna", comment="nor is a rollback")
            assert store.needs_recalibration("A", week)
            store.publish("A", {"hawkes": HAWKES, "quoting": QUOTING}, "anna", "calibrated")
            assert not store.needs_recalibration("A", week)
            (quality,) = store.get_calibration_quality()
            assert (quality.symbol, quality.hawkes_r_squared, quality.as_sharpe) == ("A", 0.87, 2.5)
            assert quality.age_s < 60.0

    def test_a_clock_that_steps_makes_nothing_fresh(self, tmp_path: Path) -> None:
        """Back 8 days: not younger; stamps 8 days ahead: not fresh; order stays that of the numbers."""
        clock = SteppedClock()
        elapsed = [0]
        options: dict[str, Any] = {"clock_ns": clock, "monotonic_ns": lambda: elapsed[0] * 10**9}
        url, week = self.url(tmp_path), 7 * 24 * 3600
        with ModelStore(url, **options) as store:
            store.publish("A", {"hawkes": HAWKES, "quoting": QUOTING}, "anna", "x")
            elapsed[0] += 8 * 86_400  # eight days pass, and the clock was set back by as many
            assert store.needs_recalibration("A", week)
        clock.step(8)
        with self.opened(url, clock_ns=clock) as store:
            store.publish("A", {"hawkes": HAWKES, "quoting": QUOTING}, "anna", "stamped in the future")
        clock.step(-8)
        with self.opened(url, clock_ns=clock) as store:
            assert store.needs_recalibration("A", week)
            store.update("hawkes", "A", HAWKES, "anna", "after the step")
            records = store.history("hawkes", "A")
            assert [one.version.version_id for one in records] == [1, 2, 3]
            assert any("clock" in text for text in records[2].warnings)
            found = store.as_of("hawkes", "A", clock())
            assert found is not None
            assert found.version.version_id == 3

    def test_defaults_say_that_they_are(self, tmp_path: Path) -> None:
        """Origin default, no quality figures, never over what is there, always due for calibration."""
        with self.opened(self.url(tmp_path)) as store:
            store.update("hawkes", "A", HAWKES, "anna", "x")
            versions = store.load_default_parameters("A")
            assert {(one.kind, one.origin) for one in versions} == {
                ("quoting", "default"),
                ("risk", "default"),
            }
            quoting = store.get_as_parameters("A")
            assert quoting is not None
            assert quoting.backtest_sharpe is None
            assert store.load_default_parameters("A") == ()
            assert store.needs_recalibration("A", 1e9)

    def test_unusual_values_are_stored_with_a_warning(self, tmp_path: Path) -> None:
        """Outside the typical ranges is allowed, and said."""
        with self.opened(self.url(tmp_path)) as store:
            store.update("hawkes", "A", msgspec.structs.replace(HAWKES, alpha_self=0.9), "anna", "x")
            head = store.head("hawkes", "A")
            assert head is not None
            assert head.warnings == ("alpha_self is 0.9, typically 0.1 to 0.5",)

    def test_life_cycle(self, tmp_path: Path) -> None:
        """Before initialize and after close every call says so; both are safe twice."""
        store = ModelStore(self.url(tmp_path))
        calls: list[Callable[[], object]] = [
            lambda: store.get_risk_parameters("A"),
            lambda: store.snapshot("A"),
            lambda: store.update("risk", "A", RISK, "anna", "x"),
            lambda: store.fetch("risk", "A"),
            store.history,
            store.verify,
        ]
        for call in calls:
            with _raises(StoreError, "initialize"):
                call()
        store.initialize()
        store.initialize()
        store.update("risk", "A", RISK, "anna", "x")
        store.close()
        store.close()
        for call in calls:
            with _raises(StoreError, ""):
                call()

    def test_no_thread_is_left_behind(self, tmp_path: Path) -> None:
        """Closing ends the watcher."""
        before = threading.active_count()
        for _ in range(3):
            with self.opened(self.url(tmp_path)):
                pass
        assert wait_until(lambda: threading.active_count() <= before)


@contextmanager
def _raises(kinds: type[Exception] | tuple[type[Exception], ...], words: str) -> Iterator[None]:
    """Assert that the block raises one of ``kinds`` with ``words`` in its message."""
    try:
        yield
    except kinds as error:
        if words not in str(error):
            raise AssertionError(f"{words!r} is not in {str(error)[:500]!r}") from error
        return
    raise AssertionError(f"{kinds} was not raised")


def _quietly(call: Callable[[], object]) -> None:
    try:
        call()
    except StoreError:
        return
