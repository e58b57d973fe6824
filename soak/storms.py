"""What happens around the writers: replicas and the API server die, and hands edit the ledger; it judges nothing."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from cluster.api import JSON_PATCH, MERGE_PATCH
from soak.arena import Arena, Manifest, Write
from soak.result import Result
from soak.rig import Rig

CALM_SECONDS: Final = 1.0
"""Between two blows."""

Storm = Callable[[Rig, Arena, Result], Coroutine[Any, Any, None]]


async def replicas_die(rig: Rig, arena: Arena, result: Result) -> None:
    """SIGKILL to one replica after the other, each replaced before the next."""
    del arena
    for number in itertools.count():
        await rig.restart_replica(number)
        result.counts["replicas killed"] += 1
        await asyncio.sleep(CALM_SECONDS)


async def api_server_restarts(rig: Rig, arena: Arena, result: Result) -> None:
    """SIGTERM and SIGKILL in turns."""
    del arena
    for number in itertools.count():
        await rig.restart_api_server(kill=bool(number % 2))
        result.counts["API server restarts"] += 1
        await asyncio.sleep(5 * CALM_SECONDS)


async def hands_edit(rig: Rig, arena: Arena, result: Result) -> None:
    """``kubectl edit`` on every ``SharedVIP`` there is: claims removed, given to another, addresses changed."""
    del rig
    for edit in _edits():
        for path in await _shared_vips(arena):
            answer = await arena.send(Write("PATCH", f"{path}?fieldManager=kubectl-edit", *edit))
            result.counts["hand edits let in" if answer.is_done else "hand edits refused"] += 1
        await asyncio.sleep(0.02)


def _edits() -> Iterator[tuple[bytes, str]]:
    def merge(spec: Manifest) -> tuple[bytes, str]:
        return json.dumps({"spec": spec}).encode(), MERGE_PATCH

    stolen = {"op": "replace", "path": "/spec/claims/0/service", "value": "stolen"}
    return itertools.cycle(
        [
            merge({"claims": []}),
            (json.dumps([stolen]).encode(), JSON_PATCH),
            merge({"staticAddress": "192.0.2.99"}),
            merge({"claims": None}),
        ]
    )


async def _shared_vips(arena: Arena) -> list[str]:
    collection = f"/apis/sharedvip.dev/v1alpha1/namespaces/{arena.namespace}/sharedvips"
    found = json.loads(await arena.api.request("GET", collection))["items"]
    return [f"{collection}/{one['metadata']['name']}" for one in found]


@contextlib.asynccontextmanager
async def raging(storm: Awaitable[None]) -> AsyncGenerator[None]:
    """Let a storm rage meanwhile; whatever it is doing then is finished or given up.

    Raises:
        RuntimeError: It ended by itself.
    """
    task = asyncio.ensure_future(storm)
    try:
        yield
        if task.done():
            raise RuntimeError("the storm ended early") from task.exception()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def now() -> datetime:
    """UTC."""
    return datetime.now(UTC)
