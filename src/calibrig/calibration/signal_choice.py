"""Which kind of signal model is worth its nanoseconds: skill over purged folds against time in the card."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from calibrig.calibration.samples import SignalSamples, split_purged
from calibrig.calibration.signal_result import Candidate
from calibrig.calibration.signal_training import MEMORY_S

__all__ = ["WORTH_PER_NS", "choose_kind", "predict_folds"]

Float64Array = NDArray[np.float64]
Int64Array = NDArray[np.int64]

WORTH_PER_NS = 1e-5  # R^2 that a nanosecond must bring: 0.001 for 100 ns
_FOLDS = 3
Predictor = Callable[[Int64Array, Int64Array], Float64Array]


def predict_folds(
    samples: SignalSamples, train_rows: NDArray[np.bool_], predictors: Mapping[str, Predictor]
) -> tuple[dict[str, Float64Array], Float64Array]:
    """Predict every training row by models that were fitted to purged and embargoed others.

    Parameters
    ----------
    samples : SignalSamples
        All rows.
    train_rows : mask
        Those that may be used.
    predictors : mapping of kind to callable
        Given the rows to learn from and the rows to predict; answers the predictions.

    Returns
    -------
    dict of kind to ndarray of float64, shape (n,)
        NaN where there is no prediction.
    ndarray of float64, shape (n,)
        The mean target of the rows that were learned from: what no skill predicts.
    """
    rows = np.flatnonzero(train_rows)
    found = {kind: np.full(len(samples), np.nan) for kind in predictors}
    mean = np.full(len(samples), np.nan)
    for part in np.array_split(rows, _FOLDS):
        inner, held = split_purged(
            samples.time_ns[rows],
            test_start_ns=int(samples.time_ns[part[0]]),
            test_end_ns=int(samples.time_ns[part[-1]]) + 1,
            horizon_s=samples.horizon_s,
            embargo_s=MEMORY_S,
        )
        learn, judge = rows[inner], rows[held]
        if len(learn) < 100 or not len(judge):
            continue
        mean[judge] = samples.target[learn].mean()
        for kind, predict in predictors.items():
            found[kind][judge] = np.clip(predict(learn, judge), -1.0, 1.0)
    return found, mean


def choose_kind(
    predictions: Mapping[str, Float64Array],
    benchmark: Float64Array,
    target: Float64Array,
    block: Int64Array,
    *,
    device_ns: Mapping[str, float],
    worth_per_ns: float = WORTH_PER_NS,
) -> tuple[str, tuple[Candidate, ...]]:
    """Begin with the fastest kind; a slower one takes its place only when its gain is real and worth its time.

    Real: the gain of R^2 over purged folds exceeds one standard error of itself (the one-standard-error rule of
    Breiman, Friedman, Olshen, Stone 1984, for paired differences over time blocks). Worth it: at least
    ``worth_per_ns`` for every nanosecond more.

    Parameters
    ----------
    predictions : mapping of kind to ndarray of float64, shape (n,)
        From `predict_folds`.
    benchmark : ndarray of float64, shape (n,)
        From `predict_folds`.
    target : ndarray of float64, shape (n,)
    block : ndarray of int64, shape (n,)
        Time block of each row.
    device_ns : mapping of kind to float
        Nanoseconds in a card.
    worth_per_ns : float
        R^2 per nanosecond.

    Returns
    -------
    str
        The kind.
    tuple of Candidate
        Fastest first.

    Examples
    --------
    >>> y = np.random.default_rng(1).standard_normal(1000)
    >>> kind, tried = choose_kind({"linear": 0.1 * y, "trees": 0.5 * y}, 0 * y, y, np.arange(1000) // 10,
    ...     device_ns={"linear": 20.0, "trees": 40.0})
    >>> kind, round(tried[1].gain, 2)
    ('trees', 0.56)
    """
    ordered: Sequence[str] = sorted(predictions, key=lambda kind: device_ns[kind])
    known = np.isfinite(benchmark)
    total = float(np.sum((target[known] - benchmark[known]) ** 2))
    wrong = {kind: (target - predictions[kind]) ** 2 for kind in ordered}

    def r_squared(kind: str) -> float:
        return 1.0 - float(np.sum(wrong[kind][known])) / total if total > 0.0 else 0.0

    chosen = ordered[0]
    ns = device_ns[chosen]
    tried = [
        Candidate(
            kind=chosen,
            r_squared=r_squared(chosen),
            gain=0.0,
            gain_error=0.0,
            device_ns=ns,
            taken=True,
            why=f"R^2 {r_squared(chosen):.4f} over purged folds, {ns:.0f} ns: the fastest",
        )
    ]
    for kind in ordered[1:]:
        sums = np.bincount(block[known], weights=(wrong[chosen] - wrong[kind])[known])
        sums = sums[np.bincount(block[known]) > 0]
        gain = float(sums.sum()) / total if total > 0.0 else 0.0
        error = (
            float(np.sqrt(len(sums)) * np.std(sums, ddof=1)) / total if len(sums) > 1 and total else np.inf
        )
        wanted = worth_per_ns * (device_ns[kind] - device_ns[chosen])
        taken = gain > error and gain >= wanted
        words = (
            f"R^2 {r_squared(kind):.4f}, {gain:+.4f} +- {error:.4f} against {chosen} for "
            f"{device_ns[kind] - device_ns[chosen]:+.0f} ns (asked: above its error and {wanted:.4f})"
        )
        tried.append(
            Candidate(
                kind=kind,
                r_squared=r_squared(kind),
                gain=gain,
                gain_error=error,
                device_ns=device_ns[kind],
                taken=taken,
                why=words,
            )
        )
        chosen = kind if taken else chosen
    return chosen, tuple(tried)
