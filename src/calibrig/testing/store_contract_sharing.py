"""Several openers, and the life of one: pushes, writers, age, clocks, closing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from calibrig.errors import (
    StoreError,
)
from calibrig.store import ModelStore
from calibrig.testing.store_samples import (
    HAWKES,
    QUOTING,
    RISK,
    SteppedClock,
    wait_until,
)
from calibrig.testing.store_suite import StoreSuite, raises

__all__ = ["SharingContract"]


class SharingContract(StoreSuite):
    """Several openers, and the life of one: pushes, writers, age, clocks, closing."""

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
            assert wait_until(lambda: not store.stale)

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
            with raises(StoreError, "initialize"):
                call()
        store.initialize()
        store.initialize()
        store.update("risk", "A", RISK, "anna", "x")
        store.close()
        store.close()
        for call in calls:
            with raises(StoreError, ""):
                call()

    def test_no_thread_is_left_behind(self, tmp_path: Path) -> None:
        """Closing ends the watcher."""
        before = threading.active_count()
        for _ in range(3):
            with self.opened(self.url(tmp_path)):
                pass
        assert wait_until(lambda: threading.active_count() <= before)
