"""When something was run, and on which code; it never guesses: without git the commit is unknown."""

import subprocess
from datetime import UTC, datetime

from localcluster.binaries import MODULE_FOLDER


def describe_moment() -> str:
    """Day and commit: ``2026-11-26, commit 8ee7de684af4``."""
    return f"{datetime.now(UTC):%Y-%m-%d}, commit {_commit()}"


def _commit() -> str:
    words = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=MODULE_FOLDER, timeout=10)  # noqa: S603 - our own words
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
