"""What a ``SharedVIP`` looks like, as typed records and plain values; it never talks to the API server."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from sys import intern
from typing import Final

import msgspec

from cluster.metadata import ObjectMeta
from sharedvip.addresses import canonical
from sharedvip.ledger import Claim, Heading, Ledger, Member, Release
from sharedvip.model import GroupName, Listener, SharedValues

FINALIZER: Final = "sharedvip.dev/avi"
CONDITION: Final = "Ready"
MOVING: Final = "Moving"
"""There only while the group changes its address."""

_MESSAGE_LIMIT: Final = 32768
"""Of a condition, by our schema."""


@dataclass(frozen=True, slots=True)
class ListenerStatus:
    """One listener that is served, with the servers of its pool."""

    listener: Listener
    service: str
    servers: int
    ready_servers: int


@dataclass(frozen=True, slots=True)
class SharedVipStatus:
    """What users see of a group."""

    is_ready: bool
    reason: str
    """CamelCase, for machines."""
    message: str
    vip: str = ""
    virtual_service: str = ""
    """Its uuid on Avi."""
    services: tuple[str, ...] = ()
    listeners: tuple[ListenerStatus, ...] = ()
    moving: str = ""
    """How far the group's move to another address has come, "" while it stays."""


class _Heading(msgspec.Struct):
    address: str
    since: str


class _Claim(msgspec.Struct, rename="camel"):
    port: int
    protocol: str
    service: str
    uid: str
    claimed_at: str
    heading: _Heading | None = None
    replaces: str = ""
    asked_at: str = ""
    reserved: bool = False


class _Spec(msgspec.Struct, rename="camel"):
    key: str
    static_address: str = ""
    load_balancer_class: str = ""
    infra_setting: str = ""
    l4_rule: str = ""
    intended_address: str = ""
    claims: list[_Claim] | None = None


class _Condition(msgspec.Struct, rename="camel"):
    type: str
    status: str
    last_transition_time: str


class _Status(msgspec.Struct):
    vip: str = ""
    conditions: list[_Condition] | None = None


class _ManagedFields(msgspec.Struct):
    manager: str = ""
    operation: str = ""
    subresource: str = ""


class _Meta(ObjectMeta):
    managed_fields: list[_ManagedFields] | None = None


class RawSharedVip(msgspec.Struct):
    """A ``SharedVIP``, as far as we read it; the schema in ``deploy/`` guarantees what has no default here."""

    metadata: _Meta
    spec: _Spec
    status: _Status = msgspec.field(default_factory=_Status)


def parse_shared_vip(raw: RawSharedVip) -> Ledger:
    """What a ``SharedVIP`` says."""
    metadata, spec = raw.metadata, raw.spec
    ledger = Ledger(
        # Interned is what many have in common, with the Services too: see ``parse_service``.
        name=GroupName(intern(metadata.namespace), intern(spec.key)),
        shared=_shared_values(
            spec.static_address, spec.load_balancer_class, spec.infra_setting, spec.l4_rule, spec.intended_address
        ),
        vip=canonical(raw.status.vip),
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        is_deleting=bool(metadata.deletion_timestamp),
        has_finalizer=FINALIZER in (metadata.finalizers or ()),
    )
    return ledger.with_held(map(_parse_claim, spec.claims or ()))


_shared_values: Final = lru_cache(maxsize=1024)(SharedValues)
_listener: Final = lru_cache(maxsize=4096)(Listener)
"""The schema bounds what goes into either, and so what is remembered."""


def render_claims(name: GroupName, *, shared: SharedValues, claims: Iterable[Claim]) -> dict[str, object]:
    """The ``spec`` that a member applies, claims in the order given.

    Who has nothing but what is reserved for it has no say in what is shared: it applies the key alone. Nothing is said
    of an intended address where there is none: "none" would be a value that nobody could change alone.
    """
    rendered = [_render_claim(claim) for claim in claims]
    if all(claim.get("reserved") for claim in rendered):
        return {"key": name.key, "claims": rendered}
    intended = {"intendedAddress": shared.intended_address} if shared.intended_address else {}
    return {
        "key": name.key,
        "staticAddress": shared.static_address,
        "loadBalancerClass": shared.load_balancer_class,
        "infraSetting": shared.infra_setting,
        "l4Rule": shared.l4_rule,
        **intended,
        "claims": rendered,
    }


