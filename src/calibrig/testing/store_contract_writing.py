"""Writing: what is stored, what is refused, conflicts, gates, roll back, releases."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec

from calibrig.errors import (
    InvalidInputError,
    InvalidParametersError,
    RefusedError,
    VersionConflictError,
)
from calibrig.parameters import (
    Evidence,
    GateResult,
    Verdict,
)
from calibrig.store.record import Parameters, encode_parameters
from calibrig.testing.store_samples import (
    HAWKES,
    RECORDS,
    RISK,
    SteppedClock,
)
from calibrig.testing.store_suite import StoreSuite, raises

__all__ = ["WritingContract"]


class WritingContract(StoreSuite):
    """Writing: what is stored, what is refused, conflicts, gates, roll back, releases."""

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
            with raises(InvalidParametersError, "bogus"):
                store.update_hawkes_parameters("A", {"bogus": 1}, "anna", "x")
            with raises(InvalidParametersError, "lacks"):
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
                with raises(InvalidParametersError, next(iter(fields))):
                    store.update_hawkes_parameters("A", fields, "anna", "bad")
            assert len(store.history("hawkes", "A")) == 1

    def test_a_write_says_who_and_why(self, tmp_path: Path) -> None:
        """Blank authors and comments, wrong kinds and symbols are refused."""
        with self.opened(self.url(tmp_path)) as store:
            for author, comment in (("", "x"), ("anna", " "), ("a" * 201, "x"), ("anna", "x" * 10_001)):
                with raises(InvalidInputError, ""):
                    store.update("hawkes", "A", HAWKES, author, comment)
            for symbol in ("", " A", "A\n", "A\0", "x" * 201, "x" * 10_000_000):
                with raises(InvalidInputError, "symbol"):
                    store.update("hawkes", symbol, HAWKES, "anna", "x")
            with raises(InvalidInputError, "kind"):
                store.update("hawk", "A", HAWKES, "anna", "x")
            with raises(InvalidInputError, "HawkesParameters"):
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
                with raises(VersionConflictError, "at version 2"):
                    store.update("risk", "A", RISK, "anna", "x", expected_version=wrong)
            assert len(store.history("risk", "A")) == 2

    def test_a_failed_gate_needs_a_named_override(self, tmp_path: Path) -> None:
        """FAIL is not stored by accident; evidence and override travel with the version."""
        gate = GateResult(name="ks", value=0.5, limit="<= 0.02", passed=False, detail="both sides")
        evidence = Evidence(verdict=Verdict.FAIL, reason="ks", gates=(gate,), data_fingerprint="ab" * 32)
        url = self.url(tmp_path)
        with self.opened(url) as store:
            with raises(RefusedError, "override"):
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
            with raises(InvalidInputError, "1 .. 4"):
                store.rollback("risk", "A", version_id=5, updated_by="ben", comment="back")

    def test_a_release_is_written_whole_or_not_at_all(self, tmp_path: Path) -> None:
        """Publishing several kinds either changes all heads or none."""
        with self.opened(self.url(tmp_path)) as store:
            versions = store.publish("A", RECORDS, "anna", "release 1")
            assert [one.version_id for one in versions] == [1, 1, 1, 1]
            bad: dict[str, Parameters | dict[str, Any]] = {"hawkes": HAWKES, "risk": {"max_position": -1}}
            with raises(InvalidParametersError, "max_position"):
                store.publish("A", bad, "anna", "release 2")
            with raises(VersionConflictError, "risk/A"):
                store.publish("A", RECORDS, "anna", "release 2", expected_versions={"risk": 7})
            assert store.snapshot("A").versions == dict.fromkeys(RECORDS, 1)
