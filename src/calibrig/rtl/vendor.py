"""Project scripts for the vendors' tools. They are generated and have not been run: no such tool is at hand."""

from __future__ import annotations

from pathlib import Path

from calibrig.rtl.manifest import Manifest

__all__ = ["write_vendor_scripts"]

_NOT_RUN = "# Generated for build {build}, model {model}. NOT RUN by its author: check part, pins and clocks before use."
_VIVADO = """{head}
# vivado -mode batch -source calibrig_vivado.tcl -tclargs PART     (for example xcu50-fsvh2104-2-e)
set part [lindex $argv 0]
if {{$part eq ""}} {{ error "give the part: -tclargs xcu50-fsvh2104-2-e" }}
set here [file dirname [file normalize [info script]]]
create_project -in_memory -part $part
read_verilog -sv [list {files}]
read_xdc -mode out_of_context [file join $here calibrig.xdc]
synth_design -mode out_of_context -top calibrig_card -part $part
opt_design
place_design
phys_opt_design
route_design
report_timing_summary -file [file join $here vivado_timing.txt]
report_utilization -file [file join $here vivado_utilization.txt]
write_checkpoint -force [file join $here calibrig_card.dcp]
"""
_QUARTUS = """{head}
# quartus_sh -t calibrig_quartus.tcl PART                           (for example AGFB014R24B2E2V)
package require ::quartus::project
package require ::quartus::flow
set part [lindex $quartus(args) 0]
if {{$part eq ""}} {{ error "give the part as the first argument" }}
set here [file dirname [file normalize [info script]]]
project_new -overwrite calibrig_card
set_global_assignment -name DEVICE $part
set_global_assignment -name TOP_LEVEL_ENTITY calibrig_card
{files}
set_global_assignment -name SDC_FILE [file join $here calibrig.sdc]
set_instance_assignment -name VIRTUAL_PIN ON -to *
execute_flow -compile
project_close
"""
_CLOCK = "{head}\ncreate_clock -name clk -period {period:.3f} [get_ports clk]\n"


def write_vendor_scripts(folder: Path, manifest: Manifest) -> list[Path]:
    """Write Vivado and Quartus scripts and constraints into ``folder/vendor``, over the sources in ``folder/rtl``.

    The card is compiled out of context: the vendor's PCIe block around it is the buyer's reference design.

    Parameters
    ----------
    folder : Path
        Of a build, from `write_sources`.
    manifest : Manifest
        Its manifest.

    Returns
    -------
    list of Path
        What was written.
    """
    head = _NOT_RUN.format(build=manifest.build_hash[:16], model=manifest.model_hash[:16])
    package = "rtl/calibrig_build.sv"
    rest = sorted(
        name
        for name in manifest.files
        if name.endswith((".sv", ".v")) and name != package and "faults" not in name
    )
    paths = [f"[file join $here .. {' '.join(Path(name).parts)}]" for name in [package, *rest]]
    period = 1e9 / manifest.clock_hz
    quartus = "\n".join(f"set_global_assignment -name SYSTEMVERILOG_FILE {path}" for path in paths)
    texts = {
        "calibrig_vivado.tcl": _VIVADO.format(head=head, files=" ".join(paths)),
        "calibrig_quartus.tcl": _QUARTUS.format(head=head, files=quartus),
        "calibrig.xdc": _CLOCK.format(head=head, period=period),
        "calibrig.sdc": _CLOCK.format(head=head, period=period),
    }
    target = folder / "vendor"
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in texts.items():
        (target / name).write_text(text)
        written.append(target / name)
    return written
