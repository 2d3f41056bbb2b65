"""From a fault of the native bridge to the typed error that says what is wrong and what to do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from calibrig.bridge.health import FAULTS, Fault
from calibrig.errors import (
    BridgeError,
    BridgeStateError,
    DeviceFaultError,
    DeviceRemovedError,
    DeviceTimeoutError,
    InvalidInputError,
)
from calibrig.parameters import FEATURE_NAMES

__all__ = ["make_error", "refuse_features", "refuse_values"]

_FAULTY = "no number was invented; use HYBRID_FALLBACK to have software answer in the same call"
_SENTENCES: dict[Fault, tuple[type[Exception], str]] = {
    Fault.UNINITIALIZED: (BridgeStateError, "predict before initialize(); call initialize() once first"),
    Fault.CLOSED: (BridgeStateError, "the bridge is closed; make a new one"),
    Fault.CONCURRENT: (
        BridgeStateError,
        "a second thread called predict on this bridge; use one bridge per thread",
    ),
    Fault.BAD_FEATURES: (
        InvalidInputError,
        "a feature is NaN or infinite; features must be finite: see MicrostructureFeatures for what missing data is",
    ),
    Fault.TIMEOUT: (DeviceTimeoutError, f"the device gave no answer within deadline_ns; {_FAULTY}"),
    Fault.REMOVED: (
        DeviceRemovedError,
        f"the device is not there any more (identity word or liveness lost); {_FAULTY}",
    ),
    Fault.CRC: (DeviceFaultError, f"the device's reply fails its CRC-32; {_FAULTY}"),
    Fault.SEQUENCE: (DeviceFaultError, f"the device answered other requests only; {_FAULTY}"),
    Fault.MODEL: (
        DeviceFaultError,
        "the device runs another model than the bridge (model id differs); load the matching bitstream, or "
        "set_model to the device's model",
    ),
    Fault.DEVICE_STATUS: (DeviceFaultError, f"the device reports an error of its own; {_FAULTY}"),
    Fault.RANGE: (DeviceFaultError, f"the device's value lies outside [-1, 1]; {_FAULTY}"),
    Fault.MISMATCH: (
        DeviceFaultError,
        f"the device's answer differs from the software's, which is exact; {_FAULTY}; run `calibrig bridge conform`",
    ),
    Fault.LEFT: (
        DeviceFaultError,
        f"the device was left after failures and has not passed its 64 probes yet; {_FAULTY}",
    ),
}


def make_error(code: int) -> Exception:
    """Return the error for the native core's fault code."""
    kind, sentence = _SENTENCES.get(FAULTS[code], (BridgeError, f"unexpected fault {FAULTS[code]}"))
    return kind(sentence)


def refuse_features(features: Any) -> Exception:
    """Return the error for features that cannot be read: wrong count, dtype or kind."""
    n = len(FEATURE_NAMES)
    what = f"a {type(features).__name__}"
    dtype, shape = getattr(features, "dtype", None), getattr(features, "shape", None)
    if dtype is not None:
        what = f"an array of {dtype} with shape {shape}"
    elif hasattr(features, "__len__"):
        what += f" of {len(features)}"
    return InvalidInputError(
        f"features are {what}; give {n} numbers in the order of FEATURE_NAMES: MicrostructureFeatures, a "
        f"FeatureBuffer, a sequence of floats, or a contiguous float64 array of shape ({n},)"
        + ("" if dtype is None else ", as np.ascontiguousarray(row, dtype=np.float64)")
    )


def refuse_values(features: Sequence[float]) -> Exception:
    """Return the error for features of which some are NaN or infinite, with their names."""
    bad = [
        f"{name} is {value}"
        for name, value in zip(FEATURE_NAMES, features, strict=True)
        if not math.isfinite(value)
    ]
    return InvalidInputError(
        f"{', '.join(bad)}; features must be finite: see MicrostructureFeatures for what missing data is"
    )
