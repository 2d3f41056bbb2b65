"""Draw docs/images/rtl-trade-off.svg from the measured table beside this file: ``python -m benchmarks.rtl_plot``."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import numpy as np

from calibrig.reports.scale import axis_of
from calibrig.reports.svg import Drawing, Panel

HERE = Path(__file__).parent
TARGET = HERE.parent / "docs" / "images" / "rtl-trade-off.svg"
STYLES = {"trees": "s1", "linear": "s2", "network": "s3"}
CSS = (
    "text{font:12px sans-serif;fill:#333}.grid{stroke:#ddd;fill:none}.axis{stroke:#888;fill:none}"
    ".s1{fill:#1b6ca8}.s2{fill:#c2571a}.s3{fill:#3a7d44}"
)


def draw() -> str:
    """Return the drawing: time in the card against look-up tables, one point a build, its stages beside it."""
    rows = json.loads((HERE / "rtl_trade_off.json").read_text())
    luts = np.array([row["luts"] for row in rows], dtype=np.float64)
    ns = np.array([1e3 * row["clocks"] / statistics.median(row["fmax_mhz"]) for row in rows])
    drawing = Drawing(
        name="trade-off",
        title="Time in the card against resources",
        description="device_ns on ECP5 against look-up tables of shell and core",
        width=760.0,
        height=330.0,
    )
    panel = Panel(
        left=60.0,
        top=46.0,
        width=660.0,
        height=230.0,
        x=axis_of(luts, label="look-up tables, shell and core", pad=0.15),
        y=axis_of(ns, label="device_ns", zero=True, pad=0.15),
    )
    for row, x, y in zip(rows, luts, ns, strict=True):
        panel.scatter([x], [y], STYLES[row["kind"]], size=5.0)
        share_x, share_y = panel.x.position([x])[0], 1.0 - panel.y.position([y])[0]
        label = f"{row['stage_delay']} adders a stage, {row['clocks']} clocks, {y:.1f} ns"
        late = share_x > 0.6
        panel.note(
            float(share_x) + (-0.012 if late else 0.012),
            float(share_y) - 0.03,
            label,
            anchor="end" if late else "start",
        )
    drawing.add(panel)
    for kind, style in STYLES.items():
        drawing.key(style, kind, "dot")
    text = str(drawing.render())
    return text.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).replace(
        ">", f"><style>{CSS}</style>", 1
    )


if __name__ == "__main__":
    TARGET.write_text(draw() + "\n")
    print(TARGET)
