"""The health machine: one table in the documents, in Python and in the native core, and a bridge that follows it."""

from __future__ import annotations

import itertools
import re
import time
from collections import deque
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from calibrig import AcceleratorMode, HardwareInTheLoopBridge, HardwareStatus
from calibrig._native import bridge as native
from calibrig.bridge import HEALTH_TABLE, Fault, HealthEvent
from calibrig.bridge.soak import make_soak_inputs, soak
from calibrig.errors import BridgeStateError
from calibrig.models.signal import reference_model
from calibrig.testing import Misbehaviour, ScriptedDevice

DOCUMENT = Path(__file__).parents[2] / "docs" / "bridge.md"
STATUSES, EVENTS = tuple(HardwareStatus), tuple(HealthEvent)
WINDOW, BREACHES, FAILURES, IN_A_ROW = 1024, 10, 52, 3


def test_native_table_is_the_table() -> None:
    native_table = {
        (STATUSES[row], EVENTS[column]): STATUSES[after]
        for row, line in enumerate(native.health_table())
        for column, after in enumerate(line)
    }
    complete = {(s, e): HEALTH_TABLE.get((s, e), s) for s in STATUSES for e in EVENTS}
    assert native_table == complete


def test_documented_table_is_the_table() -> None:
    """Rows of the document: `| READY | failure_limit | FAILED | ...`; a row may name several states."""
    documented = {}
    for line in DOCUMENT.read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 4 and cells[1].strip("`") in set(EVENTS):
            for state in re.split(r",\s*", cells[0]):
                documented[HardwareStatus(state), HealthEvent(cells[1].strip("`"))] = HardwareStatus(cells[2])
    assert documented == dict(HEALTH_TABLE)


class Health(RuleBasedStateMachine):
    """A bridge on a scripted card beside a model that knows the table and counts a window of its own."""

    @initialize()
    def open(self) -> None:
        model = reference_model()
        self.inputs = make_soak_inputs(model)
        self.device = ScriptedDevice(model)
        self.bridge = HardwareInTheLoopBridge(
            AcceleratorMode.HYBRID_FALLBACK, device=self.device, verify=1, deadline_ns=1_000_000_000
        )
        self.status = HardwareStatus.UNINITIALIZED
        self.bridge.initialize()
        self.device.set_probes_fail(True)  # FAILED lasts until `heal`
        self.step(HealthEvent.INITIALIZED)
        self.clear()

    def clear(self) -> None:
        self.window: deque[str] = deque(maxlen=WINDOW)
        self.in_a_row = 0

    def step(self, event: HealthEvent) -> None:
        self.status = HEALTH_TABLE.get((self.status, event), self.status)

    def record(self, call: str) -> None:
        if self.status is HardwareStatus.FAILED:
            return
        self.window.append(call)
        self.in_a_row = self.in_a_row + 1 if call == "bad" else 0
        if self.in_a_row >= IN_A_ROW or self.window.count("bad") >= FAILURES:
            self.step(HealthEvent.FAILURE_LIMIT)
        elif self.window.count("slow") > BREACHES or self.window.count("bad") > 0:
            self.step(HealthEvent.WINDOW_BREACHED)
        else:
            self.step(HealthEvent.WINDOW_CLEAN)

    def call(self, kind: Misbehaviour, n: int = 1) -> None:
        if self.status is not HardwareStatus.FAILED:  # a card that was left is not asked
            self.device.add_to_script([kind] * n)
        report = soak(self.bridge, self.inputs, n)
        assert (report.wrong, report.unanswered, report.sequence_errors) == (0, 0, 0)

    running = precondition(lambda self: self.status is not HardwareStatus.CLOSED)

    @running
    @rule(n=st.integers(1, 1_200))
    def good(self, n: int) -> None:
        self.call(Misbehaviour.NONE, n)
        for _ in range(n):
            self.record("good")

    @running
    @rule(n=st.integers(1, 12))
    def slow(self, n: int) -> None:
        self.call(Misbehaviour.LATE_CYCLES, n)
        for _ in range(n):
            self.record("slow")

    @running
    @rule(
        kind=st.sampled_from(
            [Misbehaviour.WRONG_MODEL, Misbehaviour.DEVICE_STATUS, Misbehaviour.OUT_OF_RANGE]
        )
    )
    def bad(self, kind: Misbehaviour) -> None:
        self.call(kind)
        self.record("bad")

    @running
    @rule(n=st.integers(1, 51))
    def bad_and_good_in_turn(self, n: int) -> None:
        for _ in range(n):
            self.call(Misbehaviour.DEVICE_STATUS)
            self.record("bad")
            self.call(Misbehaviour.NONE)
            self.record("good")

    @running
    @rule(
        kind=st.sampled_from(
            [
                (Misbehaviour.WRONG_ARITHMETIC, HealthEvent.ANSWER_MISMATCHED),
                (Misbehaviour.REMOVED, HealthEvent.DEVICE_REMOVED),
            ]
        )
    )
    def fatal(self, kind: tuple[Misbehaviour, HealthEvent]) -> None:
        self.call(kind[0])
        self.step(kind[1])

    @precondition(lambda self: self.status is HardwareStatus.FAILED)
    @rule()
    def heal(self) -> None:
        self.device.set_probes_fail(False)
        ends = time.monotonic() + 30.0
        while self.bridge.get_status() is HardwareStatus.FAILED and time.monotonic() < ends:
            time.sleep(0.0005)
        self.device.set_probes_fail(True)
        self.step(HealthEvent.PROBES_PASSED)
        self.clear()

    @running
    @rule(dead=st.booleans())
    def swap_away_and_back(self, dead: bool) -> None:
        self.bridge.set_mode(AcceleratorMode.SOFTWARE_STUB)
        self.step(HealthEvent.SWAPPED)
        assert self.bridge.get_status() is self.status
        self.bridge.set_device(self.replacement(dead))
        self.bridge.set_mode(AcceleratorMode.HYBRID_FALLBACK)
        self.step(HealthEvent.DEVICE_DEAD if dead else HealthEvent.SWAPPED)
        self.device.set_probes_fail(True)
        self.clear()

    def replacement(self, dead: bool) -> ScriptedDevice:
        """Return another card: one that was removed has requests to miss before it is back."""
        self.device = ScriptedDevice(reference_model())
        self.device.set_probes_fail(dead)
        return self.device

    @running
    @rule()
    def close(self) -> None:
        self.bridge.close()
        self.step(HealthEvent.CLOSED)

    @precondition(lambda self: self.status is HardwareStatus.CLOSED)
    @rule()
    def stay_closed(self) -> None:
        assert self.bridge.answer([0.0] * 16).fault is Fault.CLOSED
        with pytest.raises(BridgeStateError):
            self.bridge.set_mode(AcceleratorMode.SOFTWARE_STUB)

    @invariant()
    def agrees(self) -> None:
        if hasattr(self, "bridge"):
            assert self.bridge.get_status() is self.status
            changes = self.bridge.get_status_changes()
            assert all(HEALTH_TABLE[change.before, change.event] is change.after for change in changes)
            assert all(a.after is b.before for a, b in itertools.pairwise(changes))
            assert changes[-1].after is self.status

    def teardown(self) -> None:
        if hasattr(self, "bridge"):
            self.bridge.close()


TestHealth = Health.TestCase
TestHealth.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
