"""Degenerate lists are flagged, not fitted; bad arguments are refused in one sentence that names value and remedy."""

from __future__ import annotations

import numpy as np
import pytest

from calibrig import HawkesParameters, Verdict, evaluate_hawkes, fit_hawkes
from calibrig.errors import CalibrigError, InvalidInputError, InvalidTicksError

N = 8_000
SECOND = 10**9
STORED = HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2.0, lambda_base=1.0)


def stamps(kind: str) -> np.ndarray:
    rng = np.random.default_rng(1)
    if kind == "two stamps":
        return np.repeat([0, SECOND], N // 2)
    if kind == "ten stamps":
        return np.repeat(np.arange(10) * SECOND, N // 10)
    if kind == "equally spaced":
        return np.arange(N) * SECOND
    if kind == "pairs a nanosecond apart":
        return np.sort(np.concatenate([np.arange(N // 2) * SECOND, np.arange(N // 2) * SECOND + 1]))
    if kind == "a burst, then silence":
        return np.concatenate([np.arange(N - 1) * 1_000, [10**15]])
    if kind == "ever slower":
        return np.cumsum(np.exp(np.linspace(0, 25, N))).astype(np.int64) + 1
    if kind == "ten bursts":
        return np.sort(rng.integers(0, 10, N) * 86_400 * SECOND + rng.integers(0, SECOND, N))
    return np.sort(rng.integers(0, 10**13, N))


def sides(kind: str) -> np.ndarray:
    if kind == "alternating":
        return np.tile([1, -1], N // 2)
    if kind == "sells first":
        return np.where(np.arange(N) < N // 2, -1, 1)
    if kind == "few sells":
        return np.where(np.arange(N) % 700 == 0, -1, 1)
    return np.random.default_rng(2).choice([1, -1], N)


@pytest.mark.parametrize(
    ("kind", "side", "verdict", "word"),
    [
        ("two stamps", "random", Verdict.NO_SELF_EXCITATION, ""),
        ("ten stamps", "random", Verdict.NO_SELF_EXCITATION, ""),
        ("equally spaced", "random", Verdict.NO_SELF_EXCITATION, ""),
        ("equally spaced", "alternating", Verdict.NO_SELF_EXCITATION, ""),
        ("pairs a nanosecond apart", "random", Verdict.FAIL, "RESOLUTION_LIMITED"),
        ("a burst, then silence", "random", Verdict.NO_SELF_EXCITATION, ""),
        ("ever slower", "random", Verdict.FAIL, "branching_ratio"),
        ("ten bursts", "random", Verdict.FAIL, "branching_ratio"),
        ("uniform", "random", Verdict.NO_SELF_EXCITATION, ""),
        ("uniform", "few sells", Verdict.TOO_FEW_EVENTS, "12 events on one side"),
        ("uniform", "sells first", Verdict.FAIL, "held-out part has 1600 buys and 0 sells"),
    ],
)
def test_degenerate_lists_are_flagged(kind: str, side: str, verdict: Verdict, word: str) -> None:
    events = (stamps(kind), sides(side))
    fit = fit_hawkes(events)
    assert fit.verdict is verdict, fit.reason
    assert word in fit.reason
    assert fit.summary()
    assert fit.plot().svg
    stale = evaluate_hawkes(STORED, events)  # no list passes as what it is not
    assert stale.verdict not in (Verdict.PASS, Verdict.RESTRICTED)


GOOD = (stamps("uniform"), sides("random"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"holdout": 0.9}, "holdout is 0.9; give a share"),
        ({"holdout": float("nan")}, "holdout is nan"),
        ({"threads": 0}, "threads is 0; give 1 or more"),
        ({"profile_bins": 0}, "profile_bins is 0"),
        ({"profile_bins": 2.5}, "profile_bins is 2.5; give a whole number"),
        ({"seed": -1}, "seed is -1; give an integer"),
        ({"seed": "a"}, "seed is 'a'"),
        ({"resolution_ns": 0}, "resolution_ns is 0; give the clock's step"),
        ({"resolution_ns": float("nan")}, "resolution_ns is nan"),
        ({"child_fills": "x"}, "child_fills is 'x'; give 'auto', 'id', 'stamp' or 'none'"),
        ({"sessions": [(0, 600)]}, "sessions look like seconds or milliseconds; multiply"),
        ({"sessions": [(0.0, 6e11)]}, "sessions has dtype float64; give int64"),
        ({"sessions": [(0, 10**13), (10**12, 2 * 10**13)]}, "sessions overlap"),
        ({"sessions": [(0, 10**13), (2 * 10**13, 3 * 10**13)]}, "session 1 .* has no events; leave"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(options: dict[str, object], words: str) -> None:
    with pytest.raises(CalibrigError, match=words):
        fit_hawkes(GOOD, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ((GOOD[0], np.ones(N, dtype=int)), "all 8000 events are buys; .*sign the trades anew"),
        ((GOOD[0][:3], [1, -1, 1]), "2 buys and 1 sells; a two-sided fit needs at least 10 of each"),
        ((GOOD[0], np.where(np.arange(N) == 7, 0, GOOD[1])), "side is 0 at row 7 .*sign the trades first"),
        ((GOOD[0], np.where(np.arange(N) == 7, 2, GOOD[1])), r"side is 2 at row 7 .*give \+1"),
        ((GOOD[0] // SECOND, GOOD[1]), "look like seconds or milliseconds; multiply"),
        ((GOOD[0] // SECOND + 1_700_000_000, GOOD[1]), "look like seconds or milliseconds; multiply"),
        ((GOOD[0] * 1e-9, GOOD[1]), "give int64 nanoseconds"),
        ((GOOD[0][::-1], GOOD[1]), "goes back by .*sort by time first"),
        ((GOOD[0] - GOOD[0][10], GOOD[1]), "give nanoseconds at or above 0"),
        ((np.full(N, 5), GOOD[1]), "a constant clock carries no information"),
        ((GOOD[0].astype(np.uint64) + np.uint64(2**63), GOOD[1]), "beyond the year 2200"),
        (
            (np.where(np.arange(N) == 5, np.datetime64("NaT"), GOOD[0].astype("datetime64[ns]")), GOOD[1]),
            "NaT at row 5",
        ),
    ],
)
def test_bad_events_are_refused_in_one_sentence(events: tuple[object, object], words: str) -> None:
    with pytest.raises(InvalidTicksError, match=words):
        fit_hawkes(events)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [None, 5, (GOOD[0],), [GOOD[0], GOOD[1]]])
def test_what_is_not_events_is_refused(given: object) -> None:
    with pytest.raises(InvalidInputError, match="give Trades or \\(time_ns, side\\)"):
        fit_hawkes(given)  # type: ignore[arg-type]
