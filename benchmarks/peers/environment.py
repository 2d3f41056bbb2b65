"""The peers' environments: one folder per set of packages, made on first use, apart from calibrig's own."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def peer_python(name: str, *packages: str) -> str | None:
    """Return an interpreter that has ``packages``, or None where they cannot be installed.

    ``CALIBRIG_PEERS_<NAME>`` names an interpreter that has them already. Otherwise a virtual environment is made
    below ``build/peers``; its folder changes with the list of packages.
    """
    named = os.environ.get(f"CALIBRIG_PEERS_{name.upper()}")
    if named:
        return named
    digest = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:8]
    folder = ROOT / "build" / "peers" / f"{name}-{digest}"
    python = folder / "bin" / "python"
    if (folder / "complete").exists():
        return str(python)
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True, timeout=120)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
        subprocess.run(install, check=True, timeout=900, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"{name}: the peers could not be installed ({error})", file=sys.stderr)
        return None
    (folder / "complete").touch()
    return str(python)
