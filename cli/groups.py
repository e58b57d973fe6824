"""``sharedvip groups``: every group as a tree of VIP, listeners, Services and servers; it reads and never writes.

What is claimed and what is served stands in the ``SharedVIP`` objects; why a Service is left out stands in its own
condition, so both kinds are read.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

import msgspec

from cli.audit import list_all
from cli.backends import Behind, EndpointLine, behind
from cli.kubeconfig import usual_kubeconfig
from cluster.api import KubernetesApi
from cluster.endpoint_slices import RawSlice, parse_slice
from cluster.errors import ClusterError, Forbidden, NotFound
from cluster.metadata import ObjectMeta
from sharedvip.annotations import READY_CONDITION, SHARED_VIP
from sharedvip.model import GroupName, Listener, ServiceName
from sharedvip.parse import ServiceObject, parse_service

USER_AGENT: Final = "sharedvip-groups"
CONFLICT: Final = "Conflict"
"""The reconciler's reason for who is not let in; ``reconciler.group_pass`` itself would load avisdk."""

WELL: Final = frozenset({"Programmed", "Guarded"})
"""The reconciler's reasons with which all is said; beside any other somebody is left out, though the rest is served."""
SHOWN_ENDPOINTS: Final = 10
_OWN_CONDITION: Final = "Ready"


class Output(StrEnum):
    """How groups are printed."""

    TEXT = "text"
    JSON = "json"


class ListenerLine(msgspec.Struct, frozen=True, rename="camel"):
    """One listener; without a pool on Avi its servers are None."""

    port: int
    protocol: str
    service: str
    servers: int | None = None
    ready_servers: int | None = None
    endpoints: tuple[EndpointLine, ...] | None = None
    """What is behind it by the EndpointSlices; None where they may not be read."""


class Refused(msgspec.Struct, frozen=True):
    """A Service that asks for the group and is not let in, in the words of its condition."""

    service: str
    reason: str
    message: str


class GroupTree(msgspec.Struct, frozen=True, rename="camel"):
    """One group; ``reason`` "" where nobody has written a status yet."""

    namespace: str
    key: str
    vip: str
    virtual_service: str
    """Its uuid on Avi; "" where ours builds none, as in guard mode, or has not built it yet."""
    is_ready: bool
    reason: str
    message: str
    listeners: tuple[ListenerLine, ...]
    refused: tuple[Refused, ...]
    waiting: tuple[str, ...]
    """Services that ask for the group and of which nobody has said anything yet."""


class Condition(msgspec.Struct):
    """A condition, of a Service or a ``SharedVIP``."""

    type: str
    status: str = ""
    reason: str = ""
    message: str = ""


class Claim(msgspec.Struct):
    """One of ``spec.claims``."""

    port: int
    protocol: str
    service: str
    uid: str = ""
    reserved: bool = False


class _Spec(msgspec.Struct):
    key: str
    claims: list[Claim] | None = None


class _Status(msgspec.Struct, rename="camel"):
    vip: str = ""
    virtual_service: str = ""
    listeners: list[ListenerLine] | None = None
    conditions: list[Condition] | None = None


class SharedVip(msgspec.Struct):
    """A ``SharedVIP``, as far as it is shown."""

    metadata: ObjectMeta
    spec: _Spec
    status: _Status = msgspec.field(default_factory=_Status)


class _ServiceSpec(msgspec.Struct):
    type: str = ""


class _ServiceStatus(msgspec.Struct):
    conditions: list[Condition] | None = None


class Service(msgspec.Struct):
    """A Service, as far as it is shown."""

    metadata: ObjectMeta
    spec: _ServiceSpec = msgspec.field(default_factory=_ServiceSpec)
    status: _ServiceStatus = msgspec.field(default_factory=_ServiceStatus)


class _Place(NamedTuple):
    port: int
    protocol: str


