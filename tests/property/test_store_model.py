"""A store against a model in memory: any sequence of writes, rollbacks, reopenings and clock steps agrees."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from calibrig import ModelStore, RiskParameters
from calibrig.errors import InvalidInputError, RefusedError, VersionConflictError
from calibrig.parameters import Evidence, Verdict
from calibrig.testing.store import RISK, SteppedClock

SYMBOLS = st.sampled_from(["A", "B/C", "日本"])
TEXT = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=40
).filter(str.strip)


class StoreMachine(RuleBasedStateMachine):
    """Two openers of one store, and a plain list of versions per symbol that says what they must show."""

    suffix = ".db"

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = SteppedClock()
        self.model: dict[
            str, list[tuple[int, str, str, str, int]]
        ] = {}  # limit, author, comment, origin, stamp
        self.stores: list[ModelStore] = []

    @initialize()
    def open(self) -> None:
        self.stores = [self._open(), self._open()]

    def _open(self) -> ModelStore:
        store = ModelStore(self.folder / f"store{self.suffix}", clock_ns=self.clock)
        store.initialize()
        return store

    def _expect(self, symbol: str, version: Any, limit: int, *said: str) -> None:
        self.model.setdefault(symbol, []).append((limit, *said, version.updated_at))
        assert version.version_id == len(self.model[symbol])

    @rule(which=st.integers(0, 1), symbol=SYMBOLS, limit=st.integers(0, 2**31 - 1), by=TEXT, why=TEXT)
    def update(self, which: int, symbol: str, limit: int, by: str, why: str) -> None:
        record = msgspec.structs.replace(RISK, max_position=limit)
        version = self.stores[which].update_risk_parameters(symbol, record, by, why)
        self._expect(symbol, version, limit, by, why, "manual")

    @rule(which=st.integers(0, 1), symbol=SYMBOLS, limit=st.integers(0, 1000), guess=st.integers(0, 3))
    def update_with_expectation(self, which: int, symbol: str, limit: int, guess: int) -> None:
        store = self.stores[which]
        store.refresh()
        record = msgspec.structs.replace(RISK, max_position=limit)
        if guess == len(self.model.get(symbol, [])):
            version = store.update_risk_parameters(symbol, record, "x", "y", expected_version=guess)
            self._expect(symbol, version, limit, "x", "y", "manual")
        else:
            with pytest.raises(VersionConflictError):
                store.update_risk_parameters(symbol, record, "x", "y", expected_version=guess)

    @rule(which=st.integers(0, 1), symbol=SYMBOLS, number=st.integers(1, 6))
    def rollback(self, which: int, symbol: str, number: int) -> None:
        versions = self.model.get(symbol, [])
        if number > len(versions):
            with pytest.raises(InvalidInputError):
                self.stores[which].rollback("risk", symbol, version_id=number, updated_by="x", comment="y")
            return
        version = self.stores[which].rollback("risk", symbol, version_id=number, updated_by="x", comment="y")
        self._expect(symbol, version, versions[number - 1][0], "x", "y", "rollback")

    @rule(which=st.integers(0, 1), symbol=SYMBOLS)
    def refused(self, which: int, symbol: str) -> None:
        with pytest.raises(InvalidInputError):
            self.stores[which].update_risk_parameters(symbol, {"max_position": -1}, "x", "y")
        with pytest.raises(RefusedError):
            self.stores[which].update("risk", symbol, RISK, "x", "y", evidence=Evidence(verdict=Verdict.FAIL))

    @rule(which=st.integers(0, 1))
    def reopen(self, which: int) -> None:
        self.stores[which].close()
        self.stores[which] = self._open()

    @rule(days=st.floats(-8, 8))
    def step_clock(self, days: float) -> None:
        self.clock.step(days)

    @rule(symbol=SYMBOLS, which=st.integers(0, 1), back=st.integers(0, 3))
    @precondition(lambda self: self.model)
    def as_of(self, symbol: str, which: int, back: int) -> None:
        versions = self.model.get(symbol, [])
        if not versions:
            return
        moment = versions[max(0, len(versions) - 1 - back)][4]
        expected = max(number for number, one in enumerate(versions, start=1) if one[4] <= moment)
        found = self.stores[which].as_of("risk", symbol, moment)
        assert found is not None
        assert found.version.version_id == expected

    @invariant()
    def both_show_the_model(self) -> None:
        for store in self.stores:
            store.refresh()
            for symbol, versions in self.model.items():
                found = store.get_risk_parameters(symbol)
                assert isinstance(found, RiskParameters)
                assert found.max_position == versions[-1][0]
                assert found.version is not None
                assert found.version.version_id == len(versions)

    def teardown(self) -> None:
        if not self.stores:
            return
        for symbol, versions in self.model.items():
            history = self.stores[0].history("risk", symbol)
            shown = [
                (
                    one.parameters.max_position,  # type: ignore[union-attr]
                    one.version.updated_by,
                    one.version.comment,
                    one.version.origin,
                    one.version.updated_at,
                )
                for one in history
            ]
            assert shown == versions
        assert self.stores[0].verify().ok
        for store in self.stores:
            store.close()
        shutil.rmtree(self.folder)


class JSONMachine(StoreMachine):
    """The same on a JSON file."""

    suffix = ".json"


_SETTINGS = settings(
    max_examples=25, stateful_step_count=15, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestSQLiteModel = StoreMachine.TestCase
TestSQLiteModel.settings = _SETTINGS
TestJSONModel = JSONMachine.TestCase
TestJSONModel.settings = _SETTINGS
