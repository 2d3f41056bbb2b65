"""Run everything on a small simulated market and read the result as a program would."""

from pathlib import Path

from calibrig.operations import run_demo

outcome = run_demo(Path("demo"), seed=7, sessions=3, session_s=3_600.0, paths=200)
print(outcome.verdict, "-", outcome.reason)
for row in outcome.result["parameters"]:
    if row["z"] is not None:
        print(
            f"{row['model']:8s} {row['name']:24s} truth {row['truth']:10.4g} estimate {row['estimate']:10.4g} z {row['z']:+.2f}"
        )
print("open", outcome.report_path)
