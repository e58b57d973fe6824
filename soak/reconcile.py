"""``python -m soak.reconcile``: the reconciler's whole crash sweep, and a Controller that is away for minutes.

It prints what it finds and, with ``--write``, keeps it in ``docs/reference``; it decides nothing.
"""

import argparse
import logging
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

import structlog

from localcluster.moment import describe_moment
from simulator.serve import running
from simulator.settings import Settings, Subnet
from soak.reconcile_weather import away
from soak.result import Result
from tests.reconciler.controller import Avi
from tests.reconciler.sweep import EXTRA_CALLS, SCENARIOS, TROUBLES
from tests.reconciler.sweep_matrix import everything, failures, summary, sweep, table

PAGE: Final = Path(__file__).parents[1] / "docs" / "reference" / "guarantees-reconciler.md"
SUBNET: Final = Subnet("net1", "100.64.192.0/18")
REAL_PER_SECOND: Final = 32.0
"""What a real Controller takes from one client. Source: ``avi.md`` 2.9."""

Say = Callable[[str], object]


def crash_sweep(say: Say) -> tuple[Result, list[str]]:
    """Every trouble at every call of every scenario; what to write of it."""
    result = Result("crash-sweep", "each call of each scenario spoiled in each way, then left alone")
    begun = time.monotonic()
    with _controller(Settings(subnets=(SUBNET,))) as avi:
        done = sweep(avi, clusters="sweep", choose=everything, say=say)
    result.rounds, result.seconds = len(done), time.monotonic() - begun
    result.breaches = failures(done)
    result.counts["converged to what a fresh reconciler builds"] = sum(not one.problems for one in done)
    lines = [
        f"{len(SCENARIOS)} scenarios, with and without macro calls, {len(TROUBLES)} troubles; {summary(done)}.",
        "A cell tells how many cases ended in exactly the graph that a fresh reconciler builds, of how many.",
        "",
        table(done),
    ]
    return result, lines


def weather(say: Say, *, seconds: float) -> tuple[Result, list[str]]:
    """A Controller that is away for so long, with its own rate limit on; what to write of it."""
    settings = Settings(subnets=(SUBNET,), requests_per_second=REAL_PER_SECOND)
    with _controller(settings) as avi:
        result = away(avi, seconds=seconds)
    say(str(result))
    return result, [f"{result.tried}: {result.stored}."]


class _controller:  # noqa: N801 - reads as the function it stands for
    """A simulated Controller in a folder of its own; a context manager."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __enter__(self) -> Avi:
        self._directory = tempfile.TemporaryDirectory(prefix="sharedvip-soak-")
        directory = Path(self._directory.name)
        self._running = running(self._settings, directory=directory)
        return Avi(self._running.__enter__(), directory)

    def __exit__(self, *ended: object) -> None:
        self._running.__exit__(None, None, None)
        self._directory.cleanup()


def render(results: Sequence[tuple[Result, list[str]]]) -> str:
    """The page, one sentence per line."""
    parts = [
        "# What the reconciler keeps, whatever the Controller does",
        "",
        "Written by `make soak` (`python -m soak.reconcile --write`); do not edit.",
        "The Controller is the simulator of this repository.",
        "`make test` runs a part of it that chance draws; `tests/reconciler/sweep.py` says what each case is.",
        "",
        "| | |",
        "|---|---|",
        f"| when | {describe_moment()} |",
        f"| machine | {os.cpu_count()} processors, {platform.system()} {platform.machine()} |",
        f"| versions | Python {platform.python_version()}, avisdk {version('avisdk')} |",
        "",
        f"After any trouble at any one call the reconciler makes at most {EXTRA_CALLS} calls more than undisturbed:",
        "the call once more, and the group looked up again, or everything read by the next process.",
        "It ends in the exact graph, with no orphan, no object twice, the VIP that was, and every status right.",
    ]
    for result, lines in results:
        verdict = "kept" if result.is_kept else "BROKEN"
        parts += [
            "",
            f"## {result.name}: {verdict}",
            "",
            f"{result.rounds:,} rounds in {result.seconds:.0f} s.",
            *lines,
        ]
        parts += [f"- {breach}" for breach in result.breaches]
    return "\n".join(parts) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Run; 1 when a guarantee is broken."""
    parser = argparse.ArgumentParser(prog="python -m soak.reconcile", description=__doc__)
    parser.add_argument("programs", nargs="*", choices=["crash-sweep", "weather", []], help="default: both")
    parser.add_argument("--away-seconds", type=float, default=180.0, help="how long the Controller is away")
    parser.add_argument("--write", action="store_true", help="keep the results in the docs")
    given = parser.parse_args(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    wanted = given.programs or ["crash-sweep", "weather"]
    results = [crash_sweep(_say)] if "crash-sweep" in wanted else []
    results += [weather(_say, seconds=given.away_seconds)] if "weather" in wanted else []
    _say(page := render(results))
    if given.write:
        PAGE.write_text(page)
    return 0 if all(result.is_kept for result, _ in results) else 1


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - speaks to a person


if __name__ == "__main__":
    sys.exit(main())
