"""History: filters, differences, export, and the chain that finds what was changed."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

import msgspec

from calibrig.errors import (
    CorruptRecordError,
    InvalidInputError,
    StoreError,
)
from calibrig.testing.store_samples import (
    HAWKES,
    RECORDS,
    RISK,
    SteppedClock,
)
from calibrig.testing.store_suite import StoreSuite, raises

__all__ = ["HistoryContract"]


class HistoryContract(StoreSuite):
    """History: filters, differences, export, and the chain that finds what was changed."""

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
                with raises((CorruptRecordError, InvalidInputError), name):
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

    def test_fetch_never_gives_a_changed_version(self, tmp_path: Path) -> None:
        """A head that was changed behind the store is refused, or the good one is given; and none of another key."""
        if not self.can_tamper:
            return
        url = self.url(tmp_path)
        with self.opened(url) as store:
            for limit in (10, 20):
                store.update("risk", "A", msgspec.structs.replace(RISK, max_position=limit), "anna", "x")
            self.raw_tamper(
                url,
                "risk",
                "A",
                2,
                lambda payload: payload.replace(b'"max_position":20', b'"max_position":90'),
            )
            found: object = None
            with suppress(CorruptRecordError):
                found = store.fetch("risk", "A")
            assert getattr(found, "max_position", 20) == 20

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
