"""What happens around the writers: replicas and the API server die, and hands edit the ledger; it judges nothing."""

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, Final

from cluster.api import JSON_PATCH, MERGE_PATCH
from soak.arena import Answer, Arena, Manifest, Write
from soak.result import Result
from soak.rig import REPLICAS, Rig

CALM_SECONDS: Final = 1.0
"""Between two blows."""

REPLICAS_KILLED: Final = "replicas killed"
API_SERVER_RESTARTS: Final = "API server restarts"
HAND_EDITS_REFUSED: Final = "hand edits refused"
POLICY: Final = "ValidatingAdmissionPolicy 'sharedvip-ledger'"
"""Who refuses them, as the API server names it; ``deploy/25-validatingadmissionpolicy.yaml``."""
FIRST_BLOW_SECONDS: Final = 60.0
_REFUSALS: Final = frozenset({403, 422})
_NO_HARM: Final = {
    200: "that changed nothing",
    400: "that fit no ledger",
    404: "of what was gone",
    409: "too late",
    422: "that fit no ledger",
}
_NO_VERSION: Final = ""

Edit = Callable[[str], tuple[bytes, str]]
"""From the version that was read to the patch and its type."""
Storm = Callable[[Rig, Arena, Result], Coroutine[Any, Any, None]]


async def replicas_die(rig: Rig, arena: Arena, result: Result) -> None:
    """SIGKILL to one replica after the other, each replaced before the next; and to the janitor, whenever it leads.

    Its successor needs the 15 s of the Lease: killed before, there would be none for as long as the storm rages.
    """
    del arena
    for number in itertools.count():
        await rig.restart_replica(number)
        result.counts[REPLICAS_KILLED] += 1
        if number % REPLICAS == REPLICAS - 1 and await rig.is_led():
            await rig.restart_janitor()
            result.counts["janitors killed"] += 1
        await asyncio.sleep(CALM_SECONDS)


async def api_server_restarts(rig: Rig, arena: Arena, result: Result) -> None:
    """SIGTERM, SIGKILL, and then until the janitor leads again: without one at all, nobody unlocks an address."""
    del arena
    for kill in itertools.cycle((False, True)):
        await rig.restart_api_server(kill=kill)
        result.counts[API_SERVER_RESTARTS] += 1
        await asyncio.sleep(10 * CALM_SECONDS)
        if kill:
            await rig.janitor_leads()


async def hands_edit(rig: Rig, arena: Arena, result: Result) -> None:
    """``kubectl edit`` on every ``SharedVIP`` there is: claims removed, given to another, addresses changed."""
    del rig
    for edit in itertools.cycle(EDITS):
        for ledger in await _shared_vips(arena):
            await edit_by_hand(arena, ledger, edit, result)
        await asyncio.sleep(0.02)


async def edit_by_hand(arena: Arena, ledger: Manifest, edit: Edit, result: Result) -> None:
    """One edit of what was read: nobody but sharedvip may change what a ledger says."""
    metadata = ledger["metadata"]
    path = f"{_collection(arena)}/{metadata['name']}?fieldManager=kubectl-edit"
    answer, stored = await arena.exchange(Write("PATCH", path, *edit(metadata["resourceVersion"])))
    # With the version that was read: what is different afterwards, this edit has changed.
    is_let_in = answer.is_applied and _claimed(json.loads(stored)["metadata"]) != _claimed(metadata)
    result.counts["hand edits let in" if is_let_in else _outcome(answer)] += 1
    result.expect(not is_let_in, f"a hand edit of {metadata['name']} was let in: {edit(_NO_VERSION)[0].decode()}")


def _claimed(metadata: Manifest) -> tuple[int, list[Manifest]]:
    """The generation of a ledger, and whose each claim is: a member is a manager with a dot in its name."""
    return metadata["generation"], [one for one in metadata.get("managedFields", ()) if "." in one["manager"]]


def _outcome(answer: Answer) -> str:
    """What came of an edit that changed nothing."""
    if answer.code in _REFUSALS and POLICY in answer.text:
        return HAND_EDITS_REFUSED
    return f"hand edits {_NO_HARM.get(answer.code, 'without a verdict')}"


def _merge(spec: Manifest) -> Edit:
    def edit(version: str) -> tuple[bytes, str]:
        return json.dumps({"metadata": {"resourceVersion": version}, "spec": spec}).encode(), MERGE_PATCH

    return edit


def _steal(version: str) -> tuple[bytes, str]:
    read = {"op": "replace", "path": "/metadata/resourceVersion", "value": version}
    stolen = {"op": "replace", "path": "/spec/claims/0/service", "value": "stolen"}
    return json.dumps([read, stolen]).encode(), JSON_PATCH


def _disown(version: str) -> tuple[bytes, str]:
    """Metadata is everybody's, but for who owns which claim."""
    metadata: Manifest = {"resourceVersion": version, "managedFields": [{}]}
    return json.dumps({"metadata": metadata}).encode(), MERGE_PATCH


def _label(version: str) -> tuple[bytes, str]:
    """Labels are everybody's; whoever read the ledger before has read an old one by then."""
    metadata: Manifest = {"resourceVersion": version, "labels": {"soak.sharedvip.dev/edited": version or "once"}}
    return json.dumps({"metadata": metadata}).encode(), MERGE_PATCH


EDITS: Final = (
    _merge({"claims": []}),
    _label,
    _steal,
    _disown,
    _merge({"staticAddress": "192.0.2.99"}),
    _merge({"claims": None}),
)


async def _shared_vips(arena: Arena) -> list[Manifest]:
    return json.loads(await arena.api.request("GET", _collection(arena)))["items"]


def _collection(arena: Arena) -> str:
    return f"/apis/sharedvip.dev/v1alpha1/namespaces/{arena.namespace}/sharedvips"


async def until_struck(result: Result, blows: str) -> None:
    """Wait for the first blow, which began with the storm: what nothing has struck has withstood nothing."""
    until = time.monotonic() + FIRST_BLOW_SECONDS
    while not result.counts[blows] and time.monotonic() < until:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.1)
    result.expect(result.counts[blows] > 0, f"no {blows}: there was no storm")


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
