"""Locks on static addresses, unique in the cluster, as ``IPAddress`` objects; it never touches those of others.

Creating the object is the lock: its name is the address in canonical form, and a name exists once. Kubernetes keeps
cluster IPs in the same way (``pkg/registry/core/service/ipallocator``), so an address that is one is taken too.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple
from urllib.parse import quote

import msgspec
import structlog

from cluster.api import MERGE_PATCH, KubernetesApi
from cluster.errors import AlreadyExists, Conflict, NotFound, Unreachable
from cluster.metadata import ListMeta, ObjectMeta
from sharedvip.ledger import GRACE, may_be_stored, object_name
from sharedvip.model import AddressHolder, GroupName, ServiceView

PATH: Final = "/apis/networking.k8s.io/v1/ipaddresses"
MANAGED_BY: Final = "ipaddress.kubernetes.io/managed-by"
"""Source: Kubernetes well-known labels; the cluster-IP repair loop only looks at its own."""
OURS: Final = "sharedvip.dev"
KEY_ANNOTATION: Final = "sharedvip.dev/key"
"""The group's key: the parent's name may be a hash, and a lock must be understood when its ``SharedVIP`` is gone."""

LEAVING_ANNOTATION: Final = "sharedvip.dev/leaving"
"""On a lock that is about to go: who finds it waits until it is gone, or until the annotation is."""

LEAVER_ANNOTATION: Final = "sharedvip.dev/leaver"
"""On a lock whose group's last member asked to leave and to take the address along: who, each as a ``Leaver``."""

_PAGE_SIZE: Final = 500
_LOOK_AGAIN_SECONDS: Final = 0.05
_TIME: Final = "%Y-%m-%dT%H:%M:%S.%fZ"
_TRIES: Final = 20
"""A second: a lock leaves in some milliseconds, unless the reconciler is stopped in between."""
_log = structlog.get_logger("cluster.ip_addresses")


class HeldAddress(NamedTuple):
    """An address that a group holds, in canonical spelling."""

    address: str
    group: GroupName
    is_leaving: bool = False
    """Whether somebody has begun to unlock it."""


class Leaver(NamedTuple):
    """A Service, as it was when its update without the annotation was admitted."""

    service: str
    uid: str
    resource_version: str
    since: datetime
    """UTC, microseconds."""
    request: str
    """Tells it from another request for the same: each takes back only what it said itself."""

    def may_leave(self, stored: ServiceView | None, *, now: datetime) -> bool:
        """Whether that update may still be stored, by its Service as it is now, read live."""
        return may_be_stored(stored, uid=self.uid, replaces=self.resource_version, since=self.since, now=now)


Unlocked = Literal["unlocked", "needed", "not held"]
"""What became of a lock: it is gone, it stays, or it was not the group's."""
IsNeeded = Callable[[tuple[Leaver, ...]], Awaitable[bool]]
"""Asked live, once a lock says that it is leaving, with who is noted on it."""


class BeingLeftError(Exception):
    """The group has the address, and may just be losing it: its last member has asked to take it along."""

    def __init__(self, leavers: tuple[Leaver, ...]) -> None:
        """Who that may be."""
        names = ", ".join(sorted({leaver.service for leaver in leavers}))
        super().__init__(f"about to leave with the address: {names}")
        self.leavers = leavers


class _ParentRef(msgspec.Struct):
    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""


class _Spec(msgspec.Struct):
    parent: _ParentRef = msgspec.field(name="parentRef", default_factory=_ParentRef)


class _IPAddress(msgspec.Struct):
    metadata: ObjectMeta
    spec: _Spec = msgspec.field(default_factory=_Spec)


class _IPAddresses(msgspec.Struct):
    metadata: ListMeta
    items: list[_IPAddress] | None = None


