"""How a parameter set becomes what the engine trades with, and why it may be refused."""

from __future__ import annotations

import math

from calibrig._native import engine as _native  # noqa: TID251
from calibrig.engine.columns import hawkes_numbers, quoting_numbers, risk_numbers
from calibrig.errors import InvalidInputError, InvalidParametersError
from calibrig.parameters import KINDS, Instrument, ParameterSet, SignalModel

__all__ = ["ACCEPTABLE", "judge_parameters", "make_block"]

ACCEPTABLE = ("unversioned", "default", "stale")
"""What a caller may accept by name; each is refused otherwise."""


_MAX_ORDER_LOTS = 2**40


def judge_parameters(
    parameters: ParameterSet, *, with_bridge: bool, accept: tuple[str, ...], max_age_s: float
) -> str:
    """Return the reason for which no order may be sent with these parameters, ``"none"`` if there is none.

    Quoting and risk are always needed; Hawkes and signal where a bridge makes the signal.

    Examples
    --------
    >>> judge_parameters(ParameterSet(symbol="X"), with_bridge=False, accept=(), max_age_s=1.0)
    'missing_parameters'
    """
    for name in accept:
        if name not in ACCEPTABLE:
            raise InvalidInputError(f"accept names {name!r}; give any of {', '.join(ACCEPTABLE)}")
    needed = ("quoting", "risk", "hawkes", "signal") if with_bridge else ("quoting", "risk")
    records = [getattr(parameters, kind) for kind in needed]
    if any(record is None for record in records):
        return "missing_parameters"
    versions = [record.version for record in records]
    if "default" not in accept and any(v is not None and v.origin == "default" for v in versions):
        return "default_parameters"
    if "unversioned" not in accept and any(v is None for v in versions):
        return "unversioned_parameters"
    too_old = parameters.age_s is not None and parameters.age_s > max_age_s
    if "stale" not in accept and (parameters.stale or too_old):
        return "stale_parameters"
    return "none"


def make_block(
    parameters: ParameterSet,
    instrument: Instrument,
    *,
    refusal: str,
    form: str,
    previous_signal: SignalModel | None = None,
) -> _native.Parameters:
    """Return the native block; quoting tables and kernel weights are prepared here, off the hot path."""
    quoting, risk, hawkes, signal = (
        parameters.quoting,
        parameters.risk,
        parameters.hawkes,
        parameters.signal,
    )
    if quoting is not None:
        _require_grid("tick_size", quoting.tick_size, instrument.tick_size)
        _require_grid("lot_size", quoting.lot_size, instrument.lot_size)
        if not quoting.order_size / quoting.lot_size <= _MAX_ORDER_LOTS:
            raise InvalidParametersError(
                f"AvellanedaStoikovParameters.order_size is {quoting.order_size!r}, more than {_MAX_ORDER_LOTS} lots; "
                "give a smaller order"
            )
    typical = 0.0 if quoting is None else quoting.sigma / math.sqrt(quoting.seconds_per_year)
    return _native.Parameters(
        [parameters.versions.get(kind, 0) for kind in KINDS],
        refusal,
        None if signal is None else signal.model_id,
        None if previous_signal is None else previous_signal.model_id,
        _version_of(previous_signal),
        0 if risk is None else risk.max_position,
        1 if quoting is None else max(1, round(quoting.order_size / quoting.lot_size)),
        0.0 if quoting is None else quoting.time_horizon_seconds,
        None if quoting is None else quoting_numbers(quoting, maker_fee=instrument.maker_fee, form=form),
        None if risk is None else risk_numbers(risk, typical_volatility=typical),
        None if hawkes is None else hawkes_numbers(hawkes),
    )


def _version_of(signal: SignalModel | None) -> int:
    return 0 if signal is None or signal.version is None else signal.version.version_id


def _require_grid(field: str, value: float, wanted: float) -> None:
    if not math.isclose(value, wanted, rel_tol=1e-9):
        raise InvalidParametersError(
            f"AvellanedaStoikovParameters.{field} is {value!r} but the market's is {wanted!r}; "
            "fit the quoting parameters on this instrument"
        )
