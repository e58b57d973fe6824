"""Locks on static addresses, unique in the cluster, as ``IPAddress`` objects; it never touches those of others.

Creating the object is the lock: its name is the address in canonical form, and a name exists once. Kubernetes keeps
cluster IPs in the same way (``pkg/registry/core/service/ipallocator``), so an address that is one is taken too.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from cluster.api import MERGE_PATCH, KubernetesApi
from cluster.errors import AlreadyExists, Conflict, NotFound, Unreachable
from cluster.ip_address_documents import (
    HEIR_ANNOTATION,
    LEAVING_ANNOTATION,
    LEFT_ANNOTATION,
    MANAGED_BY,
    OURS,
    PATH,
    HeldAddress,
    IPAddress,
    IPAddresses,
    heir_of,
    held_by,
    holder_by,
    is_leaving,
    is_of,
    is_ours,
    leavers_on,
    left_since,
    namespace_of,
    path_of,
    render,
)
from cluster.leavers import (
    LEAVER_ANNOTATION,
    BeingLeftError,
    Leaver,
    render_leavers,
    render_time,
    services_of,
    still_to_be_told,
)
from cluster.services import read_service
from sharedvip.holders import asks_for_its_group, holds_by_itself
from sharedvip.leaving import KEPT
from sharedvip.ledger import GRACE, Member, member_of
from sharedvip.model import AddressHolder, GroupName, ServiceName

_PAGE_SIZE: Final = 500
_LOOK_AGAIN_SECONDS: Final = 0.05
_TRIES: Final = 20
"""A second: a lock leaves in some milliseconds, unless the reconciler is stopped in between."""

Unlocked = Literal["unlocked", "left", "needed", "not held"]
"""What became of a lock: it is gone, only tells who left with the address, stays, or was not the group's."""
IsNeeded = Callable[[tuple[Leaver, ...]], Awaitable[bool]]
"""Asked live, once a lock says that it is leaving, with who is noted on it."""


