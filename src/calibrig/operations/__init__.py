"""The main job: demo, run, recalibration.

Names are imported when they are first used: ``calibrig config show`` needs none of the rooms below.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from calibrig.operations.outcome import Outcome as Outcome
    from calibrig.operations.pipeline import DEMO_STAGES as DEMO_STAGES
    from calibrig.operations.pipeline import RUN_SIGNALS as RUN_SIGNALS
    from calibrig.operations.pipeline import RUN_STAGES as RUN_STAGES
    from calibrig.operations.pipeline import run_demo as run_demo
    from calibrig.operations.pipeline import run_market as run_market

_HOME = {
    "DEMO_STAGES": "pipeline",
    "Outcome": "outcome",
    "RUN_SIGNALS": "pipeline",
    "RUN_STAGES": "pipeline",
    "run_demo": "pipeline",
    "run_market": "pipeline",
}

__all__ = ["DEMO_STAGES", "RUN_SIGNALS", "RUN_STAGES", "Outcome", "run_demo", "run_market"]


def __getattr__(name: str) -> Any:
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module 'calibrig.operations' has no attribute {name!r}")
    return getattr(importlib.import_module(f"calibrig.operations.{module}"), name)
