"""An API server that says what a script says, and a loop in which waiting takes no time; it judges nothing."""

import asyncio
import selectors
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from typing import Any, cast

import msgspec

from cluster.api import KubernetesApi

Object = dict[str, Any]
Line = bytes | Exception


def page(*items: object, version: str = "1", more: str = "") -> bytes:
    """A page of a list; ``more`` is its continue token."""
    return msgspec.json.encode({"metadata": {"resourceVersion": version, "continue": more}, "items": list(items)})


def event(kind: str, thing: object) -> bytes:
    """A line of a watch."""
    return msgspec.json.encode({"type": kind, "object": thing})


def bookmark(version: str) -> bytes:
    """How far the watch has come."""
    return event("BOOKMARK", {"metadata": {"resourceVersion": version}})


def status(code: int, reason: str) -> Object:
    """A Kubernetes ``Status``."""
    return {"kind": "Status", "code": code, "reason": reason, "message": f"it is {reason}"}


class ScriptedApi:
    """Lists and watches in their order; when both are told, watches wait and ``is_over`` is set.

    Args:
        pages: Bodies of lists, or errors instead.
        watches: The lines of each watch; an error among them ends it.
    """

    def __init__(self, pages: Iterable[bytes | Exception], watches: Iterable[Iterable[Line]] = ()) -> None:
        self._pages = list(pages)
        self._watches = [list(lines) for lines in watches]
        self.lists: list[Mapping[str, str]] = []
        self.followed: list[str] = []
        self.is_over = asyncio.Event()

    @property
    def api(self) -> KubernetesApi:
        """As the code knows it."""
        return cast("KubernetesApi", self)

    async def close(self) -> None:
        """There is no connection."""

    async def request(
        self, method: str, path: str, *, query: Mapping[str, str], timeout_seconds: float = 10.0
    ) -> bytes:
        """The next page."""
        del method, path, timeout_seconds
        self.lists.append(query)
        said = self._pages.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    async def lines(self, path: str, *, query: Mapping[str, str], idle_seconds: float) -> AsyncGenerator[bytes]:
        """The next watch."""
        del path, idle_seconds
        self.followed.append(query["resourceVersion"])
        if not self._watches:
            self.is_over.set()
            await asyncio.Event().wait()
        for line in self._watches.pop(0):
            if isinstance(line, Exception):
                raise line
            yield line


class _JumpingSelector(selectors.DefaultSelector):
    """Nothing to read, and something to wait for: then it is that later already."""

    ahead_seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self.ahead_seconds += timeout
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop with a clock of its own."""

    def __init__(self) -> None:
        """At the real time."""
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Seconds; as many more as were waited for."""
        return super().time() + self._jumping.ahead_seconds


def in_no_time(story: Callable[[], Awaitable[None]]) -> None:
    """Run a story in which waiting takes no time."""

    async def whole() -> None:
        await story()

    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(whole())


async def follow(run: Callable[[], Awaitable[None]], script: ScriptedApi) -> None:
    """Run a reflector until its script is over."""

    async def whole() -> None:
        await run()

    task = asyncio.create_task(whole())
    over = asyncio.create_task(script.is_over.wait())
    await asyncio.wait({task, over}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
