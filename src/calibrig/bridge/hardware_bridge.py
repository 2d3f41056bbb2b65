"""The bridge as Python sees it: a thin, typed face on the native object that the engine also runs."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import msgspec

from calibrig._native import bridge as _core  # noqa: TID251
from calibrig.bridge.device import Device
from calibrig.bridge.faults import make_error
from calibrig.bridge.health import (
    FAULTS,
    MODES,
    SOURCES,
    STATUSES,
    AcceleratorMode,
    Fault,
    HardwareStatus,
    Source,
    StatusChange,
    decode_changes,
)
from calibrig.bridge.statistics import LatencyStats, check_path, make_stats, name_counts
from calibrig.bridge.watcher import StatusWatcher
from calibrig.errors import DeviceError, DeviceUnavailableError, InvalidInputError
from calibrig.models.signal import add_golden_vectors, reference_model
from calibrig.parameters import SignalModel

__all__ = ["Answer", "FeatureBuffer", "HardwareInTheLoopBridge", "LatencyHistogram"]

FeatureBuffer = _core.FeatureBuffer
LatencyHistogram = _core.LatencyHistogram


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One prediction and where it came from.

    Attributes
    ----------
    signal : float
        Predicted mid move in half-spreads, in [-1, 1]; 0.0 where ``source`` is none.
    sequence : int
        1, 2, 3 .. per bridge.
    model_id : int
        First four bytes of the hash of the model that answered.
    source : Source
    device_ns : int
        Time in the device (or its stub), ns.
    fault : Fault
        Why there is no answer, or why not the card's.
    """

    signal: float
    sequence: int
    model_id: int
    source: Source
    device_ns: int
    fault: Fault


