"""``python -m bench.reconcile``: reads the words, measures, prints, writes the page; exit code 0 also for a miss."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.reconcile.page import render_page, render_plot, render_text
from bench.reconcile.results import FULL, QUICK, Results
from bench.reconcile.scenarios import measure

PAGES: Final = Path(__file__).resolve().parents[2] / "docs/reference"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure as told."""
    parser = argparse.ArgumentParser(prog="bench.reconcile", description="What the reconciler costs.")
    parser.add_argument("--quick", action="store_true", help="50 groups instead of 1,000; writes no page")
    parser.add_argument("--directory", type=Path, help="where the page goes (default: docs/reference, in a full run)")
    given = parser.parse_args(argv)
    # As Ctrl-C: through the ends of all contexts, so that no process and no folder stays.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    results = measure(QUICK if given.quick else FULL, progress=_say)
    sys.stdout.write(render_text(results))
    directory: Path | None = given.directory or (None if given.quick else PAGES)
    if directory is not None:
        write(results, directory)
        _say(f"bench: written to {directory / 'bench-reconcile.md'}")


def write(results: Results, directory: Path) -> None:
    """Write the page and its plot."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "bench-reconcile.md").write_text(render_page(results))
    plot = render_plot((results.live, results.unlimited, results.limited))
    (directory / "bench-reconcile.svg").write_text(plot)


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
