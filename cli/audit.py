"""``sharedvip audit``: the rules over a living cluster, by lists alone; it never writes, and no webhook is asked."""

import asyncio
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

import msgspec

from cli.kubeconfig import usual_kubeconfig
from cluster.api import KubernetesApi
from cluster.errors import ClusterError, Forbidden, Gone, NotFound
from cluster.ip_addresses import AddressLocks
from cluster.metadata import PAGE
from cluster.services import PATH as SERVICES
from cluster.shared_vip_documents import RawSharedVip, parse_shared_vip
from cluster.shared_vips import PATH as SHARED_VIPS
from sharedvip.audit import Finding, StoredWorld, find_conflicts, find_untruths, groups_in
from sharedvip.model import Policy, ServiceView
from sharedvip.parse import ServiceObject, parse_service

CLEAN: Final = 0
FINDINGS: Final = 1
CANNOT_ASK: Final = 2

PAGE_SIZE: Final = 500
PATIENCE_SECONDS: Final = 5.0
"""The janitor needs some milliseconds, and seconds when it is busy."""
FIRST_PAUSE_SECONDS: Final = 1.0
PAUSE_GROWTH: Final = 4
"""Three looks in all: each is a list of the whole cluster, and what stands after a second stands long as a rule."""

_TRIES: Final = 3
_TIMEOUT_SECONDS: Final = 30.0
T = TypeVar("T")


class Output(StrEnum):
    """How findings are printed."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Report:
    """What an audit saw."""

    services: int
    """With the annotation, as far as findings are told."""
    groups: int
    findings: tuple[Finding, ...]


async def run_audit(
    *,
    kubeconfig: Path | None,
    namespace: str = "",
    output: Output = Output.TEXT,
    with_ledger: bool = False,
    policy: Policy | None = None,
) -> int:
    """Print all findings; 0: none, 1: some, 2: the API server cannot be asked.

    Args:
        kubeconfig: Where the API server is; None: where kubectl looks, or we are a pod.
        namespace: As for ``audit``.
        output: Lines or one JSON object.
        with_ledger: As for ``audit``.
        policy: Which class is ours.
    """
    try:
        api = await KubernetesApi.connect(kubeconfig or usual_kubeconfig(), user_agent="sharedvip-audit")
        try:
            report = await audit(api, namespace=namespace, with_ledger=with_ledger, policy=policy)
        finally:
            await api.close()
    except (ClusterError, msgspec.MsgspecError, OSError) as error:
        _say(str(error))
        if isinstance(error, Forbidden) and not namespace:
            _say("who has rights in one namespace only names it with --namespace")
        return CANNOT_ASK
    sys.stdout.write(_render(report, output))
    return FINDINGS if report.findings else CLEAN


async def audit(
    api: KubernetesApi,
    *,
    namespace: str = "",
    with_ledger: bool = False,
    policy: Policy | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> Report:
    """Look, and look again while something is found: what is on its way is gone by then.

    Conflicts are looked at twice: of a group that begins to move, the ledger that was read may be older than the
    Services. Differences between ledgers and Services are as a rule about to be put right, and take longer.

    Args:
        api: Who asks needs rights to list.
        namespace: Only findings there; "" is everywhere. Addresses are compared over the whole cluster all the same,
            unless who asks may only look there.
        with_ledger: Compare ledgers and address locks with the Services too.
        policy: Which class is ours.
        patience_seconds: How long a difference must stand to be told: at every look until then.

    Raises:
        ClusterError: The API server refused or could not be asked.
    """
    clock = asyncio.get_running_loop().time
    until, pause_seconds = clock() + patience_seconds, FIRST_PAUSE_SECONDS
    found = await _look(api, namespace, with_ledger=with_ledger, policy=policy)
    is_first = True
    while (is_first and found.conflicts) or (found.untruths and clock() < until):
        await asyncio.sleep(max(0, min(pause_seconds, until - clock())))
        found = (await _look(api, namespace, with_ledger=with_ledger, policy=policy)).as_before(found)
        pause_seconds, is_first = pause_seconds * PAUSE_GROWTH, False
    if found.unseen:
        _say(f"only {namespace!r} is looked at: {found.unseen}")
    looked_at = [s for s in found.world.services if s.group is not None and namespace in ("", s.name.namespace)]
    return Report(len(looked_at), len(groups_in(looked_at)), (*found.conflicts, *found.untruths))


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look showed."""

    world: StoredWorld
    conflicts: tuple[Finding, ...]
    untruths: tuple[Finding, ...]
    unseen: str = ""
    """Why only one namespace was looked at, "" where all were."""

    def as_before(self, before: "_Look") -> "_Look":
        """Only what an earlier look showed too."""
        known = {_gist(one) for one in before.conflicts}
        conflicts = tuple(one for one in self.conflicts if _gist(one) in known)
        return replace(self, conflicts=conflicts, untruths=tuple(u for u in self.untruths if u in before.untruths))


