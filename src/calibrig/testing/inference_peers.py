"""What one prediction of a model costs from Python: in the bridge, in numpy, and in onnxruntime where it is installed."""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from calibrig.bridge import FeatureBuffer, HardwareInTheLoopBridge
from calibrig.models.signal import evaluate_signal, quantise_features, typical_features
from calibrig.parameters import SignalModel

__all__ = ["PeerCost", "measure_inference_peers"]

_ROUNDS = 7


class PeerCost(msgspec.Struct, frozen=True, kw_only=True):
    """One way to a prediction.

    Attributes
    ----------
    name : str
    call_ns : float or None
        CPU time of a call, the empty loop taken out; None where the peer is not installed.
    ratio : float or None
        To the bridge's.
    note : str
        Version, or what is missing.
    """

    name: str
    call_ns: float | None
    ratio: float | None
    note: str = ""


def measure_inference_peers(model: SignalModel, *, calls: int = 5_000) -> list[PeerCost]:
    """Measure `predict` with all telemetry beside the same model as floats in numpy and onnxruntime.

    Peers get integer features as floats, made beforehand, and need not saturate: less work than the bridge does.

    Parameters
    ----------
    model : SignalModel
    calls : int
        Per round; the median of seven rounds is shown.

    Examples
    --------
    >>> from calibrig.models.signal import reference_model
    >>> [cost.name for cost in measure_inference_peers(reference_model(), calls=100)][:2]
    ['bridge, predict from Python', 'numpy']
    """
    rows = typical_features(model, 30, seed=0)[::3]  # within an eighth of the range
    row = rows[0]
    inputs = quantise_features(model, row).astype(np.float32)
    expected = float(evaluate_signal(model, row)[0])
    ours_ns = _measure_bridge(model, row, calls)
    costs = [PeerCost(name="bridge, predict from Python", call_ns=ours_ns, ratio=1.0, note="telemetry on")]
    in_numpy, task = _make_numpy(model, inputs), _Task(expected, ours_ns, calls)
    costs.append(task.compare("numpy", in_numpy, lambda: float(in_numpy()), np.__version__))
    costs.extend(_measure_onnxruntime(model, inputs, task))
    return costs


def _measure_bridge(model: SignalModel, row: NDArray[np.float64], calls: int) -> float:
    buffer = FeatureBuffer()
    buffer.fill(row)
    with HardwareInTheLoopBridge(model=model, stub_latency_ns=0) as bridge:
        bridge.initialize()
        predict = bridge.predict
        return _cost_ns(lambda: predict(buffer), 10 * calls) - _cost_ns(lambda: None, 10 * calls)


def _cost_ns(call: Callable[[], Any], calls: int) -> float:
    rounds = []
    for _ in range(_ROUNDS):
        started = time.process_time_ns()
        for _ in range(calls):
            call()
        rounds.append((time.process_time_ns() - started) / calls)
    return statistics.median(rounds)


class _Task(msgspec.Struct, frozen=True):
    """What every peer is asked, and what it is measured against."""

    expected: float
    ours_ns: float
    calls: int

    def compare(
        self, name: str, call: Callable[[], Any], answer: Callable[[], float], version: str
    ) -> PeerCost:
        """Time a peer; say so where it does not compute the same model (floats may differ in the last steps)."""
        off = abs(min(max(answer(), -1.0), 1.0) - self.expected)
        peer_ns = _cost_ns(call, self.calls) - _cost_ns(lambda: None, self.calls)
        note = version if off < 0.01 else f"{version}; answers {off:.3g} off"
        return PeerCost(name=name, call_ns=peer_ns, ratio=peer_ns / self.ours_ns, note=note)


