"""What a Service's status says of its VIP, by server-side apply; it never takes a field that another manager owns."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple
from urllib.parse import quote

import msgspec

from cluster.api import APPLY, KubernetesApi
from cluster.errors import Conflict, Invalid, NotFound
from cluster.field_conflicts import FieldConflict, parse_conflicts
from cluster.metadata import ObjectMeta
from sharedvip.annotations import READY_CONDITION
from sharedvip.model import ServiceName, ServiceView

FIELD_MANAGER: Final = "sharedvip-reconciler"

OWNED_BY_OTHER: Final = "StatusOwnedByOther"
"""The reason of who is served, and whose status another manager keeps."""

_MESSAGE_LIMIT: Final = 32768
"""Source: ``metav1.Condition``, maxLength of message."""


class _Condition(msgspec.Struct, rename="camel"):
    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str = ""
    observed_generation: int = 0


class Entry(msgspec.Struct, frozen=True, rename="camel"):
    """One of ``status.loadBalancer.ingress``."""

    ip: str = ""
    ip_mode: str = ""
    hostname: str = ""


class _LoadBalancer(msgspec.Struct):
    ingress: list[Entry] | None = None


class ServiceStatus(msgspec.Struct, rename="camel"):
    """``status``, as far as we write it."""

    conditions: list[_Condition] | None = None
    load_balancer: _LoadBalancer = msgspec.field(default_factory=_LoadBalancer)


class _Service(msgspec.Struct):
    metadata: ObjectMeta
    status: ServiceStatus = msgspec.field(default_factory=ServiceStatus)


class Shown(NamedTuple):
    """What a Service's status says of its VIP: two are equal where a write would change nothing."""

    is_ready: bool
    reason: str
    message: str
    entries: tuple[Entry, ...]


def entries_for(vip: str, *, further_vips: Iterable[str] = (), hostname: str = "") -> tuple[Entry, ...]:
    """The entries of ``status.loadBalancer.ingress`` for a VIP, none for ""."""
    return tuple(Entry(address, "VIP", hostname) for address in (vip, *further_vips)) if vip else ()


def shown(metadata: ObjectMeta, status: ServiceStatus) -> Shown | None:
    """What is said, None where nothing is, or where it was said of an earlier generation."""
    said = _own(status)
    if said is None or said.observed_generation != metadata.generation:
        return None
    return Shown(said.status == "True", said.reason, said.message, tuple(status.load_balancer.ingress or ()))


async def publish(  # noqa: PLR0913 - all keyword-only but the first two, each a field of the status
    api: KubernetesApi,
    service: ServiceView,
    *,
    vip: str,
    ready: bool,
    reason: str,
    message: str,
    now: datetime,
    hostname: str = "",
    further_vips: tuple[str, ...] = (),
    may_write: Callable[[], None] = lambda: None,
) -> tuple[FieldConflict, ...]:
    """Say that a Service is, or is not, served on a VIP; nothing happens where the Service is gone.

    A write that changes nothing costs a read and a patch that the API server does not store.

    Args:
        api: The connection.
        service: Its name and uid; one that was made anew under the name is left alone.
        vip: "" takes our address out of ``status.loadBalancer``.
        ready: Whether it is served.
        reason: CamelCase, for machines.
        message: For people.
        now: UTC.
        hostname: A name with a DNS record for the VIP, "" for none.
        further_vips: The VIP's addresses besides the first.
        may_write: Raises where it may not be written any more; asked right before each write.

    Returns:
        None as a rule. Otherwise the fields that another manager owns: ``status.loadBalancer`` was left to it, and
        our condition says that the Service is not ready: what users see there is not where it is served.

    Raises:
        ClusterError: The API server refused or could not be asked.
    """
    stored = await _read(api, service)
    if stored is None:
        return ()
    condition = _condition(stored, ready=ready, reason=reason, message=message, now=now)
    entries = entries_for(vip, further_vips=further_vips, hostname=hostname)
    ingress = {"loadBalancer": {"ingress": [_render(entry) for entry in entries]}} if vip else {}
    may_write()
    conflicts = await _apply(api, service, status={**ingress, "conditions": [condition]})
    if conflicts:
        may_write()
        message = owned_by_other(conflicts, vip=vip)
        condition = _condition(stored, ready=False, reason=OWNED_BY_OTHER, message=message, now=now)
        await _apply(api, service, status={"conditions": [condition]})
    return conflicts


def owned_by_other(conflicts: Iterable[FieldConflict], *, vip: str) -> str:
    """What to tell people of an address that is not ours to write."""
    owners = ", ".join(sorted({f"'{conflict.manager}'" for conflict in conflicts}))
    return (
        f"served on {vip}, but status.loadBalancer belongs to {owners} and is left as it is; "
        "once nothing else writes it, clear it there ('kubectl edit service --subresource=status')"
    )


def _condition(stored: _Service, *, ready: bool, reason: str, message: str, now: datetime) -> dict[str, object]:
    return {
        "type": READY_CONDITION,
        "status": str(ready),
        "reason": reason,
        "message": message[:_MESSAGE_LIMIT],
        "lastTransitionTime": _since(stored, ready=ready, now=now),
        "observedGeneration": stored.metadata.generation,
    }


async def withdraw(api: KubernetesApi, service: ServiceView) -> None:
    """Take out of a Service's status all that we wrote; nothing happens where the Service is gone.

    Raises:
        ClusterError: The API server refused or could not be asked.
    """
    await _apply(api, service, status={})


async def _read(api: KubernetesApi, service: ServiceView) -> _Service | None:
    """The Service, None where it is gone or another one has its name."""
    try:
        stored = msgspec.json.decode(await api.request("GET", _path(service.name)), type=_Service)
    except NotFound:
        return None
    return stored if service.uid in ("", stored.metadata.uid) else None


async def _apply(api: KubernetesApi, service: ServiceView, *, status: dict[str, object]) -> tuple[FieldConflict, ...]:
    """Who is in the way; also none where there is nothing left to write to."""
    namespace, name = service.name
    metadata = {"name": name, "namespace": namespace} | ({"uid": service.uid} if service.uid else {})
    body = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "status": status}
    try:
        await api.request(
            "PATCH",
            f"{_path(service.name)}/status",
            query={"fieldManager": FIELD_MANAGER},
            body=msgspec.json.encode(body),
            content_type=APPLY,
        )
    except NotFound:
        return ()
    except Conflict as error:
        # Measured on 1.36.3: a Service that is gone answers 409 "uid mismatch", without a cause.
        return parse_conflicts(error)
    except Invalid as error:
        # Likewise: one that was made anew answers 422 "metadata.uid: field is immutable".
        if not any(cause.field == "metadata.uid" for cause in error.causes):
            raise
    return ()


def _path(name: ServiceName) -> str:
    return f"/api/v1/namespaces/{quote(name.namespace, safe='')}/services/{quote(name.name, safe='')}"


def _render(entry: Entry) -> dict[str, str]:
    name = {"hostname": entry.hostname} if entry.hostname else {}
    return {"ip": entry.ip, "ipMode": entry.ip_mode, **name}


def _own(status: ServiceStatus) -> _Condition | None:
    return next((c for c in status.conditions or () if c.type == READY_CONDITION), None)


def _since(stored: _Service, *, ready: bool, now: datetime) -> str:
    """When the condition last changed its status: it keeps its time otherwise."""
    said = _own(stored.status)
    if said is not None and said.status == str(ready):
        return said.last_transition_time
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
