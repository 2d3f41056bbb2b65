"""Every error calibrig raises on purpose, in one tree.

::

    CalibrigError                           exit code 1 unless said otherwise
    ├── InvalidInputError (ValueError)      an argument that cannot be used; exit 2
    │   ├── InvalidParametersError          a record field outside its domain
    │   ├── InvalidTicksError               ticks a method cannot use (unsorted, wrong sides, too few)
    │   └── FileFormatError                 a file, row or field that cannot be read
    ├── MissingFileError (FileNotFoundError)    exit 2
    ├── MissingDependencyError (ImportError)    an extra that is not installed; exit 2
    ├── UnavailableError (NotImplementedError)  asked for, but not available in this version or on this machine
    ├── StoreError (OSError)                the store cannot do what was asked
    │   ├── StoreUnavailableError (ConnectionError)   try again later; exit 75
    │   ├── CorruptRecordError              a record, chain or file that fails its checks
    │   ├── VersionConflictError            expected_version is not the head any more; exit 5
    │   └── RefusedError (PermissionError)  a promise of the store forbids it (gates, schema, rights); exit 5
    ├── BridgeError (RuntimeError)          the bridge cannot answer
    │   ├── BridgeStateError                predict before initialize or after close; exit 3
    │   ├── DeviceUnavailableError          no device, no driver, no permission; exit 3
    │   └── DeviceError                     the device answered wrongly or not at all; exit 3
    │       ├── DeviceTimeoutError (TimeoutError)
    │       ├── DeviceFaultError
    │       └── DeviceRemovedError
    └── TradingHaltedError (RuntimeError)   the trading loop failed closed; exit 3

A message names the value, the limit and the next step.
"""

from __future__ import annotations

__all__ = [
    "BridgeError",
    "BridgeStateError",
    "CalibrigError",
    "CorruptRecordError",
    "DeviceError",
    "DeviceFaultError",
    "DeviceRemovedError",
    "DeviceTimeoutError",
    "DeviceUnavailableError",
    "FileFormatError",
    "InvalidInputError",
    "InvalidParametersError",
    "InvalidTicksError",
    "MissingDependencyError",
    "MissingFileError",
    "RefusedError",
    "StoreError",
    "StoreUnavailableError",
    "TradingHaltedError",
    "UnavailableError",
    "VersionConflictError",
]


class CalibrigError(Exception):
    """Root of the tree; ``exit_code`` is what the command line ends with."""

    exit_code = 1


class InvalidInputError(CalibrigError, ValueError):
    """An argument that cannot be used."""

    exit_code = 2


class InvalidParametersError(InvalidInputError):
    """A record field outside its domain; the message holds the field's path, value and limit."""


class InvalidTicksError(InvalidInputError):
    """Ticks a method cannot use: unsorted, wrong sides, too few, outside their sessions."""


class FileFormatError(InvalidInputError):
    """A file, row or field that cannot be read; the message names file, row and field."""


class MissingFileError(CalibrigError, FileNotFoundError):
    """A file or folder that is not there."""

    exit_code = 2


class MissingDependencyError(CalibrigError, ImportError):
    """An optional dependency that is not installed; the message holds the install command."""

    exit_code = 2


class UnavailableError(CalibrigError, NotImplementedError):
    """Something asked for that this version or this machine does not have."""


class StoreError(CalibrigError, OSError):
    """The store cannot do what was asked."""


class StoreUnavailableError(StoreError, ConnectionError):
    """The backend cannot be reached now; trying again later may help."""

    exit_code = 75


class CorruptRecordError(StoreError):
    """A record, chain or file that fails its checks."""


class VersionConflictError(StoreError):
    """Somebody else wrote first: ``expected_version`` is not the head any more."""

    exit_code = 5


class RefusedError(StoreError, PermissionError):
    """A promise of the store forbids the write or the use."""

    exit_code = 5


class BridgeError(CalibrigError, RuntimeError):
    """The bridge cannot answer."""


class BridgeStateError(BridgeError):
    """A call the bridge's state does not allow: before ``initialize`` or after ``close``."""

    exit_code = 3


class DeviceUnavailableError(BridgeError):
    """There is no such device, no driver for it, or no permission to use it."""

    exit_code = 3


class DeviceError(BridgeError):
    """The device answered wrongly or not at all; no number was invented."""

    exit_code = 3


class DeviceTimeoutError(DeviceError, TimeoutError):
    """No answer within the deadline."""


class DeviceFaultError(DeviceError):
    """An answer that fails its checks: sequence, model, checksum, range or shadow comparison."""


class DeviceRemovedError(DeviceError):
    """The device is no longer there."""


class TradingHaltedError(CalibrigError, RuntimeError):
    """The trading loop failed closed; the message holds the reason."""

    exit_code = 3
