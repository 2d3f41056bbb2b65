"""One file per transport; `open_device` finds it by the URL's scheme."""

from __future__ import annotations

import importlib
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from calibrig.bridge.device import Device
from calibrig.errors import DeviceUnavailableError, InvalidInputError

__all__ = ["DEVICE_SCHEMES", "open_device"]

DEVICE_SCHEMES = MappingProxyType(
    {
        "shm": ("calibrig.bridge.devices.shared_memory", "SharedMemoryDevice"),
        "emulator": ("calibrig.bridge.devices.emulator", "EmulatorDevice"),
    }
)
"""URL scheme -> module and class with a ``from_url``; a transport is one line here and one file."""


def open_device(url: str) -> Device:
    """Open the device that a URL names.

    Parameters
    ----------
    url : str
        ``shm:///name`` (shared memory under ``/dev/shm``; a longer path names the file itself, as on hugetlbfs), or
        ``emulator:`` (the model's own RTL in another process; ``emulator:?model=FILE``).

    Returns
    -------
    Device
        Open, and not yet checked: the bridge does that.

    Raises
    ------
    InvalidInputError
        Not a URL of a known scheme.
    DeviceUnavailableError
        Nothing there, no permission, or no card in it.

    Examples
    --------
    >>> open_device("shm:///no-such-card")
    Traceback (most recent call last):
        ...
    calibrig.errors.DeviceUnavailableError: ...
    """
    try:
        scheme = urlsplit(url).scheme
    except ValueError as error:
        raise InvalidInputError(
            f"device URL {url!r} cannot be read ({error}); give one like shm:///name"
        ) from None
    if scheme not in DEVICE_SCHEMES:
        raise InvalidInputError(
            f"device URL {url!r} has scheme {scheme!r}; known schemes: {', '.join(sorted(DEVICE_SCHEMES))}"
        )
    module, name = DEVICE_SCHEMES[scheme]
    kind: Any = getattr(importlib.import_module(module), name)
    try:
        device: Device = kind.from_url(url)
    except ImportError as error:
        raise DeviceUnavailableError(f"{url!r} needs a library that is not installed: {error}") from error
    device.open()
    return device
