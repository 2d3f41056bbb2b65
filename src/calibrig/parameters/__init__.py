"""Records that travel through the whole product: frozen, validated when built, with units."""

from calibrig.parameters.features import FEATURE_NAMES, MicrostructureFeatures
from calibrig.parameters.hawkes import HawkesParameters
from calibrig.parameters.hawkes_two_scale import TwoScaleParameters
from calibrig.parameters.instrument import (
    SECONDS_PER_YEAR_24_7,
    SECONDS_PER_YEAR_US_EQUITIES,
    Instrument,
)
from calibrig.parameters.judgement import Evidence, GateResult, Verdict
from calibrig.parameters.quoting import AvellanedaStoikovParameters
from calibrig.parameters.risk import RiskParameters
from calibrig.parameters.set import ParameterSet
from calibrig.parameters.signal import NetworkLayer, SignalModel, TreeEnsemble
from calibrig.parameters.version import KINDS, ParameterVersion

__all__ = [
    "FEATURE_NAMES",
    "KINDS",
    "SECONDS_PER_YEAR_24_7",
    "SECONDS_PER_YEAR_US_EQUITIES",
    "AvellanedaStoikovParameters",
    "Evidence",
    "GateResult",
    "HawkesParameters",
    "Instrument",
    "MicrostructureFeatures",
    "NetworkLayer",
    "ParameterSet",
    "ParameterVersion",
    "RiskParameters",
    "SignalModel",
    "TreeEnsemble",
    "TwoScaleParameters",
    "Verdict",
]