class AddressLocks:
    """The locks of all groups, live."""

    def __init__(self, api: KubernetesApi, *, on_write: Callable[[], None] = lambda: None) -> None:
        """Use a connection; ``on_write`` is told before a lock is made, and may raise to forbid it."""
        self._api: Final = api
        self._on_write: Final = on_write

    async def take(
        self,
        address: str,
        group: GroupName,
        *,
        is_expected: bool = False,
        minds_leaver: bool = False,
        dry_run: bool = False,
        timeout_seconds: float = 5.0,
    ) -> AddressHolder | None:
        """Lock an address (canonical spelling) for a group; None: it is the group's, now or already.

        Args:
            address: What to lock.
            group: For whom.
            is_expected: The lock is most likely there: look first, and write only if it is not.
            minds_leaver: Say so where somebody has asked to take the address along (``note_leaver``).
            dry_run: Write nothing.
            timeout_seconds: For each call.

        Returns:
            Who holds it otherwise: a group with its key, a Service whose cluster IP it is, or something else, without
            names.

        Raises:
            BeingLeftError: Somebody has; whether he still may leave is for who can look at him.
            ClusterError: The API server refused or could not be asked. ``Invalid``: not canonical.
        """
        for attempt in range(_TRIES):
            is_to_write = attempt > 0 or not is_expected
            if is_to_write and await self._create(address, group, dry_run=dry_run, timeout_seconds=timeout_seconds):
                return None
            found = await self._read(address, timeout_seconds)
            if found is not None and not _is_of(found, group):
                return _holder(found)
            if found is not None and not _is_leaving(found):
                if minds_leaver and (leavers := _leavers(found)):
                    raise BeingLeftError(leavers)
                return None
            if is_to_write:
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        raise Unreachable(f"IPAddress '{address}' comes and goes")

    async def _create(self, address: str, group: GroupName, *, dry_run: bool, timeout_seconds: float) -> bool:
        """False: one is there."""
        if not dry_run:
            self._on_write()
        query, body = {"dryRun": "All"} if dry_run else {}, _render(address, group)
        try:
            await self._api.request("POST", PATH, query=query, body=body, timeout_seconds=timeout_seconds)
        except AlreadyExists:
            return False
        return True

    async def release(
        self, address: str, group: GroupName, *, is_needed: IsNeeded, timeout_seconds: float = 5.0
    ) -> Unlocked:
        """Unlock an address, if the group holds it and does not need it.

        In two steps, because who claims the address in this very moment finds the lock there and goes on: first the
        lock says that it is leaving (who finds it so waits), then ``is_needed`` looks, live, and only then it goes. A
        claim is written before its lock is looked at, so whoever saw the lock unmarked shows in that look.

        Raises:
            ClusterError: The API server refused or could not be asked.
        """
        for _ in range(_TRIES):
            found = await self._read(address, timeout_seconds)
            if found is None or not _is_of(found, group):
                return "not held"
            try:
                marked = await self._mark(found, "true", timeout_seconds)
                if await is_needed(_leavers(marked)):
                    await self._mark(marked, None, timeout_seconds)
                    return "needed"
                version = {"uid": marked.metadata.uid, "resourceVersion": marked.metadata.resource_version}
                body = msgspec.json.encode({"preconditions": version})
                await self._api.request("DELETE", _path(address), body=body, timeout_seconds=timeout_seconds)
            except (NotFound, Conflict):
                # Somebody was faster, and may have given it to another group by now.
                continue
            return "unlocked"
        raise Unreachable(f"IPAddress '{address}' changes all the time")

    async def note_leaver(
        self, address: str, group: GroupName, leaver: Leaver, *, timeout_seconds: float = 5.0
    ) -> None:
        """Say on the group's lock, made where there is none, who is about to leave with the address.

        Whoever joins claims first and looks at the lock then; so a leaver that looks at the claims after this, and
        finds none, is seen by all who come later. Another's lock is left alone: it lets nobody join.

        Raises:
            ClusterError: The API server refused or could not be asked.
        """
        for _ in range(_TRIES):
            found = await self._read(address, timeout_seconds)
            if found is None:
                await self._create(address, group, dry_run=False, timeout_seconds=timeout_seconds)
            elif not _is_of(found, group):
                return
            elif _is_leaving(found):
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            elif await self._say(found, (*_leavers(found, since=leaver.since - GRACE), leaver), timeout_seconds):
                return
        raise Unreachable(f"IPAddress '{address}' changes all the time")

    async def forget_leaver(
        self, address: str, group: GroupName, leaver: Leaver, *, timeout_seconds: float = 5.0
    ) -> None:
        """Take back what ``note_leaver`` said; what others said there stays.

        Raises:
            ClusterError: The API server refused or could not be asked.
        """
        for _ in range(_TRIES):
            found = await self._read(address, timeout_seconds)
            if found is None or not _is_of(found, group):
                return
            others = tuple(one for one in _leavers(found) if one != leaver)
            if await self._say(found, others, timeout_seconds):
                return
        raise Unreachable(f"IPAddress '{address}' changes all the time")

    async def _say(self, found: _IPAddress, leavers: tuple[Leaver, ...], timeout_seconds: float) -> bool:
        """False: two have written at once, and the lock is another one by now."""
        said = " ".join(map(_render_leaver, leavers)) or None
        try:
            await self._annotate(found, LEAVER_ANNOTATION, said, timeout_seconds)
        except (NotFound, Conflict):
            return False
        return True

    async def _mark(self, found: _IPAddress, leaving: str | None, timeout_seconds: float) -> _IPAddress:
        return await self._annotate(found, LEAVING_ANNOTATION, leaving, timeout_seconds)

    async def _annotate(self, found: _IPAddress, name: str, said: str | None, timeout_seconds: float) -> _IPAddress:
        version = {"resourceVersion": found.metadata.resource_version, "uid": found.metadata.uid}
        body = msgspec.json.encode({"metadata": {**version, "annotations": {name: said}}})
        answer = await self._api.request(
            "PATCH", _path(found.metadata.name), body=body, content_type=MERGE_PATCH, timeout_seconds=timeout_seconds
        )
        return msgspec.json.decode(answer, type=_IPAddress)

    async def owner(self, address: str, *, timeout_seconds: float = 5.0) -> GroupName | None:
        """The group that has locked an address (canonical spelling); None: no group.

        Raises:
            ClusterError: The API server refused or could not be asked.
        """
        found = await self._read(address, timeout_seconds)
        held = _held(found) if found is not None else None
        return held.group if held is not None else None

    async def list_ours(self) -> tuple[HeldAddress, ...]:
        """All addresses that groups hold, sorted.

        Raises:
            ClusterError: The API server refused or could not be asked.
        """
        held: list[HeldAddress] = []
        position = ""
        while True:
            query = {"labelSelector": f"{MANAGED_BY}={OURS}", "limit": str(_PAGE_SIZE)}
            if position:
                query["continue"] = position
            page = msgspec.json.decode(await self._api.request("GET", PATH, query=query), type=_IPAddresses)
            held += [entry for entry in map(_held, page.items or ()) if entry is not None]
            position = page.metadata.continue_
            if not position:
                return tuple(sorted(held))

    async def _read(self, address: str, timeout_seconds: float) -> _IPAddress | None:
        try:
            answer = await self._api.request("GET", _path(address), timeout_seconds=timeout_seconds)
        except NotFound:
            return None
        return msgspec.json.decode(answer, type=_IPAddress)