class AddressLocks:
    """The locks of all groups, live."""

    def __init__(
        self,
        api: KubernetesApi,
        *,
        on_write: Callable[[], None] = lambda: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Use a connection.

        Args:
            api: The connection.
            on_write: Told before anything is written; may raise to forbid it.
            now: UTC.
        """
        self._api: Final = api
        self._on_write: Final = on_write
        self._now: Final = now

    async def take(
        self,
        address: str,
        group: GroupName,
        *,
        is_expected: bool = False,
        minds_leaver: bool = False,
        asking: Member | None = None,
        dry_run: bool = False,
        timeout_seconds: float = 5.0,
    ) -> AddressHolder | None:
        """Lock an address (canonical spelling) for a group; None: it is the group's, now or already.

        Args:
            address: What to lock.
            group: For whom.
            is_expected: The lock is most likely there: look first, and write only if it is not.
            minds_leaver: Say so where somebody has asked to take the address along (``note_leaver``).
            asking: Which Service of that namespace is to have it: one that has left a group with it may join one.
            dry_run: Write nothing.
            timeout_seconds: For each call.

        Returns:
            Who holds it otherwise: a group with its key, a Service that has left with it or whose cluster IP it is, or
            something else, without names.

        Raises:
            BeingLeftError: Somebody has, of whatever group; whether he is in the way is for who can look at him.
            ClusterError: The API server refused or could not be asked. ``Invalid``: not canonical.
        """
        for attempt in range(_TRIES):
            is_to_write = attempt > 0 or not is_expected
            if is_to_write and await self._create(address, group, dry_run=dry_run, timeout_seconds=timeout_seconds):
                return None
            found = await self._read(address, timeout_seconds)
            if found is not None and left_since(found) is not None:
                holder = await self._left_to(found, group, but=asking, timeout_seconds=timeout_seconds)
                if holder is not None or dry_run or await self._take_over(found, group, asking, timeout_seconds):
                    return holder
                continue
            if found is not None and not is_of(found, group):
                return holder_by(found)
            if found is not None and not is_leaving(found):
                if minds_leaver and (leavers := leavers_on(found)):
                    raise BeingLeftError(leavers)
                return None
            if is_to_write:
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        raise Unreachable(f"IPAddress '{address}' comes and goes")

    async def held_by_another(
        self, address: str, group: GroupName, *, asking: Member | None = None, timeout_seconds: float = 5.0
    ) -> AddressHolder | None:
        """Whom ``take`` would return now; nothing is written, and where there is no lock, nobody holds it.

        Raises:
            ClusterError: The API server refused or could not be asked.
        """
        found = await self._read(address, timeout_seconds)
        if found is not None and left_since(found) is not None:
            return await self._left_to(found, group, but=asking, timeout_seconds=timeout_seconds)
        return None if found is None or is_of(found, group) else holder_by(found)

    async def _create(self, address: str, group: GroupName, *, dry_run: bool = False, timeout_seconds: float) -> bool:
        """False: one is there."""
        if not dry_run:
            self._on_write()
        query, body = {"dryRun": "All"} if dry_run else {}, render(address, group)
        try:
            await self._api.request("POST", PATH, query=query, body=body, timeout_seconds=timeout_seconds)
        except AlreadyExists:
            return False
        return True

    async def release(
        self, address: str, group: GroupName, *, is_needed: IsNeeded, timeout_seconds: float = 5.0
    ) -> Unlocked:
        """Unlock an address, if the group holds it and does not need it; it tells of a leaver that has it for ``KEPT``.

        In two steps, because who claims the address in this very moment finds the lock there and goes on: first the
        lock says that it is leaving (who finds it so waits), then ``is_needed`` looks, live, and only then it goes. A
        claim is written before its lock is looked at, so whoever saw the lock unmarked shows in that look.

        Raises:
            ClusterError: The API server refused or could not be asked.
        """
        for _ in range(_TRIES):
            found = await self._read(address, timeout_seconds)
            if found is None or not is_of(found, group):
                return "not held"
            if (since := left_since(found)) is not None:
                is_recent = self._now() - since <= KEPT
                if is_recent and await self._left_to(found, group, timeout_seconds=timeout_seconds) is not None:
                    return "left"
                if await self._remove(found, timeout_seconds):
                    return "unlocked"
                continue
            try:
                self._on_write()
                marked = await self._mark(found, "true", timeout_seconds)
                if await is_needed(leavers_on(marked)):
                    # Whoever may do nothing more may still leave it as it was: by its version it is what was marked.
                    await self._mark(marked, None, timeout_seconds)
                    return "needed"
                if await self._left_to(marked, group, timeout_seconds=timeout_seconds) is not None:
                    left = {LEAVING_ANNOTATION: None, LEFT_ANNOTATION: render_time(self._now())}
                    self._on_write()
                    await self._annotate(marked, left, timeout_seconds)
                    return "left"
            except (NotFound, Conflict):
                # Somebody was faster, and may have given it to another group by now.
                continue
            if await self._remove(marked, timeout_seconds):
                return "unlocked"
        raise Unreachable(f"IPAddress '{address}' changes all the time")

    async def _left_to(
        self, found: IPAddress, group: GroupName, *, but: Member | None = None, timeout_seconds: float
    ) -> AddressHolder | None:
        """Who is noted on a lock and has the address, live, by itself or through another group than one, or may yet."""
        # The time of before the look: what is over by then was over when the Service was read.
        address, leavers, now = found.metadata.name, leavers_on(found), self._now()
        for name in services_of(leavers, namespace_of(found)):
            stored = await read_service(self._api, name, timeout_seconds=timeout_seconds)
            if stored is None or (name.namespace == group.namespace and member_of(stored) == but):
                continue
            if holds_by_itself(stored, address):
                return AddressHolder(name.namespace, service=name.name)
            if stored.group not in {None, group} and asks_for_its_group(stored, address):
                return AddressHolder(name.namespace, key=stored.sharing_key or "")
            if any(leaver.may_leave(stored, now=now) for leaver in leavers):
                return AddressHolder(name.namespace, service=name.name, is_pending=True)
        return None

    async def _take_over(
        self, left: IPAddress, group: GroupName, asking: Member | None, timeout_seconds: float
    ) -> bool:
        """False: somebody was faster."""
        if is_of(left, group):
            return await self._has_said(left, {LEFT_ANNOTATION: None}, timeout_seconds)
        # Who left with the address, and asks now, has it until that is stored.
        who, near = ServiceName(group.namespace, asking.service if asking else ""), namespace_of(left)
        leavers = tuple(one._replace(group=None) for one in leavers_on(left) if one.name(near) == who)
        said = {
            LEFT_ANNOTATION: None,
            HEIR_ANNOTATION: heir_of(group),
            LEAVER_ANNOTATION: render_leavers(leavers) or None,
        }
        return await self._has_said(left, said, timeout_seconds)

    async def _remove(self, found: IPAddress, timeout_seconds: float) -> bool:
        """False: somebody was faster, and may have given it to another group by now."""
        version = {"uid": found.metadata.uid, "resourceVersion": found.metadata.resource_version}
        body = msgspec.json.encode({"preconditions": version})
        self._on_write()
        try:
            await self._api.request("DELETE", path_of(found.metadata.name), body=body, timeout_seconds=timeout_seconds)
        except (NotFound, Conflict):
            return False
        return True

    async def note_leaver(
        self, address: str, group: GroupName, leaver: Leaver, *, has_it: bool = False, timeout_seconds: float = 5.0
    ) -> AddressHolder | None:
        """Say on the address's lock, made where there is none, who is about to leave with the address.

        Whoever joins claims first and looks at the lock then; so a leaver that looks at the claims after this, and
        finds none, is seen by all who come later. Where it is another group's lock, that one may let go of it first.

        Args:
            address: Which.
            group: Whom it leaves.
            leaver: It, and over which version.
            has_it: It has the address by now, so it leaves whoever else has left with it before, and is noted too.
            timeout_seconds: For each call.

        Returns:
            Who has left a group with the address before, and has it still.

        Raises:
            ClusterError: The API server refused or could not be asked.
        """
        for _ in range(_TRIES):
            found = await self._read(address, timeout_seconds)
            if found is None:
                await self._create(address, group, timeout_seconds=timeout_seconds)
            elif left_since(found) is not None:
                who = Member(leaver.service, leaver.uid)
                holder = await self._left_to(found, group, but=who, timeout_seconds=timeout_seconds)
                if holder is None:
                    await self._take_over(found, group, who, timeout_seconds)
                elif not has_it or await self._note(found, group, leaver, timeout_seconds):
                    return holder
            elif not is_ours(found):
                # A cluster IP, or somebody's: nothing of ours is written there.
                return None
            elif is_leaving(found):
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            elif await self._note(found, group, leaver, timeout_seconds):
                return None
        raise Unreachable(f"IPAddress '{address}' changes all the time")

    async def _note(self, found: IPAddress, group: GroupName, leaver: Leaver, timeout_seconds: float) -> bool:
        """One more; what only tells who has left does so for as long again. False: somebody was faster."""
        noted = leaver if is_of(found, group) else leaver._replace(group=group)
        said = {LEAVER_ANNOTATION: render_leavers((*still_to_be_told(leavers_on(found), now=leaver.since), noted))}
        if left_since(found) is not None:
            # From when it has left on: so long that may take.
            said[LEFT_ANNOTATION] = render_time(self._now() + GRACE)
        return await self._has_said(found, said, timeout_seconds)

    async def forget_leaver(
        self, address: str, group: GroupName, leaver: Leaver, *, timeout_seconds: float = 5.0
    ) -> None:
        """Take back what ``note_leaver`` said; what others said there stays.

        Raises:
            ClusterError: The API server refused or could not be asked.
        """
        for _ in range(_TRIES):
            found = await self._read(address, timeout_seconds)
            leavers, own = leavers_on(found) if found is not None else (), {leaver, leaver._replace(group=group)}
            others = tuple(one for one in leavers if one not in own)
            if found is None or left_since(found) is not None or others == leavers:
                return
            if await self._has_said(found, {LEAVER_ANNOTATION: render_leavers(others) or None}, timeout_seconds):
                return
        raise Unreachable(f"IPAddress '{address}' changes all the time")

    async def _has_said(self, found: IPAddress, said: Mapping[str, str | None], timeout_seconds: float) -> bool:
        """False: two have written at once, and the lock is another one by now."""
        self._on_write()
        try:
            await self._annotate(found, said, timeout_seconds)
        except (NotFound, Conflict):
            return False
        return True

    async def _mark(self, found: IPAddress, leaving: str | None, timeout_seconds: float) -> IPAddress:
        return await self._annotate(found, {LEAVING_ANNOTATION: leaving}, timeout_seconds)

    async def _annotate(self, found: IPAddress, said: Mapping[str, str | None], timeout_seconds: float) -> IPAddress:
        version = {"resourceVersion": found.metadata.resource_version, "uid": found.metadata.uid}
        body = msgspec.json.encode({"metadata": {**version, "annotations": said}})
        answer = await self._api.request(
            "PATCH", path_of(found.metadata.name), body=body, content_type=MERGE_PATCH, timeout_seconds=timeout_seconds
        )
        return msgspec.json.decode(answer, type=IPAddress)

    async def owner(self, address: str, *, timeout_seconds: float = 5.0) -> GroupName | None:
        """The group that has locked an address (canonical spelling); None: no group.

        Raises:
            ClusterError: The API server refused or could not be asked.
        """
        found = await self._read(address, timeout_seconds)
        held = held_by(found) if found is not None else None
        return held.group if held is not None and held.left_since is None else None

    async def list_ours(self) -> tuple[HeldAddress, ...]:
        """All addresses that groups hold, or have let go of while a leaver has them; sorted.

        Raises:
            ClusterError: The API server refused or could not be asked.
        """
        held: list[HeldAddress] = []
        position = ""
        while True:
            query = {"labelSelector": f"{MANAGED_BY}={OURS}", "limit": str(_PAGE_SIZE)}
            if position:
                query["continue"] = position
            page = msgspec.json.decode(await self._api.request("GET", PATH, query=query), type=IPAddresses)
            held += [entry for entry in map(held_by, page.items or ()) if entry is not None]
            position = page.metadata.continue_
            if not position:
                return tuple(sorted(held))

    async def _read(self, address: str, timeout_seconds: float) -> IPAddress | None:
        try:
            answer = await self._api.request("GET", path_of(address), timeout_seconds=timeout_seconds)
        except NotFound:
            return None
        return msgspec.json.decode(answer, type=IPAddress)
