"""Every transport keeps the device contract, and the contract notices one that does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from calibrig.bridge import Device
from calibrig.bridge.devices.shared_memory import SharedMemoryDevice, SoftwareCard
from calibrig.models.signal import reference_model
from calibrig.testing import DeviceContract, Misbehaviour, ScriptedDevice, TwinDevice, encode_reply

N_PROMISES = 10


class TestScripted(DeviceContract):
    model = reference_model()

    @contextmanager
    def make_device(self) -> Iterator[Device]:
        yield ScriptedDevice(self.model)


class TestTwin(DeviceContract):
    model = reference_model()
    soak_calls = 300

    @contextmanager
    def make_device(self) -> Iterator[Device]:
        yield TwinDevice(self.model)


class TestSharedMemory(DeviceContract):
    model = reference_model()

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.path = str(tmp_path / "card")

    @contextmanager
    def make_device(self) -> Iterator[Device]:
        with SoftwareCard(self.path, self.model) as card:
            yield SharedMemoryDevice(card.path)


class Liar(TwinDevice):
    """Wrong by one, with a good checksum."""

    def submit(self, sequence: int, features: np.ndarray, model_id: int) -> None:
        super().submit(sequence, features, model_id)
        assert self._line is not None
        value = int.from_bytes(self._line[8:12], "little", signed=True)
        self._line = encode_reply(sequence, value + 1, model_id=model_id)


def run_against(device: Device) -> list[str]:
    class Contract(DeviceContract):
        model = reference_model()
        soak_calls = 50
        deadline_ns = 2_000_000

        @contextmanager
        def make_device(self) -> Iterator[Device]:
            yield device

    return Contract().run()


def test_the_contract_runs_all_its_promises() -> None:
    assert len(run_against(TwinDevice(reference_model()))) == N_PROMISES


def test_the_contract_notices_a_liar() -> None:
    with pytest.raises(AssertionError):
        run_against(Liar(reference_model()))


@pytest.mark.parametrize(
    "kind", [Misbehaviour.HANG, Misbehaviour.BIT_FLIP, Misbehaviour.WRONG_MODEL, Misbehaviour.ALL_ONES]
)
def test_the_contract_notices_misbehaviour(kind: Misbehaviour) -> None:
    with pytest.raises(AssertionError):
        run_against(ScriptedDevice(reference_model(), script=[kind] * 10))
