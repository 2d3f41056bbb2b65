"""The emulated card under the bridge: the device contract, every injected fault, death, and what stands in for RTL."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest

from calibrig.bridge import AcceleratorMode, Fault, HardwareInTheLoopBridge, HardwareStatus, Source
from calibrig.bridge.devices import emulator as emulator_module
from calibrig.bridge.devices import open_device
from calibrig.bridge.devices.emulator import EmulatorDevice
from calibrig.errors import DeviceError, DeviceRemovedError, DeviceUnavailableError, InvalidInputError
from calibrig.models.signal import evaluate_quantised, evaluate_signal
from calibrig.parameters import SignalModel
from calibrig.rtl import read_manifest, sample_trees
from calibrig.rtl.card_memory import CardMemory
from calibrig.testing.device_contract import DeviceContract

PATIENCE_NS = 5_000_000_000
FEATURES = np.random.default_rng(4).normal(scale=2.0, size=(300, 16))


@pytest.fixture(scope="module")
def shared(trees: SignalModel, trees_build: Path, build_cache: Path) -> Iterator[EmulatorDevice]:
    with EmulatorDevice(trees, cache=build_cache, backend="verilator") as device:
        yield device


@pytest.fixture
def emulator(trees: SignalModel, trees_build: Path, build_cache: Path) -> Iterator[EmulatorDevice]:
    with EmulatorDevice(trees, cache=build_cache, backend="verilator") as device:
        yield device


class TestEmulatorKeepsTheContract(DeviceContract):
    soak_calls = 2000
    deadline_ns = PATIENCE_NS
    model = sample_trees(seed=3)

    @pytest.fixture(autouse=True)
    def _cache(self, trees_build: Path, build_cache: Path) -> None:
        self.cache = build_cache

    @contextmanager
    def make_device(self) -> Iterator[EmulatorDevice]:
        yield EmulatorDevice(self.model, cache=self.cache, backend="verilator")


def test_registers_and_cycles_are_the_rtls_own(
    shared: EmulatorDevice, trees: SignalModel, trees_build: Path
) -> None:
    shared.open()
    manifest = read_manifest(trees_build)
    assert shared.cycles == manifest.card_cycles
    assert shared.device_ns == pytest.approx(1e9 * manifest.card_cycles / manifest.clock_hz)
    assert shared.read32(0x108) == trees.model_id
    assert shared.read32(0x10C) == manifest.build_id
    first = shared.read32(0x110)
    assert shared.read32(0x110) > first
    row = np.asarray(trees.golden_features[9], dtype="<i2").tobytes()
    for word in range(8):
        shared.write32(0x018 + 4 * word, int.from_bytes(row[4 * word : 4 * word + 4], "little"))
    shared.write32(0x000, 1)
    while not shared.read32(0x000) & 2:
        pass
    assert shared.read32(0x000) & 2 == 0, "done clears on read, in the RTL"
    assert shared.read32(0x040) == trees.golden_values[9] & 0xFFFFFFFF
    assert shared.read32(0x044) == manifest.card_cycles


def test_a_plain_shared_memory_host_reaches_the_registers(shared: EmulatorDevice, trees: SignalModel) -> None:
    shared.open()
    with_window = open_device(f"shm://{shared.path}")
    row = np.asarray(trees.golden_features[5], dtype="<i2").tobytes()
    for word in range(8):
        with_window.write32(0x018 + 4 * word, int.from_bytes(row[4 * word : 4 * word + 4], "little"))
    with_window.write32(0x000, 1)
    deadline = time.monotonic() + 20
    while not with_window.read32(0x000) & 2 and time.monotonic() < deadline:
        pass
    assert with_window.read32(0x040) == trees.golden_values[5] & 0xFFFFFFFF
    with_window.close()


def test_the_bridge_answers_as_in_software_bit_for_bit(shared: EmulatorDevice, trees: SignalModel) -> None:
    shared.open()
    with HardwareInTheLoopBridge(
        AcceleratorMode.HARDWARE_FPGA, model=trees, device=shared, deadline_ns=PATIENCE_NS, verify=1
    ) as bridge:
        bridge.initialize()
        answers = [bridge.predict(row) for row in FEATURES]
        statistics = bridge.get_latency_stats("device")
    np.testing.assert_array_equal(answers, evaluate_signal(trees, FEATURES))
    assert statistics.p50 == pytest.approx(shared.device_ns, rel=0.02)
    assert statistics.max == statistics.p50, "device time comes from counted cycles: it does not jitter"


@pytest.mark.parametrize(
    ("fault", "argument", "seen"),
    [
        ("hang", 0, {Fault.TIMEOUT}),
        ("sequence", 0, {Fault.SEQUENCE, Fault.TIMEOUT}),
        ("stale", 0, {Fault.SEQUENCE, Fault.TIMEOUT}),
        ("ones", 0, {Fault.SEQUENCE, Fault.TIMEOUT}),
        ("zeros", 0, {Fault.SEQUENCE, Fault.TIMEOUT}),
        ("bit_flip", 70, {Fault.CRC, Fault.TIMEOUT}),
        ("torn", 0, {Fault.CRC, Fault.TIMEOUT}),
        ("model", 0, {Fault.MODEL}),
        ("range", 0, {Fault.RANGE}),
        ("arithmetic", 0, {Fault.MISMATCH}),
    ],
)
def test_no_injected_fault_leaves_the_bridge(
    shared: EmulatorDevice, trees: SignalModel, fault: str, argument: int, seen: set[Fault]
) -> None:
    shared.open()
    expected = evaluate_signal(trees, FEATURES)
    deadline_ns = 1_000_000_000 if Fault.TIMEOUT in seen else PATIENCE_NS  # the others answer at once
    with HardwareInTheLoopBridge(
        AcceleratorMode.HYBRID_FALLBACK, model=trees, device=shared, deadline_ns=deadline_ns, verify=1
    ) as bridge:
        bridge.initialize()
        for i in range(5):
            assert bridge.predict(FEATURES[i]) == expected[i]
        shared.inject(fault, argument=argument)
        answer = bridge.answer(FEATURES[7])
        assert answer.signal == expected[7]
        assert answer.source is Source.FALLBACK
        assert answer.fault in seen
        shared.inject("none")


def test_slow_and_doubled_answers_are_right_ones(shared: EmulatorDevice, trees: SignalModel) -> None:
    shared.open()
    expected = evaluate_signal(trees, FEATURES)
    with HardwareInTheLoopBridge(
        AcceleratorMode.HARDWARE_FPGA, model=trees, device=shared, deadline_ns=PATIENCE_NS, verify=1
    ) as bridge:
        bridge.initialize()
        shared.inject("slow", argument=1000)
        slow = bridge.answer(FEATURES[0])
        assert slow.signal == expected[0]
        assert slow.device_ns == pytest.approx(1000 * 1e9 / shared.clock_hz)
        shared.inject("duplicate", count=3)
        for i in range(6):
            assert bridge.predict(FEATURES[i]) == expected[i]


def test_a_killed_card_is_fallen_back_from_and_named(emulator: EmulatorDevice, trees: SignalModel) -> None:
    expected = evaluate_signal(trees, FEATURES)
    with HardwareInTheLoopBridge(
        AcceleratorMode.HYBRID_FALLBACK, model=trees, device=emulator, deadline_ns=50_000_000
    ) as bridge:
        bridge.initialize()
        assert bridge.predict(FEATURES[0]) == expected[0]
        emulator.kill()
        for i in range(50):
            assert bridge.predict(FEATURES[i]) == expected[i]
        assert bridge.get_status() is HardwareStatus.FAILED
        with pytest.raises(DeviceRemovedError, match="process is gone"):
            emulator.read32(0x100)


def test_the_wrong_model_is_never_asked(emulator: EmulatorDevice) -> None:
    other = sample_trees(seed=77)
    with (
        HardwareInTheLoopBridge(
            AcceleratorMode.HARDWARE_FPGA, model=other, device=emulator, deadline_ns=PATIENCE_NS
        ) as bridge,
        pytest.raises(DeviceError, match="model"),
    ):
        bridge.initialize()


def test_without_a_compiler_the_exact_interpreter_stands_in_and_says_so(
    trees: SignalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with EmulatorDevice(trees, cache=tmp_path) as device:
        assert device.backend == "interpreter"
        assert "no C++ compiler found" in device.reason
        inputs = np.asarray(trees.golden_features, dtype=np.int16)
        for i, row in enumerate(inputs, start=1):
            device.submit(i, row, trees.model_id)
            reply = device.poll(i, PATIENCE_NS)
            assert reply is not None
            assert (
                int.from_bytes(reply[8:12], "little", signed=True)
                == evaluate_quantised(trees, row[None, :])[0]
            )
        assert device.read32(0x108) == trees.model_id
        assert device.read32(0x124) == 1, "no fault injection without RTL"
        device.write32(0x000, 1)
        assert device.read32(0x000) == 0xE
        assert device.read32(0x000) == 0x4


def test_verilator_asked_for_by_name_is_not_replaced(
    trees: SignalModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(DeviceUnavailableError, match=r"did not start: no C\+\+ compiler"):
        EmulatorDevice(trees, cache=tmp_path, backend="verilator").open()


def test_a_card_that_never_shows_its_identity_is_named_and_ended(
    trees: SignalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emulator_module, "_START_PATIENCE_S", 0.0)
    monkeypatch.setattr(CardMemory, "load32", lambda *_: 0)
    device = EmulatorDevice(trees, backend="interpreter")
    with pytest.raises(DeviceUnavailableError, match="showed no identity within 0 s; open it again"):
        device.open()
    assert device.pid == 0
    assert not Path(device.path).exists()


def test_urls(tmp_path: Path, trees: SignalModel) -> None:
    file = tmp_path / "model.json"
    file.write_bytes(msgspec.json.encode(trees))
    device = EmulatorDevice.from_url(f"emulator:?model={file}&clock_hz=125000000&backend=interpreter")
    assert device.model == trees
    assert device.clock_hz == 125_000_000
    for url in (
        "emulator://host",
        "emulator:?colour=red",
        "emulator:?clock_hz=fast",
        "emulator:?backend=magic",
    ):
        with pytest.raises(InvalidInputError):
            EmulatorDevice.from_url(url)
    file.write_text("[]")
    with pytest.raises(InvalidInputError, match="is no signal model"):
        EmulatorDevice.from_url(f"emulator:?model={file}")


def test_nothing_is_left_behind(trees: SignalModel, trees_build: Path, build_cache: Path) -> None:
    device = EmulatorDevice(trees, cache=build_cache)
    device.open()
    path, process = Path(device.path), device.pid
    assert path.exists()
    assert process > 0
    device.close()
    device.close()
    assert not path.exists()
    assert not Path(f"/proc/{process}").exists()