def _path(address: str) -> str:
    return f"{PATH}/{quote(address, safe='')}"


def _render(address: str, group: GroupName) -> bytes:
    parent = {
        "group": OURS,
        "resource": "sharedvips",
        "namespace": group.namespace,
        "name": object_name(group.key),
    }
    return msgspec.json.encode(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IPAddress",
            "metadata": {"name": address, "labels": {MANAGED_BY: OURS}, "annotations": {KEY_ANNOTATION: group.key}},
            "spec": {"parentRef": parent},
        }
    )


def _is_ours(found: _IPAddress) -> bool:
    return (found.spec.parent.group, found.spec.parent.resource) == (OURS, "sharedvips")


def _is_leaving(found: _IPAddress) -> bool:
    return LEAVING_ANNOTATION in (found.metadata.annotations or {})


def _leavers(found: _IPAddress, *, since: datetime | None = None) -> tuple[Leaver, ...]:
    """Without what a hand wrote that nobody can read, and without those of before a time."""
    said = (found.metadata.annotations or {}).get(LEAVER_ANNOTATION, "").split()
    read = [one for one in map(_parse_leaver, said) if one is not None]
    return tuple(one for one in read if since is None or one.since >= since)


def _parse_leaver(said: str) -> Leaver | None:
    try:
        service, uid, version, since, request = said.split("/")
        return Leaver(service, uid, version, datetime.strptime(since, _TIME).replace(tzinfo=UTC), request)
    except ValueError:
        return None


def _render_leaver(leaver: Leaver) -> str:
    since = leaver.since.astimezone(UTC).strftime(_TIME)
    return f"{leaver.service}/{leaver.uid}/{leaver.resource_version}/{since}/{leaver.request}"


def _is_of(found: _IPAddress, group: GroupName) -> bool:
    """By the parent, which cannot be changed, unlike labels and annotations."""
    parent = found.spec.parent
    return _is_ours(found) and (parent.namespace, parent.name) == (group.namespace, object_name(group.key))


def _key(found: _IPAddress) -> str:
    """The key that the parent's name was derived from, "" where nobody knows."""
    parent = found.spec.parent.name
    noted = (found.metadata.annotations or {}).get(KEY_ANNOTATION, "")
    return next((key for key in (noted, parent) if key and object_name(key) == parent), "")


def _holder(found: _IPAddress) -> AddressHolder:
    parent = found.spec.parent
    if _is_ours(found):
        return AddressHolder(parent.namespace, key=_key(found) or parent.name)
    if (parent.group, parent.resource) == ("", "services"):
        return AddressHolder(parent.namespace, service=parent.name)
    return AddressHolder(parent.namespace)


def _held(found: _IPAddress) -> HeldAddress | None:
    if not _is_ours(found):
        return None
    if key := _key(found):
        return HeldAddress(found.metadata.name, GroupName(found.spec.parent.namespace, key), _is_leaving(found))
    _log.warning("address.unknown_group", address=found.metadata.name, shared_vip=found.spec.parent.name)
    return None
