"""The page of results, with the machine and the versions beside them; it tries nothing."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from localcluster.moment import describe_moment
from soak.result import Result
from soak.rig import REPLICAS, Rig

_HEAD: Final = """# What is guaranteed, and how often it was tried

Written by `make soak`; do not edit.
The judge is the stored world: after each round the Services are listed and the rules of admission are run over them.
After each guarantee `sharedvip audit --ledger` must find nothing, in the whole cluster:
with the last rounds' Services (in a storm, of its last race), which must have their claims and locks,
and once they are deleted.
Each row names the code that it was tried on; what stands below is of the last run.
Conflicts in the namespaces of `living-cluster` are left out: it plants some, and they are to stay.

| | |
|---|---|
"""
_TABLE: Final = """
| guarantee | tried | rounds | stored and answered | seconds | on the code of | |
|---|---|---|---|---|---|---|
"""
_FIRST_CELL: Final = "| `"


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it ran."""

    moment: str
    """Day and commit."""
    processors: int
    system: str
    python: str
    kubernetes: str


def machine(rig: Rig) -> Machine:
    """This one, now."""
    version = json.loads(rig.cluster.run_kubectl("version", "-o", "json").stdout)["serverVersion"]["gitVersion"]
    system = f"{platform.system()} {platform.machine()}"
    return Machine(describe_moment(), os.cpu_count() or 0, system, platform.python_version(), version)


def render_page(results: Sequence[Result], *, rounds: int, on: Machine, before: str = "", order: Sequence[str]) -> str:
    """Markdown, in the order given; what was not tried this time keeps its row of the page as it was before."""
    facts = {
        "machine": f"{on.processors} processors, {on.system}, everything on it",
        "versions": f"Kubernetes {on.kubernetes}, Python {on.python}",
        "shape": f"{REPLICAS} webhook replicas behind one address, one janitor, 16 writers a race",
        "command": f"`python -m soak --rounds {rounds}`",
    }
    rows = [f"| {name} | {value} |\n" for name, value in facts.items()]
    tried = {**_rows_of(before), **{result.name: _row(result, on) for result in results}}
    return "".join([_HEAD, *rows, _TABLE, *(tried[name] for name in order if name in tried)])


def _rows_of(page: str) -> dict[str, str]:
    rows = (line for line in page.splitlines(keepends=True) if line.startswith(_FIRST_CELL))
    return {row.removeprefix(_FIRST_CELL).partition("`")[0]: row for row in rows}


def _row(result: Result, on: Machine) -> str:
    verdict = "kept" if result.is_kept else f"**broken**: {result.breaches[0] if result.breaches else 'not tried'}"
    numbers = (f"{result.rounds:,}", result.stored, f"{result.seconds:.0f}")
    cells = (f"`{result.name}`", result.tried, *numbers, on.moment, verdict)
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |\n"