class HardwareInTheLoopBridge(_core.Bridge):
    """Inference in software or on a card, with no change to the strategy.

    Parameters
    ----------
    mode : AcceleratorMode
        Where predictions are made.
    model : SignalModel, optional
        Default: the packaged reference model (origin "default").
    device : Device, optional
        The card; needed by HARDWARE_FPGA and HYBRID_FALLBACK.
    stub_latency_ns : int
        How long SOFTWARE_STUB takes in real time; 0 is as fast as possible.
    deadline_ns : int
        How long one call waits for the card.
    verify : int
        Shadow checks of the card in software: 0 none, 1 every call, N one call in N.
    sla_ns : int, optional
        Limit of the device path for the health; default ``max(400, stub_latency_ns)``.
    roundtrip_sla_ns : int, optional
        Limit of the round trip for the health; default none.
    status_path : str, optional
        File (best under ``/dev/shm``) through which another process reads counters and histograms.
    seed : int
        Of the choice of shadow checks.

    Notes
    -----
    One bridge per thread: one thread predicts, any thread may read or swap. A second thread inside `predict` gets
    `BridgeStateError`.

    Examples
    --------
    >>> from calibrig import AcceleratorMode, HardwareInTheLoopBridge, MicrostructureFeatures
    >>> with HardwareInTheLoopBridge(AcceleratorMode.SOFTWARE_STUB) as bridge:
    ...     bridge.initialize()
    ...     signal = bridge.predict(MicrostructureFeatures(depth_imbalance=0.5))
    ...     bridge.get_status()
    <HardwareStatus.READY: 'READY'>
    >>> round(signal, 3)
    0.1
    """

    def __init__(
        self,
        mode: AcceleratorMode = AcceleratorMode.SOFTWARE_STUB,
        *,
        model: SignalModel | None = None,
        device: Device | None = None,
        stub_latency_ns: int = 400,
        deadline_ns: int = 2_000,
        verify: int = 0,
        sla_ns: int | None = None,
        roundtrip_sla_ns: int | None = None,
        status_path: str | None = None,
        seed: int = 0,
    ) -> None:
        self._model = _with_golden(reference_model() if model is None else _check_model(model))
        self._device = None if device is None else _check_device(device)
        for name, value, least in (
            ("stub_latency_ns", stub_latency_ns, 0),
            ("deadline_ns", deadline_ns, 1),
            ("verify", verify, 0),
            ("sla_ns", 1 if sla_ns is None else sla_ns, 1),
            ("roundtrip_sla_ns", 1 if roundtrip_sla_ns is None else roundtrip_sla_ns, 1),
        ):
            _check_option(name, value, least)
        try:
            super().__init__(
                MODES.index(_check_mode(mode)),
                self._model,
                device,
                stub_latency_ns,
                deadline_ns,
                verify,
                sla_ns or 0,
                roundtrip_sla_ns or 0,
                seed,
                status_path or "",
            )
        except FileExistsError as error:
            raise InvalidInputError(
                f"status_path {status_path} exists; another bridge shows itself there, or one was killed: remove the "
                "file or take another name"
            ) from error
        except OSError as error:
            raise InvalidInputError(f"status_path {status_path} cannot be made: {error.strerror}") from error
        # Closes when this object is forgotten or the interpreter ends: a prober must not outlive it.
        self._finalizer = weakref.finalize(self, self._keeper().close)
        _require_device(_check_mode(mode), device)

    @property
    def native(self) -> _core.Bridge:
        """The native object, as an engine takes it."""
        return self

    @property
    def model(self) -> SignalModel:
        """The model that answers."""
        return self._model

    def initialize(self) -> None:
        """Open and check the device (if any) and open for calls; a second call does nothing.

        Raises
        ------
        DeviceError
            HARDWARE_FPGA only: the device fails its check. HYBRID_FALLBACK starts on software and probes on.
        BridgeStateError
            After `close`.
        """
        hybrid = self.get_mode() is AcceleratorMode.HYBRID_FALLBACK
        if self._device is not None and self._status() == _UNINITIALIZED:
            _open(self._device, required=not hybrid)
        fault = self._initialize()
        if fault and (not hybrid or self._status() == _CLOSED):
            raise make_error(fault)

    def answer(self, features: _core.Features, *, charge: bool = False) -> Answer:
        """Predict and say where the answer came from; never raises for a device's fault.

        Parameters
        ----------
        features : FeatureBuffer, MicrostructureFeatures, float64 array or sequence of 16
        charge : bool
            True in replay: return at once; ``device_ns`` is the nominal latency to charge to the venue's clock.
        """
        raw = self.predict_answer(features, charge)
        return Answer(
            signal=raw.signal,
            sequence=raw.sequence,
            model_id=raw.model_id,
            source=SOURCES[raw.source_code],
            device_ns=raw.device_ns,
            fault=FAULTS[raw.fault_code],
        )

    def get_status(self) -> HardwareStatus:
        """Return the health; never waits for the predicting thread."""
        return STATUSES[self._status()]

    def get_mode(self) -> AcceleratorMode:
        """Return the mode in use."""
        return MODES[self._mode()]

    def meets_latency_sla(self, ns: float = 400.0, *, percentile: float = 0.99, path: str = "device") -> bool:
        """Whether the percentile of the latencies is at most ``ns``; True while there are none."""
        check_path(path)
        if not 0.0 < percentile <= 1.0:
            raise InvalidInputError(f"percentile is {percentile}; give a share above 0 and at most 1")
        if not ns > 0.0:
            raise InvalidInputError(f"ns is {ns}; give a latency above 0 ns")
        return self._histogram(path).percentile(percentile) <= ns

    def get_latency_stats(self, path: str = "device") -> LatencyStats:
        """Return the statistics of one path, ``"device"`` or ``"roundtrip"``, since the start or `reset_stats`."""
        check_path(path)
        counts, (failures, fallbacks) = self.get_counts(), self._baselines()
        return make_stats(
            self._histogram(path),
            failures=counts["failures"] - failures,
            fallbacks=counts["fallbacks"] - fallbacks,
        )

    def get_histogram(self, path: str = "device") -> LatencyHistogram:
        """Return a copy of one path's histogram: to merge with other bridges' or to export (``to_buckets``)."""
        check_path(path)
        return self._histogram(path)

    def get_counts(self) -> Mapping[str, int]:
        """Return all counters since the start, the faults by name among them (``fault_timeout`` ..)."""
        return name_counts(self._counts())

    def get_status_changes(self, after: int = 0) -> list[StatusChange]:
        """Return the changes of status with an index above ``after``; the ring keeps the last 256."""
        return decode_changes(self._changes(after))

    def watch(self, callback: Callable[[StatusChange], None], *, poll_s: float = 0.005) -> StatusWatcher:
        """Call back for each change of status from now on, from a thread of its own; stop with its ``close()``.

        The predicting thread only writes a change into the ring; it never waits for a callback.

        Examples
        --------
        >>> seen = []
        >>> bridge = HardwareInTheLoopBridge()
        >>> with bridge.watch(seen.append):
        ...     bridge.initialize()
        ...     bridge.close()
        >>> [str(change.after) for change in seen]
        ['READY', 'CLOSED']
        """
        return StatusWatcher(self.get_status_changes, callback, poll_s=poll_s)

    def reset_stats(self) -> None:
        """Start the statistics anew; safe while another thread predicts."""
        self._reset()

    def set_mode(self, mode: AcceleratorMode) -> None:
        """Change the mode under load; the next call sees it whole.

        Raises
        ------
        DeviceUnavailableError
            The mode needs a device and the bridge has none.
        DeviceError
            HARDWARE_FPGA only: the device fails its check; the mode in use stays.
        """
        mode = _check_mode(mode)
        _require_device(mode, self._device)
        if self._device is not None and mode is not AcceleratorMode.SOFTWARE_STUB:
            _open(self._device, required=mode is AcceleratorMode.HARDWARE_FPGA)
        self._apply(mode, None, None, change_device=False)

    def set_model(self, model: SignalModel, *, device: Device | None = None) -> None:
        """Change the model under load, with the device that runs it where a card is in use.

        The next call sees model and device together. While a card stays under a new model (it must report the
        new model's id), software answers until it has passed its check.
        """
        model = _with_golden(_check_model(model))
        old = self._device
        if device is not None:
            _open(_check_device(device), required=self.get_mode() is AcceleratorMode.HARDWARE_FPGA)
        self._apply(self.get_mode(), model, device, change_device=device is not None)
        self._model = model
        if device is not None:
            self._device = device
            _close_other(old, device)

    def set_device(self, device: Device) -> None:
        """Change the device under load: opened, checked with golden vectors, then taken; the old one is closed.

        Raises
        ------
        DeviceError
            HARDWARE_FPGA only: the new device fails its check; the old one stays.
        """
        old = self._device
        _open(_check_device(device), required=self.get_mode() is AcceleratorMode.HARDWARE_FPGA)
        self._apply(self.get_mode(), None, device, change_device=True)
        self._device = device
        _close_other(old, device)

    def _apply(
        self, mode: AcceleratorMode, model: SignalModel | None, device: Device | None, *, change_device: bool
    ) -> None:
        fault = self._swap(MODES.index(mode), model, device, change_device)
        if fault and (mode is AcceleratorMode.HARDWARE_FPGA or self._status() == _CLOSED):
            raise make_error(fault)

    def close(self) -> None:
        """Release device and threads; safe twice."""
        self._close()
        if self._device is not None:
            self._device.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_CLOSED = STATUSES.index(HardwareStatus.CLOSED)
