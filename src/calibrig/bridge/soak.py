"""Drive a bridge call after call, natively, and check every answer against the NumPy twin."""

from __future__ import annotations

import msgspec

from calibrig._native import bridge as _core  # noqa: TID251
from calibrig.bridge.hardware_bridge import HardwareInTheLoopBridge
from calibrig.models.signal import evaluate_signal, typical_features
from calibrig.parameters import SignalModel

__all__ = ["SoakInputs", "SoakReport", "make_soak_inputs", "measure_stall_ns", "soak"]


class SoakReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a run of calls.

    Attributes
    ----------
    calls : int
    wrong : int
        Answers that are not the twin's, bit for bit.
    unanswered : int
        Calls without an answer (possible in HARDWARE_FPGA only).
    sequence_errors : int
        Calls whose sequence does not follow the one before.
    software, hardware, fallback : int
        Answers by source.
    longest_ns, total_ns : int
        Longest call and the whole run.
    over_limit : int
        Calls longer than the limit given.
    """

    calls: int
    wrong: int
    unanswered: int
    sequence_errors: int
    over_limit: int
    software: int
    hardware: int
    fallback: int
    longest_ns: int
    total_ns: int


class SoakInputs:
    """Rows of features and the answers they must get.

    Parameters
    ----------
    model : SignalModel
    n_rows : int
    seed : int
    """

    def __init__(self, model: SignalModel, n_rows: int, seed: int) -> None:
        self.features = typical_features(model, n_rows, seed=seed)
        self.expected = evaluate_signal(model, self.features)


def make_soak_inputs(model: SignalModel, *, n_rows: int = 1_000, seed: int = 0) -> SoakInputs:
    """Return inputs for `soak`, corners of the feature range among them.

    Examples
    --------
    >>> from calibrig.models.signal import reference_model
    >>> make_soak_inputs(reference_model(), n_rows=10).features.shape
    (10, 16)
    """
    return SoakInputs(model, n_rows, seed)


def soak(
    bridge: HardwareInTheLoopBridge,
    inputs: SoakInputs,
    calls: int,
    *,
    charge: bool = False,
    limit_ns: int = 2**62,
) -> SoakReport:
    """Make ``calls`` predictions in a row, with the GIL released, and check each.

    Examples
    --------
    >>> from calibrig.models.signal import reference_model
    >>> with HardwareInTheLoopBridge(stub_latency_ns=0) as bridge:
    ...     bridge.initialize()
    ...     report = soak(bridge, make_soak_inputs(bridge.model), 1_000)
    >>> report.wrong, report.software
    (0, 1000)
    """
    return SoakReport(**_core.drive(bridge, inputs.features, inputs.expected, calls, charge, limit_ns))


def measure_stall_ns(duration_s: float = 0.5) -> int:
    """Return the longest stall, ns, that this machine itself puts into a loop that only reads the clock."""
    return int(_core.measure_stall_ns(int(duration_s * 1e9)))
