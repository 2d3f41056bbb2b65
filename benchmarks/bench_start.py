"""Starting costs: ``import calibrig`` beside numpy's own import, and ``calibrig --version``."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

REPEATS = 15


def run() -> list[dict[str, Any]]:
    """Measure both in alternation with an empty interpreter; wall time, medians of fresh processes."""
    commands = {
        "empty": [sys.executable, "-c", "pass"],
        "numpy": [sys.executable, "-c", "import numpy"],
        "calibrig": [sys.executable, "-c", "import calibrig"],
        "version": [str(Path(sys.executable).parent / "calibrig"), "--version"],
    }
    times_ms: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(REPEATS):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            times_ms[name].append(1e3 * (time.perf_counter() - started))
    median = {name: statistics.median(values) for name, values in times_ms.items()}
    numpy_ms = median["numpy"] - median["empty"]
    calibrig_ms = median["calibrig"] - median["empty"]
    return [
        {
            "claim": "import calibrig over the empty interpreter",
            "value": calibrig_ms,
            "unit": "ms",
            "peer": {"numpy import": numpy_ms},
            "reach": f"<= numpy's {numpy_ms:.0f} ms + 20 ms",
            "holds": calibrig_ms <= numpy_ms + 20.0,
        },
        {
            "claim": "calibrig --version",
            "value": median["version"],
            "unit": "ms",
            "peer": {"empty interpreter": median["empty"]},
            "reach": "<= 200 ms",
            "holds": median["version"] <= 200.0,
        },
    ]
