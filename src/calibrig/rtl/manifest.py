"""What a build is made of: hashes, formats, cycles and tool versions, checked before anything is loaded."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from calibrig.errors import CorruptRecordError, MissingFileError
from calibrig.parameters import SignalModel

__all__ = ["MANIFEST_NAME", "Manifest", "hash_file", "read_manifest", "verify_manifest", "write_manifest"]

MANIFEST_NAME = "manifest.json"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in ``manifest.json`` beside the sources of one build.

    Attributes
    ----------
    model_hash : str
        SHA-256 of the model's content; its first four bytes are the model id.
    build_hash : str
        SHA-256 over every source and tool version; its first four bytes are the build id.
    abi_version : int
        Of the card's registers.
    kind : str
        Of the model.
    feature_bits, output_fraction_bits : int
        Formats of the inputs and of the answer.
    core_stages, core_cycles, card_cycles : int
        Pipeline stages; clocks of the core; clocks from taking a request to posting its answer.
    stage_delay : float
        Adders per stage asked of the generator.
    clock_hz : int
        Clock the card is to run at; a timing report must show at least this.
    tools : dict of str to str
        Name and version of what made the build.
    files : dict of str to str
        SHA-256 by path inside the build.
    """

    model_hash: str
    build_hash: str
    abi_version: int
    kind: str
    feature_bits: int
    output_fraction_bits: int
    core_stages: int
    core_cycles: int
    card_cycles: int
    stage_delay: float
    clock_hz: int
    tools: dict[str, str]
    files: dict[str, str]

    @property
    def model_id(self) -> int:
        """As the card reports it."""
        return int(self.model_hash[:8], 16)

    @property
    def build_id(self) -> int:
        """As the card reports it."""
        return int(self.build_hash[:8], 16)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``manifest.json`` into ``folder``."""
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    (folder / MANIFEST_NAME).write_bytes(text + b"\n")


def read_manifest(folder: Path) -> Manifest:
    """Read ``manifest.json``.

    Raises
    ------
    MissingFileError
        There is none: this is no build.
    CorruptRecordError
        It cannot be read as a manifest.
    """
    path = folder / MANIFEST_NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise MissingFileError(
            f"{path} is not there: {folder} is no complete build; delete the folder and build again"
        ) from None
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise CorruptRecordError(
            f"{path} is no manifest ({error}); delete the folder and build again"
        ) from None


def verify_manifest(folder: Path, model: SignalModel | None = None) -> Manifest:
    """Check a build against its manifest, and against the model it is to be used for.

    Parameters
    ----------
    folder : Path
        Of the build.
    model : SignalModel, optional
        Whose content hash the build must carry.

    Raises
    ------
    CorruptRecordError
        A file is missing or differs, or the build was made from another model.
    """
    manifest = read_manifest(folder)
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise CorruptRecordError(f"{path} is missing; delete {folder} and build again")
        found = hash_file(path)
        if found != expected:
            raise CorruptRecordError(
                f"{path} has SHA-256 {found[:16]}, the manifest says {expected[:16]}; delete {folder} and build again"
            )
    if model is not None and manifest.model_hash != model.content_hash:
        raise CorruptRecordError(
            f"{folder} was built from model {manifest.model_hash[:16]}, not from {model.content_hash[:16]}; build the "
            "model in use with: calibrig rtl build"
        )
    return manifest
