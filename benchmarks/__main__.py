"""Run every benchmark and print one table: claim, figure, reach, whether it holds; results as JSON.

Each ``bench_<claim>.py`` has ``run() -> dict`` or ``list[dict]`` with the keys ``claim``, ``value``, ``unit``,
``reach``, ``holds`` and whatever else a reader needs. Name one or more claims to run only those.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
import traceback
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def main() -> int:
    """Run the named benchmarks, or all; exit 1 when one could not run."""
    names = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Run the benchmarks.")
    parser.add_argument("claim", nargs="*", help=f"which to run; all by default: {', '.join(names)}")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "latest.local.json")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.claim) - set(names))
    if unknown:
        parser.error(f"no benchmark called {', '.join(unknown)}; there are {', '.join(names)}")
    rows: list[dict[str, Any]] = []
    failed = 0
    for name in arguments.claim or names:
        started = time.perf_counter()
        try:
            result = importlib.import_module(f"benchmarks.bench_{name}").run()
        except Exception:  # noqa: BLE001 - one broken benchmark must not hide the others
            failed += 1
            traceback.print_exc()
            print(f"{name:20} COULD NOT RUN", flush=True)
            continue
        for row in result if isinstance(result, list) else [result]:
            rows.append({"benchmark": name, **row})
            print(_line(name, row), flush=True)
        print(f"{'':20} ({time.perf_counter() - started:.1f} s)", flush=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    machine = {
        "cpu_count": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
    arguments.out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1, default=str) + "\n")
    missed = sum(row.get("holds") is False for row in rows)
    print(f"{len(rows)} claims measured, {missed} not reached, {failed} benchmarks could not run")
    return 1 if failed else 0


def _line(name: str, row: dict[str, Any]) -> str:
    value = row.get("value", row.get("ratio"))
    shown = f"{value:.4g}" if isinstance(value, float) else str(value)
    held = "reached" if row.get("holds") else "no limit" if row.get("holds") is None else "NOT REACHED"
    return f"{name:20} {row.get('claim', '')}: {shown} {row.get('unit', '')} (reach {row.get('reach', '-')}) {held}"


if __name__ == "__main__":
    sys.exit(main())
