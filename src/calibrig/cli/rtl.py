"""``calibrig rtl``: build, verify, timing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calibrig.cli.console import JsonOption, print_json, print_lines, print_table
from calibrig.cli.signal_models import read_signal_model

__all__ = ["app"]

app = typer.Typer(help="From a signal model to a card: sources, exactness, timing.")
Model = Annotated[
    str,
    typer.Argument(
        help="Signal model as JSON; SYMBOL or SYMBOL@VERSION with --store; or sample:trees, sample:network, "
        "sample:linear (random weights)."
    ),
]
ModelStoreOption = Annotated[
    str, typer.Option("--store", help="URL of the store to take the model of a symbol from.")
]
StageDelay = Annotated[
    float | None,
    typer.Option(
        "--stage-delay", min=1.0, help="Adders per pipeline stage; fewer: more clocks, faster ones."
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option("--cache", help="Folder of builds; calibrig/rtl below the XDG cache by default."),
]
DIFFERENT, GATE_NOT_MET = 3, 4


@app.command("build")
def build(
    model: Model,
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")] = Path("card"),
    *,
    clock_mhz: Annotated[
        float, typer.Option("--clock-mhz", min=1.0, help="Clock the card is to run at.")
    ] = 50.0,
    store: ModelStoreOption = "",
    stage_delay: StageDelay = None,
    json: JsonOption = False,
) -> int:
    """Write the card of a model: Verilog core, SystemVerilog shell, manifest, vendor scripts (generated, not run)."""
    import msgspec

    from calibrig.rtl import write_sources
    from calibrig.rtl.vendor import write_vendor_scripts

    manifest = write_sources(
        read_signal_model(model, store), out, stage_delay=stage_delay, clock_hz=round(clock_mhz * 1e6)
    )
    scripts = write_vendor_scripts(out, manifest)
    if json:
        print_json(msgspec.to_builtins(manifest))
        return 0
    print_lines(
        [
            f"{manifest.kind} model {manifest.model_hash[:16]} in {out}: {len(manifest.files)} sources, manifest.json",
            f"core {manifest.core_cycles} clocks, card {manifest.card_cycles} clocks from request to reply",
            f"vendor scripts, not run here: {', '.join(script.name for script in scripts)}",
        ]
    )
    return 0


@app.command("verify")
def verify(
    model: Model,
    *,
    vectors: Annotated[int, typer.Option("--vectors", min=200, help="Random and corner inputs.")] = 100_000,
    seed: Annotated[int, typer.Option("--seed", help="Of the random ones.")] = 1,
    store: ModelStoreOption = "",
    stage_delay: StageDelay = None,
    cache: Cache = None,
    json: JsonOption = False,
) -> int:
    """Compare NumPy, compiled kernel, generated logic and verilated card bit for bit; exit 3 if anything differs."""
    from calibrig.rtl import verify_exactness

    report = verify_exactness(
        read_signal_model(model, store), n_vectors=vectors, seed=seed, stage_delay=stage_delay, cache=cache
    )
    rows = [(name, getattr(report, name)) for name in ("kernel", "interpreter", "card")]
    if json:
        print_json(
            {"vectors": report.n_vectors, "exact": report.exact, "cycles": report.cycles, **dict(rows)}
        )
    else:
        print_table(
            f"{report.n_vectors} inputs, {report.distinct_answers} different answers, {report.cycles[0]} clocks",
            ("against the NumPy twin", "answers that differ"),
            rows,
        )
    return 0 if report.exact else DIFFERENT


@app.command("timing")
def timing(
    model: Model,
    *,
    seeds: Annotated[str, typer.Option("--seeds", help="Of the placer, with commas.")] = "1,2,3",
    store: ModelStoreOption = "",
    stage_delay: StageDelay = None,
    cache: Cache = None,
    json: JsonOption = False,
) -> int:
    """Synthesise and place the card on ECP5: clock, resources, critical path, device_ns; exit 4 from 400 ns on."""
    import msgspec

    from calibrig.errors import InvalidInputError
    from calibrig.rtl import measure_timing

    try:
        numbers = [int(seed) for seed in seeds.split(",")]
    except ValueError:
        raise InvalidInputError(
            f"--seeds is {seeds!r}; give whole numbers with commas, such as 1,2,3"
        ) from None
    report = measure_timing(
        read_signal_model(model, store), seeds=numbers, stage_delay=stage_delay, cache=cache
    )
    derived = {
        "fmax_hz": report.fmax_hz,
        "device_ns": report.device_ns,
        "worst_device_ns": report.worst_device_ns,
        "passes": report.passes,
    }
    if json:
        print_json({**msgspec.to_builtins(report), **derived})
    else:
        print_table(
            f"{report.kind} on {report.part}: {report.luts} of {report.luts_available} LUTs, "
            f"{report.flip_flops} flip-flops, {report.card_cycles} clocks",
            ("seed", "MHz", "device_ns", "slowest path ends at"),
            [
                (
                    result.seed,
                    f"{result.fmax_hz / 1e6:.1f}",
                    f"{1e9 * report.card_cycles / result.fmax_hz:.1f}",
                    result.critical_path[-1],
                )
                for result in report.seeds
            ],
        )
        print_lines([f"median {report.fmax_hz / 1e6:.1f} MHz, device_ns {report.device_ns:.1f} (limit 400)"])
    return 0 if report.passes else GATE_NOT_MET
