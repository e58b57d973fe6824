"""Waits for a condition up to a deadline; it never waits for an amount of time to pass."""

import time
from collections.abc import Callable
from typing import Final

# A twentieth of a second: ten questions to the API server while it becomes ready cost it less than one watch.
POLL_SECONDS: Final = 0.05


class DeadlinePassed(Exception):  # noqa: N818 - says what happened, like ProcessDied beside it
    """The condition was not met in time; the message names it."""


def wait_until(
    condition: Callable[[], bool],
    *,
    what: str,
    deadline_seconds: float,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Return as soon as the condition holds; ``meanwhile`` runs before every look and may raise.

    Raises:
        DeadlinePassed: The condition did not hold within the seconds given.
    """
    deadline = time.monotonic() + deadline_seconds
    while True:
        meanwhile()
        if condition():
            return
        if time.monotonic() >= deadline:
            raise DeadlinePassed(f"{what}: not so within {deadline_seconds:g} s")
        time.sleep(POLL_SECONDS)
