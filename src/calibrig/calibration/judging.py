"""How gate results become one verdict, and what identifies the data they were judged on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from calibrig.market.ticks import MarketData
from calibrig.parameters import Evidence, GateResult, Verdict

__all__ = ["build_evidence", "combine_gates", "describe_market", "fingerprint_market"]


def combine_gates(
    gates: Sequence[GateResult],
    *,
    restricting: Mapping[str, str] | None = None,
    insufficient: Mapping[str, Verdict] | None = None,
) -> tuple[Verdict, str, tuple[str, ...]]:
    """Combine gates into a verdict, its reason in one sentence, and the restrictions that travel with it.

    Order of weight: a gate named in ``insufficient`` that fails says that the data cannot judge, and gives its
    own verdict; then any failed gate not named in ``restricting`` gives FAIL; then failed restricting gates give
    RESTRICTED. Gates that do not apply (``passed`` None) have no say.

    Parameters
    ----------
    gates : sequence of GateResult
        Every gate that was judged.
    restricting : mapping of str to str, optional
        Gate name to the name of what its failure forbids.
    insufficient : mapping of str to Verdict, optional
        Gate name to the verdict of too little data.

    Returns
    -------
    tuple of (Verdict, str, tuple of str)

    Examples
    --------
    >>> gates = [GateResult(name="touch_share", value=0.97, limit="<= 0.95", passed=False)]
    >>> verdict, reason, forbids = combine_gates(gates, restricting={"touch_share": "touch_quoting_only"})
    >>> str(verdict), forbids
    ('RESTRICTED', ('touch_quoting_only',))
    """
    restricting, insufficient = restricting or {}, insufficient or {}
    failed = [gate for gate in gates if gate.passed is False]
    short = [gate for gate in failed if gate.name in insufficient]
    hard = [gate for gate in failed if gate.name not in restricting and gate.name not in insufficient]
    soft = tuple(dict.fromkeys(restricting[gate.name] for gate in failed if gate.name in restricting))
    if short:
        return insufficient[short[0].name], _explain(short + hard), soft
    if hard:
        return Verdict.FAIL, _explain(hard), soft
    if soft:
        named = [gate for gate in failed if gate.name in restricting]
        return Verdict.RESTRICTED, f"{_explain(named)}; restricted: {', '.join(soft)}", soft
    return Verdict.PASS, "every gate that applies holds", ()


def _explain(gates: Sequence[GateResult]) -> str:
    parts = []
    for gate in gates:
        figure = "none" if gate.value is None else f"{gate.value:.4g}"
        parts.append(f"{gate.name} is {figure} (limit {gate.limit})")
    return "; ".join(parts)


def build_evidence(
    market: MarketData,
    gates: Sequence[GateResult],
    *,
    restricting: Mapping[str, str] | None = None,
    insufficient: Mapping[str, Verdict] | None = None,
) -> Evidence:
    """Return the evidence of a fit on ``market``: combined verdict, data fingerprint, description, code version."""
    import calibrig

    verdict, reason, restrictions = combine_gates(gates, restricting=restricting, insufficient=insufficient)
    return Evidence(
        verdict=verdict,
        reason=reason,
        gates=tuple(gates),
        data_fingerprint=fingerprint_market(market),
        data_description=describe_market(market),
        code_version=calibrig.__version__,
        restrictions=restrictions,
    )


def describe_market(market: MarketData) -> str:
    """Describe the data in words: symbol, sessions, span, counts.

    Examples
    --------
    >>> from calibrig import Instrument, Quotes, Trades
    >>> x = Instrument(symbol="X", tick_size=1.0, lot_size=1.0)
    >>> trades = Trades(time_ns=[1], price_ticks=[1], size_lots=[1], side=[1], id=[0], sessions=[[0, 9]], instrument=x)
    >>> quotes = Quotes(time_ns=[], bid_ticks=[], bid_lots=[], ask_ticks=[], ask_lots=[], sessions=[[0, 9]],
    ...     instrument=x)
    >>> describe_market(MarketData(trades=trades, quotes=quotes))
    'X, 1 session from 1970-01-01 to 1970-01-01, 1 trade, 0 quotes'
    """
    sessions = market.sessions
    first, last = (str(np.datetime64(int(t), "ns"))[:10] for t in (sessions[0, 0], sessions[-1, 1] - 1))
    counts = ((len(market.trades), "trade"), (len(market.quotes), "quote"))
    words = ", ".join(f"{n} {word}{'' if n == 1 else 's'}" for n, word in counts)
    plural = "" if len(sessions) == 1 else "s"
    return f"{market.instrument.symbol}, {len(sessions)} session{plural} from {first} to {last}, {words}"


def fingerprint_market(market: MarketData) -> str:
    """Return the SHA-256 (hex) over sessions, trade columns and quote columns."""
    trades, quotes = market.trades, market.quotes
    columns: tuple[NDArray[np.generic], ...] = (
        market.sessions,
        trades.time_ns,
        trades.price_ticks,
        trades.size_lots,
        trades.side,
        quotes.time_ns,
        quotes.bid_ticks,
        quotes.bid_lots,
        quotes.ask_ticks,
        quotes.ask_lots,
    )
    digest = hashlib.sha256()
    for column in columns:
        digest.update(f"{column.dtype.str}{column.shape}".encode())
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()
