"""Every conflict in a stored world, and whether its ledgers tell the truth; it asks nobody and changes nothing.

Conflicts are judged by the rules of admission, on what is stored alone: a claim that waits for its Service is nobody's
fault. The ledgers are judged against what is stored, once the grace has passed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sharedvip.addresses import canonical
from sharedvip.decide import decide
from sharedvip.holders import address_holders
from sharedvip.leaving import KEPT
from sharedvip.ledger import GRACE, Claim, Ledger, confirmed_claims, group_of, is_accepted, object_name
from sharedvip.model import Denial, Group, GroupName, Policy, ServiceName, ServiceView, Situation
from sharedvip.parse import shared_values, static_address
from sharedvip.wording import quoted

CLAIM_WITHOUT_SERVICE: Final = "claim-without-service"
SERVICE_WITHOUT_CLAIM: Final = "service-without-claim"
ADDRESS_WITHOUT_LOCK: Final = "address-without-lock"
LOCK_WITHOUT_GROUP: Final = "lock-without-group"


@dataclass(frozen=True, slots=True)
class StoredWorld:
    """What the API server holds, of one moment as far as lists can be."""

    services: tuple[ServiceView, ...]
    """All with the annotation, and all of type LoadBalancer: those may hold an address."""
    ledgers: tuple[Ledger, ...] = ()
    locks: Mapping[str, GroupName] = field(default_factory=dict[str, GroupName])
    """Which group holds an address (canonical spelling), by our ``IPAddress`` objects."""
    left: Mapping[str, tuple[GroupName, datetime]] = field(default_factory=dict[str, tuple[GroupName, datetime]])
    """Likewise which let go of one, and when, as a Service has left with it: for ``KEPT`` its lock tells of that."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    kind: str
    """``Service``, ``SharedVIP`` or ``IPAddress``."""
    namespace: str
    """Where it concerns somebody; an ``IPAddress`` has none of its own, and is its group's."""
    name: str
    rule: str
    """The rule's ID, or what is wrong with the ledger."""
    message: str
    """One line, with the ID at its end."""

    def __str__(self) -> str:
        """``Service default/web: spec.ports[0]: … [duplicate-port]``."""
        place = self.name if self.kind == "IPAddress" else f"{self.namespace}/{self.name}"
        return f"{self.kind} {place}: {self.message}"


def find_conflicts(world: StoredWorld, *, policy: Policy | None = None) -> tuple[Finding, ...]:
    """All violations of all Services, by namespace and name, then in the order of the rules."""
    index = _Index(world, policy or Policy())
    asking = sorted(
        ((service, group) for group, services in index.members.items() for service in services),
        key=lambda asked: asked[0].name,
    )
    return tuple(_of_rule(one.name, denial) for one, group in asking for denial in index.denials(group, one))


def find_untruths(world: StoredWorld, *, now: datetime, policy: Policy | None = None) -> tuple[Finding, ...]:
    """Where ledgers and locks differ from what is stored, sorted; what is younger than the grace may differ.

    Args:
        world: With all Services, ledgers and locks of the cluster. Those lists are of three moments, and the janitor
            needs one too: what it is about to put right is found, and gone at the next look.
        now: UTC.
        policy: What the platform engineer decided.
    """
    index = _Index(world, policy or Policy())
    found = [
        *(finding for ledger in world.ledgers for finding in _dead_claims(ledger, index, now)),
        *_unclaimed_members(index),
        *_wrong_locks(world, now),
    ]
    return tuple(sorted(found, key=lambda f: (f.namespace, f.kind, f.name, f.message)))


class _Index:
    """The world by group and by address."""

    def __init__(self, world: StoredWorld, policy: Policy) -> None:
        self.members: dict[GroupName, list[ServiceView]] = {}
        self.ledgers: Final = {ledger.name: ledger for ledger in world.ledgers}
        self._policy: Final = policy
        self._by_address: dict[str, list[ServiceView]] = {}
        self._groups_by_address: dict[str, set[GroupName]] = {}
        self._askers_by_address: dict[str, set[GroupName]] = {}
        self._claimants_by_address: dict[str, set[GroupName]] = {}
        for service in world.services:
            self._add(service)
        for ledger in world.ledgers:
            for address in {ledger.vip, ledger.shared.intended_address} - {""}:
                self._groups_by_address.setdefault(address, set()).add(ledger.name)
            if ledger.shared.static_address:
                self._claimants_by_address.setdefault(ledger.shared.static_address, set()).add(ledger.name)
        for address, group in world.locks.items():
            self._claimants_by_address.setdefault(address, set()).add(group)

    def _add(self, service: ServiceView) -> None:
        group, address = service.group, static_address(service)
        if group is not None:
            self.members.setdefault(group, []).append(service)
        if group is not None and service.is_member and address:
            self._askers_by_address.setdefault(address, set()).add(group)
        for one in {address, *map(canonical, service.vips)} - {""}:
            self._by_address.setdefault(one, []).append(service)

    def denials(self, group: GroupName, service: ServiceView) -> tuple[Denial, ...]:
        """What the rules say of a stored Service beside what is stored; where its group lives or goes counts too."""
        ledger, members = self.ledgers.get(group), self.members[group]
        # What is claimed and not stored yet is nobody's fault.
        settled = None if ledger is None else ledger.with_held(confirmed_claims(ledger, members))
        return self._decide(
            service, self._met(group, settled, service), self._groups_by_address, self._askers_by_address
        )

    def denials_of_newcomer(self, group: GroupName, service: ServiceView) -> tuple[Denial, ...]:
        """What the janitor says of it: what is claimed and not stored stands in its way too.

        Not so a group in no ledger, where its own group's ledger has the address (``address_holders``).
        """
        met = self._met(group, self.ledgers.get(group), service)
        return self._decide(service, met, self._groups_by_address, self._claimants_by_address)

    def _met(self, name: GroupName, ledger: Ledger | None, service: ServiceView) -> Group:
        return group_of(name, ledger=ledger, services=self.members[name], candidate=service)

    def _decide(self, service: ServiceView, group: Group, *holding: Mapping[str, set[GroupName]]) -> tuple[Denial, ...]:
        values = shared_values(service)
        holders, intended = (
            address_holders(
                group.name,
                address,
                candidate=service.name,
                services=self._by_address.get(address, ()),
                groups={name for each in holding for name in each.get(address, ())},
            )
            for address in (values.static_address, values.intended_address)
        )
        return decide(service, Situation(group, holders, self._policy, intended))


