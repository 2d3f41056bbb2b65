"""The loop once more, on an emulated card that fails in mid-session: the same orders, the same profit."""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from calibrig.bridge import AcceleratorMode, HardwareInTheLoopBridge, HardwareStatus
from calibrig.bridge.devices.emulator import EmulatorDevice
from calibrig.engine import Engine, Replay, replay
from calibrig.errors import CalibrigError
from calibrig.market import MarketData
from calibrig.parameters import ParameterSet, SignalModel
from calibrig.reports import Figure

__all__ = ["CardAct", "OpeningCard", "play_card_act"]

# The simulator shares its processor: a slow answer is no fault.
_DEADLINE_NS = MappingProxyType({"verilator": 20_000_000, "interpreter": 1_000_000_000})
_PARTS = 60  # stretches of the session between two looks at the card
_BREAKS, _MENDED = 1 / 3, 1 / 2  # of the ticks
_PATIENCE_S = 10.0
_BUDGET_S = 3.0  # on a busy machine, or without a compiler, a part of the session has to do
_LEAST_TICKS = 300
_TRIAL_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class CardAct:
    """What happened; ``result`` is None, and ``reason`` says why, where no card could be emulated."""

    reason: str = ""
    result: dict[str, Any] | None = None
    figures: tuple[Figure, ...] = ()
    facts: tuple[tuple[str, str], ...] = field(default=())


class OpeningCard:
    """An emulated card that is built in its own process while this one goes on working.

    Parameters
    ----------
    model : SignalModel
        What the card is built from.
    """

    def __init__(self, model: SignalModel) -> None:
        self._device = EmulatorDevice(model)
        self._failure: CalibrigError | None = None
        self._thread: threading.Thread | None = None
        if importlib.util.find_spec("da4ml") is not None:
            self._thread = threading.Thread(target=self._open, name="building the card")
            self._thread.start()

    def _open(self) -> None:
        try:
            self._device.open()
        except CalibrigError as error:
            self._failure = error

    def wait(self) -> EmulatorDevice | str:
        """Return the open card, or why there is none."""
        if self._thread is None:
            return "no card was emulated: da4ml is not installed (pip install 'calibrig[rtl]')"
        self._thread.join()
        return f"no card was emulated: {self._failure}" if self._failure is not None else self._device

    def close(self) -> None:
        """End the card's process; safe twice."""
        if self._thread is not None:
            self._thread.join()
        self._device.close()


def play_card_act(
    market: MarketData,
    parameters: ParameterSet,
    software: Replay,
    opening: OpeningCard,
    *,
    updates: Sequence[tuple[int, ParameterSet]] = (),
    sample_s: float | None = None,
) -> CardAct:
    """Replay in HYBRID_FALLBACK on an emulated card, let it fail and mend, and compare with the run in software.

    Parameters
    ----------
    market : MarketData
        What ``software`` replayed.
    parameters : ParameterSet
        What it began with.
    software : Replay
        The run in software.
    opening : OpeningCard
        Built from ``parameters.signal``; closed at the end.
    updates, sample_s
        As in the run in software.

    Returns
    -------
    CardAct
        ``result["identical"]``: every order and fill, and so the profit to the last digit.
    """
    try:
        device = opening.wait()
        if isinstance(device, str):
            return CardAct(reason=device)
        run = _Run(market, parameters, software, tuple(updates), sample_s)
        return _play(run, device)
    finally:
        opening.close()


class _Run(NamedTuple):
    """What is replayed, and the run in software that it is held against."""

    market: MarketData
    parameters: ParameterSet
    software: Replay
    updates: tuple[tuple[int, ParameterSet], ...]
    sample_s: float | None

    @property
    def ticks(self) -> int:
        return len(self.market.trades) + len(self.market.quotes)

    def cut(self, ticks: int) -> _Run:
        """Return the first ``ticks`` of it, without updates, and their own run in software."""
        market, parameters = _head(self.market, ticks), self.parameters
        bridge = HardwareInTheLoopBridge(AcceleratorMode.SOFTWARE_STUB, model=parameters.signal)
        with bridge:
            bridge.initialize()
            return _Run(market, parameters, replay(market, parameters, bridge), (), None)


