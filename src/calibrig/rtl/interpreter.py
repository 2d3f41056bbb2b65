"""What the generated logic answers, operation by operation: no compiler, no simulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrig.errors import UnavailableError
from calibrig.rtl.tools import require

__all__ = ["Interpreter", "interpret_operations"]

_NATIVE_BITS = 31  # the generator's own interpreter computes in 32-bit integers
Values = NDArray[np.float64]


class Interpreter:
    """Traced logic, ready to run on integer features.

    The generator's compiled interpreter does it where every wire fits its 32 bits; wider logic (a linear model
    with 16-bit weights) goes through `interpret_operations`.

    Parameters
    ----------
    logic : CombLogic
        From the tracer.
    """

    def __init__(self, logic: Any) -> None:
        types = require("da4ml.types", extra="rtl")
        self._logic = logic
        self._program: Any = None
        if max(sum(types.minimal_kif(op.qint)) for op in logic.ops) <= _NATIVE_BITS:
            self._program = logic.to_binary()
            self._run = types.dais_interp_run

    def evaluate(self, quantised: NDArray[np.int16]) -> NDArray[np.int32]:
        """Compute the logic's answers.

        Parameters
        ----------
        quantised : ndarray of int16, shape (n, 16)

        Returns
        -------
        ndarray of int32, shape (n,)
        """
        if self._program is None:
            return interpret_operations(self._logic, quantised)
        values = self._run(self._program, np.ascontiguousarray(quantised, dtype=np.float64), 1)
        answers: NDArray[np.int32] = values[:, 0].astype(np.int32)
        return answers


def interpret_operations(logic: Any, quantised: NDArray[np.int16]) -> NDArray[np.int32]:
    """Run traced logic one operation at a time over all rows; binary64, exact below 2^53.

    Parameters
    ----------
    logic : CombLogic
        From the tracer.
    quantised : ndarray of int16, shape (n, 16)

    Returns
    -------
    ndarray of int32, shape (n,)

    Raises
    ------
    UnavailableError
        An operation that no signal model needs.
    """
    types = require("da4ml.types", extra="rtl")
    inputs = np.asarray(quantised, dtype=np.float64)
    wires: list[Values] = []
    for op in logic.ops:
        run = _OPERATIONS.get(op.opcode)
        if run is None:
            raise UnavailableError(f"operation {op.opcode} of the core has no interpretation here")
        wires.append(np.broadcast_to(run(op, wires, inputs, types.minimal_kif, logic.ops), len(inputs)))
    value = wires[logic.out_idxs[0]] * 2.0 ** logic.out_shifts[0] * (-1.0 if logic.out_negs[0] else 1.0)
    answers: NDArray[np.int32] = value.astype(np.int32)
    return answers


def _signed(word: int) -> int:
    return word - (1 << 32) if word >= 1 << 31 else word


def _add(op: Any, wires: list[Values], *_: Any) -> Values:
    other = wires[op.id1] * 2.0**op.data
    total: Values = wires[op.id0] + (other if op.opcode == 0 else -other)
    return total


def _rectify(op: Any, wires: list[Values], _inputs: Any, kif: Any, _ops: Any) -> Values:
    _, integers, fraction = kif(op.qint)
    value = np.maximum(wires[op.id0] * (1.0 if op.opcode > 0 else -1.0), 0.0)
    step = 2.0**-fraction
    rectified: Values = np.floor(value / step) * step % 2.0**integers
    return rectified


def _wrap(op: Any, wires: list[Values], _inputs: Any, kif: Any, _ops: Any) -> Values:
    kept, integers, fraction = kif(op.qint)
    step, half = 2.0**-fraction, 2.0**integers * kept
    value = np.floor(wires[op.id0] * (1.0 if op.opcode > 0 else -1.0) / step) * step
    wrapped: Values = (value + half) % (2.0 ** (integers + kept)) - half
    return wrapped


def _choose(op: Any, wires: list[Values], _inputs: Any, kif: Any, ops: Any) -> Values:
    key = op.data & 0xFFFFFFFF
    other = wires[op.id1] * 2.0 ** _signed(op.data >> 32 & 0xFFFFFFFF) * (1.0 if op.opcode > 0 else -1.0)
    interval = ops[key].qint
    bit = wires[key] < 0 if interval.min < 0 else wires[key] >= 2.0 ** (kif(interval)[1] - 1)
    chosen: Values = np.where(bit, wires[op.id0], other)
    return chosen


def _input(op: Any, _wires: Any, inputs: Values, *_: Any) -> Values:
    return inputs[:, op.id0]


def _add_constant(op: Any, wires: list[Values], *_: Any) -> Values:
    total: Values = wires[op.id0] + op.data * op.qint.step
    return total


def _constant(op: Any, *_: Any) -> Values:
    return np.array(op.data * op.qint.step)


_OPERATIONS: dict[int, Callable[..., Values]] = {
    -1: _input,
    0: _add,
    1: _add,
    2: _rectify,
    -2: _rectify,
    3: _wrap,
    -3: _wrap,
    4: _add_constant,
    5: _constant,
    6: _choose,
    -6: _choose,
}
