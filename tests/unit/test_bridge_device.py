"""The bridge on a card: fallback in the same call, typed errors, health, shadow checks, swaps, shared memory."""

from __future__ import annotations

import os
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from calibrig import AcceleratorMode, HardwareInTheLoopBridge, HardwareStatus, MicrostructureFeatures
from calibrig._native import bridge as native
from calibrig.bridge import DeviceIdentity, Fault, Source, open_device
from calibrig.bridge.devices.shared_memory import SharedMemoryDevice, SoftwareCard
from calibrig.bridge.soak import make_soak_inputs, soak
from calibrig.errors import (
    BridgeStateError,
    DeviceError,
    DeviceFaultError,
    DeviceRemovedError,
    DeviceTimeoutError,
    DeviceUnavailableError,
    InvalidInputError,
)
from calibrig.models.signal import quantise_linear, reference_model
from calibrig.testing import Misbehaviour, ScriptedDevice, TwinDevice, prove_bridge

MODEL = reference_model()
FEATURES = MicrostructureFeatures(depth_imbalance=0.5, microprice_offset=0.25)
EXPECTED = 0.2 * 0.5 + 0.1 * 0.25
HYBRID, HARDWARE, STUB = (
    AcceleratorMode.HYBRID_FALLBACK,
    AcceleratorMode.HARDWARE_FPGA,
    AcceleratorMode.SOFTWARE_STUB,
)
DEADLINE_NS = 200_000_000  # a busy machine may take a thread off for tens of ms


def open_bridge(mode: AcceleratorMode, device: Any, **options: Any) -> HardwareInTheLoopBridge:
    bridge = HardwareInTheLoopBridge(mode, device=device, **{"deadline_ns": DEADLINE_NS, **options})
    bridge.initialize()
    return bridge


def wait_for(bridge: HardwareInTheLoopBridge, status: HardwareStatus) -> None:
    ends = time.monotonic() + 20.0
    while bridge.get_status() is not status:
        assert time.monotonic() < ends, f"still {bridge.get_status()}"
        time.sleep(0.001)


BAD_KINDS = {
    Misbehaviour.HANG: (Fault.TIMEOUT, DeviceTimeoutError),
    Misbehaviour.WRONG_SEQUENCE: (Fault.SEQUENCE, DeviceFaultError),
    Misbehaviour.ALL_ONES: (Fault.SEQUENCE, DeviceFaultError),
    Misbehaviour.TORN: (Fault.CRC, DeviceFaultError),
    Misbehaviour.WRONG_MODEL: (Fault.MODEL, DeviceFaultError),
    Misbehaviour.DEVICE_STATUS: (Fault.DEVICE_STATUS, DeviceFaultError),
    Misbehaviour.OUT_OF_RANGE: (Fault.RANGE, DeviceFaultError),
    Misbehaviour.REMOVED: (Fault.REMOVED, DeviceRemovedError),
}


@pytest.mark.parametrize("kind", BAD_KINDS)
def test_hybrid_answers_in_software_in_the_same_call(kind: Misbehaviour) -> None:
    device = ScriptedDevice(MODEL)
    with open_bridge(HYBRID, device) as bridge:
        good = bridge.answer(FEATURES)
        assert (good.source, good.fault) == (Source.HARDWARE, Fault.NONE)
        device.add_to_script([kind])
        answer = bridge.answer(FEATURES)
        assert (answer.source, answer.fault) == (Source.FALLBACK, BAD_KINDS[kind][0])
        assert answer.signal == good.signal == pytest.approx(EXPECTED, abs=1e-4)
        assert answer.sequence == good.sequence + 1
        stats = bridge.get_latency_stats()
        assert (stats.failure_count, stats.fallback_count) == (1, 1)


@pytest.mark.parametrize("kind", BAD_KINDS)
def test_hardware_raises_a_typed_error_and_invents_nothing(kind: Misbehaviour) -> None:
    device = ScriptedDevice(MODEL)
    with open_bridge(HARDWARE, device) as bridge:
        assert bridge.predict(FEATURES) == pytest.approx(EXPECTED, abs=1e-4)
        device.add_to_script([kind])
        with pytest.raises(BAD_KINDS[kind][1]):
            bridge.predict(FEATURES)
        assert bridge.get_latency_stats().fallback_count == 0


