"""What every transport must do: inherit `DeviceContract`, give it a device, and pytest runs the suite."""

# ruff: noqa: D102 - the name of a test says what it checks
from __future__ import annotations

import struct
import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from calibrig.bridge import (
    CARD_ABI_VERSION,
    CARD_IDENTITY_WORD,
    AcceleratorMode,
    Device,
    HardwareInTheLoopBridge,
    HardwareStatus,
)
from calibrig.bridge.soak import make_soak_inputs, soak
from calibrig.parameters import SignalModel

__all__ = ["DeviceContract"]

_SECOND_NS = 1_000_000_000


class DeviceContract(ABC):
    """Ten promises of a `Device`; a subclass named ``Test...`` is collected by pytest.

    The suite talks to the device itself before it trusts the bridge. Override `make_device`, and the figures where
    the transport is slow.

    Examples
    --------
    >>> from calibrig.models.signal import reference_model
    >>> from calibrig.testing import TwinDevice
    >>> class TestTwin(DeviceContract):
    ...     model = reference_model()
    ...     soak_calls = 100
    ...     @contextmanager
    ...     def make_device(self):
    ...         yield TwinDevice(self.model)
    >>> len(TestTwin().run())
    10
    """

    model: SignalModel
    deadline_ns: int = 100_000_000
    soak_calls: int = 10_000

    @abstractmethod
    def make_device(self) -> Iterator[Device]:
        """Yield a device that runs ``self.model``; a context manager (``contextlib.contextmanager``)."""

    @contextmanager
    def opened(self) -> Iterator[Device]:
        """Yield the device, open."""
        with self.make_device() as device:  # type: ignore[attr-defined]
            device.open()
            try:
                yield device
            finally:
                device.close()

    def run(self) -> list[str]:
        """Run every test without pytest; return their names."""
        names = sorted(name for name in dir(self) if name.startswith("test_"))
        for name in names:
            getattr(self, name)()
        return names

    def _ask(
        self, device: Device, sequence: int, features: np.ndarray[tuple[int], np.dtype[np.int16]]
    ) -> bytes:
        device.submit(sequence, features, self.model.model_id)
        line = device.poll(sequence, self.deadline_ns)
        assert line is not None, "no answer within the deadline"
        return line

    def test_is_a_device(self) -> None:
        with self.opened() as device:
            assert isinstance(device, Device)

    def test_identity_names_card_abi_and_model(self) -> None:
        with self.opened() as device:
            who = device.identity()
            assert (who.word, who.abi_version) == (CARD_IDENTITY_WORD, CARD_ABI_VERSION)
            assert who.model_id == self.model.model_id
            assert who.clock_hz > 0

    def test_golden_vectors_come_back_exactly(self) -> None:
        assert len(self.model.golden_values) >= 16
        with self.opened() as device:
            pairs = zip(self.model.golden_features, self.model.golden_values, strict=True)
            for sequence, (features, value) in enumerate(pairs, start=1):
                line = self._ask(device, sequence, np.array(features, np.int16))
                assert struct.unpack_from("<Qi", line) == (sequence, value)

    def test_a_reply_is_64_bytes_with_crc_model_and_zeros(self) -> None:
        with self.opened() as device:
            line = self._ask(device, 77, np.zeros(16, np.int16))
            assert len(line) == 64
            _, _, cycles, model_id, status, pad, crc = struct.unpack_from("<QiIIHHI", line)
            assert (model_id, status, pad) == (self.model.model_id, 0, 0)
            assert cycles > 0
            assert crc == zlib.crc32(line[:24])
            assert line[28:] == bytes(36)

    def test_sequences_of_64_bits_come_back(self) -> None:
        with self.opened() as device:
            for sequence in (1, 2**32, 2**63 + 5, 2**64 - 1):
                assert (
                    struct.unpack_from("<Q", self._ask(device, sequence, np.zeros(16, np.int16)))[0]
                    == sequence
                )

    def test_poll_returns_within_its_deadline(self) -> None:
        with self.opened() as device:
            started = time.perf_counter_ns()
            line = device.poll(2**62, 1_000_000)  # nobody asked for this one
            assert line is None or struct.unpack_from("<Q", line)[0] != 2**62
            assert time.perf_counter_ns() - started < _SECOND_NS

    def test_another_model_is_not_answered_as_good(self) -> None:
        with self.opened() as device:
            device.submit(5, np.zeros(16, np.int16), self.model.model_id ^ 1)
            line = device.poll(5, 1_000_000)
            if line is not None and struct.unpack_from("<Q", line)[0] == 5:
                _, _, _, model_id, status, _, _ = struct.unpack_from("<QiIIHHI", line)
                assert status != 0 or model_id != self.model.model_id ^ 1

    def test_bridge_gets_right_answers_only(self) -> None:
        with self.make_device() as device:  # type: ignore[attr-defined]
            options = {"model": self.model, "device": device, "deadline_ns": self.deadline_ns}
            with HardwareInTheLoopBridge(AcceleratorMode.HARDWARE_FPGA, verify=1, **options) as bridge:
                bridge.initialize()
                report = soak(bridge, make_soak_inputs(self.model, seed=1), self.soak_calls)
                assert (report.wrong, report.unanswered, report.sequence_errors) == (0, 0, 0)
                assert report.hardware == self.soak_calls
                assert bridge.get_status() in {HardwareStatus.READY, HardwareStatus.DEGRADED}

    def test_sensors_and_errors_are_named_numbers(self) -> None:
        with self.opened() as device:
            assert all(isinstance(value, float) for value in device.sensors().values())
            assert all(isinstance(value, int) for value in device.errors().values())

    def test_close_is_safe_twice(self) -> None:
        with self.make_device() as device:  # type: ignore[attr-defined]
            device.open()
            device.open()
            device.close()
            device.close()