def _play(run: _Run, device: EmulatorDevice) -> CardAct:
    bridge = HardwareInTheLoopBridge(
        AcceleratorMode.HYBRID_FALLBACK,
        model=run.parameters.signal,
        device=device,
        deadline_ns=_DEADLINE_NS[device.backend],
    )
    whole = run.ticks
    with bridge:
        bridge.initialize()
        affordable = int(_BUDGET_S / _time_call_s(bridge))
        if affordable < whole:
            run = run.cut(max(affordable, _LEAST_TICKS))
        before = bridge.get_counts()
        trouble = _Trouble(bridge, device, run.ticks)
        try:
            result = Engine(run.market, run.parameters, bridge, sample_s=run.sample_s).run(
                updates=run.updates, on_progress=trouble.see, progress_ticks=max(1, run.ticks // _PARTS)
            )
        finally:
            trouble.end()
        counts = {name: count - before.get(name, 0) for name, count in bridge.get_counts().items()}
        path = [str(change.after) for change in bridge.get_status_changes()]
    told = _compare(result, run.software, device) | {
        "events_of_session": whole,
        "fault": trouble.fault,
        "broken_event": trouble.broken_event,
        "mended_event": trouble.mended_event,
        "recovered": trouble.recovered,
        "hardware_answers": counts["hardware"],
        "fallback_answers": counts["fallbacks"],
        "faults": {k[6:]: n for k, n in counts.items() if k.startswith("fault_") and n},
        "status_path": path,
    }
    return _tell(told)


def _time_call_s(bridge: HardwareInTheLoopBridge) -> float:
    """Mean time of one prediction on the card, s: over a stretch in which a busy machine shows that it is."""
    row, calls = [0.0] * 16, 0
    started = time.perf_counter()
    while (spent := time.perf_counter() - started) < _TRIAL_S:
        bridge.predict(row)
        calls += 1
    return spent / max(calls, 1)


class _Trouble:
    """Breaks the card at a third of the ticks and mends it at half of them, each at the same tick in every run."""

    def __init__(self, bridge: HardwareInTheLoopBridge, device: EmulatorDevice, ticks: int) -> None:
        self._bridge, self._device, self._ticks = bridge, device, ticks
        self._spare: EmulatorDevice | None = None
        self.fault = "hang" if device.backend == "verilator" else "process killed"
        self.broken_event = self.mended_event = -1
        self.recovered = False

    def see(self, done: int) -> None:
        """Break or mend when it is time; called by the loop between two stretches."""
        if self.broken_event < 0 and done >= _BREAKS * self._ticks:
            self.broken_event = done
            if self.fault == "hang":
                self._device.inject("hang", count=0)
            else:
                self._device.kill()
        elif self.broken_event >= 0 and self.mended_event < 0 and done >= _MENDED * self._ticks:
            self.mended_event = done
            self._mend()

    def _mend(self) -> None:
        if self.fault == "hang":
            self._device.inject("none")
        else:
            self._spare = EmulatorDevice(self._device.model, backend=self._device.backend)
            self._bridge.set_device(self._spare)
        deadline = time.monotonic() + _PATIENCE_S
        while self._bridge.get_status() is HardwareStatus.FAILED and time.monotonic() < deadline:
            time.sleep(1e-3)
        self.recovered = self._bridge.get_status() is not HardwareStatus.FAILED

    def end(self) -> None:
        """Close what was opened on the way."""
        if self._spare is not None:
            self._spare.close()


def _compare(result: Replay, software: Replay, device: EmulatorDevice) -> dict[str, Any]:
    return {
        "backend": device.backend,
        "backend_reason": device.reason,
        "device_cycles": device.cycles,
        "clock_hz": device.clock_hz,
        "device_ns": device.device_ns,
        "events": result.events,
        "orders": int(result.sessions.messages.sum()),
        "profit": result.pnl,
        "software_profit": software.pnl,
        "identical": result.digest() == software.digest() and result.pnl == software.pnl,
    }


def _tell(told: dict[str, Any]) -> CardAct:
    rtl = told["backend"] == "verilator"
    figure = Figure(
        label="on an emulated card" if rtl else "on an interpreted card",
        value="same orders, same profit" if told["identical"] else "OTHER ORDERS",
        note=f"{told['hardware_answers']:,} answers by the card, {told['fallback_answers']:,} by software while it was "
        f"broken ({told['fault']} at event {told['broken_event']:,})",
    )
    what = "verilated RTL" if rtl else f"bit-exact interpreter ({told['backend_reason']})"
    part = f"{told['events']:,} of {told['events_of_session']:,} events"
    facts = (
        (
            "emulated card",
            f"{what}; {told['device_cycles']} clocks, {told['device_ns']:.0f} ns in the device",
        ),
        ("its status", _shorten(told["status_path"])),
        (
            "profit on the card, in software",
            f"{told['profit']:,.2f}, {told['software_profit']:,.2f} over {part}",
        ),
    )
    return CardAct(result=told, figures=(figure,), facts=facts)


def _shorten(path: list[str]) -> str:
    """The way through the states, without the swings that a busy machine adds."""
    kept = [
        state
        for index, state in enumerate(path)
        if state == "FAILED" or (state == "READY" and path[index - 1] in {"FAILED", state}) or index == 0
    ]
    return " to ".join(kept)


def _head(market: MarketData, ticks: int) -> MarketData:
    index = min(ticks, len(market.quotes) - 1)
    start = int(market.sessions[0, 0])
    return market.between(start, max(int(market.quotes.time_ns[index]), start + 1) + 1)