@pytest.mark.parametrize("kind", [Misbehaviour.OUT_OF_ORDER, Misbehaviour.DUPLICATE])
def test_late_and_doubled_answers_are_not_taken_for_others(kind: Misbehaviour) -> None:
    inputs = make_soak_inputs(MODEL)
    device = ScriptedDevice(MODEL, rate=0.5, kinds=[kind])
    with open_bridge(HARDWARE, device) as bridge:
        report = soak(bridge, inputs, 20_000)
        assert (report.wrong, report.unanswered, report.hardware) == (0, 0, 20_000)
        assert device.injected[kind] > 9_000


def test_an_answer_after_its_deadline_is_not_given_to_the_next_call() -> None:
    device = ScriptedDevice(MODEL, slow_ns=2 * DEADLINE_NS)
    inputs = make_soak_inputs(MODEL)
    with open_bridge(HYBRID, device) as bridge:
        device.add_to_script([Misbehaviour.SLOW])
        report = soak(bridge, inputs, 50)
        assert report.wrong == 0
        assert report.fallback >= 1


@pytest.mark.parametrize("step", [1, -1, 2**62])
def test_an_answer_labelled_for_the_next_call_is_not_taken_by_it(step: int) -> None:
    """Found by the campaign: a valid line for a later sequence stays in memory, and the card then hangs."""

    class Mislabelling(TwinDevice):
        calls = 0

        def submit(self, sequence: int, features: np.ndarray, model_id: int) -> None:
            if sequence >= 2**63:  # a probe
                return super().submit(sequence, features, model_id)
            self.calls += 1
            if self.calls == 1:
                super().submit((sequence + step) % 2**63, features, model_id)
            return None

    with open_bridge(HYBRID, Mislabelling(MODEL)) as bridge:
        for sign in (1.0, -1.0):
            answer = bridge.answer(MicrostructureFeatures(depth_imbalance=0.5 * sign))
            assert answer.source is Source.FALLBACK
            assert answer.signal == pytest.approx(0.1 * sign, abs=1e-4)


def test_a_dead_card_is_left_after_three_calls_and_costs_no_deadline_then() -> None:
    device = ScriptedDevice(MODEL)
    with open_bridge(HYBRID, device, deadline_ns=5_000_000) as bridge:
        device.set_dead(True)
        assert [bridge.answer(FEATURES).fault for _ in range(3)] == [Fault.TIMEOUT] * 3
        assert bridge.get_status() is HardwareStatus.FAILED
        started = time.perf_counter()
        assert {bridge.answer(FEATURES).fault for _ in range(1_000)} == {Fault.LEFT}
        assert time.perf_counter() - started < 1.0  # 1,000 deadlines would be 5 s
        device.set_dead(False)
        wait_for(bridge, HardwareStatus.READY)
        assert bridge.answer(FEATURES).source is Source.HARDWARE
        assert [change.event for change in bridge.get_status_changes()] == [
            "initialized",
            "window_breached",
            "failure_limit",
            "probes_passed",
        ]


def test_returning_takes_64_good_probes() -> None:
    device = ScriptedDevice(MODEL)
    with open_bridge(HYBRID, device) as bridge:
        before = bridge.get_counts()["probes"]
        device.set_probes_fail(True)
        device.add_to_script([Misbehaviour.REMOVED])
        bridge.answer(FEATURES)
        assert bridge.get_status() is HardwareStatus.FAILED
        time.sleep(0.1)
        assert bridge.get_status() is HardwareStatus.FAILED
        failed = bridge.get_counts()["probes"] - before
        assert 1 <= failed <= 8  # 0.1 s of back-off doubling from 1 ms, one probe each
        device.set_probes_fail(False)
        wait_for(bridge, HardwareStatus.READY)
        assert bridge.get_counts()["probes"] - before >= failed + 64


