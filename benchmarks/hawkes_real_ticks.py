"""Hawkes fits on real ticks: every data set, each day and all days, by one power law and by two time scales.

Run ``python -m benchmarks.hawkes_real_ticks [folder]``; the folder is laid out like ../shared/data. Prints two
Markdown tables: one power law with child fills merged and kept, with a profile and without; and two time scales.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from calibrig import HawkesFit, Trades, TwoScaleFit, fit_hawkes, fit_two_scale_hawkes, read_market
from calibrig.errors import CalibrigError

DATA = Path(__file__).parents[2] / "shared" / "data"
SETS = (
    ("SPY", "us_equities_2013/spy", "SPY"),
    ("BAC", "us_equities_2013/bac", "BAC"),
    ("AIG", "us_equities_2013/aig", "AIG"),
    ("GC", "gc_futures_2013", "GC"),
    ("usdm BTCUSDT", "binance_capture_2024/usdm_btcusdt_20240808.gz", "BTCUSDT"),
    ("usdm ETHUSDT", "binance_capture_2024/usdm_ethusdt_20240808.gz", "ETHUSDT"),
    ("spot BTCUSDT", "binance_capture_2024/spot_btcusdt_20240808.gz", "BTCUSDT"),
    ("spot ETHUSDT", "binance_capture_2024/spot_ethusdt_20240808.gz", "ETHUSDT"),
    ("Bitstamp", "bitstamp_l3_2015/orders.csv.xz", "BTCUSD"),
)


def samples(folder: Path) -> Iterator[tuple[str, Trades]]:
    """Every day and, where there are several, all days together."""
    for name, part, symbol in SETS:
        if not (folder / part).exists():
            continue
        trades = read_market([folder / part], symbol=symbol).market.trades
        full = [
            s
            for s in trades.sessions.tolist()
            if np.searchsorted(trades.time_ns, s[1]) > np.searchsorted(trades.time_ns, s[0])
        ]
        if len(full) > 1:
            for start, end in full:
                yield (
                    f"{name} {np.datetime64(start, 'ns').astype('datetime64[D]')}",
                    trades.between(start, end),
                )
        yield f"{name} {'all days' if len(full) > 1 else ''}".strip(), trades


def row(name: str, how: str, fit: HawkesFit) -> str:
    """One line of the table."""
    p, e = fit.parameters, fit.standard_errors
    failed = ", ".join(gate.name for gate in fit.gates if gate.passed is False)
    skill = "-" if p.calibration_r_squared is None else f"{p.calibration_r_squared:.2f}"
    return (
        f"| {name} | {how} | {p.calibration_samples:,} | {p.branching_ratio:.3f} +- {e['branching_ratio']:.3f} "
        f"| {p.n_cross / max(p.n_self, 1e-12):.2f} | {p.beta * 1e3:.3g} | {p.gamma:.3f} +- {e['gamma']:.3f} | {skill} "
        f"| {fit.verdict} | {failed} | {fit.total_s:.2f} |"
    )


def two_scale_row(name: str, fit: TwoScaleFit) -> str:
    """One line of the second table."""
    p, e = fit.parameters, fit.standard_errors
    gates = {gate.name: gate for gate in fit.gates}
    failed = ", ".join(gate.name for gate in fit.gates if gate.passed is False)
    gain = "-" if fit.held_out is None else f"{fit.held_out.gain_over_power_law[0]:.3f}"
    above = [g.value for name, g in gates.items() if name.startswith("ks_above") and g.value is not None]
    spread = gates["n_spread"].value if "n_spread" in gates else None
    return (
        f"| {name} | {p.calibration_samples:,} | {p.branching_ratio:.3f} +- {e['branching_ratio']:.3f} "
        f"| {p.n_fast:.2f} in {p.fast_s * 1e3:.2g} ms | {p.beta * 1e3:.3g} | {p.gamma:.3f} | {gain} "
        f"| {f'{max(above):.3f}' if above else '-'} | {'-' if spread is None else f'{spread:.3f}'} "
        f"| {fit.verdict} | {failed} | {fit.total_s:.1f} |"
    )


def print_power_law(folder: Path) -> None:
    """Print the table of one power law."""
    print(
        "| data | child fills, profile | events | n | cross/self | beta, ms | gamma | Q-Q skill | verdict | gates failed | s |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name, trades in samples(folder):
        ways = [("merged", "auto", 13), ("kept", "none", 13)]
        if len(trades.sessions) > 1:
            ways.append(("merged, no profile", "auto", 1))
        for how, rule, bins in ways:
            try:
                fit = fit_hawkes(trades, child_fills=rule, profile_bins=bins)  # type: ignore[arg-type]
            except CalibrigError as error:
                print(
                    f"| {name} | {how} | {len(trades):,} | - | - | - | - | - | refused | {error} | - |",
                    flush=True,
                )
                continue
            print(row(name, how, fit), flush=True)


def print_two_scales(folder: Path) -> None:
    """Print the table of two time scales, child fills merged."""
    print(
        "\n| data | events | n in a session | fast part | beta, ms | gamma | gain, nats | KS above 10 steps | n spread "
        "| verdict | gates failed | s |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for name, trades in samples(folder):
        try:
            print(two_scale_row(name, fit_two_scale_hawkes(trades)), flush=True)
        except CalibrigError as error:
            print(
                f"| {name} | {len(trades):,} | - | - | - | - | - | - | - | refused | {error} | - |",
                flush=True,
            )


def main() -> None:
    """Print both tables."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    print_power_law(folder)
    print_two_scales(folder)


if __name__ == "__main__":
    main()
