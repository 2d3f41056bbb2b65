"""The contract of a backend that keeps observations: inherit ``ObservationContract``, say how to open it, run pytest."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any, ClassVar

import pytest

from calibrig.errors import InvalidInputError
from calibrig.store import ModelStore, Observation
from calibrig.store.observations import DAY_NS, MAX_BATCH, MAX_READ
from calibrig.testing.store import HAWKES, QUOTING, RISK, SteppedClock

__all__ = ["ObservationContract", "make_observations"]

NOW_NS = 1_790_000_000_123_456_789


def make_observations(
    count: int, *, symbol: str = "BTCUSDT", metric: str = "device.p99_ns", start_ns: int = NOW_NS
) -> list[Observation]:
    """Return ``count`` observations, one per nanosecond, with values that need all bits of a double.

    Examples
    --------
    >>> [one.time_ns for one in make_observations(2, start_ns=5)]
    [5, 6]
    """
    return [
        Observation("latency", symbol, metric, start_ns + i, 400.0 + math.sqrt(i), "test")
        for i in range(count)
    ]


class ObservationContract:
    """Promises of every backend that keeps observations. Subclass it, name the class ``Test...``, define ``url``."""

    TESTS: ClassVar[int] = 10

    def url(self, folder: Path) -> str:
        """Return the URL of an empty store."""
        raise NotImplementedError("define url(folder) in the subclass")

    def opened(self, url: str, **options: Any) -> ModelStore:
        """Return a store whose clock stands at ``NOW_NS`` and moves with each look."""
        options.setdefault("clock_ns", SteppedClock(NOW_NS + 1_000_000))
        return ModelStore(url, **options)

    def test_an_empty_store_has_no_observations(self, tmp_path: Path) -> None:
        """Reading before anything was recorded, and expiring, are no errors."""
        with self.opened(self.url(tmp_path)) as store:
            assert store.observations() == []
            assert store.record_observations([]) == 0
            store.expire_observations()

    def test_what_was_recorded_is_read_exactly_by_time(self, tmp_path: Path) -> None:
        """Nanoseconds and doubles to the last bit, in any process, whatever the order of recording."""
        url = self.url(tmp_path)
        wanted = make_observations(2_500)
        with self.opened(url) as store:
            assert store.record_observations(reversed(wanted)) == len(wanted)
        with self.opened(url) as store:
            assert store.observations() == wanted

    def test_series_are_told_apart(self, tmp_path: Path) -> None:
        """By kind, symbol and metric; symbols and sources with any character."""
        one = Observation("quality", "A/B:*?[] 日本", "hawkes_r_squared", NOW_NS, 0.5, "ä 'quote\" %s {x}")
        two = Observation("quality", "A", "hawkes_r_squared", NOW_NS, -0.25, "me")
        three = Observation("staleness", "A", "hawkes_r_squared", NOW_NS, 1e300, "me")
        with self.opened(self.url(tmp_path)) as store:
            store.record_observations([one, two, three])
            assert store.observations("quality") == [two, one]
            assert store.observations(symbol="A") == [three, two] or store.observations(symbol="A") == [
                two,
                three,
            ]
            assert store.observations("quality", "A/B:*?[] 日本") == [one]
            assert store.observations(metric="nothing") == []
            assert len(store.observations(metric="hawkes_r_squared")) == 3

    def test_times_are_inclusive_and_the_newest_are_kept_by_a_limit(self, tmp_path: Path) -> None:
        """Exact to the nanosecond at both ends."""
        wanted = make_observations(50)
        with self.opened(self.url(tmp_path)) as store:
            store.record_observations(wanted)
            assert store.observations(since=NOW_NS + 10, until=NOW_NS + 12) == wanted[10:13]
            assert store.observations(until=NOW_NS) == wanted[:1]
            assert store.observations(since=NOW_NS + 50) == []
            assert store.observations(until=-1) == store.observations(since=2**63 - 1) == []
            assert store.observations(limit=3) == wanted[-3:]
            assert store.observations(until=NOW_NS + 9, limit=2) == wanted[8:10]

    def test_a_batch_given_again_is_not_kept_twice(self, tmp_path: Path) -> None:
        """So that a writing that broke off can be repeated."""
        wanted = make_observations(20)
        with self.opened(self.url(tmp_path)) as store:
            store.record_observations(wanted[:15])
            store.record_observations(wanted)
            store.record_observations([*wanted, *wanted])
            assert store.observations() == wanted

    def test_what_is_old_expires_and_versions_stay(self, tmp_path: Path) -> None:
        """Retention is of observations only."""
        clock = SteppedClock(NOW_NS + 1_000_000)
        with self.opened(self.url(tmp_path), clock_ns=clock, observation_days=30.0) as store:
            store.update_risk_parameters("BTCUSDT", RISK, "anna", "limits")
            early, late = make_observations(10), make_observations(10, start_ns=NOW_NS + 20 * DAY_NS)
            store.record_observations(early)
            clock.step(20)
            store.record_observations(late)
            store.expire_observations()
            assert store.observations() == [*early, *late]
            clock.step(10.01)
            store.expire_observations()
            assert store.observations() == late
            clock.step(400)
            store.expire_observations()
            assert store.observations() == []
            assert len(store.history()) == 1
            assert store.verify().ok

    def test_bad_batches_are_refused_whole(self, tmp_path: Path) -> None:
        """A stamp from the future, one that would expire at once, too many, something else."""
        good = make_observations(1)
        with self.opened(self.url(tmp_path), observation_days=10.0) as store:
            for bad, message in (
                (make_observations(1, start_ns=NOW_NS + 62 * 10**9), "in the future"),
                (make_observations(1, start_ns=NOW_NS - 11 * DAY_NS), "older than the 10 days"),
                ([("latency", "X", "m", 1, 1.0, "me")], "tuple"),
                (make_observations(MAX_BATCH), "10,000"),
            ):
                with pytest.raises(InvalidInputError, match=message):
                    store.record_observations([*good, *bad])
            assert store.observations() == []
            for fields in (
                {"value": math.nan}, {"value": math.inf}, {"value": True}, {"value": "1"}, {"value": None},
                {"kind": "other"}, {"symbol": ""}, {"symbol": "x" * 201}, {"metric": "Ä"}, {"metric": ""},
                {"metric": "a" * 65}, {"time_ns": -1}, {"time_ns": 1.5}, {"time_ns": True}, {"source": " "},
                {"source": "x" * 201}, {"source": "a\0b"}, {"source": "\ud800"}, {"source": 5},
            ):  # fmt: skip
                values = {
                    "kind": "latency",
                    "symbol": "X",
                    "metric": "m",
                    "time_ns": 1,
                    "value": 1.0,
                    "source": "me",
                }
                with pytest.raises(InvalidInputError):
                    Observation(**{**values, **fields})  # type: ignore[arg-type]
            for limit in (0, -1, MAX_READ + 1, True, 1.0):
                with pytest.raises(InvalidInputError, match="limit"):
                    store.observations(limit=limit)  # type: ignore[arg-type]
            with pytest.raises(InvalidInputError, match="kind"):
                store.observations("hawkes")

    def test_a_large_batch_is_one(self, tmp_path: Path) -> None:
        """As many as a call may hold, written and read whole."""
        wanted = make_observations(MAX_BATCH)
        with self.opened(self.url(tmp_path)) as store:
            assert store.record_observations(wanted) == MAX_BATCH
            found = store.observations()
            assert len(found) == MAX_BATCH
            assert found[:10] + found[-10:] == wanted[:10] + wanted[-10:]

    def test_many_writers_lose_nothing(self, tmp_path: Path) -> None:
        """Four stores record at once, each its own series and all a common one."""
        url = self.url(tmp_path)
        with self.opened(url):
            pass

        def write(number: int) -> None:
            with self.opened(url) as store:
                for step in range(10):
                    start = NOW_NS + 1_000 * (10 * number + step)
                    store.record_observations(make_observations(20, metric=f"m{number}", start_ns=start))
                    store.record_observations(make_observations(20, metric="common", start_ns=start))

        threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with self.opened(url) as store:
            assert [len(store.observations(metric=f"m{number}")) for number in range(4)] == [200] * 4
            assert len(store.observations(metric="common")) == 800

    def test_quality_staleness_and_latency_are_recorded(self, tmp_path: Path) -> None:
        """What the store knows of itself; figures that are not known are left out."""
        statistics = {"count": 3, "mean": 400.5, "p50": 400.0, "p99": 401.0, "failure_count": 1}
        with self.opened(self.url(tmp_path)) as store:
            store.update_hawkes_parameters("BTCUSDT", HAWKES, "anna", "fit")
            store.update_as_parameters("BTCUSDT", QUOTING, "anna", "fit")
            store.load_default_parameters("NEW")
            recorded = store.observe(source="test")
            assert sorted(store.observations()) == sorted(recorded)
            (quality,) = store.observations("quality", "BTCUSDT", "hawkes_r_squared")
            assert (quality.value, quality.source) == (0.87, "test")
            assert store.observations("quality", "NEW", "hawkes_r_squared") == []
            assert store.observations("staleness", "NEW", "calibration_unknown")[0].value == 1.0
            assert store.observations("staleness", "*", "stale")[0].value == 0.0
            assert store.record_latency("BTCUSDT", {"count": 0}) == []
            store.record_latency("BTCUSDT", statistics, path="roundtrip")
            found = {one.metric: one.value for one in store.observations("latency")}
            assert found == {
                "roundtrip.count": 3.0, "roundtrip.mean_ns": 400.5, "roundtrip.p50_ns": 400.0,
                "roundtrip.p99_ns": 401.0, "roundtrip.failure_count": 1.0,
            }  # fmt: skip
