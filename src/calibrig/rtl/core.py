"""What logic a signal model becomes: traced, pipelined and written as Verilog, with its latency in cycles."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrig.errors import InvalidInputError, UnavailableError
from calibrig.models.signal import N_FEATURES
from calibrig.parameters import SignalModel
from calibrig.rtl.interpreter import Interpreter
from calibrig.rtl.tools import require

__all__ = ["Core", "generate_core"]

_STAGE_DELAY = MappingProxyType({"linear": 3.0, "trees": 3.0, "network": 4.0})
_MAX_WIDTH = 64  # wires wider than this would mean a sum that the record's own limits forbid


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """The inference core of one model.

    Attributes
    ----------
    model : SignalModel
        What it computes.
    stages : int
        Pipeline stages between its input register and its output register.
    stage_delay : float
        Largest depth of one stage, in adders.
    sources : dict of str to str
        Verilog by file name; the top is ``calibrig_core``.
    adder_cost : float
        The generator's estimate, in look-up tables; the measured figure is in the timing report.
    logic : object
        The traced logic, for the interpreter.
    """

    model: SignalModel
    stages: int
    stage_delay: float
    sources: dict[str, str]
    adder_cost: float
    logic: Any = field(repr=False)

    @property
    def cycles(self) -> int:
        """Clocks from the edge that takes the features to the edge after which a register holds the answer."""
        return self.stages + 1

    def evaluate(self, quantised: NDArray[np.int16]) -> NDArray[np.int32]:
        """Run the generated logic in its interpreter; no compiler is needed.

        Parameters
        ----------
        quantised : ndarray of int16, shape (n, 16)
            From `quantise_features`.

        Returns
        -------
        ndarray of int32, shape (n,)
        """
        return Interpreter(self.logic).evaluate(np.asarray(quantised))


def generate_core(model: SignalModel, *, stage_delay: float | None = None) -> Core:
    """Make the Verilog of a model's core.

    Parameters
    ----------
    model : SignalModel
        Any kind.
    stage_delay : float, optional
        Largest depth of one pipeline stage, in adders: less means more stages and a faster clock. The default
        gave the shortest device_ns on ECP5 (docs/rtl.md).

    Returns
    -------
    Core
        The same text for the same model and generator version.

    Raises
    ------
    InvalidInputError
        The model answers the same number whatever the features are, or stage_delay is not positive.
    MissingDependencyError
        The ``rtl`` extra is not installed.

    Examples
    --------
    >>> from calibrig.models.signal import reference_model
    >>> core = generate_core(reference_model())
    >>> core.cycles, sorted(core.sources)[0]
    (4, 'calibrig_core.v')
    """
    delay = stage_delay if stage_delay is not None else _STAGE_DELAY[model.kind]
    if not delay >= 1:
        raise InvalidInputError(f"stage_delay is {delay}; give 1 or more adders per stage")
    fixed_variable = require("da4ml.trace.fixed_variable", extra="rtl")
    trace = require("da4ml.trace", extra="rtl")
    fixed_variable.rd.seed(0)  # its variables carry random names, and their order decides the text
    logic = _trace(model, trace)
    if not any(op.opcode == -1 for op in logic.ops):
        raise InvalidInputError(
            "the model gives the same answer whatever the features are; there is nothing to put on a card: fit a "
            "model that uses its features"
        )
    fixed_variable.rd.seed(0)
    pipeline = trace.to_pipeline(logic, delay, verbose=False)
    _check_widths(logic)
    return Core(
        model=model,
        stages=len(pipeline.solutions),
        stage_delay=delay,
        sources=_write_verilog(model, pipeline),
        adder_cost=float(logic.cost),
        logic=logic,
    )


def _trace(model: SignalModel, trace: Any) -> Any:
    hardware = trace.HWConfig(1, -1, -1)
    inputs = trace.FixedVariableArrayInput((N_FEATURES,), hwconf=hardware)
    features = inputs.quantize(1, model.feature_bits - 1, 0)
    if model.kind == "linear":
        weights = np.asarray(model.weights, dtype=np.float64)[:, None]
        total = (features @ weights)[0] + float(model.bias)
    elif model.kind == "trees":
        total = _trace_trees(model, features, trace, hardware)
    elif model.kind == "network":
        total = _trace_network(model, features, trace, hardware)
    else:
        raise UnavailableError(
            f"models of kind {model.kind!r} have no core yet; use linear, trees or network"
        )
    one = float(1 << model.output_fraction_bits)
    return trace.comb_trace(inputs, [_clamp(total, -one, one)])


def _clamp(value: Any, low: float, high: float) -> Any:
    return value.max_of(low).min_of(high)


def _trace_trees(model: SignalModel, features: Any, trace: Any, hardware: Any) -> Any:
    trees = model.trees
    assert trees is not None
    n_nodes, n_leaves = (1 << trees.depth) - 1, 1 << trees.depth
    answers = []
    for tree in range(trees.n_trees):
        leaves = trees.leaves[tree * n_leaves : (tree + 1) * n_leaves]
        level = [trace.FixedVariable.from_const(float(leaf), hwconf=hardware) for leaf in leaves]
        for first in ((1 << depth) - 1 for depth in reversed(range(trees.depth))):
            level = [
                _choose(features, trees, tree * n_nodes + first + i, level[2 * i], level[2 * i + 1])
                for i in range(len(level) // 2)
            ]
        answers.append(level[0])
    while len(answers) > 1:  # a balanced sum
        pairs = [a + b for a, b in zip(answers[::2], answers[1::2], strict=False)]
        answers = pairs + answers[len(answers) & ~1 :]
    return answers[0] + float(model.bias)


def _choose(features: Any, trees: Any, node: int, left: Any, right: Any) -> Any:
    if left.low == left.high == right.low == right.high:
        return left  # pruned: both ways end in the same number
    # feature > threshold in integers is threshold - feature < 0: the sign bit chooses.
    return (float(trees.thresholds[node]) - features[trees.features[node]]).is_negative().msb_mux(right, left)


def _trace_network(model: SignalModel, features: Any, trace: Any, hardware: Any) -> Any:
    largest = float((1 << (model.activation_bits - 1)) - 1)
    values = features
    for layer in model.layers[:-1]:
        sums = _apply(layer, values)
        hidden = [_rectify(sums[i], layer.shift, largest) for i in range(len(layer.bias))]
        values = trace.FixedVariableArray(np.array(hidden), hwconf=hardware)
    return _apply(model.layers[-1], values)[0]


def _apply(layer: Any, values: Any) -> Any:
    return values @ np.asarray(layer.weights, dtype=np.float64).T + np.asarray(layer.bias, dtype=np.float64)


def _rectify(total: Any, shift: int, largest: float) -> Any:
    """Clamp first, shift after: the same integers, and the clamp's comparisons stay narrow."""
    below = (largest + 1.0) * 2.0**shift - 1.0
    clamped = total.relu().min_of(below)
    width = int(np.ceil(np.log2(largest + 1.0)))
    return (clamped * 2.0**-shift).quantize(0, width, 0, "WRAP", "TRN")


