"""The demo's act on the emulated card: exactness makes the same orders and the same profit a test."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from calibrig import MarketData, ParameterSet, simulate_market
from calibrig.bridge import AcceleratorMode, HardwareInTheLoopBridge
from calibrig.bridge.devices.emulator import EmulatorDevice
from calibrig.engine import Replay, replay
from calibrig.models.signal import reference_model
from calibrig.operations import card_act
from calibrig.operations.card_act import OpeningCard, play_card_act
from calibrig.parameters import AvellanedaStoikovParameters, RiskParameters


@pytest.fixture(scope="module")
def scene() -> tuple[MarketData, ParameterSet, Replay]:
    simulated = simulate_market(seed=3, sessions=1, session_s=120.0)
    market, truth = simulated.market, simulated.truth
    instrument = market.instrument
    parameters = ParameterSet(
        symbol=instrument.symbol,
        hawkes=truth.hawkes,
        quoting=AvellanedaStoikovParameters(
            gamma=0.1,
            sigma=0.5,
            kappa=truth.kappa,
            time_horizon_seconds=600.0,
            arrival_rate=truth.arrival_rate,
            reference_price=float(market.quotes.mid_ticks()[0] * instrument.tick_size),
            tick_size=instrument.tick_size,
            lot_size=instrument.lot_size,
        ),
        risk=RiskParameters(
            max_position=20,
            normal_volatility_threshold=2.0,
            elevated_volatility_threshold=3.0,
            high_stress_volatility_threshold=5.0,
        ),
        signal=msgspec.structs.replace(reference_model(), version=None),
    )
    bridge = HardwareInTheLoopBridge(AcceleratorMode.SOFTWARE_STUB, model=parameters.signal)
    with bridge:
        bridge.initialize()
        return market, parameters, replay(market, parameters, bridge)


def play(
    scene: tuple[MarketData, ParameterSet, Replay], cache: Path, backend: str, monkeypatch: pytest.MonkeyPatch
) -> card_act.CardAct:
    market, parameters, software = scene
    monkeypatch.setattr(
        card_act, "EmulatorDevice", lambda model, **_: EmulatorDevice(model, cache=cache, backend=backend)
    )
    assert parameters.signal is not None
    return play_card_act(market, parameters, software, OpeningCard(parameters.signal))


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "fault"), [("verilator", "hang"), ("interpreter", "process killed")])
def test_a_card_that_breaks_and_mends_changes_no_order(
    scene: tuple[MarketData, ParameterSet, Replay],
    tmp_path: Path,
    backend: str,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    act = play(scene, tmp_path, backend, monkeypatch)
    told = act.result
    assert told is not None, act.reason
    assert told["backend"] == backend
    assert told["fault"] == fault
    assert told["identical"]
    assert told["profit"] == told["software_profit"]
    assert told["orders"] > 0
    assert told["fallback_answers"] > 0
    assert told["hardware_answers"] > 0
    assert told["faults"]
    assert told["recovered"]
    assert "FAILED" in told["status_path"]
    assert 0 < told["broken_event"] < told["mended_event"] < told["events"]


def test_orders_that_differ_are_called_so(
    scene: tuple[MarketData, ParameterSet, Replay], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held against a run of other parameters, the comparison must fail: it can."""
    market, parameters, _ = scene
    monkeypatch.setattr(card_act, "_BUDGET_S", 1e9)
    other = replay(market, parameters, None)
    assert parameters.signal is not None
    with EmulatorDevice(parameters.signal, cache=tmp_path, backend="interpreter") as device:
        run = card_act._Run(
            market.between(0, int(market.sessions[0, 0]) + 5 * 10**9), parameters, other, (), None
        )
        told = card_act._play(run, device).result
    assert told is not None
    assert not told["identical"]


def test_without_the_generator_it_says_what_to_install(
    scene: tuple[MarketData, ParameterSet, Replay], monkeypatch: pytest.MonkeyPatch
) -> None:
    market, parameters, software = scene
    monkeypatch.setattr(card_act.importlib.util, "find_spec", lambda _: None)
    assert parameters.signal is not None
    act = play_card_act(market, parameters, software, OpeningCard(parameters.signal))
    assert act.result is None
    assert "pip install 'calibrig[rtl]'" in act.reason
