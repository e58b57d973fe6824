"""A token bucket: how long to wait so that the Controller never has to slow us down; it never waits itself."""

import time
from collections.abc import Callable
from typing import Final

from reconciler.settings import CONTROLLER_REQUESTS_PER_SECOND


class TokenBucket:
    """At most ``per_second`` on average; ``burst`` at once after a quiet time.

    Args:
        per_second: Calls per second, more than 0.
        burst: Size of the bucket. The default lets no second see more than the Controller's 32.
        now: Seconds on a clock that never goes back.
    """

    def __init__(
        self, per_second: float, *, burst: float | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second: Final = per_second
        self._burst: Final = max(1.0, CONTROLLER_REQUESTS_PER_SECOND - per_second) if burst is None else burst
        self._now: Final = now
        self._tokens = self._burst
        self._at = now()

    def reserve(self) -> float:
        """Take the next turn, and tell in how many seconds it comes; 0 is now."""
        now = self._now()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second) - 1
        self._at = now
        return max(0.0, -self._tokens / self._per_second)