def _float_layers(model: SignalModel) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Weights (inputs x outputs) and biases, the shifts and the unit of the answer folded in."""
    unit = 2.0**-model.output_fraction_bits
    if model.kind == "linear":
        weights = np.array(model.weights, np.float64)[:, None] * unit
        return [(weights.astype(np.float32), np.array([model.bias * unit], np.float32))]
    layers = []
    for layer in model.layers:
        factor = 2.0**-layer.shift if layer is not model.layers[-1] else unit
        weights = np.array(layer.weights, np.float64).T * factor
        layers.append((weights.astype(np.float32), (np.array(layer.bias) * factor).astype(np.float32)))
    return layers


def _make_numpy(model: SignalModel, inputs: NDArray[np.float32]) -> Callable[[], Any]:
    trees = model.trees
    if trees is None:
        layers = _float_layers(model)
        *hidden, (last_weights, last_bias) = layers

        def run_layers() -> Any:
            values = inputs
            for weights, bias in hidden:
                values = np.maximum(values @ weights + bias, 0.0)
            return (values @ last_weights + last_bias)[0]

        return run_layers
    n_nodes = (1 << trees.depth) - 1
    features = np.reshape(trees.features, (-1, n_nodes))
    thresholds = np.reshape(trees.thresholds, (-1, n_nodes)).astype(np.float32)
    leaves = np.reshape(trees.leaves, (-1, 1 << trees.depth)).astype(np.float64)
    every, unit, depth = np.arange(trees.n_trees), 2.0**-model.output_fraction_bits, trees.depth

    def run_trees() -> Any:
        node = np.zeros(len(every), np.intp)
        for _ in range(depth):
            node = 2 * node + 1 + (inputs[features[every, node]] > thresholds[every, node])
        return (leaves[every, node - n_nodes].sum() + model.bias) * unit

    return run_trees


def _measure_onnxruntime(model: SignalModel, inputs: NDArray[np.float32], task: _Task) -> list[PeerCost]:
    names = ("onnxruntime, IO binding", "onnxruntime, run")
    try:
        onnx, runtime = importlib.import_module("onnx"), importlib.import_module("onnxruntime")
    except ImportError:
        note = "not installed: pip install onnx onnxruntime"
        return [PeerCost(name=name, call_ns=None, ratio=None, note=note) for name in names]
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = runtime.InferenceSession(
        _make_onnx(model, onnx.helper, onnx.TensorProto.FLOAT), options, providers=["CPUExecutionProvider"]
    )
    x, y, binding = inputs[None, :], np.zeros((1, 1), np.float32), session.io_binding()
    binding.bind_cpu_input("x", x)
    binding.bind_output("y", "cpu", 0, np.float32, [1, 1], y.ctypes.data)
    feed, version = {"x": x}, str(runtime.__version__)

    def run_bound() -> None:
        session.run_with_iobinding(binding)

    def answer_bound() -> float:
        run_bound()
        return float(y[0, 0])

    def run() -> Any:
        return session.run(None, feed)

    return [
        task.compare(names[0], run_bound, answer_bound, version),
        task.compare(names[1], run, lambda: float(run()[0][0, 0]), version),
    ]


def _make_onnx(model: SignalModel, helper: Any, number: int) -> bytes:
    if model.trees is None:
        nodes, tensors, name = [], [], "x"
        layers = _float_layers(model)
        for k, (weights, bias) in enumerate(layers):
            last = k == len(layers) - 1
            tensors.append(helper.make_tensor(f"w{k}", number, weights.shape, weights.ravel()))
            tensors.append(helper.make_tensor(f"b{k}", number, bias.shape, bias))
            nodes.append(helper.make_node("Gemm", [name, f"w{k}", f"b{k}"], ["y" if last else f"h{k}"]))
            if not last:
                nodes.append(helper.make_node("Relu", [f"h{k}"], [f"r{k}"]))
                name = f"r{k}"
        opsets = [("", 17)]
    else:
        nodes, tensors, opsets = [_make_tree_node(model, helper)], [], [("", 17), ("ai.onnx.ml", 3)]
    shapes = [helper.make_tensor_value_info(name, number, [1, n]) for name, n in (("x", 16), ("y", 1))]
    graph = helper.make_graph(nodes, "signal", shapes[:1], shapes[1:], tensors)
    made = helper.make_model(
        graph, opset_imports=[helper.make_opsetid(*opset) for opset in opsets], ir_version=9
    )
    serialized: bytes = made.SerializeToString()
    return serialized


def _make_tree_node(model: SignalModel, helper: Any) -> Any:
    trees = model.trees
    assert trees is not None
    n_inner, n_leaves = (1 << trees.depth) - 1, 1 << trees.depth
    unit, n_all = 2.0**-model.output_fraction_bits, 2 * n_leaves - 1
    inner = [node < n_inner for node in range(n_all)] * trees.n_trees
    tree_of = np.repeat(np.arange(trees.n_trees), n_all).tolist()
    node_of = list(range(n_all)) * trees.n_trees

    def padded(values: Any) -> list[Any]:
        table = np.zeros((trees.n_trees, n_all), np.asarray(values).dtype)
        table[:, :n_inner] = np.reshape(values, (trees.n_trees, n_inner))
        out: list[Any] = table.ravel().tolist()
        return out

    return helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=1,
        base_values=[model.bias * unit],
        nodes_treeids=tree_of,
        nodes_nodeids=node_of,
        nodes_modes=["BRANCH_LEQ" if is_inner else "LEAF" for is_inner in inner],
        nodes_featureids=padded(trees.features),
        nodes_values=[float(value) for value in padded(trees.thresholds)],
        nodes_truenodeids=[
            2 * node + 1 if is_inner else 0 for node, is_inner in zip(node_of, inner, strict=True)
        ],
        nodes_falsenodeids=[
            2 * node + 2 if is_inner else 0 for node, is_inner in zip(node_of, inner, strict=True)
        ],
        target_treeids=np.repeat(np.arange(trees.n_trees), n_leaves).tolist(),
        target_nodeids=list(range(n_inner, n_all)) * trees.n_trees,
        target_ids=[0] * len(trees.leaves),
        target_weights=[leaf * unit for leaf in trees.leaves],
    )
