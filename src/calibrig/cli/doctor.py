"""``calibrig doctor``: what this machine offers, what that means for latency, and what to change."""

from __future__ import annotations

from typing import Annotated

import typer

from calibrig.cli.console import JsonOption, print_json, print_lines, print_table

__all__ = ["command"]


def command(
    *,
    stall_s: Annotated[
        float, typer.Option("--stall-s", min=0.001, help="Seconds to watch for stalls.")
    ] = 1.0,
    json: JsonOption = False,
) -> int:
    """Examine processor, clock, cores, memory, permissions, cards and extras."""
    from calibrig.bridge.machine import examine_machine

    findings = examine_machine(stall_s=stall_s)
    extras = _list_extras()
    if json:
        print_json({"findings": findings, "extras": extras})
        return 0
    print_table(
        "This machine",
        ("what", "found", "", "what it means"),
        [(f.name, f.value, "ok" if f.good else "could be better", f.meaning) for f in findings],
    )
    print_table("Extras", ("extra", "state"), [(name, state) for name, state in extras.items()])
    remedies = [f"{f.name}: {f.remedy}" for f in findings if f.remedy]
    if remedies:
        print_lines(["", "To change:", *(f"  {remedy}" for remedy in remedies)])
    return 0


def _list_extras() -> dict[str, str]:
    """Return for each extra whether its packages are here, and the install command where they are not."""
    import re
    from importlib.metadata import PackageNotFoundError, metadata, requires, version

    missing: dict[str, list[str]] = {
        name: [] for name in metadata("calibrig").get_all("Provides-Extra") or []
    }
    for requirement in requires("calibrig") or []:
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", requirement)
        package = re.match(r"[\w.-]+", requirement)
        if extra is None or package is None or package.group() == "calibrig":
            continue
        try:
            version(package.group())
        except PackageNotFoundError:
            missing.setdefault(extra.group(1), []).append(package.group())
    return {
        name: "installed" if not absent else f"pip install 'calibrig[{name}]' (missing: {', '.join(absent)})"
        for name, absent in missing.items()
        if name != "dev"
    }
