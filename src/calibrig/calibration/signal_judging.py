"""How a fitted signal is judged: gates, controls that must show nothing, importance, skill by hour and day."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibrig.calibration.judging import combine_gates
from calibrig.calibration.regression import Skill, fit_ridge_path, measure_skill
from calibrig.calibration.signal_result import Importance, PeriodSkill, SignalFit
from calibrig.errors import InvalidInputError
from calibrig.parameters import FEATURE_NAMES, GateResult, Verdict
from calibrig.rtl.timing import DEVICE_NS_LIMIT, TimingReport

__all__ = [
    "INSUFFICIENT",
    "add_timing",
    "control_linear",
    "control_trained",
    "judge_signal",
    "make_device_gate",
    "measure_importance",
    "measure_periods",
]

Float64Array = NDArray[np.float64]
Int64Array = NDArray[np.int64]

MINIMUM_ROWS = 2_000
INSUFFICIENT = {"training_rows": Verdict.TOO_FEW_EVENTS}
_MOVES = 3
_IMPORTANCE_ROWS = 20_000  # more cost time and change no figure by its error
_PERIOD_ROWS = 500
_SECONDS = {"day": 86_400, "hour": 3_600}


def control_linear(
    design: Float64Array,
    target: Float64Array,
    train: NDArray[np.bool_],
    test: NDArray[np.bool_],
    *,
    penalty: float,
    controls: int,
    generator: np.random.Generator,
) -> Float64Array:
    """Held-out R^2 after moving the targets round in time, training and test each by its own random step."""
    train_y, test_y = target[train], target[test]
    if controls < 1:
        return np.zeros(0)
    shifted, held = (_shift_randomly(y, controls, generator) for y in (train_y, test_y))
    slopes, intercepts = fit_ridge_path(design[train], shifted, penalties=(penalty,))
    predicted = design[test] @ slopes[0] + intercepts[0]
    return _control_r_squared(predicted, held, float(train_y.mean()))


def control_trained(
    retrain: Callable[[Float64Array], Float64Array] | None,
    prediction: Float64Array,
    target: Float64Array,
    train: NDArray[np.bool_],
    test: NDArray[np.bool_],
    *,
    controls: int,
    generator: np.random.Generator,
) -> Float64Array:
    """Do the same for a model that is trained anew for every control: ``retrain`` takes targets, answers test rows.

    Where a model cannot be trained again (``retrain`` is None), its own ``prediction`` is held against moved targets.
    """
    train_y, test_y = target[train], target[test]
    if controls < 1:
        return np.zeros(0)
    shifted, held = (_shift_randomly(y, controls, generator) for y in (train_y, test_y))
    if retrain is None:
        predicted = np.repeat(prediction[:, None], controls, axis=1)
    else:
        predicted = np.column_stack([retrain(shifted[:, copy]) for copy in range(controls)])
    return _control_r_squared(np.clip(predicted, -1.0, 1.0), held, float(train_y.mean()))


def _shift_randomly(values: Float64Array, copies: int, generator: np.random.Generator) -> Float64Array:
    """Copies moved round by a random step of 10 to 90 % of their length, shape (n, copies)."""
    n = len(values)
    steps = generator.integers(n // 10, max(n * 9 // 10, n // 10 + 1), size=copies)
    return np.column_stack([np.roll(values, int(step)) for step in steps])


def _control_r_squared(predicted: Float64Array, held: Float64Array, benchmark: float) -> Float64Array:
    total = np.sum((held - benchmark) ** 2, axis=0)
    wrong = np.sum((held - predicted) ** 2, axis=0)
    found: Float64Array = np.where(total > 0.0, 1.0 - wrong / np.where(total > 0.0, total, 1.0), 0.0)
    return found


def measure_importance(
    predict: Callable[[Float64Array], Float64Array],
    features: Float64Array,
    target: Float64Array,
    block: Int64Array,
    *,
    benchmark: float,
    generator: np.random.Generator,
) -> tuple[Importance, ...]:
    """Return the held-out R^2 that goes when one feature is moved round in time, most important feature first.

    A move keeps the feature's own distribution and memory and breaks its link with everything else
    (Breiman 2001, with whole stretches instead of single rows).
    """
    step = -(-len(target) // _IMPORTANCE_ROWS)
    features, target = features[::step], target[::step]
    block = np.unique(block[::step], return_inverse=True)[1]
    wrong = (target - predict(features)) ** 2
    total = float(np.sum((target - benchmark) ** 2))
    found = []
    n = len(target)
    steps = generator.integers(n // 10, max(n * 9 // 10, n // 10 + 1), size=_MOVES)
    for column, name in enumerate(FEATURE_NAMES):
        if total <= 0.0 or np.ptp(features[:, column]) == 0.0:
            found.append(Importance(feature=name, loss=0.0, error=0.0))
            continue
        lost = np.zeros(n)
        for step in steps:
            moved = features.copy()
            moved[:, column] = np.roll(features[:, column], int(step))
            lost += ((target - predict(moved)) ** 2 - wrong) / _MOVES
        sums = np.bincount(block, weights=lost)
        error = float(np.sqrt(len(sums)) * np.std(sums, ddof=1)) / total if len(sums) > 1 else float("inf")
        found.append(Importance(feature=name, loss=float(sums.sum()) / total, error=error))
    return tuple(sorted(found, key=lambda one: -one.loss))


def measure_periods(
    prediction: Float64Array,
    target: Float64Array,
    time_ns: Int64Array,
    block: Int64Array,
    *,
    unit: str,
    held_out: bool,
    benchmark: float,
    replicas: int,
    seed: int,
) -> tuple[PeriodSkill, ...]:
    """Return the skill by ``"hour"`` or ``"day"`` (UTC); periods of fewer than 500 rows or 3 blocks are left out."""
    key = time_ns // (_SECONDS[unit] * 10**9)
    found = []
    for value in np.unique(key):
        inside = key == value
        _, own = np.unique(block[inside], return_inverse=True)
        if inside.sum() < _PERIOD_ROWS or own[-1] < 2:
            continue
        skill = measure_skill(
            prediction[inside],
            target[inside],
            own.astype(np.int64),
            benchmark=benchmark,
            replicas=replicas,
            generator=np.random.default_rng(seed),
        )
        stamp = str(np.datetime64(int(value) * _SECONDS[unit], "s"))
        name = stamp[:10] if unit == "day" else f"{stamp[:13]}Z"
        found.append(PeriodSkill(period=name, held_out=held_out, skill=skill))
    return tuple(found)


def judge_signal(
    exact: Skill, rounded: Skill, control: Float64Array, train_rows: int | None, device_ns: float
) -> list[GateResult]:
    """Return the gates of a signal; ``train_rows`` None: trained elsewhere, ``device_ns``: of its kind, not placed."""
    loss = exact.r_squared - rounded.r_squared
    allowed = max(0.01 * abs(exact.r_squared), 1e-4)
    luck = float(np.quantile(control, 0.95)) if len(control) else 0.0
    rows = [] if train_rows is None else [_judge_rows(train_rows)]
    return [
        *rows,
        GateResult(
            name="held_out_r_squared",
            value=rounded.r_squared,
            limit="95 % lower bound > 0",
            passed=rounded.r_squared_interval[0] > 0.0,
            detail=f"{rounded.r_squared:.4f}, 95 % interval {rounded.r_squared_interval[0]:.4f} .. "
            f"{rounded.r_squared_interval[1]:.4f} over {rounded.blocks} blocks",
        ),
        GateResult(
            name="rank_correlation",
            value=rounded.rank_correlation,
            limit="95 % lower bound > 0",
            passed=rounded.rank_correlation_interval[0] > 0.0,
            detail=f"{rounded.rank_correlation:.4f}, 95 % interval {rounded.rank_correlation_interval[0]:.4f} .. "
            f"{rounded.rank_correlation_interval[1]:.4f}",
        ),
        GateResult(
            name="random_target_control",
            value=rounded.r_squared - luck,
            limit="above the 95 % quantile of fits to shifted targets",
            passed=rounded.r_squared > luck,
            detail=f"{rounded.r_squared:.4f} against {luck:.4f} over {len(control)} controls",
        ),
        GateResult(
            name="quantisation_loss",
            value=loss,
            limit="<= 1 % of R^2 or 1e-4",
            passed=loss <= allowed,
            detail=f"R^2 {exact.r_squared:.5f} before, {rounded.r_squared:.5f} after rounding to integers",
        ),
        GateResult(
            name="device_ns",
            value=None,
            limit=f"< {DEVICE_NS_LIMIT:g} ns at the slowest seed",
            passed=None,
            detail=f"not placed; models of its kind take about {device_ns:.0f} ns on ECP5: calibrig rtl timing",
        ),
    ]


def _judge_rows(train_rows: int) -> GateResult:
    return GateResult(
        name="training_rows",
        value=float(train_rows),
        limit=f">= {MINIMUM_ROWS}",
        passed=train_rows >= MINIMUM_ROWS,
        detail=f"{train_rows} training rows",
    )


def add_timing(fit: SignalFit, report: TimingReport) -> SignalFit:
    """Judge the device time of a fit by the place-and-route of this very model: the gate then travels with it.

    Parameters
    ----------
    fit : SignalFit
    report : TimingReport
        From :func:`calibrig.rtl.measure_timing` for ``fit.parameters``.

    Returns
    -------
    SignalFit
        With the ``device_ns`` gate judged and the verdict formed anew.

    Raises
    ------
    InvalidInputError
        The report is of another model.
    """
    gates = tuple(
        make_device_gate(report, fit.parameters.content_hash) if gate.name == "device_ns" else gate
        for gate in fit.gates
    )
    verdict, reason, restrictions = combine_gates(gates, insufficient=INSUFFICIENT)
    evidence = msgspec.structs.replace(
        fit.evidence, verdict=verdict, reason=reason, gates=gates, restrictions=restrictions
    )
    return replace(fit, evidence=evidence)


def make_device_gate(report: TimingReport, model_hash: str) -> GateResult:
    """Return the gate ``device_ns < 400`` of a placed model; the slowest seed counts."""
    if report.model_hash != model_hash:
        raise InvalidInputError(
            f"the timing report is of model {report.model_hash[:16]}, not of {model_hash[:16]}; place this model"
        )
    clocks = ", ".join(f"{seed.fmax_hz / 1e6:.1f}" for seed in report.seeds)
    tools = ", ".join(f"{name} {version}" for name, version in report.tools.items())
    return GateResult(
        name="device_ns",
        value=report.worst_device_ns,
        limit=f"< {DEVICE_NS_LIMIT:g} ns at the slowest seed",
        passed=report.passes,
        detail=f"median {report.device_ns:.1f} ns: {report.card_cycles} clocks at {clocks} MHz, seeds "
        f"{', '.join(str(seed.seed) for seed in report.seeds)}, {report.luts} LUTs of {report.part}; {tools}",
    )
