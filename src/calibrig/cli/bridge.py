"""``calibrig bridge``: bench, status, validate, emulate."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from calibrig.cli.console import JsonOption, print_json, print_lines, print_table
from calibrig.cli.signal_models import read_signal_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from calibrig.bridge import LatencyStats
    from calibrig.parameters import SignalModel

__all__ = ["app"]

app = typer.Typer(help="Inference in software or on a card: measure, watch, validate.")
ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        help="Signal model as JSON, or SYMBOL or SYMBOL@VERSION with --store; default: the packaged reference model.",
    ),
]
ModelStoreOption = Annotated[
    str, typer.Option("--store", help="URL of the store to take the model of a symbol from.")
]
_STATS = ("count", "mean", "p50", "p95", "p99", "p999", "max")


def _read_model(name: str, store: str = "") -> SignalModel:
    from calibrig.models.signal import reference_model

    return read_signal_model(name, store) if name else reference_model()


def _row(path: str, stats: LatencyStats) -> tuple[object, ...]:
    return (path, *(getattr(stats, name) for name in _STATS))


@app.command("bench")
def bench(
    model: ModelOption = "",
    *,
    calls: Annotated[int, typer.Option("--calls", min=1_000, help="Predictions per mode.")] = 500_000,
    device: Annotated[str, typer.Option("--device", help="Measure this device, too.")] = "",
    json: JsonOption = False,
) -> int:
    """Measure predictions on this machine: kernel, bridge, stub, shared memory and a device, and the peers from Python."""
    from calibrig.bridge.measure import measure_bridge
    from calibrig.testing.inference_peers import measure_inference_peers

    measured = _read_model(model)
    rows = measure_bridge(measured, calls=calls, device_url=device or None)
    peers = measure_inference_peers(measured, calls=min(calls // 100, 5_000))
    if json:
        print_json({"paths": rows, "peers": peers})
        return 0
    print_table(
        "Latency, ns (call: CPU time of a call that waits for the one before; the rest: what the bridge recorded)",
        ("what", "call", "p50", "p99", "p99.9", "max", ""),
        [(row.name, row.call_ns, row.p50, row.p99, row.p999, row.max, row.note) for row in rows],
    )
    print_table(
        "One prediction from Python, ns of CPU",
        ("who", "call", "times the bridge's", ""),
        [(cost.name, cost.call_ns, cost.ratio, cost.note) for cost in peers],
    )
    return 0


@app.command("status")
def status(
    path: Annotated[Path, typer.Argument(help="The status_path of a running bridge.")],
    *,
    json: JsonOption = False,
) -> int:
    """Read a running bridge from outside; exit 3 when it is not READY."""
    from calibrig.bridge import HardwareStatus, read_bridge_status

    snapshot = read_bridge_status(str(path))
    code = 0 if snapshot.status is HardwareStatus.READY else 3
    if json:
        print_json(snapshot)
        return code
    print_lines(
        [f"{snapshot.status} in {snapshot.mode}, model {snapshot.model_id:#010x}, process {snapshot.pid}"]
    )
    print_table(
        "Latency, ns",
        ("path", *_STATS),
        [_row("device", snapshot.device), _row("roundtrip", snapshot.roundtrip)],
    )
    print_table("Counts", ("what", "count"), [(k, v) for k, v in snapshot.counts.items() if v])
    print_table(
        "Changes of status",
        ("time", "before", "after", "event", "fault"),
        [
            (_format_ns(change.time_ns), change.before, change.after, change.event, change.fault)
            for change in snapshot.changes[-20:]
        ],
    )
    return code


def _format_ns(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"


@app.command("validate")
def validate(
    device: Annotated[str, typer.Argument(help="Device URL, as shm:///name.")],
    model: ModelOption = "",
    *,
    calls: Annotated[int, typer.Option("--calls", min=100, help="Predictions of the stress.")] = 1_000_000,
    deadline_ns: Annotated[int, typer.Option("--deadline-ns", min=1, help="Deadline of a call.")] = 100_000,
    sla_ns: Annotated[float, typer.Option("--sla-ns", min=1, help="Limit of the device's p99.")] = 400.0,
    store: ModelStoreOption = "",
    json: JsonOption = False,
) -> int:
    """Compare a device with software: golden vectors, a stress with every answer checked, latencies; exit 3 if it fails."""
    from calibrig.bridge.measure import validate_device

    report = validate_device(
        device, _read_model(model, store), calls=calls, deadline_ns=deadline_ns, sla_ns=sla_ns
    )
    if json:
        print_json(report)
    else:
        print_table(
            f"Validation of {device}",
            ("check", "result", "detail"),
            [(check.name, "pass" if check.passed else "fail", check.detail) for check in report.checks],
        )
    return 0 if report.passed else 3


@app.command("emulate")
def emulate(
    name: Annotated[str, typer.Argument(help="Device URL to serve, as shm:///card.")],
    model: ModelOption = "",
    *,
    card: Annotated[
        str, typer.Option("--card", help="rtl: the model's own RTL, verilated; software: the kernel alone.")
    ] = "rtl",
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.0, help="Stop after so long; 0 is until Ctrl-C.")
    ] = 0.0,
    store: ModelStoreOption = "",
) -> int:
    """Serve an emulated card over shared memory, in a process of its own, until Ctrl-C."""
    from calibrig.bridge.devices.shared_memory import SoftwareCard, shared_memory_path
    from calibrig.errors import InvalidInputError

    path = shared_memory_path(name)
    if card == "software":
        with SoftwareCard(path, _read_model(model, store)) as served:
            print_lines([f"a software card (not RTL) serves {name} in process {served.pid}"])
            _wait(seconds)
        return 0
    if card != "rtl":
        raise InvalidInputError(f"--card is {card!r}; give rtl or software")
    from calibrig.bridge.devices.emulator import EmulatorDevice

    with EmulatorDevice(_read_model(model, store), path=path) as device:
        why = f" ({device.reason})" if device.reason else ""
        print_lines(
            [
                f"an emulated card ({device.backend}{why}) serves {name} in process {device.pid}: {device.cycles} clocks "
                f"at {device.clock_hz / 1e6:.1f} MHz are {device.device_ns:.1f} ns in the device"
            ]
        )
        _wait(seconds, lambda: device.pid > 0)
    return 0


def _wait(seconds: float, lives: Callable[[], bool] = lambda: True) -> None:
    from calibrig.errors import DeviceRemovedError

    ends = time.monotonic() + seconds if seconds else float("inf")
    while time.monotonic() < ends:
        if not lives():
            raise DeviceRemovedError("the emulated card's process is gone; start it again")
        time.sleep(min(0.2, max(ends - time.monotonic(), 0.0)))