def _check_widths(logic: Any) -> None:
    types = require("da4ml.types", extra="rtl")
    widest = max(sum(types.minimal_kif(op.qint)) for op in logic.ops)
    if widest > _MAX_WIDTH:
        raise UnavailableError(
            f"the core needs a wire of {widest} bits, above {_MAX_WIDTH}; use fewer weight bits"
        )


def _write_verilog(model: SignalModel, pipeline: Any) -> dict[str, str]:
    writer = require("da4ml.codegen.rtl.verilog.pipeline", extra="rtl")
    texts = writer.pipeline_logic_gen(pipeline, "calibrig_logic", print_latency=False, timescale=None)
    sources = {f"{name}.v": text for name, text in texts.items()}
    sources["calibrig_core.v"] = _write_ports(model, pipeline)
    return sources


def _write_ports(model: SignalModel, pipeline: Any) -> str:
    """Fixed ports around the packed ones: 16 features of 16 bits in, one signed 32-bit integer out."""
    types = require("da4ml.types", extra="rtl")
    slices = []
    for i, interval in enumerate(pipeline.inp_qint):
        width = sum(types.minimal_kif(interval))
        if width:
            slices.append(f"features[{16 * i + width - 1}:{16 * i}]")
    kept, integers, fraction = types.minimal_kif(pipeline.out_qint[0])
    width = kept + integers + fraction
    sign = f"packed_value[{width - 1}]" if kept else "1'b0"
    low = f", {{{-fraction}{{1'b0}}}}" if fraction < 0 else ""
    high = f"{{{32 - width + fraction}{{{sign}}}}}, " if 32 - width + fraction > 0 else ""
    return "\n".join(
        [
            f"// Inference core of model {model.content_hash}",
            "// Features below are used in full; one that is absent does not change the answer.",
            "module calibrig_core (",
            "    input clk,",
            "    /* verilator lint_off UNUSEDSIGNAL */",
            "    input [255:0] features,",
            "    /* verilator lint_on UNUSEDSIGNAL */",
            "    output [31:0] value",
            ");",
            f"    wire [{width - 1}:0] packed_value;",
            "    calibrig_logic logic_of_model (",
            "        .clk(clk),",
            f"        .model_inp({{{', '.join(reversed(slices))}}}),",
            "        .model_out(packed_value)",
            "    );",
            f"    assign value = {{{high}packed_value{low}}};",
            "endmodule",
            "",
        ]
    )
