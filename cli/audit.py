"""``sharedvip audit``: the rules over a living cluster, by lists alone; it never writes, and no webhook is asked."""

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, TextIO, TypeVar

import msgspec

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

_PAGE_SIZE: Final = 500
_TRIES: Final = 3
_TIMEOUT_SECONDS: Final = 30.0
T = TypeVar("T")


class Output(StrEnum):
    """How findings are printed."""

    TEXT = "text"
    JSON = "json"


async def run_audit(
    *,
    kubeconfig: Path | None,
    namespace: str = "",
    output: Output = Output.TEXT,
    with_ledger: bool = False,
    policy: Policy | None = None,
    stdout: TextIO = sys.stdout,
    stderr: TextIO = sys.stderr,
) -> int:
    """Print all findings; 0: none, 1: some, 2: the API server cannot be asked.

    Args:
        kubeconfig: Where the API server is; None: we are a pod.
        namespace: Only findings there; "" is everywhere. Addresses are compared over the whole cluster all the same.
        output: Lines or one JSON object.
        with_ledger: Compare ledgers and address locks with the Services too.
        policy: Which class is ours.
        stdout: For findings.
        stderr: For why nobody could be asked.
    """
    try:
        api = await KubernetesApi.connect(kubeconfig, user_agent="sharedvip-audit")
        try:
            world = await _world(api, namespace, with_ledger=with_ledger, stderr=stderr)
        finally:
            await api.close()
    except ClusterError as error:
        print(f"sharedvip audit: {error}", file=stderr)
        return CANNOT_ASK
    found = find_conflicts(world, policy=policy)
    if with_ledger:
        found += find_untruths(world, now=datetime.now(UTC), policy=policy)
    found = tuple(one for one in found if namespace in ("", one.namespace))
    _print(found, world, namespace=namespace, output=output, stdout=stdout)
    return FINDINGS if found else CLEAN


async def _world(api: KubernetesApi, namespace: str, *, with_ledger: bool, stderr: TextIO) -> StoredWorld:
    try:
        return await read_world(api, with_locks=with_ledger)
    except Forbidden as error:
        if not namespace or with_ledger:
            raise
        print(f"sharedvip audit: only {namespace!r} is looked at: {error.message}", file=stderr)
        return await read_world(api, namespace=namespace, with_locks=False)


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
        await read_services(api, namespace=namespace), ledgers, {held.address: held.group for held in locks}
    )


async def read_services(api: KubernetesApi, *, namespace: str = "", selector: str = "") -> tuple[ServiceView, ...]:
    """The Services that an audit looks at: those with the annotation, and those of type LoadBalancer.

    Raises:
        ClusterError: The API server refused or could not be asked.
    """
    services = map(parse_service, await list_all(api, _in(SERVICES, namespace), ServiceObject, selector=selector))
    return tuple(s for s in services if s.sharing_key is not None or s.type == "LoadBalancer")


async def list_all(api: KubernetesApi, path: str, kind: type[T], *, selector: str = "") -> list[T]:
    """All objects of a list, page by page; begun again where the API server has forgotten the position.

    Raises:
        ClusterError: The API server refused or could not be asked.
    """
    for _ in range(_TRIES - 1):
        try:
            return await _pages(api, path, kind, selector)
        except Gone:
            continue
    return await _pages(api, path, kind, selector)


async def _pages(api: KubernetesApi, path: str, kind: type[T], selector: str) -> list[T]:
    decoder, found = msgspec.json.Decoder(kind), list[T]()
    query = {"limit": str(_PAGE_SIZE), **({"labelSelector": selector} if selector else {})}
    while True:
        page = PAGE.decode(await api.request("GET", path, query=query, timeout_seconds=_TIMEOUT_SECONDS))
        found += [decoder.decode(item) for item in page.items or ()]
        if not page.metadata.continue_:
            return found
        query["continue"] = page.metadata.continue_


def _in(path: str, namespace: str) -> str:
    prefix, _, resource = path.rpartition("/")
    return f"{prefix}/namespaces/{namespace}/{resource}" if namespace else path


def _print(found: tuple[Finding, ...], world: StoredWorld, *, namespace: str, output: Output, stdout: TextIO) -> None:
    looked_at = [s for s in world.services if s.group is not None and namespace in ("", s.name.namespace)]
    groups = len(groups_in(looked_at))
    if output is Output.JSON:
        report = {"services": len(looked_at), "groups": groups, "findings": [asdict(one) for one in found]}
        print(json.dumps(report, indent=2), file=stdout)
        return
    for one in found:
        print(one, file=stdout)
    findings = "nothing wrong" if not found else f"{len(found)} finding{'s' if len(found) > 1 else ''}"
    print(f"{len(looked_at)} Services that share in {groups} groups: {findings}", file=stdout)
