"""What the Avi Controller holds, read over its REST interface as any client would; it never writes."""

from dataclasses import dataclass
from typing import Any, Final

import requests

from cli.demo.stage import Avi

VERSION: Final = "30.2.1"
_TIMEOUT_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool and its servers, ``address:port``; those that take no new connections are marked."""

    name: str
    servers: tuple[str, ...]
    enabled: int


@dataclass(frozen=True, slots=True)
class VirtualService:
    """One virtual service with all that hangs on it."""

    name: str
    vip: str
    listeners: tuple[str, ...]
    pools: tuple[Pool, ...]


class AviView:
    """A session at the Controller."""

    def __init__(self, avi: Avi) -> None:
        """Log in."""
        self._url = avi.url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = avi.ca
        self._session.headers.update({"X-Avi-Version": VERSION, "Referer": avi.url})
        login = {"username": avi.username, "password": avi.password}
        self._session.post(f"{avi.url}/login", json=login, timeout=_TIMEOUT_SECONDS).raise_for_status()

    def virtual_services(self) -> tuple[VirtualService, ...]:
        """All of them, sorted by name."""
        # What refers is read before what it refers to: an object made meanwhile is then there, or not asked for.
        services = self._all("virtualservice")
        policies = {one["url"].partition("#")[0]: one for one in self._all("l4policyset")}
        vips = {one["url"].partition("#")[0]: one for one in self._all("vsvip")}
        pools = {one["url"].partition("#")[0]: one for one in self._all("pool")}
        found = [
            _parse(one, vips=vips, pools=pools, policies=policies) for one in services if _is_whole(one, vips, policies)
        ]
        return tuple(sorted(found, key=lambda one: one.name))

    def count(self) -> dict[str, int]:
        """How many objects of each kind of a shared VIP there are."""
        return {kind: len(self._all(kind)) for kind in ("virtualservice", "vsvip", "l4policyset", "pool")}

    def _all(self, kind: str) -> list[dict[str, Any]]:
        reply = self._session.get(f"{self._url}/api/{kind}", params={"page_size": 200}, timeout=_TIMEOUT_SECONDS)
        reply.raise_for_status()
        return reply.json()["results"]


def _is_whole(service: dict[str, Any], vips: dict[str, Any], policies: dict[str, Any]) -> bool:
    """Whether all that it refers to was still there when that was read."""
    refs = [policy["l4_policy_set_ref"].partition("#")[0] for policy in service.get("l4_policies", [])]
    return service["vsvip_ref"].partition("#")[0] in vips and all(ref in policies for ref in refs)


def _parse(
    service: dict[str, Any],
    *,
    vips: dict[str, dict[str, Any]],
    pools: dict[str, dict[str, Any]],
    policies: dict[str, dict[str, Any]],
) -> VirtualService:
    vip = vips[service["vsvip_ref"].partition("#")[0]]
    rules = [
        rule
        for policy in service.get("l4_policies", [])
        for rule in policies[policy["l4_policy_set_ref"].partition("#")[0]]["l4_connection_policy"]["rules"]
    ]
    refs = [rule["action"]["select_pool"]["pool_ref"].partition("#")[0] for rule in rules]
    return VirtualService(
        service["name"],
        vip["vip"][0]["ip_address"]["addr"],
        tuple(sorted(_listener(rule) for rule in rules)),
        tuple(sorted((_pool(pools[ref]) for ref in refs if ref in pools), key=lambda pool: pool.name)),
    )


def _listener(rule: dict[str, Any]) -> str:
    match = rule["match"]
    protocol = match["protocol"]["protocol"].removeprefix("PROTOCOL_")
    return f"{match['port']['ports'][0]}/{protocol}"


def _pool(pool: dict[str, Any]) -> Pool:
    servers = pool.get("servers", [])
    enabled = [server for server in servers if server.get("enabled", True)]
    return Pool(pool["name"], tuple(f"{s['ip']['addr']}:{s['port']}" for s in enabled), len(enabled))
