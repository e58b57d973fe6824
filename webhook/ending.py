"""How the webhook ends: in order when asked, at once when asked again; it serves nothing itself.

Not ready first, and serving on while the Service's endpoints change. Meanwhile each answer is its connection's last:
one that is closed in the moment in which the API server sends on it is a failed call, which it does not repeat. The
connections that it does not use meanwhile can be closed by nobody but itself, for the same reason; it does so after
90 s. (``python -m soak rolling-restart``, 15 replicas replaced: without the first 1 apply of 1,014 failed and 2 calls
of /mutate were let pass. 60 replicas replaced after 0.2 s, without the second: 1 call was let pass, "EOF".)
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection
from typing import Final

LOOK_SECONDS: Final = 0.1
"""How often it is looked whether a connection is left; uvicorn's own measure."""
QUIET_LOOKS: Final = 5
"""So many times in a row there must be none: one whose TLS handshake is under way is in no list yet."""


class Ending:
    """Begins with the first signal; a second one cuts all waiting short, as for a person at a terminal."""

    def __init__(self) -> None:
        """Nobody has asked yet."""
        self._asked: Final = asyncio.Event()
        self._hurried: Final = asyncio.Event()
        self._to_cut: Final[list[Callable[[], None]]] = []

    def ask(self) -> None:
        """End; asked again: now."""
        if not self._asked.is_set():
            self._asked.set()
            return
        self._hurried.set()
        for cut in self._to_cut:
            cut()

    def cut_short(self, cut: Callable[[], None]) -> None:
        """Have it called when somebody asks again: it ends a wait that is not ours."""
        self._to_cut.append(cut)

    @property
    def has_begun(self) -> bool:
        """Whether somebody has asked."""
        return self._asked.is_set()

    async def begun(self) -> None:
        """Return when somebody asks."""
        await self._asked.wait()

    async def serve_on(self, seconds: float) -> None:
        """So long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurried.wait()

    async def outlive(self, connections: Collection[object], *, seconds: float) -> None:
        """Until their callers have closed all of them, or so long."""
        until, quiet = asyncio.get_running_loop().time() + seconds, 0
        while quiet < QUIET_LOOKS and not self._hurried.is_set() and asyncio.get_running_loop().time() < until:
            await self.serve_on(LOOK_SECONDS)
            quiet = 0 if connections else quiet + 1
