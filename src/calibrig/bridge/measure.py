"""Measure a bridge on this machine, and validate a device against software: the source document's phase 2."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec

from calibrig._native import bridge as _core  # noqa: TID251
from calibrig.bridge.device import CARD_ABI_VERSION, CARD_IDENTITY_WORD, Device
from calibrig.bridge.devices import open_device
from calibrig.bridge.devices.shared_memory import SharedMemoryDevice, SoftwareCard
from calibrig.bridge.hardware_bridge import HardwareInTheLoopBridge
from calibrig.bridge.health import AcceleratorMode
from calibrig.bridge.soak import make_soak_inputs, soak
from calibrig.errors import DeviceError
from calibrig.parameters import SignalModel

__all__ = ["DeviceCheck", "DeviceValidation", "MeasuredPath", "measure_bridge", "validate_device"]


_PATIENT_NS = 200_000_000  # a card in another process waits for a core on a busy machine


class MeasuredPath(msgspec.Struct, frozen=True, kw_only=True):
    """One way to a prediction and what it took, ns.

    Attributes
    ----------
    name : str
    call_ns : float
        CPU time of one call in a native loop where each call waits for the answer before it.
    p50, p99, p999, max : float or None
        Round trips that the bridge recorded; None for a bare kernel.
    note : str
        What makes the row another measurement than its name says: answers by fallback.
    """

    name: str
    call_ns: float
    p50: float | None = None
    p99: float | None = None
    p999: float | None = None
    max: float | None = None
    note: str = ""


class DeviceCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One check of a device: name, whether it holds, and the figures."""

    name: str
    passed: bool
    detail: str


class DeviceValidation(msgspec.Struct, frozen=True, kw_only=True):
    """All checks of a device; ``passed`` only when each holds."""

    device: str
    model_id: int
    checks: tuple[DeviceCheck, ...]
    passed: bool


def measure_bridge(
    model: SignalModel, *, calls: int = 500_000, device_url: str | None = None
) -> list[MeasuredPath]:
    """Measure kernel, bridge, stub, shared memory and (if given) a device, each apart.

    Examples
    --------
    >>> from calibrig.models.signal import reference_model
    >>> [row.name for row in measure_bridge(reference_model(), calls=1_000)][:3]
    ['kernel alone', 'bridge, as fast as possible', 'bridge, 400 ns stub']
    """
    rows = [_measure_kernel(model, calls)]
    rows.append(_measure("bridge, as fast as possible", model, calls, None, stub_latency_ns=0))
    rows.append(_measure("bridge, 400 ns stub", model, calls, None, stub_latency_ns=400))
    folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=folder) as inside:
        for name, echo in (("shared memory, empty line", True), ("shared memory, model", False)):
            with SoftwareCard(str(Path(inside) / "card"), model, echo=echo) as card:
                rows.append(_measure(name, model, calls, SharedMemoryDevice(card.path), unchecked=echo))
    if device_url is not None:
        rows.append(_measure(device_url, model, calls, open_device(device_url)))
    return rows


def _measure_kernel(model: SignalModel, calls: int) -> MeasuredPath:
    rows = make_soak_inputs(model).features
    return MeasuredPath(name="kernel alone", call_ns=_core.time_kernel_ns(model, rows, calls))


def _measure(
    name: str,
    model: SignalModel,
    calls: int,
    device: Device | None,
    *,
    stub_latency_ns: int = 400,
    unchecked: bool = False,
) -> MeasuredPath:
    mode = AcceleratorMode.SOFTWARE_STUB if device is None else AcceleratorMode.HYBRID_FALLBACK
    inputs = make_soak_inputs(model)
    if unchecked:  # a card that echoes would fail its golden vectors: zero answers are its right ones
        model = msgspec.structs.replace(model, golden_values=(0,) * len(model.golden_values))
    with HardwareInTheLoopBridge(
        mode, model=model, device=device, stub_latency_ns=stub_latency_ns, deadline_ns=_PATIENT_NS
    ) as bridge:
        bridge.initialize()
        soak(bridge, inputs, min(calls, 10_000))
        bridge.reset_stats()
        before = bridge.get_counts()
        call_ns = _core.time_bridge_ns(bridge, inputs.features, calls)
        after, stats = bridge.get_counts(), bridge.get_latency_stats("roundtrip")
    made, fallbacks = (after[name] - before[name] for name in ("calls", "fallbacks"))
    return MeasuredPath(
        name=name,
        call_ns=call_ns,
        p50=stats.p50,
        p99=stats.p99,
        p999=stats.p999,
        max=stats.max,
        note=f"{100.0 * fallbacks / made:.3g} % of the answers are software's" if fallbacks else "",
    )


