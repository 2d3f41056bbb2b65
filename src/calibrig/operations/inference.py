"""The bridge a run's loop asks for its signal: the software stub with the set's own model, or none and why."""

from __future__ import annotations

from collections.abc import Mapping

from calibrig.bridge import AcceleratorMode, HardwareInTheLoopBridge
from calibrig.operations.fitting import Fitted
from calibrig.parameters import ParameterSet

__all__ = ["describe_signal", "find_missing_signal", "has_signal", "open_bridge", "trades_signal"]


def trades_signal(model: Fitted | None, override: str = "") -> bool:
    """Say whether the loop may use the fitted signal: only a deployable one, or one that somebody answers for.

    Quoting and risk records that failed are still replayed from a scratch set, because there is no loop without them;
    a signal without shown skill would only add noise, and a loop without a signal is whole.

    Examples
    --------
    >>> from calibrig.parameters import Verdict
    >>> trades_signal(Fitted(kind="signal", verdict=Verdict.FAIL, reason="no skill"))
    False
    """
    if model is None or model.parameters is None:
        return False
    return model.verdict.deployable or bool(override)


def has_signal(parameters: ParameterSet) -> bool:
    """Say whether the set is enough for a signal: the model, and the Hawkes record behind its intensities."""
    return parameters.hawkes is not None and parameters.signal is not None


def open_bridge(parameters: ParameterSet) -> HardwareInTheLoopBridge | None:
    """Return a bridge that runs the set's model, to be closed by the caller; None where the set has no signal."""
    if not has_signal(parameters):
        return None
    bridge = HardwareInTheLoopBridge(AcceleratorMode.SOFTWARE_STUB, model=parameters.signal)
    bridge.initialize()
    return bridge


def find_missing_signal(fitted: Mapping[str, Fitted]) -> str:
    """Say why a loop has no signal."""
    signal = fitted["signal"]
    if fitted["hawkes"].parameters is None:
        return f"hawkes {fitted['hawkes'].reason}"
    return f"signal {signal.verdict}: {signal.reason}" if signal.parameters is not None else signal.reason


def describe_signal(parameters: ParameterSet) -> dict[str, object] | None:
    """Return which model makes the signal: kind, hash, version in the store (None for a scratch set), skill."""
    model = parameters.signal
    if model is None or not has_signal(parameters):
        return None
    return {
        "kind": model.kind,
        "content_hash": model.content_hash,
        "version": None if model.version is None else model.version.version_id,
        "skill_r_squared": model.skill_r_squared,
        "skill_standard_error": model.skill_standard_error,
    }
