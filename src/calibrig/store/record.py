"""What one stored version is: its bytes, its hash, its link to the version before it."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from calibrig.errors import CorruptRecordError, InvalidInputError, InvalidParametersError, RefusedError
from calibrig.parameters import (
    KINDS,
    AvellanedaStoikovParameters,
    Evidence,
    HawkesParameters,
    ParameterVersion,
    RiskParameters,
    SignalModel,
)

__all__ = [
    "GENESIS",
    "RECORD_TYPES",
    "SCHEMA",
    "Content",
    "Parameters",
    "Sealed",
    "Signature",
    "VersionRecord",
    "check_kind",
    "check_symbol",
    "decode_content",
    "decode_parameters",
    "decode_record",
    "encode_fields",
    "encode_parameters",
    "parameters_of",
    "plain",
    "record_of",
    "seal",
    "signed_bytes",
]

SCHEMA = 1
GENESIS = "0" * 64  # what the first version of a key names as the hash before it
Parameters = HawkesParameters | AvellanedaStoikovParameters | RiskParameters | SignalModel
RECORD_TYPES: dict[str, type[Parameters]] = {
    "hawkes": HawkesParameters,
    "quoting": AvellanedaStoikovParameters,
    "risk": RiskParameters,
    "signal": SignalModel,
}
MAX_SYMBOL = 200
_SIGNED = b'{"signed":'


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """One signature over the content of a version.

    Attributes
    ----------
    name : str
        Who signed.
    role : str
        ``author`` or ``approver``.
    key_id : str
        First 16 hex digits of SHA-256 over the public key.
    value : str
        Ed25519 signature, hex.
    """

    name: str
    role: str
    key_id: str
    value: str


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a stored version, in the order in which they are written."""

    schema: int = SCHEMA
    kind: str
    symbol: str
    version_id: int
    updated_at: int
    updated_by: str
    comment: str
    origin: str
    parameters: msgspec.Raw
    calibrated_at: int | None = None
    evidence: Evidence | None = None
    override: str = ""
    approved_by: str = ""
    proposal: str = ""
    warnings: tuple[str, ...] = ()
    previous_hash: str = GENESIS


class _Signed(msgspec.Struct, frozen=True):
    signed: msgspec.Raw
    signatures: tuple[Signature, ...] = ()


class Sealed(msgspec.Struct, frozen=True):
    """What a backend keeps: the columns it may search, and the opaque bytes that are the version.

    A backend appends it only while the head of ``(kind, symbol)`` is ``version_id - 1`` with ``previous_hash``.
    """

    kind: str
    symbol: str
    version_id: int
    updated_at: int
    updated_by: str
    comment: str
    origin: str
    previous_hash: str
    hash: str
    payload: bytes


class VersionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One version of one record with everything that travels with it.

    Attributes
    ----------
    version : ParameterVersion
        Number, time, author, reason, origin, key.
    parameters : HawkesParameters or AvellanedaStoikovParameters or RiskParameters or SignalModel
        The record itself; its ``version`` is the one above.
    calibrated_at : int or None
        When these figures were calibrated, ns: a rollback or a change of single fields does not make them younger;
        None for defaults.
    evidence : Evidence or None
        Verdict, gates and fingerprint of the data; None for a write by hand.
    override : str
        Why a version that its gates did not pass was stored all the same, and by whose decision.
    approved_by, proposal : str
        The second person, where one was needed, and the hash of the proposal that was approved.
    warnings : tuple of str
        Fields outside the source document's typical ranges, a clock that went back.
    previous_hash, hash : str
        SHA-256 (hex) of the version before and of this one.
    signatures : tuple of Signature
        Empty unless the store signs.
    """

    version: ParameterVersion
    parameters: Parameters
    calibrated_at: int | None
    evidence: Evidence | None
    override: str
    approved_by: str
    proposal: str
    warnings: tuple[str, ...]
    previous_hash: str
    hash: str
    signatures: tuple[Signature, ...] = ()


def check_kind(kind: str) -> str:
    """Return ``kind`` or refuse it.

    Examples
    --------
    >>> check_kind("risk")
    'risk'
    """
    if kind not in RECORD_TYPES:
        raise InvalidInputError(f"kind is {kind!r}; give one of {', '.join(KINDS)}")
    return kind


def check_symbol(symbol: str) -> str:
    """Return ``symbol`` or refuse it: 1 to 200 printable characters, no blanks at the ends.

    Examples
    --------
    >>> check_symbol("BTC/USDT")
    'BTC/USDT'
    """
    if not isinstance(symbol, str):
        raise InvalidInputError(f"symbol is a {type(symbol).__name__}; give text")
    if not 0 < len(symbol) <= MAX_SYMBOL:
        raise InvalidInputError(f"symbol has {len(symbol)} characters; give 1 to {MAX_SYMBOL}")
    if not symbol.isprintable() or symbol != symbol.strip():
        raise InvalidInputError(f"symbol is {symbol!r}; give printable characters, no blanks at the ends")
    return symbol


def _plain(value: Any) -> Any:
    """Turn NumPy scalars and arrays into plain numbers (called by msgspec for types it does not know)."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise InvalidParametersError(f"a {type(value).__name__} is no parameter value; give plain numbers")


