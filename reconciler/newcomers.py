"""Lets Services in that came past admission, all together or not at all; it judges none of them.

By the same write and the same lock as in admission. What cannot be written is told to its user and left alone for a
while, and the others of the group never wait for it: their servers are kept up to date.
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import structlog

from cluster.errors import ApiError, Invalid
from cluster.leavers import BeingLeftError
from cluster.unfit import recorded_otherwise, unfit
from reconciler.locking import Held, Locking
from reconciler.mover import CLAIM_AGAIN_SECONDS
from reconciler.ports import ClaimHeldError, ClaimLostError, ClusterError, Kubernetes
from reconciler.settled import LOOK_AGAIN_SECONDS, Settled, messages, refusals
from sharedvip.ledger import GRACE, Claim, Ledger, Member, Release, given_back, group_of, grow, member_of
from sharedvip.model import Denial, Group, GroupName, ServiceName, ServiceView, SharedValues, Situation
from sharedvip.moving import claimed_values, with_heading
from sharedvip.parse import SHARING_KEY_FIELD, shared_values, static_address
from sharedvip.rules import static_address_taken
from sharedvip.wording import quoted

_GIVE_BACK_TRIES: Final = 4
_log = structlog.get_logger("reconciler.ledger")


class _Attempt(NamedTuple):
    """What was tried, and found in the ledger: the same again would come to the same."""

    newcomers: tuple[ServiceView, ...]
    claims: tuple[Claim, ...]
    shared: SharedValues


class _Refusal(NamedTuple):
    attempt: _Attempt
    settled: Settled
    until: datetime


class Newcomers:
    """Of all groups.

    Args:
        kubernetes: The cluster.
        locking: Of the addresses.
        now: UTC.
        told: Called with each ledger as it was written.
    """

    def __init__(
        self,
        kubernetes: Kubernetes,
        *,
        locking: Locking,
        now: Callable[[], datetime],
        told: Callable[[GroupName, Ledger | None], None],
    ) -> None:
        self._kubernetes: Final = kubernetes
        self._locking: Final = locking
        self._now: Final = now
        self._told: Final = told
        self._refused: dict[GroupName, _Refusal] = {}

    async def accept(self, group: GroupName, ledger: Ledger | None, newcomers: Sequence[ServiceView]) -> Settled:
        """Claim for them and lock what they claim; who cannot be let in is told why.

        A refusal stands for as long as it says: each attempt writes, what is written brings the next pass, and that
        would try again at once, for ever.

        Args:
            group: Which.
            ledger: As it was judged.
            newcomers: At least one; nothing speaks against any of them.

        Raises:
            ClusterError: The API server could not be asked; nobody is let in.
        """
        attempt, now = _attempt(ledger, newcomers), self._now()
        known = self._refused.get(group)
        if known is not None and known.attempt == attempt and now < known.until:
            return replace(known.settled, ledger=ledger, wake_seconds=(known.until - now).total_seconds())
        self._refused.pop(group, None)
        settled = await self._accept(group, ledger, newcomers)
        if settled.wake_seconds is not None:
            until = self._now() + timedelta(seconds=settled.wake_seconds)
            self._refused[group] = _Refusal(attempt, settled, until)
        return settled

    def forget(self, group: GroupName) -> None:
        """The group is no more."""
        self._refused.pop(group, None)

    async def _accept(self, group: GroupName, before: Ledger | None, newcomers: Sequence[ServiceView]) -> Settled:
        written, accepted, at_fault = before, list[Member](), tuple(newcomers)
        try:
            # Before anything is claimed: a claim, until it is given back, is one that others see and build by.
            held = await self._locking.look(group, {at for one in newcomers for at in shared_values(one).addresses})
            if held is not None:
                return Settled(before, _taken(group, newcomers, held), LOOK_AGAIN_SECONDS)
            for service in newcomers:
                at_fault = (service,)
                written = await self._claim(group, written, service)
                accepted.append(member_of(service))
            at_fault = tuple(newcomers)
            held = await self._locking.lock(group, written)
            if held is None:
                return Settled(written)
            refusal = Settled(None, _taken(group, newcomers, held), LOOK_AGAIN_SECONDS)
        except ClaimHeldError as error:
            refusal = self._held(group, error, before, newcomers=newcomers, at_fault=at_fault[0])
        except (ClusterError, BeingLeftError) as error:
            refusal = _refusal(group, error, newcomers=newcomers, at_fault=at_fault)
            if refusal is None:
                await self._give_back(before, written, accepted)
                raise
        await self._give_back(before, written, accepted)
        live = await self._kubernetes.read_ledger(group)
        self._told(group, live)
        if _attempt(live, newcomers) != _attempt(before, newcomers):
            # Somebody else has written: what stood in the way may be gone, or be judged another time.
            refusal = Settled(None, wake_seconds=CLAIM_AGAIN_SECONDS)
        return replace(refusal, ledger=live)

    def _held(
        self,
        group: GroupName,
        error: ClaimHeldError,
        ledger: Ledger | None,
        *,
        newcomers: Sequence[ServiceView],
        at_fault: ServiceView,
    ) -> Settled:
        """Members are recorded with another value: for good, unless it is one that may yet come to nothing."""
        now = self._now()
        if any(now - (claim.asked_at or claim.claimed_at) <= GRACE for claim in (ledger.held if ledger else ())):
            return _waiting(group, error)
        said = "\n".join(map(str, recorded_otherwise(at_fault, error.conflicts)))
        found = refusals({one.name: said if one is at_fault else "" for one in newcomers})
        return Settled(None, found, LOOK_AGAIN_SECONDS)

    async def _claim(self, group: GroupName, ledger: Ledger | None, service: ServiceView) -> Ledger:
        if ledger is None:
            # An update of the same Service may found it too: only with a version one of the two is told.
            ledger = await self._kubernetes.found_ledger(group)
            if ledger.held:
                raise ClaimLostError(f"the ledger of {group.key!r} is there already, and nobody has judged by it")
        now, members = self._now(), self._kubernetes.members(group)
        met = group_of(group, ledger=ledger, services=members, candidate=service)
        shared = claimed_values(service, group=met, is_update=False)
        grown = grow(ledger, service, old=None, now=now)
        claims = with_heading(grown, service, old=None, shared=shared, now=now)
        # With the version that was judged: its Service may be changed right now, and claim more than we have seen.
        ledger = await self._kubernetes.claim(
            group, member_of(service), shared=shared, claims=claims, resource_version=ledger.resource_version
        )
        _log.info("newcomer.accepted", namespace=group.namespace, key=group.key, service=service.name.name)
        self._told(group, ledger)
        return ledger

    async def _give_back(self, before: Ledger | None, written: Ledger | None, accepted: Sequence[Member]) -> None:
        """All together or not at all: each has again what it had, but for who has claimed more since.

        The last first: who had something before gets that back only when the others have let go of theirs.
        """
        if written is None:
            return
        for member in reversed(accepted):
            for _ in range(_GIVE_BACK_TRIES):
                live = await self._kubernetes.read_ledger(written.name)
                if live is None or not _is_as_written(live, member, before=before, written=written):
                    break
                with contextlib.suppress(ClaimLostError):
                    ours = replace(live, shared=before.shared if before else live.shared)
                    await self._kubernetes.release(ours, Release(member, given_back(before, live, member)))
                    break


def _attempt(ledger: Ledger | None, newcomers: Iterable[ServiceView]) -> _Attempt:
    """Where there is no ledger, an empty one is founded: that makes no difference, nor does what we say in a status."""
    asking = tuple(map(_without_status, newcomers))
    if ledger is None:
        return _Attempt(asking, (), SharedValues())
    return _Attempt(asking, ledger.held, ledger.shared)


def _without_status(service: ServiceView) -> ServiceView:
    """What is judged of it, and no more: in full mode, the cache shows what its status says as well."""
    judged: dict[str, Any] = {each.name: getattr(service, each.name) for each in fields(ServiceView)}
    return replace(ServiceView(**judged), vips=(), has_ready_condition=False)


def _is_as_written(live: Ledger, member: Member, *, before: Ledger | None, written: Ledger) -> bool:
    """Whether nobody has claimed anything for the member since, nor changed what it shares; but we, by giving back."""
    shared = {written.shared, before.shared} if before else {written.shared}
    return set(live.claims_of(member)) <= set(written.claims_of(member)) and live.shared in shared


def _refusal(
    group: GroupName, error: Exception, *, newcomers: Sequence[ServiceView], at_fault: Sequence[ServiceView]
) -> Settled | None:
    """What becomes of them; None: nobody knows, and it is tried again as soon as it can be."""
    if isinstance(error, Invalid):
        said = {one.name: "\n".join(map(str, unfit(one, error))) for one in at_fault}
    elif isinstance(error, ApiError) and error.is_final:
        problem = f"{SHARING_KEY_FIELD}: cannot be recorded for shared VIP {quoted(group.key)}: {error.message}"
        said = {one.name: f"{problem}; it is tried again by itself" for one in at_fault}
    elif isinstance(error, ClaimLostError | BeingLeftError):
        # Somebody is faster, or leaves and has looked at the claims before these: now it is theirs to wait.
        return _waiting(group, error)
    else:
        return None
    return Settled(None, refusals({one.name: said.get(one.name, "") for one in newcomers}), LOOK_AGAIN_SECONDS)


def _waiting(group: GroupName, error: Exception) -> Settled:
    _log.info("newcomer.waits", namespace=group.namespace, key=group.key, error=str(error))
    return Settled(None, wake_seconds=CLAIM_AGAIN_SECONDS)


def _taken(group: GroupName, newcomers: Iterable[ServiceView], held: Held) -> dict[ServiceName, str]:
    return messages({one.name: _taken_from(one, group, held) for one in newcomers})


def _taken_from(newcomer: ServiceView, group: GroupName, held: Held) -> tuple[Denial, ...]:
    holders = (held.holder,)
    if held.address == shared_values(newcomer).intended_address:
        return static_address_taken.check(newcomer, Situation(Group(group), intended_holders=holders))
    # Who brings none would have shared the group's.
    asking = newcomer if static_address(newcomer) else replace(newcomer, load_balancer_ip=held.address)
    return static_address_taken.check(asking, Situation(Group(group), holders))