_UNINITIALIZED = STATUSES.index(HardwareStatus.UNINITIALIZED)


def _check_mode(mode: AcceleratorMode) -> AcceleratorMode:
    try:
        return AcceleratorMode(mode)
    except ValueError as error:
        raise InvalidInputError(f"mode is {mode!r}; give one of {', '.join(MODES)}") from error


def _check_model(model: object) -> SignalModel:
    if not isinstance(model, SignalModel):
        raise InvalidInputError(
            f"model is {type(model).__name__} {_shorten(model)}; give a SignalModel, from a store "
            "(store.get_signal_model) or from fit_signal"
        )
    return model


def _check_device(device: object) -> Device:
    if not isinstance(device, Device):
        raise InvalidInputError(
            f"device is {type(device).__name__} {_shorten(device)}; give an object with the functions of Device, "
            "for a URL open_device('shm:///name')"
        )
    return device


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _require_device(mode: AcceleratorMode, device: Device | None) -> None:
    if mode is not AcceleratorMode.SOFTWARE_STUB and device is None:
        raise DeviceUnavailableError(
            f"{mode} needs a device and none was given; pass device=open_device('shm:///name') or another "
            "device URL, or use SOFTWARE_STUB"
        )


def _open(device: Device, *, required: bool) -> None:
    """Open a device; where software can answer, one that cannot be opened is left to the health check."""
    try:
        device.open()
    except (DeviceError, DeviceUnavailableError):
        if required:
            raise


def _close_other(old: Device | None, new: Device) -> None:
    if old is not None and old is not new:
        old.close()


def _check_option(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= 10**12:
        raise InvalidInputError(f"{name} is {value!r}; give an integer in {least} .. {10**12}")


def _with_golden(model: SignalModel) -> SignalModel:
    return model if model.golden_values else add_golden_vectors(model)