async def show(*, namespace: str, output: Output, kubeconfig: Path | None) -> int:
    """Print the groups of a namespace, "" for all; the exit code.

    Raises:
        ClusterError: The API server refused, could not be asked, or knows no ``SharedVIP``.
    """
    api = await KubernetesApi.connect(kubeconfig or usual_kubeconfig(), user_agent=USER_AGENT)
    try:
        found = await read(api, namespace)
    finally:
        await api.close()
    if output is Output.JSON:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
    else:
        sys.stdout.write(render(found))
    return 0


async def read(api: KubernetesApi, namespace: str) -> tuple[GroupTree, ...]:
    """The groups of a namespace, "" for all, as they are now.

    Ledgers are read before the Services they speak of, as ``cli.audit.read_world`` tells: a Service that is admitted
    in between waits to be judged, and is not refused by a ledger that it never met.

    Raises:
        ClusterError: As ``show``.
    """
    scope = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
    try:
        shared_vips = await list_all(api, f"/apis/sharedvip.dev/v1alpha1{scope}/sharedvips", SharedVip)
    except NotFound as error:
        raise ClusterError("there is no kind SharedVIP in this cluster: sharedvip is not installed") from error
    services = await list_all(api, f"/api/v1{scope}/services", msgspec.Raw)
    return trees(
        shared_vips,
        [msgspec.json.decode(service, type=Service) for service in services],
        await _behind(api, scope, services),
    )


async def _behind(api: KubernetesApi, scope: str, services: Iterable[msgspec.Raw]) -> Behind | None:
    """What is behind the Services that share; None for who may not read it."""
    try:
        slices = await list_all(api, f"/apis/discovery.k8s.io/v1{scope}/endpointslices", RawSlice)
    except Forbidden:
        return None
    views = (parse_service(msgspec.json.decode(service, type=ServiceObject)) for service in services)
    return behind((view for view in views if view.is_member), filter(None, map(parse_slice, slices)))


def trees(
    shared_vips: Iterable[SharedVip], services: Iterable[Service], behind_them: Behind | None = None
) -> tuple[GroupTree, ...]:
    """The groups, sorted by namespace and key; also those that only Services ask for."""
    ledgers = {GroupName(each.metadata.namespace, each.spec.key): each for each in shared_vips}
    askers: dict[GroupName, list[Service]] = {}
    for service in services:
        if (key := (service.metadata.annotations or {}).get(SHARED_VIP)) is not None and _may_join(service):
            askers.setdefault(GroupName(service.metadata.namespace, key), []).append(service)
    return tuple(
        _tree(name, ledgers.get(name), askers.get(name, ()), behind_them) for name in sorted({*ledgers, *askers})
    )


def render(groups: Sequence[GroupTree]) -> str:
    """The groups as text, a line for each node of their trees."""
    lines = [line for group in groups for line in _lines(group)]
    return "".join(f"{line}\n" for line in lines) or "no group of Services shares a VIP here\n"


def _may_join(service: Service) -> bool:
    return service.spec.type == "LoadBalancer" and not service.metadata.deletion_timestamp


def _tree(
    name: GroupName, ledger: SharedVip | None, askers: Iterable[Service], behind_them: Behind | None
) -> GroupTree:
    status = ledger.status if ledger else _Status()
    verdict = _condition(status.conditions, _OWN_CONDITION) or Condition(_OWN_CONDITION)
    members = {(claim.service, claim.uid) for claim in _claims(ledger)}
    conditions = {
        service.metadata.name: _condition(service.status.conditions, READY_CONDITION)
        for service in sorted(askers, key=lambda one: one.metadata.name)
        if (service.metadata.name, service.metadata.uid) not in members or _is_in_conflict(service)
    }
    return GroupTree(
        namespace=name.namespace,
        key=name.key,
        vip=status.vip,
        virtual_service=status.virtual_service,
        is_ready=verdict.status == "True",
        reason=verdict.reason,
        message=verdict.message,
        listeners=tuple(_with_endpoints(name, line, behind_them) for line in _listeners(ledger, status)),
        refused=tuple(Refused(each, said.reason, said.message) for each, said in conditions.items() if said),
        waiting=tuple(each for each, said in conditions.items() if said is None),
    )