def _gist(conflict: Finding) -> tuple[str, ...]:
    # Not its message: that changes with every peer that comes and goes, and the conflict stands.
    return (conflict.namespace, conflict.name, conflict.rule)


async def _look(api: KubernetesApi, namespace: str, *, with_ledger: bool, policy: Policy | None) -> _Look:
    world, unseen = await _world(api, namespace, with_ledger=with_ledger)
    conflicts = find_conflicts(world, policy=policy)
    untruths = find_untruths(world, now=datetime.now(UTC), policy=policy) if with_ledger else ()
    return _Look(world, _there(conflicts, namespace), _there(untruths, namespace), unseen)


def _there(found: Iterable[Finding], namespace: str) -> tuple[Finding, ...]:
    return tuple(one for one in found if namespace in ("", one.namespace))


async def _world(api: KubernetesApi, namespace: str, *, with_ledger: bool) -> tuple[StoredWorld, str]:
    try:
        return await read_world(api, with_locks=with_ledger), ""
    except Forbidden as error:
        if not namespace or with_ledger:
            raise
        return await read_world(api, namespace=namespace, with_locks=False), error.message


async def read_world(api: KubernetesApi, *, namespace: str = "", with_locks: bool = True) -> StoredWorld:
    """What is stored, in the cluster or one namespace.

    Ledgers are read before the Services they speak of: a claim is there before its Service, so that a claim which is
    read without its Service is old, or on its way.

    Raises:
        ClusterError: The API server refused or could not be asked.
    """
    locks = await AddressLocks(api).list_ours() if with_locks else ()
    try:
        raw = await list_all(api, _in(SHARED_VIPS, namespace), RawSharedVip)
    except NotFound:
        raw = []  # sharedvip is not installed: the rules hold all the same
    ledgers = tuple(parse_shared_vip(one) for one in raw)
    return StoredWorld(
        await read_services(api, namespace=namespace),
        ledgers,
        {lock.address: lock.group for lock in locks if lock.left_since is None},
        {lock.address: (lock.group, lock.left_since) for lock in locks if lock.left_since is not None},
    )


async def read_services(api: KubernetesApi, *, namespace: str = "", selector: str = "") -> tuple[ServiceView, ...]:
    """The Services that an audit looks at: those with the annotation, and those of type LoadBalancer.

    Raises:
        ClusterError: The API server refused or could not be asked.
    """
    services = map(parse_service, await list_all(api, _in(SERVICES, namespace), ServiceObject, selector=selector))
    return tuple(s for s in services if s.sharing_key is not None or s.type == "LoadBalancer")


async def list_all(
    api: KubernetesApi, path: str, kind: type[T], *, selector: str = "", page_size: int = PAGE_SIZE
) -> list[T]:
    """All objects of a list, page by page; begun again where the API server has forgotten the position.

    Raises:
        ClusterError: The API server refused or could not be asked.
    """
    query = {"limit": str(page_size), **({"labelSelector": selector} if selector else {})}
    for _ in range(_TRIES - 1):
        try:
            return await _pages(api, path, kind, query)
        except Gone:
            continue
    return await _pages(api, path, kind, query)


async def _pages(api: KubernetesApi, path: str, kind: type[T], query: Mapping[str, str]) -> list[T]:
    decoder, found, goes_on = msgspec.json.Decoder(kind), list[T](), dict[str, str]()
    while True:
        asked = {**query, **goes_on}
        page = PAGE.decode(await api.request("GET", path, query=asked, timeout_seconds=_TIMEOUT_SECONDS))
        found += [decoder.decode(item) for item in page.items or ()]
        if not page.metadata.continue_:
            return found
        goes_on = {"continue": page.metadata.continue_}


def _in(path: str, namespace: str) -> str:
    prefix, _, resource = path.rpartition("/")
    return f"{prefix}/namespaces/{quote(namespace, safe='')}/{resource}" if namespace else path


def _say(sentence: str) -> None:
    sys.stderr.write(f"sharedvip audit: {sentence}\n")


def _render(report: Report, output: Output) -> str:
    if output is Output.JSON:
        return json.dumps(asdict(report), indent=2) + "\n"
    found = _counted(len(report.findings), "finding") if report.findings else "nothing wrong"
    whole = f"{_counted(report.services, 'Service')} in {_counted(report.groups, 'group')}: {found}"
    return "".join(f"{line}\n" for line in (*report.findings, whole))


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
