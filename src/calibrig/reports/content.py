"""What a report shows: plain records that whoever ran the job fills in; nothing is computed here."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from calibrig.parameters import GateResult, ParameterVersion

__all__ = [
    "Figure",
    "FillMarks",
    "IntensityCurve",
    "LatencyCurve",
    "LoopCurve",
    "ModelSection",
    "ParameterRow",
    "QuantileCurve",
    "ReportContent",
    "VersionRow",
]

Float64Array = NDArray[np.float64]
Int64Array = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One headline number: what it is, its value in words, and a note below it."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterRow:
    """One estimated parameter; ``truth`` is None where nobody knows it.

    ``z`` is (estimate - truth) / standard error, None where there is no truth or no standard error.
    """

    model: str
    name: str
    unit: str
    estimate: float | None
    standard_error: float | None = None
    truth: float | None = None
    z: float | None = None
    preliminary: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSection:
    """The judgement of one fitted model: verdict, reason, gates, and what is preliminary about it."""

    kind: str
    title: str
    verdict: str
    reason: str
    gates: tuple[GateResult, ...]
    fitted_on: str = ""
    preliminary: str = ""
    restrictions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IntensityCurve:
    """Events counted and events expected per second, one side, on one time grid (bin centres, ns UTC)."""

    side: str
    time_ns: Int64Array
    counted: Float64Array
    expected: Float64Array


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantileCurve:
    """Time-rescaled residuals of one side against Exp(1), with the 95 % band of the order statistics."""

    side: str
    theoretical: Float64Array
    empirical: Float64Array
    band_low: Float64Array
    band_high: Float64Array
    skill: float | None
    poisson: Float64Array | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FillMarks:
    """Own fills: time (ns UTC), price, and +1 bought or -1 sold."""

    time_ns: Int64Array
    price: Float64Array
    side: NDArray[np.int8]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopCurve:
    """What the trading loop did: columns over one time grid (ns UTC), prices in price units."""

    time_ns: Int64Array
    market_bid: Float64Array
    market_ask: Float64Array
    own_bid: Float64Array
    own_ask: Float64Array
    inventory_lots: Float64Array
    profit: Float64Array
    regime: NDArray[np.int8]
    fills: FillMarks
    update_time_ns: int | None = None
    update_label: str = ""
    price_unit: str = ""
    fill_model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyCurve:
    """A latency distribution: bucket edges (ns, rising), counts, and named percentiles (ns)."""

    path: str
    edges_ns: Float64Array
    counts: Float64Array
    percentiles: tuple[tuple[str, float], ...] = ()
    sla_ns: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRow:
    """One version that the run wrote or used; ``stored`` says where, or why nothing was stored."""

    version: ParameterVersion | None
    kind: str
    verdict: str
    stored: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportContent:
    """Everything one report shows, in the order in which it is shown."""

    title: str
    subtitle: str
    verdict: str
    verdict_reason: str
    figures: tuple[Figure, ...] = ()
    notices: tuple[str, ...] = ()
    quality: tuple[tuple[str, str], ...] = ()
    quality_notes: tuple[str, ...] = ()
    parameters: tuple[ParameterRow, ...] = ()
    models: tuple[ModelSection, ...] = ()
    intensity: tuple[IntensityCurve, ...] = ()
    quantiles: tuple[QuantileCurve, ...] = ()
    loop: LoopCurve | None = None
    latencies: tuple[LatencyCurve, ...] = ()
    versions: tuple[VersionRow, ...] = ()
    made_by: str = ""
    facts: tuple[tuple[str, str], ...] = field(default=())
