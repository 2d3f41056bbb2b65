"""The bridge in SOFTWARE_STUB: answers, refusals, statistics, latency."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from calibrig import AcceleratorMode, HardwareInTheLoopBridge, HardwareStatus, MicrostructureFeatures
from calibrig.bridge import (
    BridgeSnapshot,
    Fault,
    FeatureBuffer,
    LatencyHistogram,
    Source,
    StatusChange,
    read_bridge_status,
)
from calibrig.errors import BridgeStateError, DeviceUnavailableError, FileFormatError, InvalidInputError
from calibrig.models.signal import evaluate_signal, quantise_linear, reference_model

FEATURES = MicrostructureFeatures(depth_imbalance=0.5, microprice_offset=-0.25, order_flow_imbalance_fast=1.0)


def test_predicts_what_the_twin_predicts_from_every_kind_of_features() -> None:
    row = np.array(FEATURES.to_tuple())
    expected = evaluate_signal(reference_model(), row)[0]
    buffer = FeatureBuffer()
    buffer.fill(FEATURES)
    with HardwareInTheLoopBridge(stub_latency_ns=0) as bridge:
        bridge.initialize()
        for features in (FEATURES, row, row.tolist(), tuple(row), buffer):
            assert bridge.predict(features) == expected
    buffer.array[:] = 0.0
    assert buffer.array.shape == (16,)


@pytest.mark.parametrize(
    "features",
    [
        np.zeros(15),
        np.zeros(16, np.float32),
        np.zeros((16, 2))[:, 0],
        np.zeros((2, 8)),
        np.zeros((1, 16)),
        [0.0] * 17,
        ["a"] * 16,
        3,
        None,
        "x" * 16,
    ],
)
def test_refuses_features_it_cannot_read(features: object) -> None:
    with HardwareInTheLoopBridge(stub_latency_ns=0) as bridge:
        bridge.initialize()
        with pytest.raises(InvalidInputError, match="give 16 numbers"):
            bridge.predict(features)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_refuses_features_that_are_not_finite(bad: float) -> None:
    with HardwareInTheLoopBridge(stub_latency_ns=0) as bridge:
        bridge.initialize()
        with pytest.raises(InvalidInputError, match=f"^quote_age_s is {bad}; features must be finite"):
            bridge.predict([0.0] * 15 + [bad])
        assert bridge.get_counts()["fault_bad_features"] == 1
        assert bridge.answer([0.0] * 15 + [bad]).fault is Fault.BAD_FEATURES
        assert bridge.get_status() is HardwareStatus.READY


def test_names_the_modes_there_are() -> None:
    with pytest.raises(
        InvalidInputError, match="mode is 'GPU'; give one of SOFTWARE_STUB, HARDWARE_FPGA, HYBRID_FA"
    ):
        HardwareInTheLoopBridge("GPU")  # type: ignore[arg-type]
    with HardwareInTheLoopBridge() as bridge, pytest.raises(InvalidInputError, match="mode is 'GPU'"):
        bridge.set_mode("GPU")  # type: ignore[arg-type]


def test_a_subclass_that_forgets_its_base_is_refused() -> None:
    class Forgetful(HardwareInTheLoopBridge):
        def __init__(self) -> None:
            pass

    with pytest.raises(BridgeStateError, match="initialize"):
        Forgetful().predict(FEATURES)


def test_predicts_only_between_initialize_and_close() -> None:
    bridge = HardwareInTheLoopBridge()
    assert bridge.get_status() is HardwareStatus.UNINITIALIZED
    with pytest.raises(BridgeStateError, match="initialize"):
        bridge.predict(FEATURES)
    bridge.initialize()
    bridge.initialize()
    assert bridge.get_status() is HardwareStatus.READY
    bridge.close()
    bridge.close()
    assert bridge.get_status() is HardwareStatus.CLOSED
    with pytest.raises(BridgeStateError, match="closed"):
        bridge.predict(FEATURES)
    with pytest.raises(BridgeStateError, match="closed"):
        bridge.initialize()


@pytest.mark.parametrize("mode", [AcceleratorMode.HARDWARE_FPGA, AcceleratorMode.HYBRID_FALLBACK])
def test_hardware_modes_say_that_a_device_is_missing(mode: AcceleratorMode) -> None:
    with pytest.raises(DeviceUnavailableError, match="needs a device"):
        HardwareInTheLoopBridge(mode)
    with HardwareInTheLoopBridge() as bridge:
        bridge.initialize()
        with pytest.raises(DeviceUnavailableError, match="needs a device"):
            bridge.set_mode(mode)
        assert bridge.get_mode() is AcceleratorMode.SOFTWARE_STUB


def test_stub_holds_its_latency_and_meets_its_own_sla() -> None:
    with HardwareInTheLoopBridge(stub_latency_ns=400) as bridge:
        bridge.initialize()
        for _ in range(2_000):
            bridge.predict(FEATURES)
        device, roundtrip = bridge.get_latency_stats(), bridge.get_latency_stats("roundtrip")
        assert device.count == roundtrip.count == 2_000
        assert device.p50 == 400.0
        assert roundtrip.p50 >= 400.0
        assert bridge.meets_latency_sla(400.0, percentile=0.5)
        assert not bridge.meets_latency_sla(399.0, percentile=0.5)
        assert not bridge.meets_latency_sla(399.0, path="roundtrip", percentile=0.01)


def test_charge_returns_at_once_with_the_nominal_latency() -> None:
    with HardwareInTheLoopBridge(stub_latency_ns=50_000_000) as bridge:
        bridge.initialize()
        answers = [bridge.answer(FEATURES, charge=True) for _ in range(10)]  # would take 0.5 s if it spun
        assert [answer.sequence for answer in answers] == list(range(1, 11))
        assert {answer.device_ns for answer in answers} == {50_000_000}
        assert {answer.source for answer in answers} == {Source.SOFTWARE}
        assert bridge.get_latency_stats("roundtrip").p50 < 5_000_000


def test_statistics_reset_and_merge() -> None:
    with HardwareInTheLoopBridge(stub_latency_ns=0) as bridge:
        bridge.initialize()
        for _ in range(100):
            bridge.predict(FEATURES)
        before = bridge.get_histogram()
        bridge.reset_stats()
        assert bridge.get_latency_stats().count == 0
        assert bridge.get_latency_stats().p99 == 0.0
        for _ in range(50):
            bridge.predict(FEATURES)
        after = bridge.get_histogram()
        both = LatencyHistogram()
        both.merge(before)
        both.merge(after)
        assert (before.count, after.count, both.count) == (100, 50, 150)
        assert sum(count for _, count in both.to_buckets()) == 150
        assert both.max == max(before.max, after.max)


def test_swapping_the_model_under_load_loses_nothing() -> None:
    up = quantise_linear([0.0] * 16, 0.25, [0.0] * 16, [1.0] * 16)
    down = quantise_linear([0.0] * 16, -0.25, [0.0] * 16, [1.0] * 16)
    signal_of = {up.model_id: 0.25, down.model_id: -0.25}
    with HardwareInTheLoopBridge(stub_latency_ns=0, model=up) as bridge:
        bridge.initialize()
        done = threading.Event()

        def swap() -> None:
            for turn in range(200):
                bridge.set_model(down if turn % 2 == 0 else up)
            done.set()

        thread = threading.Thread(target=swap)
        thread.start()
        answers = []
        while not done.is_set() or len(answers) < 1_000:
            answers.append(bridge.answer(FEATURES))
        thread.join()
        assert [answer.sequence for answer in answers] == list(range(1, len(answers) + 1))
        assert all(answer.signal == signal_of[answer.model_id] for answer in answers)
        assert bridge.get_counts()["swaps"] == 200


def test_status_changes_are_kept_with_their_causes() -> None:
    bridge = HardwareInTheLoopBridge()
    bridge.initialize()
    bridge.close()
    changes = bridge.get_status_changes()
    assert [(c.before, c.after, c.event) for c in changes] == [
        ("UNINITIALIZED", "READY", "initialized"),
        ("READY", "CLOSED", "closed"),
    ]
    assert changes[0].time_ns <= changes[1].time_ns
    assert bridge.get_status_changes(after=1) == changes[1:]


def test_a_slower_kernel_passes_through_and_degrades() -> None:
    with HardwareInTheLoopBridge(stub_latency_ns=0, sla_ns=1) as bridge:
        bridge.initialize()
        for _ in range(1_024):
            bridge.predict(FEATURES)
        assert bridge.get_status() is HardwareStatus.DEGRADED
        assert not bridge.meets_latency_sla(1.0)


def test_a_callback_hears_of_every_change_and_may_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[object] = []
    monkeypatch.setattr(threading, "excepthook", failures.append)
    heard: list[str] = []

    def callback(change: StatusChange) -> None:
        heard.append(change.after)
        raise RuntimeError("a stranger's fault")

    bridge = HardwareInTheLoopBridge()
    with bridge.watch(callback) as watcher:
        bridge.initialize()
        bridge.close()
    watcher.close()
    assert heard == ["READY", "CLOSED"]
    assert len(failures) == 2


def test_another_process_reads_a_running_bridge(tmp_path: Path) -> None:
    path = str(tmp_path / "block")
    code = (
        "import sys, msgspec; from calibrig.bridge import read_bridge_status; "
        "sys.stdout.buffer.write(msgspec.json.encode(read_bridge_status(sys.argv[1])))"
    )
    with HardwareInTheLoopBridge(stub_latency_ns=0, status_path=path) as bridge:
        bridge.initialize()
        for _ in range(123):
            bridge.predict(FEATURES)
        seen = subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=True, timeout=60)
        snapshot = msgspec.json.decode(seen.stdout, type=BridgeSnapshot)
        assert (snapshot.status, snapshot.mode) == ("READY", "SOFTWARE_STUB")
        assert snapshot.roundtrip == bridge.get_latency_stats("roundtrip")
        assert snapshot.counts["calls"] == 123
        assert snapshot.model_id == bridge.model.model_id
        assert list(snapshot.changes) == bridge.get_status_changes()
        with pytest.raises(InvalidInputError, match="another bridge shows itself"):
            HardwareInTheLoopBridge(status_path=path)
    assert not Path(path).exists()
    with pytest.raises(DeviceUnavailableError, match="no bridge shows itself"):
        read_bridge_status(path)
    Path(path).write_bytes(bytes(10))
    with pytest.raises(FileFormatError, match="not the block"):
        read_bridge_status(path)


@pytest.mark.parametrize("option", ["stub_latency_ns", "deadline_ns", "verify", "sla_ns"])
@pytest.mark.parametrize("value", [-1, 1.5, True, 10**13])
def test_refuses_impossible_options(option: str, value: object) -> None:
    with pytest.raises(InvalidInputError, match=option):
        HardwareInTheLoopBridge(**{option: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("model", ["x", 3, None])
def test_what_is_no_model_is_refused_by_name(model: Any) -> None:
    with HardwareInTheLoopBridge() as bridge:
        bridge.initialize()
        with pytest.raises(InvalidInputError, match=f"model is {type(model).__name__} .* give a SignalModel"):
            bridge.set_model(model)
        assert bridge.get_status() is HardwareStatus.READY


@pytest.mark.parametrize("device", ["shm:///nope", 3])
def test_what_is_no_device_is_refused_before_anything_is_opened(device: Any) -> None:
    """A URL is a likely slip: the sentence says what opens it."""
    with pytest.raises(InvalidInputError, match="open_device"):
        HardwareInTheLoopBridge(AcceleratorMode.HYBRID_FALLBACK, device=device)
    with HardwareInTheLoopBridge() as bridge:
        bridge.initialize()
        with pytest.raises(InvalidInputError, match="open_device"):
            bridge.set_device(device)


@pytest.mark.parametrize("ns", [-1.0, 0.0, float("nan")])
def test_a_limit_that_is_no_latency_is_refused(ns: float) -> None:
    with HardwareInTheLoopBridge() as bridge, pytest.raises(InvalidInputError, match="above 0 ns"):
        bridge.meets_latency_sla(ns)
