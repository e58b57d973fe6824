"""The administrator at the API server: bytes that are ready to be sent, and what came of them; it judges nothing."""

import asyncio
import itertools
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from cli.audit import read_services, read_world
from cluster.api import MERGE_PATCH, KubernetesApi
from cluster.errors import AlreadyExists, ApiError, ClusterError
from sharedvip.annotations import SHARED_VIP
from sharedvip.audit import StoredWorld
from sharedvip.model import ServiceView

ROUND_LABEL: Final = "soak.sharedvip.dev/round"
REQUEST_SECONDS: Final = 30.0
TRY_AGAIN: Final = "try again in a moment"
"""What a refusal says where something is on its way."""
_CLEAR_SECONDS: Final = 5 * REQUEST_SECONDS
"""Hundreds of Services, one after the other, by an API server that may have other things to do."""
_PAUSE_SECONDS: Final = 0.3
_LONGEST_PAUSE_SECONDS: Final = 2.4
_TICKETS: Final = itertools.count(1)
_FORBIDDEN: Final = 403

Manifest = dict[str, Any]


class Answer(NamedTuple):
    """What the API server said to one request; code 0: nothing."""

    code: int
    text: str = ""

    @property
    def is_applied(self) -> bool:
        """Whether it is stored, by this request."""
        return self.code in {200, 201}

    @property
    def is_done(self) -> bool:
        """Whether it is stored; for a repeated create, also by the one before."""
        return self.is_applied or (self.code == 409 and "already exists" in self.text)  # noqa: PLR2004 - HTTP's

    @property
    def is_refused(self) -> bool:
        """Whether our webhook said no."""
        return self.code == _FORBIDDEN and "denied the request" in self.text

    @property
    def is_final(self) -> bool:
        """Whether asking once more can only get the same answer."""
        return self.is_done or (self.is_refused and TRY_AGAIN not in self.text)


@dataclass(frozen=True, slots=True)
class Write:
    """One request, ready to be sent."""

    method: str
    path: str
    body: bytes
    content_type: str = "application/json"


def member(
    name: str,
    *,
    key: str | None,
    ports: Sequence[int | str] = (80,),
    address: str = "",
    ticket: str = "",
    type: str = "LoadBalancer",  # noqa: A002 - Kubernetes' word
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """A Service as ``kubectl create`` sends it; ``key=None``: without the annotation."""
    notes = {**({} if key is None else {SHARED_VIP: key}), **(annotations or {})}
    spec: Manifest = {"type": type, "selector": {"app": "soak"}, "ports": [_port(port) for port in ports]}
    if type == "LoadBalancer":
        spec["allocateLoadBalancerNodePorts"] = False  # there are 2768 of them, and a soak has more Services
    if address:
        spec["loadBalancerIP"] = address
    labels: Manifest = {"labels": {ROUND_LABEL: ticket}} if ticket else {}
    metadata = {"name": name, "annotations": notes, **labels}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _port(port: int | str) -> Manifest:
    number, _, protocol = str(port).partition("/")
    protocol = protocol or "TCP"
    return {"name": f"{protocol.lower()}-{number}", "port": int(number), "protocol": protocol}


def ports_patch(*ports: int) -> Manifest:
    """What changes a Service's ports to these."""
    return {"spec": {"ports": [_port(port) for port in ports]}}


def address_patch(address: str) -> Manifest:
    """What changes a Service's static address."""
    return {"spec": {"loadBalancerIP": address}}


def key_patch(key: str | None) -> Manifest:
    """What moves a Service to another group; None: what takes it out of its own."""
    return {"metadata": {"annotations": {SHARED_VIP: key}}}


class Arena:
    """One namespace, with a connection that may do everything."""

    def __init__(self, api: KubernetesApi, namespace: str) -> None:
        self.api: Final = api
        self.namespace: Final = namespace

    def ticket(self) -> str:
        """A word that no other round has."""
        return f"r{next(_TICKETS)}"

    def creating(self, manifest: Manifest) -> Write:
        """The request that creates a Service."""
        return Write("POST", self._path(), json.dumps(manifest).encode())

    def patching(self, name: str, patch: Manifest) -> Write:
        """The request that merges a patch into a Service."""
        return Write("PATCH", self._path(name), json.dumps(patch).encode(), MERGE_PATCH)

    async def send(self, write: Write) -> Answer:
        """Once."""
        return (await self.exchange(write))[0]

    async def exchange(self, write: Write) -> tuple[Answer, bytes]:
        """Once; with what the API server sent along where it is done."""
        try:
            body = await self.api.request(
                write.method,
                write.path,
                body=write.body,
                content_type=write.content_type,
                timeout_seconds=REQUEST_SECONDS,
            )
        except AlreadyExists as error:
            return Answer(409, error.message), b""
        except ApiError as error:
            return Answer(error.status, error.message), b""
        except ClusterError as error:
            return Answer(0, str(error)), b""
        return Answer(200), body

    async def insist(self, write: Write, *, seconds: float) -> Answer:
        """As a person who is told to try again, or gets no answer, does: until the answer is final, or so long."""
        until, pause = time.monotonic() + seconds, _PAUSE_SECONDS
        while True:
            answer = await self.send(write)
            if answer.is_final or time.monotonic() >= until:
                return answer
            await asyncio.sleep(pause)
            # All that wait in a storm would ask hundreds of times a second, and keep those that race from racing.
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def store(self, *manifests: Manifest) -> None:
        """Create Services that nothing may speak against.

        Raises:
            RuntimeError: Something did.
        """
        for answer in await asyncio.gather(*(self.send(self.creating(m)) for m in manifests)):
            if not answer.is_done:
                raise RuntimeError(f"a Service that fits was not stored: {answer}")

    async def services(self, ticket: str = "") -> tuple[ServiceView, ...]:
        """The stored Services of a round, or of the namespace."""
        selector = f"{ROUND_LABEL}={ticket}" if ticket else ""
        return await read_services(self.api, namespace=self.namespace, selector=selector)

    async def world(self) -> StoredWorld:
        """What the whole cluster holds."""
        return await read_world(self.api)

    async def delete(self, *names: str) -> None:
        """Delete Services, gone or not."""
        await asyncio.gather(*(self.send(Write("DELETE", self._path(name), b"")) for name in names))

    async def delete_round(self, ticket: str) -> None:
        """Delete what a round has stored, in one request."""
        path = f"{self._path()}?labelSelector={ROUND_LABEL}%3D{ticket}"
        await self.send(Write("DELETE", path, b""))

    async def clear(self) -> None:
        """Delete every Service of the namespace, in one request that an API server which restarts may get again."""
        await self.insist(Write("DELETE", self._path(), b""), seconds=_CLEAR_SECONDS)

    def _path(self, name: str = "") -> str:
        collection = f"/api/v1/namespaces/{self.namespace}/services"
        return f"{collection}/{name}" if name else collection


def names(services: Iterable[ServiceView]) -> list[str]:
    """Their names, sorted."""
    return sorted(service.name.name for service in services)
