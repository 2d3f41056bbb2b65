"""Trained models in silicon: fit trees and a network on real ticks (else on a simulated market), place them, three seeds each.

``python -m benchmarks.rtl_timing [--data FOLDER] [--kind trees|network] [--seeds 1,2,3]``; the network takes minutes a seed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from calibrig import fit_signal
from calibrig.market import read_market, simulate_market
from calibrig.rtl.timing import measure_timing

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "us_equities_2013" / "bac"


def main() -> None:
    """Print clocks, clock rate by seed and the median time in the card of each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--kind", choices=("trees", "network"), action="append")
    parser.add_argument("--seeds", default="1,2,3")
    chosen = parser.parse_args()
    real = chosen.data.is_dir()
    market = read_market([chosen.data]).market if real else simulate_market(seed=1, sessions=3).market
    print(
        f"trained on {market.instrument.symbol}, {len(market.sessions)} sessions"
        + ("" if real else ", simulated")
    )
    seeds = tuple(int(seed) for seed in chosen.seeds.split(","))
    for kind in chosen.kind or ("trees", "network"):
        fit = fit_signal(market, kinds=(kind,), controls=2, replicas=50)
        report = measure_timing(fit.parameters, seeds=seeds)
        clocks = ", ".join(f"{result.fmax_hz / 1e6:.1f}" for result in report.seeds)
        print(
            f"{kind}: {report.card_cycles} clocks, {clocks} MHz, {report.device_ns:.1f} ns in the card (median)",
            flush=True,
        )


if __name__ == "__main__":
    main()
