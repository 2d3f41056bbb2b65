"""Single predictions in onnxruntime, LightGBM and numpy: network 16-32-16-1 and 100 trees of depth 4.

Run by an interpreter that has onnx, onnxruntime, lightgbm and numpy; prints one JSON line of ns of CPU per call.
"""

from __future__ import annotations

import ctypes
import json
import statistics
import time

import lightgbm
import numpy as np
import onnxruntime
from onnx import TensorProto, helper


def cost_ns(call, n: int) -> float:
    """Median CPU time per call over seven rounds, the empty loop taken out."""
    rounds, empty = [], []
    for _ in range(7):
        start = time.process_time_ns()
        for _ in range(n):
            pass
        empty.append(time.process_time_ns() - start)
        start = time.process_time_ns()
        for _ in range(n):
            call()
        rounds.append(time.process_time_ns() - start)
    return (statistics.median(rounds) - statistics.median(empty)) / n


def open_session(nodes, tensors, opsets) -> onnxruntime.InferenceSession:
    """Return one thread of onnxruntime on a graph of one row."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(*o) for o in opsets], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def network_session(weights) -> onnxruntime.InferenceSession:
    """Return the network as Gemm and Relu."""
    tensors, nodes, name = [], [], "x"
    for k, w in enumerate(weights):
        tensors.append(helper.make_tensor(f"w{k}", TensorProto.FLOAT, w.shape, w.ravel()))
        tensors.append(helper.make_tensor(f"b{k}", TensorProto.FLOAT, [w.shape[1]], np.zeros(w.shape[1])))
        last = k == len(weights) - 1
        nodes.append(helper.make_node("Gemm", [name, f"w{k}", f"b{k}"], ["y" if last else f"h{k}"]))
        if not last:
            nodes.append(helper.make_node("Relu", [f"h{k}"], [f"r{k}"]))
            name = f"r{k}"
    return open_session(nodes, tensors, [("", 17)])


def tree_session(rng) -> onnxruntime.InferenceSession:
    """100 complete trees of depth 4."""
    ids, trees, modes, features, values, true_ids, false_ids = [], [], [], [], [], [], []
    leaf_tree, leaf_node, leaf_weight = [], [], []
    for tree in range(100):
        for node in range(31):
            leaf = node >= 15
            trees.append(tree)
            ids.append(node)
            modes.append("LEAF" if leaf else "BRANCH_LEQ")
            features.append(0 if leaf else int(rng.integers(16)))
            values.append(0.0 if leaf else float(rng.normal()))
            true_ids.append(0 if leaf else 2 * node + 1)
            false_ids.append(0 if leaf else 2 * node + 2)
            if leaf:
                leaf_tree.append(tree)
                leaf_node.append(node)
                leaf_weight.append(float(rng.normal()))
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=trees,
        nodes_nodeids=ids,
        nodes_modes=modes,
        nodes_featureids=features,
        nodes_values=values,
        nodes_truenodeids=true_ids,
        nodes_falsenodeids=false_ids,
        target_treeids=leaf_tree,
        target_nodeids=leaf_node,
        target_ids=[0] * len(leaf_tree),
        target_weights=leaf_weight,
    )
    return open_session([node], [], [("", 17), ("ai.onnx.ml", 3)])


def bound(session, x) -> object:
    """A call with input and output bound once."""
    binding = session.io_binding()
    out = np.zeros((1, 1), np.float32)
    binding.bind_cpu_input("x", x)
    binding.bind_output("y", "cpu", 0, np.float32, [1, 1], out.ctypes.data)
    return lambda keep=(x, out): session.run_with_iobinding(binding)  # noqa: ARG005 - keeps what is bound


def lightgbm_call(rng) -> object:
    """LightGBM's single-row fast call through its C interface, arguments made once."""
    x = rng.normal(size=(20_000, 16))
    y = np.sin(x[:, 0] * 2) * x[:, 1] + np.tanh(x[:, 2]) + x[:, 3] * x[:, 4] + rng.normal(size=len(x))
    options = {"max_depth": 4, "num_leaves": 16, "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
    booster = lightgbm.train(options, lightgbm.Dataset(x, y), 100)
    library = lightgbm.basic._LIB
    fast = ctypes.c_void_p()
    code = library.LGBM_BoosterPredictForMatSingleRowFastInit(
        booster._handle, 0, 0, -1, 1, 16, ctypes.c_char_p(b"num_threads=1"), ctypes.byref(fast)
    )
    assert code == 0
    row = np.ascontiguousarray(x[0])
    out, length = (ctypes.c_double * 1)(), ctypes.c_int64()
    arguments = (fast, ctypes.c_void_p(row.ctypes.data), ctypes.byref(length), out)
    call = library.LGBM_BoosterPredictForMatSingleRowFast
    call(*arguments)
    assert abs(out[0] - booster.predict(row[None])[0]) < 1e-9
    return lambda keep=(booster, row): call(*arguments)  # noqa: ARG005 - keeps what the call points to


def main() -> None:
    """Print the costs."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 16)).astype(np.float32)
    weights = [rng.normal(size=shape).astype(np.float32) for shape in ((16, 32), (32, 16), (16, 1))]
    w1, w2, w3 = weights
    network, trees = network_session(weights), tree_session(rng)

    def in_numpy() -> np.ndarray:
        return np.maximum(np.maximum(x @ w1, 0.0) @ w2, 0.0) @ w3

    result = {
        "network_onnxruntime_bound": cost_ns(bound(network, x), 10_000),
        "network_onnxruntime_run": cost_ns(lambda: network.run(None, {"x": x}), 5_000),
        "network_numpy": cost_ns(in_numpy, 10_000),
        "trees_lightgbm_single_row": cost_ns(lightgbm_call(rng), 20_000),
        "trees_onnxruntime_bound": cost_ns(bound(trees, x), 10_000),
        "versions": {
            "onnxruntime": onnxruntime.__version__,
            "lightgbm": lightgbm.__version__,
            "numpy": np.__version__,
        },
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