def test_five_per_cent_of_a_window_is_failed() -> None:
    device = ScriptedDevice(MODEL)
    with open_bridge(HYBRID, device) as bridge:
        device.set_probes_fail(True)
        for failures in range(1, 53):
            assert bridge.get_status() is not HardwareStatus.FAILED, failures
            device.add_to_script([Misbehaviour.WRONG_MODEL])
            for _ in range(4):
                bridge.answer(FEATURES)
        assert bridge.get_status() is HardwareStatus.FAILED


def test_one_fallback_degrades_until_it_has_left_the_window() -> None:
    device = ScriptedDevice(
        MODEL, script=[Misbehaviour.NONE] * 64
    )  # the probes of initialize are not scripted
    inputs = make_soak_inputs(MODEL)
    with open_bridge(HYBRID, device, deadline_ns=500_000_000) as bridge:
        soak(bridge, inputs, 64)
        device.add_to_script([Misbehaviour.WRONG_MODEL])
        soak(bridge, inputs, 1)
        assert bridge.get_status() is HardwareStatus.DEGRADED
        soak(bridge, inputs, 1_023)
        assert bridge.get_status() is HardwareStatus.DEGRADED
        soak(bridge, inputs, 1)
        assert bridge.get_status() is HardwareStatus.READY


def test_more_than_ten_slow_answers_in_a_window_degrade() -> None:
    device = ScriptedDevice(MODEL)
    with open_bridge(HYBRID, device) as bridge:
        for count in range(1, 12):
            device.add_to_script([Misbehaviour.LATE_CYCLES])
            assert bridge.answer(FEATURES).device_ns == 6_250_000  # 1,000,000 cycles at 160 MHz
            degraded = bridge.get_status() is HardwareStatus.DEGRADED
            assert degraded == (count > 10)


@pytest.mark.parametrize("mode", [HYBRID, HARDWARE])
def test_one_wrong_value_found_by_a_shadow_check_is_failed(mode: AcceleratorMode) -> None:
    device = ScriptedDevice(MODEL)
    with open_bridge(mode, device, verify=1) as bridge:
        device.set_probes_fail(True)
        device.add_to_script([Misbehaviour.NONE, Misbehaviour.WRONG_ARITHMETIC])
        bridge.answer(FEATURES)
        answer = bridge.answer(FEATURES)
        assert answer.fault is Fault.MISMATCH
        assert answer.source is (Source.FALLBACK if mode is HYBRID else Source.NONE)
        assert bridge.get_status() is HardwareStatus.FAILED
        counts = bridge.get_counts()
        assert (counts["shadow_checks"], counts["mismatches"]) == (2, 1)
        if mode is HARDWARE:
            with pytest.raises(DeviceFaultError, match="has not passed its 64 probes"):
                bridge.predict(FEATURES)


def test_shadow_checks_hit_one_call_in_n() -> None:
    with open_bridge(HYBRID, ScriptedDevice(MODEL), verify=10) as bridge:
        soak(bridge, make_soak_inputs(MODEL), 50_000)
        checks = bridge.get_counts()["shadow_checks"]
        assert abs(checks - 5_000) < 6 * np.sqrt(50_000 * 0.1 * 0.9)


def test_hardware_with_a_dead_device_does_not_initialize() -> None:
    device = ScriptedDevice(MODEL)
    device.set_dead(True)
    bridge = HardwareInTheLoopBridge(HARDWARE, device=device)
    with pytest.raises(DeviceRemovedError):
        bridge.initialize()
    assert bridge.get_status() is HardwareStatus.UNINITIALIZED
    with pytest.raises(BridgeStateError):
        bridge.predict(FEATURES)
    bridge.close()


def test_hybrid_with_a_dead_device_starts_in_software_and_takes_the_device_when_it_lives() -> None:
    device = ScriptedDevice(MODEL)
    device.set_dead(True)
    with open_bridge(HYBRID, device) as bridge:
        assert bridge.get_status() is HardwareStatus.FAILED
        assert bridge.answer(FEATURES).source is Source.FALLBACK
        device.set_dead(False)
        wait_for(bridge, HardwareStatus.READY)
        assert bridge.answer(FEATURES).source is Source.HARDWARE