def validate_device(
    device: str | Device,
    model: SignalModel,
    *,
    calls: int = 1_000_000,
    deadline_ns: int = 100_000,
    sla_ns: float = 400.0,
) -> DeviceValidation:
    """Compare a device with software: identity, golden vectors, a stress, latencies.

    Parameters
    ----------
    device : str or Device
        URL, or the device itself.
    model : SignalModel
        What it should run.
    calls : int
        Predictions of the stress, each compared bit for bit.
    deadline_ns : int
        Deadline of a call.
    sla_ns : float
        Limit of the 99th percentile on the device path.

    Examples
    --------
    >>> from calibrig.models.signal import reference_model
    >>> from calibrig.testing import ScriptedDevice
    >>> model = reference_model()
    >>> validate_device(ScriptedDevice(model), model, calls=1_000, deadline_ns=10_000_000).passed
    True
    """
    opened = open_device(device) if isinstance(device, str) else device
    name = device if isinstance(device, str) else type(device).__name__
    checks = [_check_identity(opened, model)]
    if checks[0].passed:
        with HardwareInTheLoopBridge(
            AcceleratorMode.HYBRID_FALLBACK, model=model, device=opened, deadline_ns=deadline_ns
        ) as bridge:
            checks.append(_check_golden(bridge))
            if checks[1].passed:
                checks.extend(_stress(bridge, model, calls, sla_ns))
    else:
        opened.close()
    return DeviceValidation(
        device=name,
        model_id=model.model_id,
        checks=tuple(checks),
        passed=all(check.passed for check in checks),
    )


def _check_identity(device: Device, model: SignalModel) -> DeviceCheck:
    try:
        device.open()
        who = device.identity()
    except DeviceError as error:
        return DeviceCheck(name="identity", passed=False, detail=str(error))
    passed = (who.word, who.abi_version, who.model_id) == (
        CARD_IDENTITY_WORD,
        CARD_ABI_VERSION,
        model.model_id,
    )
    detail = f"word {who.word:#010x}, ABI {who.abi_version}, model {who.model_id:#010x}, {who.clock_hz / 1e6:g} MHz"
    return DeviceCheck(
        name="identity",
        passed=passed,
        detail=detail
        if passed
        else f"{detail}; expected model {model.model_id:#010x}, ABI {CARD_ABI_VERSION}",
    )


def _check_golden(bridge: HardwareInTheLoopBridge) -> DeviceCheck:
    bridge.initialize()
    changes = bridge.get_status_changes()
    passed = bridge.get_status() == "READY"
    n = len(bridge.model.golden_values)
    detail = f"64 probes over {n} vectors" if passed else f"fault: {changes[-1].fault}"
    return DeviceCheck(name="golden vectors", passed=passed, detail=detail)


def _stress(
    bridge: HardwareInTheLoopBridge, model: SignalModel, calls: int, sla_ns: float
) -> list[DeviceCheck]:
    report = soak(bridge, make_soak_inputs(model, n_rows=10_000, seed=1), calls)
    device, roundtrip = bridge.get_latency_stats(), bridge.get_latency_stats("roundtrip")
    answered = report.hardware / report.calls
    return [
        DeviceCheck(
            name="stress",
            passed=report.wrong == report.unanswered == 0 and answered >= 0.99,
            detail=f"{report.calls} calls: {report.wrong} wrong, {report.fallback} by fallback, "
            f"{report.sequence_errors} out of sequence",
        ),
        DeviceCheck(
            name="device latency",
            passed=device.count > 0 and device.p99 <= sla_ns,
            detail=f"p50 {device.p50:g}, p99 {device.p99:g}, limit {sla_ns:g} ns",
        ),
        DeviceCheck(
            name="roundtrip latency",
            passed=roundtrip.count > 0,
            detail=f"p50 {roundtrip.p50:g}, p99 {roundtrip.p99:g}, max {roundtrip.max:g} ns (no limit)",
        ),
    ]