def _of_rule(service: ServiceName, denial: Denial) -> Finding:
    return Finding("Service", service.namespace, service.name, denial.rule, str(denial))


def _dead_claims(ledger: Ledger, index: _Index, now: datetime) -> Iterator[Finding]:
    backed = confirmed_claims(ledger, index.members.get(ledger.name, ()))
    for claim in ledger.held:
        if claim not in backed and now - claim.claimed_at > GRACE:
            yield _untruth(ledger.name, CLAIM_WITHOUT_SERVICE, _unbacked(claim))


def _unbacked(claim: Claim) -> str:
    return (
        f"{claim.listener} is claimed by Service {quoted(claim.service)} of uid {claim.uid} "
        f"since {claim.claimed_at:%Y-%m-%dT%H:%M:%SZ}, and no such Service has it; the reconciler is to release it"
    )


def _unclaimed_members(index: _Index) -> Iterator[Finding]:
    """Members outside the ledger that nothing speaks against: those in conflict are told of by the rules."""
    for group, services in index.members.items():
        ledger = index.ledgers.get(group)
        outside = [s for s in services if s.is_member and not s.is_deleting and not is_accepted(ledger, s)]
        # Who came past admission joins together with the others or not at all.
        if any(index.denials_of_newcomer(group, service) for service in outside):
            continue
        for service in outside:
            message = (
                f"is no member in the ledger of shared VIP {quoted(group.key)}, and no rule speaks against it; "
                "the reconciler is to let it in"
            )
            line = f"{message} [{SERVICE_WITHOUT_CLAIM}]"
            yield Finding("Service", service.name.namespace, service.name.name, SERVICE_WITHOUT_CLAIM, line)


def _wrong_locks(world: StoredWorld, now: datetime) -> Iterator[Finding]:
    # A group holds the address it lives on until Avi has let go of it.
    used = {(address, one.name) for one in world.ledgers for address in {*one.addresses, one.vip} - {""}}
    left = {(address, group) for address, (group, since) in world.left.items() if now - since > KEPT + GRACE}
    for address, group in sorted({*world.locks.items(), *left}):
        if (address, group) not in used:
            message = f"is held for shared VIP {_placed(group)}, which does not use it; the reconciler is to release it"
            line = f"{message} [{LOCK_WITHOUT_GROUP}]"
            yield Finding("IPAddress", group.namespace, address, LOCK_WITHOUT_GROUP, line)
    for ledger in world.ledgers:
        # The claim comes first, then the lock: in between, nothing is wrong.
        is_settled = any(now - claim.claimed_at > GRACE for claim in ledger.claims) and not _is_turning(ledger, now)
        for address in sorted(ledger.addresses) if is_settled else ():
            holder = world.locks.get(address)
            if holder != ledger.name:
                yield _untruth(ledger.name, ADDRESS_WITHOUT_LOCK, _unlocked(address, holder))


def _is_turning(ledger: Ledger, now: datetime) -> bool:
    since = [claim.heading.since for claim in ledger.claims if claim.heading]
    since += [claim.asked_at for claim in ledger.claims if claim.asked_at]
    return any(now - moment <= GRACE for moment in since)


def _unlocked(address: str, holder: GroupName | None) -> str:
    if holder is None:
        return (
            f"{address} is shared here, and no IPAddress of ours holds it; the reconciler is to make it again, "
            f"unless an IPAddress of somebody else has that name (kubectl get ipaddress {address})"
        )
    return (
        f"{address} is shared here, and its IPAddress holds it for shared VIP {_placed(holder)}; one of the two must go"
    )


def _placed(group: GroupName) -> str:
    return f"{quoted(group.key)} of namespace {quoted(group.namespace)}"


def _untruth(group: GroupName, rule: str, message: str) -> Finding:
    return Finding("SharedVIP", group.namespace, object_name(group.key), rule, f"{message} [{rule}]")


def groups_in(services: Iterable[ServiceView]) -> frozenset[GroupName]:
    """The groups that Services ask for."""
    return frozenset(service.group for service in services if service.group is not None)
