"""``python -m bench.admission [--quick]``: measures, prints the page and writes it; a missed target is no failure.

A quick run only prints: its figures mean nothing, and shall not take the place of those that do.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.admission import opa, policies, reviews
from bench.admission.load import Summary, Target, measure, write_bodies
from bench.admission.page import PLOT, render_creates_plot, render_page
from bench.admission.population import MEMBERS, Namespace
from bench.admission.results import (
    FASTAPI,
    FLOOR,
    INDEXED,
    INDEXED_PORTS,
    INDEXED_REFUSAL,
    INVENTORY,
    INVENTORY_PORTS,
    INVENTORY_REFUSAL,
    PORTS,
    REFUSAL,
    UPDATE,
    Results,
)
from bench.admission.stage import FLOOR as FLOOR_PROGRAM
from bench.admission.stage import ROOT, WEBHOOK, Progress, Stage

DOCS: Final = ROOT / "docs" / "reference"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    sizes: tuple[int, ...]
    """Services in the namespaces in which creates are timed."""
    rest: int
    """Services elsewhere."""
    review_size: int
    """The namespace whose Services the reviews are about."""
    seconds: float
    rounds: int
    creates: int

    @property
    def namespaces(self) -> tuple[Namespace, ...]:
        """All of them, those of the creates first."""
        return (*(Namespace(f"ns-{size}", size) for size in self.sizes), Namespace("ns-rest", self.rest))


FULL: Final = Size((10, 100, 1000, 5000), rest=3890, review_size=1000, seconds=3.0, rounds=5, creates=20)
QUICK: Final = Size((10, 100), rest=90, review_size=100, seconds=1.0, rounds=2, creates=5)


def run(size: Size, *, progress: Progress) -> Results:
    """Everything, in order."""
    with Stage(size.namespaces, progress=progress) as stage:
        ready = [stage.start_webhook()]
        stage.stop(WEBHOOK)
        ready.append(stage.start_webhook())
        ready_mib = stage.memory_mib(WEBHOOK)
        stored = stage.services[f"ns-{size.review_size}"]
        progress("bench: asking the floor, the webhook and OPA in turn")
        decisions = measure(stage, _targets(stage, stored, progress), seconds=size.seconds, rounds=size.rounds)
        for name in (FLOOR_PROGRAM, "opa-inventory", "opa-indexed"):
            stage.stop(name)
        progress("bench: creating Services under no policy, the ValidatingAdmissionPolicy and us in turn")
        through = policies.measure(stage, size.namespaces[:-1], rounds=size.rounds, creates=size.creates)
        return _results(stage, size, decisions, through=through, ready=tuple(ready), ready_mib=ready_mib)


def _targets(stage: Stage, stored: list[reviews.JsonObject], progress: Progress) -> list[Target]:
    folder = stage.directory
    update = write_bodies(folder / "update.jsonl", reviews.irrelevant_updates(stored))
    ports = write_bodies(folder / "ports.jsonl", reviews.port_updates(stored))
    refusal = write_bodies(folder / "refusal.jsonl", reviews.refused_creates(stored))
    floor_port = stage.start_floor()
    inventory = opa.start(stage, "inventory", opa.render_inventory(stage.services), progress=progress)
    indexed = opa.start(stage, "indexed", opa.render_index(stage.services), progress=progress)
    pids = stage.children.pids
    floor, ours = pids[FLOOR_PROGRAM], pids[WEBHOOK]
    return [
        Target(FLOOR, floor_port, floor, update),
        Target(UPDATE, stage.webhook_port, ours, update),
        Target(PORTS, stage.webhook_port, ours, ports),
        Target(REFUSAL, stage.webhook_port, ours, refusal, is_allowed=False),
        Target(FASTAPI, floor_port, floor, update, path="/fastapi"),
        Target(INDEXED, indexed, pids["opa-indexed"], update, path=opa.PATH),
        Target(INVENTORY, inventory, pids["opa-inventory"], update, path=opa.PATH),
        Target(INDEXED_PORTS, indexed, pids["opa-indexed"], ports, path=opa.PATH),
        Target(INVENTORY_PORTS, inventory, pids["opa-inventory"], ports, path=opa.PATH),
        Target(INDEXED_REFUSAL, indexed, pids["opa-indexed"], refusal, path=opa.PATH, is_allowed=False),
        Target(INVENTORY_REFUSAL, inventory, pids["opa-inventory"], refusal, path=opa.PATH, is_allowed=False),
    ]


def _results(
    stage: Stage,
    size: Size,
    decisions: tuple[Summary, ...],
    *,
    through: policies.Throughs,
    ready: tuple[float, ...],
    ready_mib: float,
) -> Results:
    services = sum(namespace.services for namespace in size.namespaces)
    bodies = (stage.directory / "update.jsonl").read_bytes().splitlines()
    return Results(
        services=services,
        groups=services // MEMBERS,
        body_bytes=sum(map(len, bodies)) // len(bodies),
        review_namespace=size.review_size,
        decisions={summary.name: summary for summary in decisions},
        policies=through,
        ready_seconds=ready,
        ready_mib=ready_mib,
        memory_mib=stage.memory_mib(WEBHOOK),
        has_own_processor=stage.processors.server != stage.processors.others,
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Read the words, run, print and write."""
    parser = argparse.ArgumentParser(prog="python -m bench.admission", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200 Services and short measurements: does it work?")
    parser.add_argument("--output", type=Path, help="the folder of the page and its plot (docs/reference)")
    given = parser.parse_args(argv)
    # As Ctrl-C, which a shell takes away from what it starts in the background.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    results = run(QUICK if given.quick else FULL, progress=_say)
    page = render_page(results, is_quick=given.quick)
    folder: Path | None = given.output or (None if given.quick else DOCS)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "bench-admission.md").write_text(page)
        (folder / PLOT).write_text(render_creates_plot(results))
    sys.stdout.write(page)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    main()