def _is_in_conflict(service: Service) -> bool:
    """Also who holds a listener may ask for another in vain, past admission."""
    said = _condition(service.status.conditions, READY_CONDITION)
    return said is not None and said.reason == CONFLICT


def _claims(ledger: SharedVip | None) -> Sequence[Claim]:
    """Of members: what is only reserved is a Service's that is refused, or waits."""
    return [claim for claim in (ledger.spec.claims if ledger else None) or () if not claim.reserved]


def _listeners(ledger: SharedVip | None, status: _Status) -> Iterator[ListenerLine]:
    """What is served and what is only claimed, sorted by port and protocol."""
    served: Mapping[_Place, ListenerLine] = {_Place(one.port, one.protocol): one for one in status.listeners or ()}
    claimed = {
        _Place(one.port, one.protocol): ListenerLine(*_Place(one.port, one.protocol), one.service)
        for one in _claims(ledger)
    }
    for place in sorted({*served, *claimed}):
        yield served.get(place) or claimed[place]


def _with_endpoints(name: GroupName, line: ListenerLine, behind_them: Behind | None) -> ListenerLine:
    if behind_them is None:
        return line
    place = ServiceName(name.namespace, line.service), Listener(line.port, line.protocol)
    return msgspec.structs.replace(line, endpoints=behind_them.get(place, ()))


def _condition(conditions: Iterable[Condition] | None, kind: str) -> Condition | None:
    return next((one for one in conditions or () if one.type == kind), None)


def _lines(group: GroupTree) -> Iterator[str]:
    yield f"{group.vip or '(no VIP)'}  {_plain(group.namespace)}/{_plain(group.key)}  {_verdict(group)}"
    refused = (f"refused: {_plain(one.service)}  {_plain(one.reason)}: {_plain(one.message)}" for one in group.refused)
    waiting = (f"waiting: {_plain(name)}  nobody has judged it yet; its Events may tell more" for name in group.waiting)
    branches = [
        *((_branch(group, listener), tuple(_leaves(listener))) for listener in group.listeners),
        *((line, ()) for line in (*refused, *waiting)),
    ]
    for number, (branch, leaves) in enumerate(branches, start=1):
        is_last = number == len(branches)
        yield f"{'└' if is_last else '├'}── {branch}"
        for index, leaf in enumerate(leaves, start=1):
            yield f"{' ' if is_last else '│'}   {'└' if index == len(leaves) else '├'}── {leaf}"


def _leaves(listener: ListenerLine) -> Iterator[str]:
    endpoints = listener.endpoints or ()
    for one in endpoints[:SHOWN_ENDPOINTS]:
        node = f"  on {_plain(one.node)}" if one.node else ""
        yield f"{one.place}  {'ready' if one.is_ready else 'not ready'}{node}"
    if len(endpoints) > SHOWN_ENDPOINTS:
        yield f"and {len(endpoints) - SHOWN_ENDPOINTS} more; -o json lists all"


def _verdict(group: GroupTree) -> str:
    if not group.reason:
        return "no status: the reconciler has not looked at it yet"
    return group.reason if group.reason in WELL else f"{_plain(group.reason)}: {_plain(group.message)}"


def _branch(group: GroupTree, listener: ListenerLine) -> str:
    head = f"{listener.port}/{listener.protocol} -> {_plain(listener.service)}"
    if listener.servers is None:
        # Whether somebody else serves it, as in guard mode, nobody has told us.
        return f"{head}  claimed, not served" if group.virtual_service else f"{head}  claimed"
    return f"{head}  {listener.ready_servers or 0} of {listener.servers} servers ready"


def _plain(text: str) -> str:
    """One line, without what would move a terminal's cursor: a key past admission may hold anything."""
    return "".join(char if char.isprintable() else "; " if char == "\n" else repr(char)[1:-1] for char in text)
