"""Writes the status of a ``SharedVIP``: only where it says something else by now; it never decides what to say."""

import contextlib
from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec

from cluster.api import APPLY, KubernetesApi
from cluster.errors import Conflict, NotFound
from cluster.shared_vip_documents import RawSharedVip, SharedVipStatus, render_status, without_empty
from cluster.shared_vip_writes import document, path_of
from sharedvip.model import GroupName

RECONCILER: Final = "sharedvip-reconciler"
"""The field manager of the finalizer and of every status."""

_TRIES: Final = 4


class _Shown(msgspec.Struct):
    status: dict[str, object] = {}


_DECODER: Final = msgspec.json.Decoder(RawSharedVip)
_STATUS: Final = msgspec.json.Decoder(_Shown)


async def write_status(
    api: KubernetesApi,
    name: GroupName,
    status: SharedVipStatus,
    *,
    now: datetime,
    may_write: Callable[[], None],
    timeout_seconds: float,
) -> None:
    """As ``SharedVipStore.report``, over the version that was read: a leader of before must not say what was true then.

    Raises:
        ClusterError: The API server refused or could not be asked. ``Conflict``: others write it all the time.
    """
    for left in reversed(range(_TRIES)):
        try:
            stored = await api.request("GET", path_of(name), timeout_seconds=timeout_seconds)
        except NotFound:
            return
        before = _DECODER.decode(stored)
        said = render_status(status, before=before, now=now)
        if without_empty(_STATUS.decode(stored).status) == without_empty(said):
            # A new leader reports every group: a read is a third of what a write costs.
            return
        version = {"resourceVersion": before.metadata.resource_version}
        may_write()
        try:
            if not before.metadata.managed_fields:
                # A hand has emptied them. The API server gives all fields an owner at the next apply, but only those of
                # the resource that is applied: a status first, and the spec would be anybody's (1.36.3).
                await _apply(api, path_of(name), document(name, metadata=version), timeout_seconds)
                continue
            await _apply(api, f"{path_of(name)}/status", document(name, metadata=version, status=said), timeout_seconds)
        except Conflict:
            if not left:
                raise
        else:
            return


async def _apply(api: KubernetesApi, path: str, body: bytes, timeout_seconds: float) -> None:
    query = {"fieldManager": RECONCILER, "force": "true"}  # it is ours: a hand's edit is undone
    with contextlib.suppress(NotFound):
        await api.request("PATCH", path, query=query, body=body, content_type=APPLY, timeout_seconds=timeout_seconds)
