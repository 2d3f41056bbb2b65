"""Observations of the file backends against a plain list: any order of recording, repeating, expiring and asking."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibrig import ModelStore
from calibrig.store import Observation
from calibrig.store.observations import DAY_NS

NOW_NS = 1_790_000_000_000_000_000
KEEP_DAYS = 10.0
OLDEST_NS = NOW_NS - round(KEEP_DAYS * DAY_NS)
OBSERVATION = st.builds(
    Observation,
    kind=st.sampled_from(["quality", "latency", "staleness"]),
    symbol=st.sampled_from(["A", "a", "A/B", "*", "日本", "%", "_"]),
    metric=st.sampled_from(["m", "m.p99_ns", "m_1"]),
    time_ns=st.one_of(
        st.integers(OLDEST_NS, NOW_NS),
        st.integers(NOW_NS - 3, NOW_NS),  # ties are common
    ),
    value=st.floats(allow_nan=False, allow_infinity=False),
    source=st.text(min_size=1, max_size=5).filter(lambda text: text.strip() and text.isprintable()),
)
STEP = st.one_of(
    st.tuples(st.just("record"), st.lists(OBSERVATION, max_size=12)),
    st.tuples(st.just("again"), st.just(None)),
    st.tuples(st.just("expire"), st.integers(OLDEST_NS, NOW_NS)),
    st.tuples(
        st.just("ask"),
        st.fixed_dictionaries(
            {
                "kind": st.sampled_from([None, "quality", "latency"]),
                "symbol": st.sampled_from([None, "A", "%", "日本", "none"]),
                "metric": st.sampled_from([None, "m", "m_1", "m%"]),
                "since": st.one_of(st.none(), st.integers(OLDEST_NS, NOW_NS)),
                "until": st.one_of(st.none(), st.integers(OLDEST_NS, NOW_NS)),
                "limit": st.integers(1, 20),
            }
        ),
    ),
)


def order(one: Observation) -> tuple[Any, ...]:
    return one.time_ns, one.symbol, one.metric, one.source, one.kind, one.value


@pytest.mark.parametrize("name", ["a.db", "a.json"])
@settings(max_examples=40, deadline=None)
@given(steps=st.lists(STEP, max_size=8))
def test_a_store_answers_like_a_list(name: str, steps: list[tuple[str, Any]]) -> None:
    model: set[Observation] = set()
    last: list[Observation] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        ModelStore(Path(folder) / name, clock_ns=lambda: NOW_NS, observation_days=KEEP_DAYS) as store,
    ):
        for what, value in steps:
            if what == "record":
                last = value
                store.record_observations(last)
                model |= set(last)
            elif what == "again":
                store.record_observations(last)
                model |= set(last)
            elif what == "expire":
                backend: Any = store._backend
                backend.expire_observations(value)
                model = {one for one in model if one.time_ns >= value}
            else:
                wanted = sorted(
                    (
                        one
                        for one in model
                        if value["kind"] in {None, one.kind}
                        and value["symbol"] in {None, one.symbol}
                        and value["metric"] in {None, one.metric}
                        and (value["since"] is None or one.time_ns >= value["since"])
                        and (value["until"] is None or one.time_ns <= value["until"])
                    ),
                    key=order,
                )
                found = store.observations(
                    value["kind"], value["symbol"], value["metric"],
                    since=value["since"], until=value["until"], limit=value["limit"],
                )  # fmt: skip
                assert len(found) == min(value["limit"], len(wanted))
                # where several have the same time the order of their other fields is not promised to be this one
                assert [one.time_ns for one in found] == [one.time_ns for one in wanted[-value["limit"] :]]
                assert set(found) <= set(wanted)
                assert len(set(found)) == len(found)
        assert set(store.observations()) == model
