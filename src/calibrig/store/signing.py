"""Ed25519 signatures on versions: keys in files of their own, never in the store; trust in a folder of public keys."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from calibrig.errors import (
    InvalidInputError,
    MissingDependencyError,
    MissingFileError,
    RefusedError,
)
from calibrig.store.record import Signature, decode_content, signed_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = ["Signer", "TrustedKeys", "generate_key", "load_signer"]


def _needs_cryptography(error: ImportError) -> MissingDependencyError:
    return MissingDependencyError(
        f"signatures need a package that is not installed ({error.name}); run: pip install 'calibrig[sign]'"
    )


def _key_id(public: Ed25519PublicKey) -> str:
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:16]


class Signer:
    """Signs versions in the name of one person or system.

    Parameters
    ----------
    name : str
        Who signs; a version must be written by that name.
    key : Ed25519PrivateKey
        From :func:`load_signer`.
    """

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        self.name = name
        self._key = key
        self.key_id = _key_id(key.public_key())

    def __repr__(self) -> str:
        return f"Signer({self.name!r}, key_id={self.key_id!r})"

    def sign(self, data: bytes, role: str) -> Signature:
        """Return the signature over ``data``."""
        return Signature(name=self.name, role=role, key_id=self.key_id, value=self._key.sign(data).hex())


def generate_key(path: str | Path, *, name: str, passphrase: bytes | None = None) -> Path:
    """Make a key pair: ``path`` (private, mode 0600, PKCS#8 PEM) and ``path.pub`` (public, named).

    Parameters
    ----------
    path : str or Path
        Where the private key goes; must not exist.
    name : str
        Whose key it is; stands in the first line of the public file.
    passphrase : bytes, optional
        Encrypts the private key.

    Returns
    -------
    Path
        The public file, to be copied into the folder of trusted keys.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     public = generate_key(Path(folder, "anna.key"), name="anna")
    ...     signer = load_signer(Path(folder, "anna.key"), name="anna")
    ...     TrustedKeys(folder).knows(signer.key_id)
    True
    """
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        raise _needs_cryptography(error) from None
    if not name.strip() or "\n" in name:
        raise InvalidInputError(f"name is {name!r}; say whose key it is, on one line")
    target, public_path = Path(path), Path(f"{path}.pub")
    if target.exists() or public_path.exists():
        raise RefusedError(
            f"{target} or {public_path} exists already; a key is never overwritten: give another path"
        )
    key = Ed25519PrivateKey.generate()
    protection = (
        serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
    _write_new(target, private, 0o600)
    public = key.public_key()
    _write_new(public_path, f"{name}\n{public.public_bytes_raw().hex()}\n".encode(), 0o644)
    return public_path


def _write_new(path: Path, data: bytes, mode: int) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)


def load_signer(path: str | Path, *, name: str, passphrase: bytes | None = None) -> Signer:
    """Load a private key; refuse a file that others may read.

    Raises
    ------
    RefusedError
        If the file belongs to somebody else or group or others have any right to it.
    """
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        raise _needs_cryptography(error) from None
    target = Path(path)
    try:
        with target.open("rb") as file:
            found = os.fstat(file.fileno())
            data = file.read(65_536)
    except FileNotFoundError:
        raise MissingFileError(f"there is no key at {target}; run: calibrig store keygen") from None
    if stat.S_IMODE(found.st_mode) & 0o077 or found.st_uid not in {os.geteuid(), 0}:
        raise RefusedError(
            f"{target} has mode {stat.S_IMODE(found.st_mode):04o} and owner {found.st_uid}; a private key must be the "
            f"user's own and closed to others: chmod 600"
        )
    try:
        key = serialization.load_pem_private_key(data, passphrase)
    except (ValueError, TypeError) as error:
        raise InvalidInputError(f"{target} is no key or needs another passphrase ({error})") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidInputError(f"{target} is no Ed25519 key; run: calibrig store keygen")
    return Signer(name, key)


class TrustedKeys:
    """The public keys that may sign, one ``*.pub`` file each, kept outside the store.

    A key is rotated by adding a file: old versions stay valid as long as the old file stays. A third line,
    ``until <ns since 1970>``, ends what a key may sign; removing the file distrusts all it has signed.

    Parameters
    ----------
    folder : str or Path
        Where the files are.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise MissingFileError(f"there is no folder of trusted keys at {self.folder}")
        self._keys: dict[str, tuple[str, Ed25519PublicKey, int | None]] = {}
        for path in sorted(self.folder.glob("*.pub")):
            self._load(path)

    def _load(self, path: Path) -> None:
        try:
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        except ImportError as error:
            raise _needs_cryptography(error) from None
        lines = path.read_text().splitlines()
        try:
            public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(lines[1].strip()))
            until = int(lines[2].split()[1]) if len(lines) > 2 and lines[2].strip() else None
        except (IndexError, ValueError) as error:
            raise InvalidInputError(f"{path} is no public key of calibrig ({error})") from None
        self._keys[_key_id(public)] = (lines[0].strip(), public, until)

    def knows(self, key_id: str) -> bool:
        """Whether a key of that id is trusted."""
        return key_id in self._keys

    def problems(self, payload: bytes) -> list[str]:
        """Say what is wrong with the signatures of a stored version; an unsigned one is wrong too."""
        content, signatures = decode_content(payload)
        data = signed_bytes(payload)
        if not signatures:
            return ["it is not signed"]
        found = [self._check(one, data, content.updated_at) for one in signatures]
        names = {"author": content.updated_by, "approver": content.approved_by}
        found += [
            f"it says {names.get(one.role)!r} as {one.role}, but {one.name!r} signed"
            for one in signatures
            if names.get(one.role) != one.name
        ]
        needed = "approver" if content.approved_by else "author"
        if all(one.role != needed for one in signatures):
            found.append(f"the {needed} has not signed it")
        return [text for text in found if text]

    def _check(self, one: Signature, data: bytes, time_ns: int) -> str:
        from cryptography.exceptions import InvalidSignature

        known = self._keys.get(one.key_id)
        if known is None:
            return f"key {one.key_id} of {one.name!r} is not trusted"
        name, public, until = known
        if name != one.name:
            return f"key {one.key_id} belongs to {name!r}, not to {one.name!r}"
        if until is not None and time_ns > until:
            return f"key {one.key_id} of {name!r} had ended"
        try:
            public.verify(bytes.fromhex(one.value), data)
        except (InvalidSignature, ValueError):
            return f"the signature of {name!r} is wrong"
        return ""


def signature_problems(keys: TrustedKeys, payloads: Iterable[bytes]) -> list[str]:
    """Return what is wrong with the signatures of many versions, each with its name."""
    problems = []
    for payload in payloads:
        content, _ = decode_content(payload)
        name = f"{content.kind}/{content.symbol} version {content.version_id}"
        problems += [f"{name}: {text}" for text in keys.problems(payload)]
    return problems