def test_a_device_with_another_model_is_refused() -> None:
    other = quantise_linear([0.5] * 16, 0.0, [0.0] * 16, [1.0] * 16)
    bridge = HardwareInTheLoopBridge(HARDWARE, device=ScriptedDevice(other))
    with pytest.raises(DeviceFaultError, match="another model"):
        bridge.initialize()
    bridge.close()


def test_a_device_that_answers_golden_vectors_wrongly_is_refused() -> None:
    class WrongBitstream(TwinDevice):
        def identity(self) -> DeviceIdentity:
            return msgspec.structs.replace(super().identity(), model_id=MODEL.model_id)

    other = quantise_linear([0.5] * 16, 0.0, [0.0] * 16, [1.0] * 16)
    bridge = HardwareInTheLoopBridge(HARDWARE, device=WrongBitstream(other), deadline_ns=500_000_000)
    with pytest.raises(DeviceError):
        bridge.initialize()
    bridge.close()


def test_modes_swap_and_a_failed_swap_changes_nothing() -> None:
    device = ScriptedDevice(MODEL)
    with open_bridge(STUB, device, stub_latency_ns=0) as bridge:
        assert bridge.answer(FEATURES).source is Source.SOFTWARE
        bridge.set_mode(HARDWARE)
        assert bridge.answer(FEATURES).source is Source.HARDWARE
        bridge.set_mode(STUB)
        device.set_dead(True)
        with pytest.raises(DeviceRemovedError):
            bridge.set_mode(HARDWARE)
        assert bridge.get_mode() is STUB
        assert bridge.answer(FEATURES).source is Source.SOFTWARE
        bridge.set_mode(HYBRID)
        assert bridge.get_status() is HardwareStatus.FAILED


def test_model_and_device_change_together() -> None:
    other = quantise_linear([0.0] * 16, 0.25, [0.0] * 16, [1.0] * 16)
    with open_bridge(HYBRID, ScriptedDevice(MODEL)) as bridge:
        bridge.set_model(other, device=ScriptedDevice(other))
        answer = bridge.answer(FEATURES)
        assert (answer.signal, answer.source, answer.model_id) == (0.25, Source.HARDWARE, other.model_id)
        bridge.set_model(MODEL)  # the card stays and runs another model: software answers, rightly
        answer = bridge.answer(FEATURES)
        assert (answer.source, answer.model_id) == (Source.FALLBACK, MODEL.model_id)
        assert answer.signal == pytest.approx(EXPECTED, abs=1e-4)


def test_swapping_devices_under_load_loses_and_doubles_nothing() -> None:
    inputs = make_soak_inputs(MODEL)
    devices = [ScriptedDevice(MODEL), ScriptedDevice(MODEL)]
    with open_bridge(HYBRID, devices[0], deadline_ns=500_000_000) as bridge:
        ends = threading.Event()

        def swap() -> None:
            for turn in range(100):
                bridge.set_device(devices[(turn + 1) % 2])
            ends.set()

        thread = threading.Thread(target=swap)
        thread.start()
        while not ends.is_set():
            report = soak(bridge, inputs, 2_000)
            assert (report.wrong, report.unanswered, report.sequence_errors) == (0, 0, 0)
        thread.join()
        assert bridge.get_counts()["swaps"] == 100


def test_a_second_thread_inside_one_bridge_is_told() -> None:
    entered, leave = threading.Event(), threading.Event()

    class Waiting(TwinDevice):
        def poll(self, sequence: int, deadline_ns: int) -> bytes | None:
            if sequence < 2**63 and not entered.is_set():
                entered.set()
                leave.wait(10.0)
            return super().poll(sequence, deadline_ns)

    with open_bridge(HYBRID, Waiting(MODEL), deadline_ns=10_000_000_000) as bridge:
        thread = threading.Thread(target=bridge.predict, args=(FEATURES,))
        thread.start()
        assert entered.wait(10.0)
        with pytest.raises(BridgeStateError, match="one bridge per thread"):
            bridge.predict(FEATURES)
        leave.set()
        thread.join()


