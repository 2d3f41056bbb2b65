"""The model store: versioned, audited parameters behind one set of promises."""

from calibrig.store.backend import Backend, Heads, HistoryQuery, Stored
from calibrig.store.difference import FieldChange, diff_parameters
from calibrig.store.model_store import ModelStore, PostgreSQLModelStore, RedisModelStore
from calibrig.store.quality import CalibrationQuality
from calibrig.store.ranges import check_typical_ranges
from calibrig.store.record import Sealed, Signature, VersionRecord
from calibrig.store.status import StoreStatus
from calibrig.store.urls import redact
from calibrig.store.verification import Anchor, VerifyReport, read_anchor

__all__ = [
    "Anchor",
    "Backend",
    "CalibrationQuality",
    "FieldChange",
    "Heads",
    "HistoryQuery",
    "ModelStore",
    "PostgreSQLModelStore",
    "RedisModelStore",
    "Sealed",
    "Signature",
    "StoreStatus",
    "Stored",
    "VerifyReport",
    "VersionRecord",
    "check_typical_ranges",
    "diff_parameters",
    "read_anchor",
    "redact",
]
