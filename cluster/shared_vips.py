"""The ledger as ``SharedVIP`` objects at the API server; it never decides who may claim and never tries again.

Every write is one server-side apply by the member it is for, so that the API server itself refuses a listener with two
holders (``docs/adr/0001-ledger.md``). A member applies all four shared values, the empty ones too: "none" is a value
that "some address" conflicts with. Only an intended address is claimed by who intends it alone
(``docs/adr/0005-address-change.md``).
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
import structlog

from cluster.api import APPLY, JSON_PATCH, MERGE_PATCH, KubernetesApi
from cluster.errors import AlreadyExists, ClusterError, Conflict, Invalid, NotFound
from cluster.field_conflicts import FieldConflict, parse_conflicts
from cluster.shared_vip_documents import (
    FINALIZER,
    RawSharedVip,
    SharedVipStatus,
    ghosts,
    parse_shared_vip,
    render_claims,
    render_removal,
)
from cluster.shared_vip_status import RECONCILER, write_status
from cluster.shared_vip_writes import Write, document, path_of
from sharedvip.ledger import Claim, Ledger, Member, Release
from sharedvip.model import GroupName, SharedValues

PATH: Final = "/apis/sharedvip.dev/v1alpha1/sharedvips"
_TRIES: Final = 4
_KEY_IS_MISSING: Final = frozenset({"spec", "spec.key", "<nil>"})
"""The fields that the API server complains of then. Measured on 1.36.3."""
_log = structlog.get_logger("cluster.shared_vips")

_DECODER: Final = msgspec.json.Decoder(RawSharedVip)


class ClaimRefused(ClusterError):  # noqa: N818 - reads as what happened, like the API server's own reasons
    """Others hold a listener, or share another value."""

    def __init__(self, conflicts: tuple[FieldConflict, ...]) -> None:
        """Keep which fields, and whose."""
        super().__init__(", ".join(f"{conflict.field} is held by {conflict.manager!r}" for conflict in conflicts))
        self.conflicts = conflicts
        self.managers = frozenset(conflict.manager for conflict in conflicts)


class StaleLedger(ClusterError):  # noqa: N818 - likewise
    """The ledger is not the one that was read; read it again."""


class LedgerIsLeaving(StaleLedger):
    """The ledger is being deleted: what is claimed in it goes with it. Soon there can be a new one."""


class SharedVipStore:
    """The ledgers of all groups, live. ``timeout_seconds`` is for each request; a rare path needs up to four."""

    def __init__(self, api: KubernetesApi) -> None:
        """Use a connection."""
        self._api: Final = api

    async def read(self, name: GroupName, *, timeout_seconds: float = 5.0) -> Ledger | None:
        """The ledger as it is now; None where there is none, or where the object of that name is another group's.

        Raises:
            ClusterError: The API server refused or could not be asked.
        """
        stored = await self._read(name, timeout_seconds)
        return parse_shared_vip(stored) if stored is not None and stored.spec.key == name.key else None

    async def found(self, name: GroupName, *, timeout_seconds: float = 5.0) -> Ledger | None:
        """The ledger as it is now, a new and empty one where there was none; None where it went away meanwhile.

        Raises:
            ClusterError: The API server refused or could not be asked.
        """
        body = document(name, spec={"key": name.key})
        collection = path_of(name).rpartition("/")[0]
        with contextlib.suppress(AlreadyExists):
            await self._api.request("POST", collection, body=body, timeout_seconds=timeout_seconds)
        return await self.read(name, timeout_seconds=timeout_seconds)

    async def claim(  # noqa: PLR0913 - each is one thing that the API server is told
        self,
        name: GroupName,
        member: Member,
        *,
        shared: SharedValues,
        claims: Sequence[Claim],
        resource_version: str = "",
        force: bool = False,
        dry_run: bool = False,
        timeout_seconds: float = 5.0,
    ) -> Ledger:
        """Apply all that the member claims from now on (at least one claim); founds the ledger where there is none.

        Args:
            name: The group.
            member: Who claims; its other claims go.
            shared: What it shares with the group.
            claims: All of the member's. Where all are reserved, it shares nothing.
            resource_version: The ledger must not have changed since. It says nothing of a ledger that is gone: the API
                server founds a new one, which is right, as nobody else's claims can be in it.
            force: Take over what others own. What earlier incarnations of the Service owned is tidied up.
            dry_run: Only ask.
            timeout_seconds: For each request.

        Raises:
            ClaimRefused: Others own it.
            StaleLedger: The ledger changed since ``resource_version``.
            LedgerIsLeaving: It is being deleted.
            Invalid: A value breaks the schema (a class of more than 317 characters).
            ClusterError: The API server refused otherwise, or could not be asked.
        """
        spec = render_claims(name, shared=shared, claims=claims)
        write = Write(name, member.field_manager, spec, resource_version, force=force, dry_run=dry_run)
        try:
            stored = await self._apply(write, timeout_seconds)
        except ClaimRefused as refused:
            stored = await self._over_ghosts(write, refused, timeout_seconds)
        if stored.metadata.deletion_timestamp:
            raise LedgerIsLeaving(f"the ledger of {name.key!r} in {name.namespace!r} is being deleted")
        if not dry_run:
            stored = await self._bury_ghosts(name, stored, timeout_seconds)
        return parse_shared_vip(stored)

    async def leave(
        self, name: GroupName, member: Member, *, resource_version: str = "", timeout_seconds: float = 5.0
    ) -> None:
        """Take back all that the member claims and shares; nothing happens where there is no ledger.

        Raises:
            StaleLedger: The ledger changed since ``resource_version``.
            ClusterError: The API server refused otherwise, or could not be asked.
        """
        await self._leave(name, member.field_manager, resource_version, timeout_seconds)

    async def release(self, ledger: Ledger, release: Release, *, timeout_seconds: float = 5.0) -> Ledger | None:
        """Let a member have these of its claims and no more, whoever owns the others; None where there is no ledger.

        Args:
            ledger: As it was judged.
            release: What was decided by it.
            timeout_seconds: For each request.

        Raises:
            StaleLedger: The ledger changed since it was read.
            ClusterError: The API server refused otherwise, or could not be asked.
        """
        try:
            after = await self._shrink(ledger, release, timeout_seconds)
        except Invalid:
            # The rest of an entry is somebody else's and cannot stand alone, or nobody can be called what it says.
            after = await self._take_out(ledger, release, timeout_seconds)
            with contextlib.suppress(Invalid):
                after = await self._shrink(after, release, timeout_seconds)
            return after
        if after is None or len(after.held_by(release.member)) == len(release.keep):
            return after
        return await self._take_out(after, release, timeout_seconds)

    async def drop_intended(self, ledger: Ledger, *, timeout_seconds: float = 5.0) -> Ledger:
        """Take the intended address out of the ledger, whoever owns it; the ledger after that.

        Raises:
            StaleLedger: The ledger changed since it was read, or went away.
            ClusterError: The API server refused otherwise, or could not be asked.
        """
        # No apply can take away what a hand owns; a field that an update removes belongs to nobody any more.
        patch = {"metadata": {"resourceVersion": ledger.resource_version}, "spec": {"intendedAddress": None}}
        return await self._update(ledger.name, patch, MERGE_PATCH, timeout_seconds)

    async def put_finalizer(self, ledger: Ledger, *, timeout_seconds: float = 5.0) -> None:
        """Keep the object until ``remove``.

        Raises:
            StaleLedger: It is not there any more, or is being deleted.
            ClusterError: The API server refused otherwise, or could not be asked.
        """
        metadata = {"uid": ledger.uid, "finalizers": [FINALIZER]}
        try:
            await self._patch(ledger.name, metadata=metadata, timeout_seconds=timeout_seconds)
        except Conflict as error:
            # Measured on 1.36.3: no object answers "uid mismatch".
            raise StaleLedger(error.message) from error
        except Invalid as error:
            # Likewise: an object with another uid answers "metadata.uid: field is immutable"; one that is being
            # deleted "metadata.finalizers: Forbidden".
            fields = {cause.field for cause in error.causes}
            if "metadata.uid" in fields:
                raise StaleLedger(error.message) from error
            if "metadata.finalizers" in fields:
                raise LedgerIsLeaving(error.message) from error
            raise

    async def remove(self, ledger: Ledger, *, timeout_seconds: float = 5.0) -> None:
        """Let the object go, our finalizer first: were it deleted first, who claims in between would be lost.

        Raises:
            StaleLedger: Somebody claimed or left since the ledger was read; it is as it was.
            ClusterError: The API server refused otherwise, or could not be asked.
        """
        stored = await self._read(ledger.name, timeout_seconds)
        if stored is None:
            return
        live = parse_shared_vip(stored)
        # Not by resource version: our own status writes change that too.
        if (live.uid, live.held, live.shared) != (ledger.uid, ledger.held, ledger.shared):
            raise StaleLedger(f"the ledger of {ledger.name.key!r} was written meanwhile")
        try:
            await self._remove(stored, timeout_seconds)
        except NotFound:
            return
        except Conflict as error:
            raise StaleLedger(error.message) from error

    async def report(
        self,
        name: GroupName,
        status: SharedVipStatus,
        *,
        now: datetime,
        may_write: Callable[[], None] = lambda: None,
        timeout_seconds: float = 5.0,
    ) -> None:
        """Write the status, all of it; nothing happens where there is no ledger, or where it says so already.

        Args:
            name: Of the group.
            status: What to say.
            now: UTC.
            may_write: Raises where it may not be written any more; asked right before each attempt.
            timeout_seconds: For each call.

        Raises:
            ClusterError: The API server refused or could not be asked. ``Conflict``: others write it all the time.
        """
        await write_status(self._api, name, status, now=now, may_write=may_write, timeout_seconds=timeout_seconds)

    async def _read(self, name: GroupName, timeout_seconds: float) -> RawSharedVip | None:
        try:
            return _DECODER.decode(await self._api.request("GET", path_of(name), timeout_seconds=timeout_seconds))
        except NotFound:
            return None

    async def _apply(self, write: Write, timeout_seconds: float) -> RawSharedVip:
        try:
            answer = await self._api.request(
                "PATCH",
                path_of(write.name),
                query=write.query,
                body=write.body,
                content_type=APPLY,
                timeout_seconds=timeout_seconds,
            )
        except Conflict as error:
            if conflicts := parse_conflicts(error):
                raise ClaimRefused(conflicts) from error
            raise StaleLedger(error.message) from error
        return _DECODER.decode(answer)

    async def _over_ghosts(self, write: Write, refused: ClaimRefused, timeout_seconds: float) -> RawSharedVip:
        """The same by force, where only ghosts are in the way: who holds no listener has no say in what is shared.

        Who is in the way is asked again at the version that is forced: somebody living may have come since.
        """
        live = await self._read(write.name, timeout_seconds)
        if live is None or not refused.managers <= ghosts(live):
            raise refused
        now = write if write.resource_version else write.at(live.metadata.resource_version)
        try:
            return await self._apply(now, timeout_seconds)
        except ClaimRefused as again:
            if not again.managers <= ghosts(live):
                raise
        return await self._apply(now.forced(), timeout_seconds)

    async def _bury_ghosts(self, name: GroupName, stored: RawSharedVip, timeout_seconds: float) -> RawSharedVip:
        """Let go of what they still own beside us, or it would stay when we leave; the next claim tries again."""
        with contextlib.suppress(ClusterError):
            for ghost in sorted(ghosts(stored)):
                version = stored.metadata.resource_version
                stored = await self._leave(name, ghost, version, timeout_seconds) or stored
        return stored

    async def _leave(
        self, name: GroupName, field_manager: str, resource_version: str, timeout_seconds: float
    ) -> RawSharedVip | None:
        """The ledger after it; None where there is none."""
        for _ in range(_TRIES):
            try:
                return await self._apply(Write(name, field_manager, None, resource_version), timeout_seconds)
            except Invalid as error:
                if not _KEY_IS_MISSING.issuperset(cause.field for cause in error.causes):
                    raise
                # The key is required: its last owner keeps it, or there is no object (and this must not make one).
                stored = await self._read(name, timeout_seconds)
            if stored is None:
                return None
            live = stored.metadata.resource_version
            if resource_version not in ("", live):
                raise StaleLedger(f"the ledger of {name.key!r} was written meanwhile")
            with contextlib.suppress(StaleLedger, Invalid):  # written, or made anew, since the read
                return await self._apply(
                    Write(name, field_manager, {"key": name.key}, live, uid=stored.metadata.uid), timeout_seconds
                )
        raise StaleLedger(f"the ledger of {name.key!r} is written all the time")

    async def _shrink(self, ledger: Ledger, release: Release, timeout_seconds: float) -> Ledger | None:
        """By the member's own apply, which is all it takes as a rule."""
        name, member, version = ledger.name, release.member, ledger.resource_version
        if not release.keep:
            stored = await self._leave(name, member.field_manager, version, timeout_seconds)
            return parse_shared_vip(stored) if stored else None
        return await self.claim(
            name,
            member,
            shared=ledger.shared,
            claims=release.keep,
            resource_version=version,
            timeout_seconds=timeout_seconds,
        )

    async def _take_out(self, ledger: Ledger, release: Release, timeout_seconds: float) -> Ledger:
        """What a hand or a faulty replica has written in the member's name: no apply of that member can remove it."""
        stored = await self._read(ledger.name, timeout_seconds)
        if stored is None or stored.metadata.resource_version != ledger.resource_version:
            raise StaleLedger(f"the ledger of {ledger.name.key!r} was written meanwhile")
        patch = render_removal(stored, release)
        after = await self._update(ledger.name, patch, JSON_PATCH, timeout_seconds)
        taken = sorted(str(claim.listener) for claim in set(ledger.held) - set(after.held))
        group, of = ledger.name, release.member.field_manager
        _log.warning("ledger.taken_back", namespace=group.namespace, key=group.key, of=of, listeners=taken)
        return after

    async def _update(self, name: GroupName, patch: object, content_type: str, timeout_seconds: float) -> Ledger:
        """A write that asks nobody who owns what, at a version that the patch names."""
        try:
            answer = await self._api.request(
                "PATCH",
                path_of(name),
                query={"fieldManager": RECONCILER},
                body=msgspec.json.encode(patch),
                content_type=content_type,
                timeout_seconds=timeout_seconds,
            )
        except (Conflict, NotFound, Invalid) as error:
            # Invalid: the place in the list that a JSON patch names is not there any more.
            raise StaleLedger(error.message) from error
        return parse_shared_vip(_DECODER.decode(answer))

    async def _patch(self, name: GroupName, *, metadata: Mapping[str, object], timeout_seconds: float) -> None:
        await self._api.request(
            "PATCH",
            path_of(name),
            query={"fieldManager": RECONCILER},
            body=document(name, metadata=metadata),
            content_type=APPLY,
            timeout_seconds=timeout_seconds,
        )

    async def _remove(self, stored: RawSharedVip, timeout_seconds: float) -> None:
        metadata, path = stored.metadata, path_of(GroupName(stored.metadata.namespace, stored.spec.key))
        version = metadata.resource_version
        if FINALIZER in (metadata.finalizers or ()):
            others = [finalizer for finalizer in metadata.finalizers or () if finalizer != FINALIZER]
            patch = {"metadata": {"resourceVersion": version, "finalizers": others}}
            answer = await self._api.request(
                "PATCH",
                path,
                query={"fieldManager": RECONCILER},
                body=msgspec.json.encode(patch),
                content_type=MERGE_PATCH,
                timeout_seconds=timeout_seconds,
            )
            version = _DECODER.decode(answer).metadata.resource_version
        if not metadata.deletion_timestamp:
            preconditions = {"uid": metadata.uid, "resourceVersion": version}
            body = msgspec.json.encode({"preconditions": preconditions})
            await self._api.request("DELETE", path, body=body, timeout_seconds=timeout_seconds)
