"""How long one request waits for what is on its way; it never outlasts its caller, and decides nothing."""

import time
from typing import Final

from webhook.world import World

LOOK_AGAIN_SECONDS: Final = 0.1
"""A change between a look and a wait would be missed; so no wait is longer."""


class Patience:
    """The time that one request may wait for others."""

    def __init__(self, seconds: float) -> None:
        """Begins at the first wait."""
        self._seconds = seconds
        self._until: float | None = None

    async def wait(self, world: World) -> bool:
        """Wait for a change; False when the time was over already."""
        now = time.monotonic()
        self._until = self._until or now + self._seconds
        if now >= self._until:
            return False
        await world.moved(min(LOOK_AGAIN_SECONDS, self._until - now))
        return True
