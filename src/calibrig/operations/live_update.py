"""A recalibration published by another thread while the loop runs, and the proof that it took effect in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from calibrig.bridge import HardwareInTheLoopBridge
from calibrig.engine import Engine, Replay, replay
from calibrig.market import MarketData
from calibrig.parameters import ParameterSet

__all__ = ["LiveUpdate", "update_while_running"]

_TRIGGER = 0.1  # of the ticks: when the other thread begins to write
_TRIES = 5
_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveUpdate:
    """What happened to an update that another thread published.

    Attributes
    ----------
    published_event : int
        Index of the tick that the loop was at when the engine was given the new set.
    event, time_ns : int or None
        First tick that was handled with it; None where the loop ended before.
    tries : int
        Loops it took: a short loop may end before the store has written.
    repeatable : bool
        Whether a second replay, given the same set at the same event, made the same orders and fills.
    time_to_apply_ns : int or None
        From the new version's stamp to the first cycle that used it; None for a set that was not stored.
    """

    published_event: int
    event: int | None
    time_ns: int | None
    tries: int
    repeatable: bool
    time_to_apply_ns: int | None = None


def update_while_running(
    market: MarketData,
    before: ParameterSet,
    write: Callable[[Callable[[ParameterSet], None]], None],
    bridge: Callable[[], HardwareInTheLoopBridge | None],
) -> LiveUpdate:
    """Run the loop, let another thread ``write`` new parameters meanwhile, and see when they take effect.

    Parameters
    ----------
    market : MarketData
        What the loop runs over.
    before : ParameterSet
        What it starts with.
    write : callable
        Called on the other thread with the function that gives the engine a set; it writes the new version to the
        store and hands over what the store pushes.
    bridge : callable
        Makes an initialised bridge for one loop.
    """
    seen = LiveUpdate(published_event=-1, event=None, time_ns=None, tries=0, repeatable=False)
    for attempt in range(1, _TRIES + 1):
        result, published, given = _run_once(market, before, write, bridge)
        seen = LiveUpdate(
            published_event=published, event=None, time_ns=None, tries=attempt, repeatable=False
        )
        if result.updates.rows > 1 and given is not None:
            event, time_ns = int(result.updates.event[-1]), int(result.updates.time_ns[-1])
            again = replay(market, before, bridge(), updates=[(event, given)])
            return LiveUpdate(
                published_event=published,
                event=event,
                time_ns=time_ns,
                tries=attempt,
                repeatable=again.digest() == result.digest(),
                time_to_apply_ns=int(result.apply_ns[-1]) if result.apply_ns[-1] >= 0 else None,
            )
    return seen


def _run_once(
    market: MarketData,
    before: ParameterSet,
    write: Callable[[Callable[[ParameterSet], None]], None],
    bridge: Callable[[], HardwareInTheLoopBridge | None],
) -> tuple[Replay, int, ParameterSet | None]:
    engine = Engine(market, before, bridge())
    trigger = int(_TRIGGER * (len(market.trades) + len(market.quotes)))
    published: list[tuple[int, ParameterSet]] = []
    failures: list[BaseException] = []
    ended = threading.Event()

    def give(parameters: ParameterSet) -> None:
        engine.publish(parameters)
        published.append((engine.event, parameters))

    def recalibrate() -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while engine.event < trigger and time.monotonic() < deadline and not ended.is_set():
            time.sleep(0)
        try:
            write(give)
        except BaseException as error:  # noqa: BLE001  # handed to the thread that waits
            failures.append(error)

    thread = threading.Thread(target=recalibrate, name="recalibration")
    thread.start()
    try:
        result = engine.run()
    finally:
        ended.set()
        thread.join()
    if failures:
        raise failures[0]
    event, given = published[-1] if published else (-1, None)
    return result, event, given
