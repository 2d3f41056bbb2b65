"""The main job, end to end: ticks in, four models calibrated and judged, versions stored, a loop run, a report written."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from calibrig.errors import InvalidInputError
from calibrig.market import MarketData, MarketTruth, QualityReport, read_market, simulate_market
from calibrig.operations.comparing import judge_recovery
from calibrig.operations.fitting import choose_signal_kinds, fit_models
from calibrig.operations.held_out import add_backtest, backtest_fitted
from calibrig.operations.listener import Listener, Silent
from calibrig.operations.outcome import GATE_NOT_MET, Outcome, judge_models
from calibrig.operations.plain import to_plain
from calibrig.operations.reporting import Parts, build_content, build_result
from calibrig.operations.split import count_sessions, split_market
from calibrig.operations.storing import store_models
from calibrig.operations.trading import trade
from calibrig.parameters import Verdict
from calibrig.reports import write_report, write_whole
from calibrig.store import ModelStore

__all__ = ["DEMO_STAGES", "RUN_STAGES", "run_demo", "run_market"]

DEMO_STAGES = RUN_STAGES = 9  # simulate or read, four fits, backtest, store, replay, report
DEMO_SIGNALS = ("linear", "trees")  # a network trains for 8 s more, and the simulated truth is a line
RUN_SIGNALS = ("linear", "trees", "network")
_HORIZON_S = 1.0  # of the signal, where no truth names one
Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


def run_demo(
    out: str | os.PathLike[str],
    *,
    seed: int = 7,
    sessions: int = 5,
    session_s: float = 7_200.0,
    paths: int = 1_000,
    listener: Listener | None = None,
) -> Outcome:
    """Run the whole product on a simulated market and compare every parameter with its truth.

    Parameters
    ----------
    out : path
        Folder for ``report.html``, ``result.json`` and ``calibrig.db``; made if it is not there.
    seed : int
        Seed of the market and of every bootstrap.
    sessions, session_s : int, float
        Size of the market; the last session is replayed.
    paths : int
        Resampled days behind the position limit; below 100,000 it is preliminary.
    listener : Listener, optional
        Told about every stage.

    Returns
    -------
    Outcome
        ``exit_code`` 0 when the truth is recovered, whatever the deployment verdict, else 1.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> outcome = run_demo(folder.name, seed=3, sessions=3, session_s=1_800.0, paths=100)
    >>> outcome.report_path.name, outcome.result["command"]
    ('report.html', 'demo')
    >>> folder.cleanup()
    """
    listener = listener or Silent()
    job = _Job("demo", Path(out), seed, listener, paths=paths, signals=DEMO_SIGNALS)
    listener.begin("simulating a market")
    simulated = simulate_market(seed=seed, sessions=sessions, session_s=session_s)
    market = simulated.market
    job.done(
        "simulate", f"{len(market.trades):,} trades, {len(market.quotes):,} quotes in {sessions} sessions"
    )
    return job.finish(market, truth=simulated.truth)


def run_market(
    data: Paths,
    out: str | os.PathLike[str],
    *,
    symbol: str | None = None,
    store_url: str | None = None,
    tick_size: float | None = None,
    lot_size: float | None = None,
    skip_bad_rows: bool = False,
    override: str = "",
    seed: int = 7,
    paths: int = 1_000,
    signal_kinds: Sequence[str] = RUN_SIGNALS,
    listener: Listener | None = None,
) -> Outcome:
    """Run the whole product on real ticks.

    Parameters
    ----------
    data : path or paths
        Tick files or folders of one symbol, in any format that :func:`calibrig.market.read_market` knows.
    out : path
        Folder for ``report.html``, ``result.json`` and, unless ``store_url`` says otherwise, ``calibrig.db``.
    symbol, tick_size, lot_size, skip_bad_rows
        As in :func:`calibrig.market.read_market`.
    store_url : str, optional
        Store to write to.
    override : str
        Who decided to store models whose gates failed, and why.
    seed : int
        Seed of every bootstrap.
    paths : int
        Resampled days behind the position limit; below 100,000 it is preliminary.
    signal_kinds : sequence of str
        What the signal is chosen from: ``"linear"``, ``"trees"``, ``"network"``. Without LightGBM (the ``signal`` extra)
        the linear one is fitted, and the report says so.
    listener : Listener, optional
        Told about every stage.

    Returns
    -------
    Outcome
        ``exit_code`` 0 when every gate of every model holds, else 4; the report is written in both cases.
    """
    listener = listener or Silent()
    job = _Job(
        "run",
        Path(out),
        seed,
        listener,
        paths=paths,
        signals=signal_kinds,
        store_url=store_url,
        override=override,
    )
    listener.begin("reading ticks")
    sources = [data] if isinstance(data, (str, os.PathLike)) else list(data)
    reading = read_market(
        sources, symbol=symbol, tick_size=tick_size, lot_size=lot_size, skip_bad_rows=skip_bad_rows
    )
    _refuse_what_cannot_be_run(reading.market)
    q = reading.quality
    job.done(
        "read", f"{q.trades:,} trades, {q.quotes:,} quotes in {count_sessions(q.sessions)} of {q.symbol}"
    )
    return job.finish(reading.market, quality=q)


def _refuse_what_cannot_be_run(market: MarketData) -> None:
    symbol = market.instrument.symbol
    for count, what in ((len(market.trades), "trades"), (len(market.quotes), "quotes")):
        if count == 0:
            raise InvalidInputError(
                f"{symbol} has no {what} in these files; calibrig run needs trades and quotes: add the files that hold the {what}"
            )


class _Job:
    """One run on its way: who listens, what took how long, where the files go."""

    def __init__(
        self,
        command: str,
        folder: Path,
        seed: int,
        listener: Listener,
        *,
        paths: int,
        signals: Sequence[str],
        store_url: str | None = None,
        override: str = "",
    ) -> None:
        self.paths = paths
        self.signals, self.left_out = choose_signal_kinds(signals)
        self.command, self.folder, self.seed, self.override = command, folder, seed, override
        self.listener = listener
        self.store_url = store_url or f"sqlite:///{folder / 'calibrig.db'}"
        self.seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def done(self, stage: str, detail: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = round(now - self._since, 3)
        self._since = now
        self.listener.advance(stage, detail)

    def finish(
        self, market: MarketData, *, truth: MarketTruth | None = None, quality: QualityReport | None = None
    ) -> Outcome:
        split = split_market(market)
        horizon_s = _HORIZON_S if truth is None else truth.signal_horizon_s
        fitted = fit_models(
            split.training,
            listener=self.listener,
            seed=self.seed,
            horizon_s=horizon_s,
            paths=self.paths,
            signal_kinds=self.signals,
        )
        self._since = time.perf_counter()
        self.listener.begin("backtesting")
        held_out = backtest_fitted(split, fitted, override=self.override, seed=self.seed)
        fitted["quoting"] = add_backtest(fitted["quoting"], held_out)
        self.done("backtest", held_out.summary)
        symbol = market.instrument.symbol
        self.folder.mkdir(parents=True, exist_ok=True)
        with ModelStore(self.store_url) as store:
            self.listener.begin("storing versions")
            stored = store_models(
                store,
                symbol,
                fitted,
                updated_by=f"calibrig {self.command}",
                comment=f"{split.rule}; seed {self.seed}",
                override=self.override,
            )
            self.done(
                "store", ", ".join(f"{k} v{v.version_id}" for k, v in stored.versions.items()) or "nothing"
            )
            self.listener.begin("replaying")
            trading = trade(
                store,
                symbol,
                split,
                fitted,
                stored,
                held_out=held_out,
                seed=self.seed,
                override=self.override,
                with_card=truth is not None,
            )
            self.done("replay", trading.reason or trading.words)
        parts = Parts(
            command=self.command,
            symbol=symbol,
            seed=self.seed,
            split=split,
            fitted=fitted,
            stored=stored,
            held_out=held_out,
            trading=trading,
            left_out=self.left_out,
            store_url=self.store_url,
            quality=quality,
            truth=truth,
            seconds=self.seconds,
        )
        return self._tell(parts, market.description)

    def _tell(self, parts: Parts, description: str) -> Outcome:
        verdict, reason = judge_models(parts.fitted.values())
        deployment, code = f"{verdict}: {reason}", 0 if verdict == Verdict.PASS else GATE_NOT_MET
        extra: dict[str, object] = {}
        if parts.truth is not None:
            recovered, words = judge_recovery(parts.rows)
            extra = {"recovered": recovered, "deployment": {"verdict": str(verdict), "reason": reason}}
            headline, reason = (
                "RECOVERED" if recovered else "NOT RECOVERED",
                f"{words}. Deployment verdict {deployment}",
            )
            card = parts.trading.card
            if card is not None and not card["identical"]:
                recovered, reason = False, f"the emulated card made OTHER ORDERS than software; {reason}"
                headline = "NOT RECOVERED"
            code = 0 if recovered else 1
        else:
            headline = str(verdict)
        title = (
            f"{parts.symbol}: simulated market" if parts.truth else f"{parts.symbol}: calibration and replay"
        )
        self.listener.begin("writing the report")
        subtitle = f"{description}; {parts.split.rule}" if description else parts.split.rule
        content = build_content(parts, title=title, subtitle=subtitle, verdict=headline, reason=reason)
        files = {"report": self.folder / "report.html", "result": self.folder / "result.json"}
        names = {name: str(path) for name, path in files.items()} | {"store": self.store_url}
        result = build_result(parts, verdict=headline, reason=reason, exit_code=code, files=names) | extra
        write_report(content, files["report"])
        document = msgspec.json.format(msgspec.json.encode(to_plain(result)), indent=2)
        write_whole(files["result"], document + b"\n")
        self.done("report", str(files["report"]))
        return Outcome(
            verdict=headline,
            reason=reason,
            exit_code=code,
            content=content,
            result=result,
            report_path=files["report"],
            result_path=files["result"],
            store_url=self.store_url,
        )
