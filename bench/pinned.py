"""Becomes another program, on one processor only: ``python -m bench.pinned 1 /usr/bin/program word``; nothing else.

Where the system knows no affinity (macOS), the program runs wherever it likes, and the page says so.
"""

import os
import sys
from collections.abc import Sequence


def pinned(argv: Sequence[str], *, cpu: int) -> list[str]:
    """The words that run ``argv`` (its first an absolute path) on that processor."""
    return [sys.executable, "-m", "bench.pinned", str(cpu), *argv]


def pin(cpu: int) -> None:
    """Keep this process on one processor, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cpu})


def main() -> None:
    """Pin and become."""
    pin(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - our own words


if __name__ == "__main__":
    main()
