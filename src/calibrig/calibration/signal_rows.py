"""Which rows train a signal model and which judge it: purged at the border, in time blocks, standardised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibrig.calibration.regression import assign_time_blocks
from calibrig.calibration.samples import SignalSamples, build_samples, split_purged
from calibrig.calibration.signal_training import MEMORY_S, Design, standardise
from calibrig.engine import FeatureRows, extract_features
from calibrig.errors import InvalidTicksError
from calibrig.market import MarketData
from calibrig.parameters import HawkesParameters

__all__ = ["SignalRows", "find_holdout_start", "split_rows"]

Int64Array = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalRows:
    """Rows, and which of them train and which judge."""

    samples: SignalSamples
    design: Design
    train: NDArray[np.bool_]
    test: NDArray[np.bool_]
    block: Int64Array

    @property
    def benchmark(self) -> float:
        """Mean target of the training rows."""
        return float(self.samples.target[self.train].mean())


def split_rows(
    market: MarketData,
    hawkes: HawkesParameters | None,
    features: FeatureRows | None,
    *,
    horizon_s: float,
    holdout: float,
    block_s: float | None,
    max_rows: int,
) -> SignalRows:
    """Make features and targets of a market and split them; see `calibrig.calibration.fit_signal` for the arguments."""
    rows = extract_features(market, hawkes) if features is None else features
    samples = build_samples(market, rows, horizon_s=horizon_s, max_rows=max_rows)
    train_rows, test_rows = split_purged(
        samples.time_ns,
        test_start_ns=find_holdout_start(market.sessions, holdout),
        test_end_ns=int(market.sessions[-1, 1]),
        horizon_s=horizon_s,
        embargo_s=MEMORY_S,
    )
    if train_rows.sum() < 200 or test_rows.sum() < 50:
        raise InvalidTicksError(
            f"{int(train_rows.sum())} training and {int(test_rows.sum())} held-out rows for "
            f"{market.instrument.symbol!r}; a signal needs at least 200 and 50: give a longer span"
        )
    if block_s is None:
        block_s = _default_block_s(market.sessions, holdout, horizon_s)
    return SignalRows(
        samples=samples,
        design=standardise(samples.features, train_rows),
        train=train_rows,
        test=test_rows,
        block=assign_time_blocks(samples.time_ns, samples.session, block_s=block_s),
    )


def find_holdout_start(sessions: Int64Array, holdout: float) -> int:
    """Return when the last ``holdout`` share of the trading time begins; from 3 sessions on, a session border.

    Examples
    --------
    >>> find_holdout_start(np.array([[0, 100], [200, 300], [400, 500]]), 0.2)
    400
    >>> find_holdout_start(np.array([[0, 100]]), 0.2)
    80
    """
    lengths = np.diff(sessions, axis=1)[:, 0]
    remaining = holdout * float(lengths.sum())
    for row in range(len(sessions) - 1, -1, -1):
        if remaining <= lengths[row]:
            whole = len(sessions) >= 3 and row > 0
            return int(sessions[row, 0] if whole else sessions[row, 1] - round(remaining))
        remaining -= float(lengths[row])
    return int(sessions[0, 0])


def _default_block_s(sessions: Int64Array, holdout: float, horizon_s: float) -> float:
    test_s = holdout * float(np.sum(np.diff(sessions, axis=1))) / 1e9
    return float(max(min(max(30.0 * horizon_s, 30.0), test_s / 20.0), 2.0 * horizon_s))