def _refuse_non_finite(owner: str, field: str, value: Any) -> None:
    """JSON has no NaN and no infinity: an encoder would write null."""
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidParametersError(f"{owner}.{field} is {value!r}; give a finite number")
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _refuse_non_finite(owner, f"{field}[{index}]", item)


def plain(value: Any) -> Any:
    """Return a field as JSON would give it back."""
    return list(value) if isinstance(value, tuple) else value


def encode_fields(owner: str, fields: Mapping[str, Any]) -> bytes:
    """Encode named values as JSON; refuse what JSON cannot say."""
    plain = {name: _plain(value) if hasattr(value, "tolist") else value for name, value in fields.items()}
    for name, value in plain.items():
        _refuse_non_finite(owner, name, value)
    try:
        return msgspec.json.encode(plain, enc_hook=_plain)
    except (TypeError, OverflowError, ValueError) as error:
        raise InvalidParametersError(f"{owner}: {error}; give plain numbers") from None


def encode_parameters(parameters: Parameters) -> bytes:
    """Encode the values of a record, without its version, as JSON.

    Examples
    --------
    >>> encode_parameters(HawkesParameters(alpha_self=0.3, alpha_cross=0.1, beta=0.5, gamma=2, lambda_base=1.0))[:18]
    b'{"alpha_self":0.3,'
    """
    fields = {name: getattr(parameters, name) for name in parameters.__struct_fields__ if name != "version"}
    return encode_fields(type(parameters).__name__, fields)


_DECODERS = {kind: msgspec.json.Decoder(record) for kind, record in RECORD_TYPES.items()}
_CONTENT = msgspec.json.Decoder(Content)
_ENVELOPE = msgspec.json.Decoder(_Signed)


def decode_parameters(kind: str, values: bytes | msgspec.Raw) -> Parameters:
    """Decode and check the values of one record; the message of a refusal names the field's path."""
    try:
        return _DECODERS[kind].decode(values)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidParametersError(
            f"{RECORD_TYPES[kind].__name__}: {_say_value(values, str(error))}"
        ) from None


def _say_value(values: bytes | msgspec.Raw, words: str) -> str:
    """Add the refused value to what the decoder says, where it says the field."""
    field = re.search(r"`\$\.(\w+)`?$", words)
    try:
        value = msgspec.json.decode(values)[field[1]] if field else None
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError):
        value = None
    return words if value is None else f"{words}; it is {value!r:.80}: give a value of that kind"


def decode_content(payload: bytes) -> tuple[Content, tuple[Signature, ...]]:
    """Decode the fields of a stored version; ``parameters`` stay raw."""
    signatures: tuple[Signature, ...] = ()
    try:
        if payload.startswith(_SIGNED):
            envelope = _ENVELOPE.decode(payload)
            payload, signatures = bytes(envelope.signed), envelope.signatures
        content = _CONTENT.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CorruptRecordError(f"a stored version cannot be read: {error}") from None
    if content.schema > SCHEMA:
        raise RefusedError(
            f"a stored version has schema {content.schema}, this calibrig knows {SCHEMA}; upgrade calibrig"
        )
    return content, signatures


def parameters_of(content: Content) -> Parameters:
    """Decode the record in ``content``, check every value again, and give it its version."""
    version = ParameterVersion(
        version_id=content.version_id,
        updated_at=content.updated_at,
        updated_by=content.updated_by,
        comment=content.comment,
        kind=content.kind,
        symbol=content.symbol,
        origin=content.origin,
    )
    parameters = decode_parameters(content.kind, content.parameters)
    msgspec.structs.force_setattr(parameters, "version", version)  # not shared yet: decoded just now
    return parameters


def decode_record(payload: bytes) -> VersionRecord:
    """Decode one stored version of the four public kinds and check every value again."""
    return record_of(*decode_content(payload), hashlib.sha256(payload).hexdigest())


def record_of(content: Content, signatures: tuple[Signature, ...], digest: str) -> VersionRecord:
    """Make the record of a version whose fields have been decoded and whose hash is known."""
    parameters = parameters_of(content)
    assert parameters.version is not None
    return VersionRecord(
        version=parameters.version,
        parameters=parameters,
        calibrated_at=content.calibrated_at,
        evidence=content.evidence,
        override=content.override,
        approved_by=content.approved_by,
        proposal=content.proposal,
        warnings=content.warnings,
        previous_hash=content.previous_hash,
        hash=digest,
        signatures=signatures,
    )


def signed_bytes(payload: bytes) -> bytes:
    """Return the bytes that the signatures of a stored version are made over."""
    if payload.startswith(_SIGNED):
        return bytes(_ENVELOPE.decode(payload).signed)
    return payload


def seal(content: Content, sign: Callable[[bytes], tuple[Signature, ...]] | None = None) -> Sealed:
    """Encode a version, once, and sign it; its hash is SHA-256 over exactly these bytes."""
    payload = msgspec.json.encode(content)
    if sign is not None and (signatures := sign(payload)):
        payload = msgspec.json.encode(_Signed(msgspec.Raw(payload), signatures))
    return Sealed(
        kind=content.kind,
        symbol=content.symbol,
        version_id=content.version_id,
        updated_at=content.updated_at,
        updated_by=content.updated_by,
        comment=content.comment,
        origin=content.origin,
        previous_hash=content.previous_hash,
        hash=hashlib.sha256(payload).hexdigest(),
        payload=payload,
    )
