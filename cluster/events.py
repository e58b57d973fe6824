"""Events on the users' Services, a repeated one counted up; it never raises and never decides what is worth one."""

import secrets
import socket
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple
from urllib.parse import quote

import msgspec
import structlog

from cluster.api import MERGE_PATCH, KubernetesApi
from cluster.errors import ClusterError, NotFound
from sharedvip.model import ServiceView

SERIES_SECONDS: Final = 600.0
"""The same again within ten minutes is the same Event, counted up (client-go: 6 minutes)."""
LIFE_SECONDS: Final = 3600.0
"""Then the API server takes an Event away. Source: kube-apiserver ``--event-ttl``."""

_REMEMBERED: Final = 4096
_NOTE_LIMIT_BYTES: Final = 1024
_ACTION: Final = "ShareVIP"
_log = structlog.get_logger("cluster.events")


class _Said(NamedTuple):
    uid: str
    type: str
    reason: str
    note: str


class _Series(NamedTuple):
    path: str
    times: int
    last: float


class Events:
    """Events of one component.

    Args:
        api: The connection.
        component: Who speaks: ``sharedvip.dev/reconciler``.
        clock: Monotonic seconds.
        now: UTC.
    """

    def __init__(
        self,
        api: KubernetesApi,
        *,
        component: str,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api: Final = api
        self._component: Final = component
        self._clock: Final = clock
        self._now: Final = now
        self._series: OrderedDict[_Said, _Series] = OrderedDict()

    async def tell(
        self, regarding: ServiceView, kind: Literal["Normal", "Warning"], *, reason: str, message: str
    ) -> bool:
        """Publish an Event on a Service; False: it could not be, and is logged."""
        said = _Said(regarding.uid, kind, reason, _cut(message))
        try:
            if not await self._count_up(said):
                await self._create(regarding, said)
        except ClusterError as error:
            name = f"{regarding.name.namespace}/{regarding.name.name}"
            _log.warning("event.lost", service=name, reason=reason, error=str(error))
            return False
        return True

    async def _count_up(self, said: _Said) -> bool:
        """Whether there is a recent Event of the same words to count up."""
        series = self._series.pop(said, None)
        if series is None or self._clock() - series.last > SERIES_SECONDS:
            return False
        more = _Series(series.path, series.times + 1, self._clock())
        patch = {"series": {"count": more.times, "lastObservedTime": _micro_time(self._now())}}
        try:
            await self._api.request("PATCH", series.path, body=msgspec.json.encode(patch), content_type=MERGE_PATCH)
        except NotFound:
            return False
        self._remember(said, more)
        return True

    async def _create(self, regarding: ServiceView, said: _Said) -> None:
        namespace = quote(regarding.name.namespace, safe="")
        collection = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
        name = f"{regarding.name.name}.{secrets.token_hex(8)}"
        await self._api.request("POST", collection, body=self._render(name, regarding=regarding, said=said))
        self._remember(said, _Series(f"{collection}/{quote(name, safe='')}", 1, self._clock()))

    def _remember(self, said: _Said, series: _Series) -> None:
        self._series[said] = series
        if len(self._series) > _REMEMBERED:
            self._series.popitem(last=False)

    def _render(self, name: str, *, regarding: ServiceView, said: _Said) -> bytes:
        namespace, service = regarding.name
        return msgspec.json.encode(
            {
                "apiVersion": "events.k8s.io/v1",
                "kind": "Event",
                "metadata": {"name": name, "namespace": namespace},
                "eventTime": _micro_time(self._now()),
                "type": said.type,
                "reason": said.reason,
                "action": _ACTION,
                "note": said.note,
                "regarding": {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "namespace": namespace,
                    "name": service,
                    "uid": regarding.uid,
                },
                "reportingController": self._component,
                "reportingInstance": f"{self._component.rpartition('/')[2]}-{socket.gethostname()}"[:128],
            }
        )


def _cut(message: str) -> str:
    """At most what the API server takes: ``events.k8s.io`` counts bytes."""
    return message.encode()[:_NOTE_LIMIT_BYTES].decode(errors="ignore")


def _micro_time(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
