"""The model store: versioned, audited parameters behind one set of promises."""

from calibrig.store.approval import ApprovalPolicy, Proposal
from calibrig.store.backend import Backend, Heads, HistoryQuery, Stored
from calibrig.store.block import (
    AppliedParameters,
    BlockStatus,
    StoreBlock,
    block_path,
    read_applied,
    read_block,
)
from calibrig.store.difference import FieldChange, diff_parameters
from calibrig.store.model_store import ModelStore, PostgreSQLModelStore, RedisModelStore
from calibrig.store.observations import Observation, ObservationBackend, ObservationQuery
from calibrig.store.quality import CalibrationQuality
from calibrig.store.ranges import check_typical_ranges
from calibrig.store.record import Sealed, Signature, VersionRecord
from calibrig.store.signing import Signer, TrustedKeys, generate_key, load_signer
from calibrig.store.status import StoreStatus
from calibrig.store.urls import open_backend, redact
from calibrig.store.verification import Anchor, VerifyReport, read_anchor

__all__ = [
    "Anchor",
    "AppliedParameters",
    "ApprovalPolicy",
    "Backend",
    "BlockStatus",
    "CalibrationQuality",
    "FieldChange",
    "Heads",
    "HistoryQuery",
    "ModelStore",
    "Observation",
    "ObservationBackend",
    "ObservationQuery",
    "PostgreSQLModelStore",
    "Proposal",
    "RedisModelStore",
    "Sealed",
    "Signature",
    "Signer",
    "StoreBlock",
    "StoreStatus",
    "Stored",
    "TrustedKeys",
    "VerifyReport",
    "VersionRecord",
    "block_path",
    "check_typical_ranges",
    "diff_parameters",
    "generate_key",
    "load_signer",
    "open_backend",
    "read_anchor",
    "read_applied",
    "read_block",
    "redact",
]