def render_removal(raw: RawSharedVip, release: Release) -> list[dict[str, str]]:
    """The JSON patch that takes out, at the version that was read, what a member may not keep; nothing else changes."""
    kept = {claim.listener for claim in release.keep}
    claims = [_parse_claim(claim) for claim in raw.spec.claims or ()]
    gone = [
        at
        for at, claim in enumerate(claims)
        if (claim.service, claim.uid) == release.member and claim.listener not in kept
    ]
    version = {"op": "replace", "path": "/metadata/resourceVersion", "value": raw.metadata.resource_version}
    # From the end: each removal moves what comes after it.
    return [version, *({"op": "remove", "path": f"/spec/claims/{at}"} for at in reversed(gone))]


def render_status(status: SharedVipStatus, *, before: RawSharedVip, now: datetime) -> dict[str, object]:
    """The ``status`` that the reconciler applies.

    Args:
        status: What to say.
        before: The ``SharedVIP`` that was looked at: the condition keeps its time while its status is the same.
        now: UTC.
    """
    conditions = [_render_condition(CONDITION, status.reason, status.message, is_so=status.is_ready)]
    if status.moving:
        conditions.append(_render_condition(MOVING, "WaitsForServices", status.moving, is_so=True))
    summary = {
        "services": ",".join(status.services),
        "listeners": ",".join(str(entry.listener) for entry in status.listeners),
    }
    return {
        "vip": status.vip,
        "virtualService": status.virtual_service,
        "summary": summary,
        "listeners": [_render_listener(entry) for entry in status.listeners],
        "conditions": [
            {
                **condition,
                "lastTransitionTime": _since(before, condition, now),
                "observedGeneration": before.metadata.generation,
            }
            for condition in conditions
        ],
    }


def without_empty(status: Mapping[str, object]) -> dict[str, object]:
    """The status as it is stored: the API server does not store an empty list that is applied."""
    return {name: value for name, value in status.items() if value not in ("", [])}


def _render_condition(kind: str, reason: str, message: str, *, is_so: bool) -> dict[str, str]:
    return {"type": kind, "status": str(is_so), "reason": reason, "message": message[:_MESSAGE_LIMIT]}


def ghosts(raw: RawSharedVip) -> frozenset[str]:
    """Members that own something but hold no listener, by field manager.

    Two ways to become one: a later incarnation took all listeners over, or a hand deleted the claims. And the last who
    leaves keeps the key. Only members have a dot in their name: neither ours nor kubectl's field managers have one.
    """
    holders = {Member(claim.service, claim.uid).field_manager for claim in raw.spec.claims or ()}
    return frozenset(
        entry.manager
        for entry in raw.metadata.managed_fields or ()
        if entry.operation == "Apply" and not entry.subresource and "." in entry.manager
    ).difference(holders)


def _parse_claim(claim: _Claim) -> Claim:
    claimed_at, heading = datetime.fromisoformat(claim.claimed_at), claim.heading
    where = Heading(heading.address, datetime.fromisoformat(heading.since)) if heading else None
    asked_at = datetime.fromisoformat(claim.asked_at) if claim.asked_at else None
    listener = _listener(claim.port, claim.protocol)
    return Claim(listener, claim.service, claim.uid, claimed_at, where, claim.replaces, asked_at, claim.reserved)


def _render_claim(claim: Claim) -> dict[str, object]:
    heading = claim.heading
    where = {"heading": {"address": heading.address, "since": _render_time(heading.since)}} if heading else {}
    return {
        "port": claim.listener.port,
        "protocol": claim.listener.protocol,
        "service": claim.service,
        "uid": claim.uid,
        "claimedAt": _render_time(claim.claimed_at),
        **where,
        **({"replaces": claim.replaces} if claim.replaces else {}),
        **({"askedAt": _render_time(claim.asked_at)} if claim.asked_at else {}),
        **({"reserved": True} if claim.is_reserved else {}),
    }


def _render_time(moment: datetime) -> str:
    # A string of our own making: every encoder leaves out microseconds that are zero.
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _render_listener(entry: ListenerStatus) -> dict[str, object]:
    return {
        "port": entry.listener.port,
        "protocol": entry.listener.protocol,
        "service": entry.service,
        "servers": entry.servers,
        "readyServers": entry.ready_servers,
    }


def _since(before: RawSharedVip, condition: Mapping[str, str], now: datetime) -> str:
    said = next((c for c in before.status.conditions or () if c.type == condition["type"]), None)
    if said is not None and said.status == condition["status"]:
        return said.last_transition_time
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
