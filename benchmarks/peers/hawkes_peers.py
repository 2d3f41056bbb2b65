"""Hawkes fits by other packages, run by an interpreter that has them: one JSON object on stdout.

usage: hawkes_peers.py tick|omi events.npz
"""

import json
import sys
import time

import numpy as np

data = np.load(sys.argv[2])
time_s, side, end_s = data["time_s"], data["side"], float(data["end_s"])
if sys.argv[1] == "tick":
    from tick.hawkes import HawkesExpKern

    sides = [np.ascontiguousarray(time_s[side == 1]), np.ascontiguousarray(time_s[side == -1])]
    # maximum likelihood (the default, least squares, is another estimator); penalty and start as it needs them to converge
    model = HawkesExpKern(float(data["decay"]), gofit="likelihood", penalty="l1", C=1e6, verbose=False)
    rate = len(time_s) / 2.0 / end_s
    began = time.process_time()
    model.fit(sides, start=np.array([rate / 2, rate / 2, 0.3, 0.1, 0.1, 0.3]))
    cpu_s = time.process_time() - began
    mu, adjacency, decay = model.baseline, model.adjacency, float(data["decay"])
    # log-likelihood by the exponential recursion, so that both packages are judged by the same formula
    value = -float(mu.sum()) * end_s
    state = np.zeros(2)
    last = 0.0
    for t, m in zip(time_s.tolist(), np.where(side == 1, 0, 1).tolist(), strict=True):
        state *= np.exp(-decay * (t - last))
        last = t
        value += np.log(mu[m] + decay * float(adjacency[m] @ state))
        state[m] += 1.0
    for m in (0, 1):
        value -= float(adjacency[:, m].sum() * (1.0 - np.exp(-decay * (end_s - sides[m]))).sum())
    result = {"cpu_s": cpu_s, "log_likelihood": value}
else:
    import Hawkes

    model = Hawkes.estimator().set_kernel("pow").set_baseline("const")
    began = time.process_time()
    model.fit(time_s, [0.0, end_s])
    cpu_s = time.process_time() - began
    result = {
        "cpu_s": cpu_s,
        "log_likelihood": float(model.L),
        "parameters": {k: float(v) for k, v in model.para.items()},
    }
print(json.dumps(result))
