"""The trading engine over recorded ticks: run it, update its parameters while it runs, stop it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from calibrig._native import engine as _native  # noqa: TID251
from calibrig.bridge import HardwareInTheLoopBridge, HardwareStatus
from calibrig.engine.columns import to_native_market
from calibrig.engine.following import follow_store, newest_stamp
from calibrig.engine.limits import PreTradeLimits
from calibrig.engine.parameter_block import judge_parameters, make_block
from calibrig.engine.replay_result import Replay, collect
from calibrig.errors import BridgeStateError, InvalidInputError
from calibrig.market import MarketData
from calibrig.parameters import ParameterSet, SignalModel
from calibrig.store import AppliedParameters, ModelStore, StoreBlock
from calibrig.store.block import describe_applied, translate_block_error

__all__ = ["FILL_MODELS", "Engine", "replay"]

FILL_MODELS = ("conservative", "touch", "through")
_CHUNK = 1 << 18  # ticks between two looks at Ctrl-C and progress: well under 0.1 s
_SAMPLES = 4_000


class Engine:
    """The native engine on the ticks of a market, with live parameter updates.

    `run` releases the GIL; `publish` and `kill` may be called from other threads meanwhile.

    Parameters
    ----------
    market : MarketData
        Trades and quotes.
    parameters : ParameterSet
        What to trade with from the first tick on.
    bridge : HardwareInTheLoopBridge or None
        Makes the signal; initialised, with ``parameters.signal`` as its model. None trades without a signal (0).
    fill_model : {"conservative", "touch", "through"}
        How resting orders fill, see docs/engine.md. Every result names it.
    order_latency_ns, response_latency_ns : int
        From the decision to the book, beside the device's time; and from the book back.
    limits : PreTradeLimits, optional
        Pre-trade limits.
    form : {"stationary", "finite_horizon"}
        Which Avellaneda-Stoikov quotes; the finite horizon ends with the session.
    sample_s : float or None
        Spacing of the samples for plots; None gives about 4,000 over all sessions.
    accept : tuple of str
        Parameters traded with although a live loop would refuse them: ``"unversioned"``, ``"default"``, ``"stale"``.
    max_parameter_age_s : float
        Older sets are stale.
    applied_path : str or Path, optional
        Where other processes read `time_to_apply` while it runs (``calibrig store applied PATH``), best under
        ``/dev/shm``; the file goes with the engine.

    Examples
    --------
    See :func:`replay`.
    """

    def __init__(
        self,
        market: MarketData,
        parameters: ParameterSet,
        bridge: HardwareInTheLoopBridge | None = None,
        *,
        fill_model: str = "conservative",
        order_latency_ns: int = 50_000,
        response_latency_ns: int = 50_000,
        limits: PreTradeLimits | None = None,
        form: str = "stationary",
        sample_s: float | None = None,
        accept: tuple[str, ...] = ("unversioned",),
        max_parameter_age_s: float = 7 * 86_400.0,
        applied_path: str | Path = "",
    ) -> None:
        if fill_model not in FILL_MODELS:
            raise InvalidInputError(f"fill_model is {fill_model!r}; give one of {', '.join(FILL_MODELS)}")
        if form not in ("stationary", "finite_horizon"):
            raise InvalidInputError(f"form is {form!r}; give 'stationary' or 'finite_horizon'")
        for name, value in (
            ("order_latency_ns", order_latency_ns),
            ("response_latency_ns", response_latency_ns),
        ):
            if not isinstance(value, int) or not 0 <= value <= 10**12:
                raise InvalidInputError(f"{name} is {value!r}; give an integer in 0 .. {10**12}")
        if bridge is not None and bridge.get_status() in (
            HardwareStatus.UNINITIALIZED,
            HardwareStatus.CLOSED,
        ):
            raise BridgeStateError(f"the bridge is {bridge.get_status()}; call bridge.initialize() first")
        instrument = market.instrument
        self._market, self._bridge, self._fill_model, self._form = market, bridge, fill_model, form
        self._accept, self._max_age_s = accept, max_parameter_age_s
        self._publishing = threading.Lock()
        self._versions: list[dict[str, int]] = []
        self._signal: SignalModel | None = None
        self._ran = False
        try:
            self._native = _native.Replay(
                to_native_market(market),
                (
                    FILL_MODELS.index(fill_model),
                    order_latency_ns,
                    response_latency_ns,
                    round(instrument.maker_fee * 1e9),
                    round(instrument.taker_fee * 1e9),
                    _sample_ns(market, sample_s),
                    64,
                ),
                (limits or PreTradeLimits()).to_native(instrument),
                None if bridge is None else bridge.native,
                instrument.symbol,
                str(applied_path),
            )
        except OSError as error:
            raise translate_block_error(error, str(applied_path)) from None
        self._parameters = parameters
        self._publish(parameters, live=False)

    def publish(self, parameters: ParameterSet) -> None:
        """Trade with these parameters from the next cycle on; callable from any thread while `run` goes on.

        Where they name another signal model than the bridge's, the bridge is given that model too; in between,
        answers of either model are taken, and each order records the one it was made with.
        """
        self._take(parameters, live=True)

    def _take(self, parameters: ParameterSet, *, live: bool) -> None:
        self._publish(parameters, live=live)
        signal = parameters.signal
        if self._bridge is not None and signal is not None and signal.model_id != self._bridge.model.model_id:
            self._bridge.set_model(signal)

    def _publish(self, parameters: ParameterSet, *, live: bool) -> None:
        if parameters.symbol != self._market.instrument.symbol:
            raise InvalidInputError(
                f"the parameters are for {parameters.symbol!r} but the market is "
                f"{self._market.instrument.symbol!r}; take the set of this symbol"
            )
        refusal = judge_parameters(
            parameters,
            with_bridge=self._bridge is not None,
            accept=self._accept,
            max_age_s=self._max_age_s,
        )
        with self._publishing:
            block = make_block(
                parameters,
                self._market.instrument,
                refusal=refusal,
                form=self._form,
                previous_signal=self._signal,
            )
            stamp_ns = newest_stamp(self._parameters, parameters) if live else -1
            self._signal, self._parameters = parameters.signal, parameters
            self._versions.append(parameters.versions)
            self._native.publish(block, stamp_ns)

    def follow(self, store: ModelStore) -> Callable[[], None]:
        """Trade with what ``store`` holds for the market's symbol, and take every new version over at the next cycle.

        The store must be open and stay so: while it is stale (its backend does not answer, it is damaged, or it was
        closed) the loop sends nothing, whatever `accept` names; it looks at the store's native block at every cycle,
        with no lock. A set that this engine cannot trade with stops it too, until a good one comes.

        Returns
        -------
        callable
            Ends it; the last set stays in force.
        """
        return follow_store(self, store)

    def attach(self, block: StoreBlock) -> None:
        """Send nothing while the store behind ``block`` is stale; the loop looks at every cycle."""
        self._native.follow(block.native)

    def detach(self) -> None:
        """End what `attach` began."""
        self._native.unfollow()

    def withhold(self) -> None:
        """Send nothing, for `missing_parameters`, until a good set is published."""
        nothing = ParameterSet(symbol=self.symbol)
        with self._publishing:
            block = make_block(
                nothing, self._market.instrument, refusal="missing_parameters", form=self._form
            )
            self._parameters = nothing
            self._versions.append({})
            self._native.publish(block, -1)

    @property
    def symbol(self) -> str:
        """What is traded."""
        return self._market.instrument.symbol

    @property
    def versions(self) -> dict[str, int]:
        """Version numbers of the set that was published last."""
        return self._parameters.versions

    @property
    def time_to_apply(self) -> AppliedParameters:
        """How long new versions took from their stamp to the first cycle that used them; readable while it runs."""
        return describe_applied(self._native.applied())

    def kill(self) -> None:
        """Send no further order and take the working ones out; callable from any thread, not to be undone."""
        self._native.kill()

    @property
    def event(self) -> int:
        """Index of the last tick processed, -1 before the first; may be read while `run` goes on."""
        return self._native.event

    def run(
        self,
        *,
        updates: Iterable[tuple[int, ParameterSet]] = (),
        on_progress: Callable[[int], None] | None = None,
        progress_ticks: int = _CHUNK,
    ) -> Replay:
        """Go through all sessions and return what happened.

        Parameters
        ----------
        updates : iterable of (int, ParameterSet)
            Sets to publish before the tick of that index, for runs that must be repeatable.
        on_progress : callable, optional
            Given the number of ticks done, several times a second.
        progress_ticks : int
            Ticks between two calls of ``on_progress``, at most 262,144.

        Raises
        ------
        InvalidInputError
            On a second call; make a new engine.
        KeyboardInterrupt
            Within 0.1 s of Ctrl-C.
        """
        if self._ran:
            raise InvalidInputError("this engine has run; make a new one for another replay")
        if not 1 <= progress_ticks <= _CHUNK:
            raise InvalidInputError(f"progress_ticks is {progress_ticks!r}; give 1 .. {_CHUNK}")
        self._ran = True
        start = time.perf_counter()
        for event, parameters in sorted(updates, key=lambda update: update[0]):
            if self._advance(event - self._native.event - 1, on_progress, progress_ticks):
                break
            self._take(parameters, live=False)
        complete = self._advance(2**62, on_progress, progress_ticks)
        return collect(
            self._native,
            instrument=self._market.instrument,
            fill_model=self._fill_model,
            versions=self._versions,
            run_s=time.perf_counter() - start,
            complete=complete,
        )

    def _advance(self, ticks: int, on_progress: Callable[[int], None] | None, stretch: int) -> bool:
        """Run that many ticks in chunks, so that signals are served in between; True at the end of the data."""
        while ticks > 0:
            chunk = min(ticks, stretch)
            if self._native.run(chunk):
                return True
            ticks -= chunk
            if on_progress is not None:
                on_progress(self._native.event + 1)
        return False


def replay(
    market: MarketData,
    parameters: ParameterSet,
    bridge: HardwareInTheLoopBridge | None = None,
    *,
    fill_model: str = "conservative",
    order_latency_ns: int = 50_000,
    response_latency_ns: int = 50_000,
    limits: PreTradeLimits | None = None,
    form: str = "stationary",
    sample_s: float | None = None,
    accept: tuple[str, ...] = ("unversioned",),
    max_parameter_age_s: float = 7 * 86_400.0,
    updates: Iterable[tuple[int, ParameterSet]] = (),
    on_progress: Callable[[int], None] | None = None,
) -> Replay:
    """Trade the ticks of a market with the engine that trades live, and return what happened.

    Parameters are those of :class:`Engine` and its `run`. The result is bit-identical from run to run and whatever
    the processor, but for the measured times.

    Examples
    --------
    >>> from calibrig.market import MarketData, Quotes, Trades
    >>> from calibrig.parameters import AvellanedaStoikovParameters, Instrument, RiskParameters
    >>> x = Instrument(symbol="X", tick_size=0.01, lot_size=1.0)
    >>> span = [[0, 60 * 10**9]]
    >>> quotes = Quotes(time_ns=[0, 20 * 10**9], bid_ticks=[9_990, 9_990], bid_lots=[5, 5],
    ...     ask_ticks=[10_010, 10_010], ask_lots=[5, 6], instrument=x, sessions=span)
    >>> trades = Trades(time_ns=[10 * 10**9], price_ticks=[9_990], size_lots=[3], side=[-1], id=[1], instrument=x,
    ...     sessions=span)
    >>> quoting = AvellanedaStoikovParameters(gamma=0.1, sigma=0.5, kappa=20.0, time_horizon_seconds=600.0,
    ...     arrival_rate=1.0, reference_price=100.0, tick_size=0.01, lot_size=1.0)
    >>> risk = RiskParameters(max_position=5, normal_volatility_threshold=2.0, elevated_volatility_threshold=3.0,
    ...     high_stress_volatility_threshold=5.0)
    >>> result = replay(MarketData(trades=trades, quotes=quotes),
    ...     ParameterSet(symbol="X", quoting=quoting, risk=risk))
    >>> result.fills.price_ticks.tolist()  # the seller met our bid, one tick below; flat at the close
    [9994, 9990]
    """
    engine = Engine(
        market,
        parameters,
        bridge,
        fill_model=fill_model,
        order_latency_ns=order_latency_ns,
        response_latency_ns=response_latency_ns,
        limits=limits,
        form=form,
        sample_s=sample_s,
        accept=accept,
        max_parameter_age_s=max_parameter_age_s,
    )
    return engine.run(updates=updates, on_progress=on_progress)


def _sample_ns(market: MarketData, sample_s: float | None) -> int:
    if sample_s is None:
        sessions = market.sessions
        total = int((sessions[:, 1] - sessions[:, 0]).sum())
        return max(1, total // _SAMPLES)
    if not 1e-6 <= sample_s <= 1e9:
        raise InvalidInputError(
            f"sample_s is {sample_s!r}; give a number of seconds of at least 1e-6, or None"
        )
    return round(sample_s * 1e9)