def test_what_a_python_device_raises_is_a_fault_of_the_device(recwarn: pytest.WarningsRecorder) -> None:
    class Raising(TwinDevice):
        broken = False

        def submit(self, sequence: int, features: np.ndarray, model_id: int) -> None:
            if self.broken:
                raise DeviceRemovedError("gone")
            super().submit(sequence, features, model_id)

    device = Raising(MODEL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.unraisablehook", lambda _: None)
        with open_bridge(HYBRID, device, deadline_ns=500_000_000) as bridge:
            device.broken = True
            answer = bridge.answer(FEATURES)
            assert (answer.source, answer.fault) == (Source.FALLBACK, Fault.REMOVED)


def test_shared_memory_survives_the_death_of_its_process(tmp_path: Path) -> None:
    inputs = make_soak_inputs(MODEL)
    with SoftwareCard(str(tmp_path / "card"), MODEL) as card:
        with open_bridge(HYBRID, SharedMemoryDevice(card.path), deadline_ns=1_000_000_000) as bridge:
            assert soak(bridge, inputs, 5_000).hardware == 5_000
            card.kill()
            report = soak(bridge, inputs, 5_000)
            assert (report.wrong, report.unanswered, report.hardware) == (0, 0, 0)
            assert bridge.get_status() is HardwareStatus.FAILED
            card.restart()
            wait_for(bridge, HardwareStatus.READY)
            assert soak(bridge, inputs, 5_000).hardware == 5_000
        assert SharedMemoryDevice(card.path).errors()["answers"] >= 10_000
    assert not Path(card.path).exists()


def test_shared_memory_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(DeviceUnavailableError, match="no card at"):
        open_device(f"shm://{tmp_path}/none")
    short = tmp_path / "short"
    short.write_bytes(b"x")
    with pytest.raises(DeviceUnavailableError, match="not a card's memory"):
        open_device(f"shm://{short}")
    with pytest.raises(DeviceUnavailableError, match="exists already"):
        SoftwareCard(str(short), MODEL)
    for url in ("shm://host/name", "shm:///", "tcp://x", "nonsense"):
        with pytest.raises(InvalidInputError, match="URL"):
            open_device(url)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every file")
def test_shared_memory_without_permission(tmp_path: Path) -> None:
    with SoftwareCard(str(tmp_path / "card"), MODEL) as card:
        Path(card.path).chmod(0)
        with pytest.raises(DeviceUnavailableError, match="permission"):
            SharedMemoryDevice(card.path).open()


def test_crc_is_that_of_zlib() -> None:
    rng = np.random.default_rng(0)
    for size in range(200):
        data = rng.bytes(size)
        assert native.crc32(data) == zlib.crc32(data)


def test_replay_charges_the_nominal_latency_whatever_the_card_does() -> None:
    device = ScriptedDevice(MODEL, script=[Misbehaviour.LATE_CYCLES, Misbehaviour.HANG, Misbehaviour.NONE])
    with open_bridge(HYBRID, device) as bridge:
        assert [bridge.answer(FEATURES, charge=True).device_ns for _ in range(3)] == [400] * 3


@pytest.mark.slow
def test_fault_campaign_in_small() -> None:
    proof = prove_bridge(seed=2, n_faults=20_000, n_deaths=5)
    assert proof.faults >= 20_000
    for row in proof.rows:
        assert (row.wrong, row.unanswered, row.sequence_errors) == (0, 0, 0), row
        assert row.injected > 0, row


@pytest.mark.parametrize("url", ["shm://[x/y", "emulator://[", "nope:///x", ""])
def test_a_url_that_no_transport_knows_is_one_sentence(url: str) -> None:
    with pytest.raises(InvalidInputError, match="device URL"):
        open_device(url)
