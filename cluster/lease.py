"""Leadership by a Lease, fenced by our own clock; it never trusts a clock of another machine.

As client-go does, a foreign Lease counts as alive for as long as *we* saw no change of it for its duration. The fence
closes when our last renewal *began* more than the renew deadline ago: others begin to count after it, and longer.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

import msgspec
import structlog

from cluster.api import KubernetesApi
from cluster.errors import ClusterError, Conflict, NotFound
from cluster.metadata import ObjectMeta

_log = structlog.get_logger("cluster.lease")


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """Seconds, as kube-controller-manager has them. Source: ``component-base/config/v1alpha1/defaults.go``."""

    duration: int = 15
    """How long the others wait after the last sign of life."""
    renew_deadline: float = 10.0
    """How long we lead after our last renewal began; less than the duration by what a paused process may cost."""
    retry: float = 2.0
    """Between two attempts, with up to a fifth more or less."""


class _Spec(msgspec.Struct, rename="camel", omit_defaults=True):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class _Lease(msgspec.Struct):
    metadata: ObjectMeta
    spec: _Spec = msgspec.field(default_factory=_Spec)


class Lease:
    """One candidate for one Lease.

    Args:
        api: The connection.
        namespace: Of the Lease.
        name: Of the Lease.
        identity: Ours, different from all other candidates'.
        times: How long everything takes.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        api: KubernetesApi,
        *,
        namespace: str,
        name: str,
        identity: str,
        times: LeaseTimes = LeaseTimes(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api: Final = api
        self._namespace: Final = namespace
        self._name: Final = name
        self._identity: Final = identity
        self._times: Final = times
        self._clock: Final = clock
        self._observed: _Lease | None = None
        self._observed_at: float = clock()
        self._renewed_at: float | None = None
        self._acquired: Final = asyncio.Event()
        self.lost: Final = asyncio.Event()
        """Set when we led and do not any more: there is no way back, the process must end."""

    @property
    def is_held(self) -> bool:
        """Whether we lead for certain: ask right before every write that only the leader may do."""
        if self._renewed_at is None or self.lost.is_set():
            return False
        return self._clock() - self._renewed_at < self._times.renew_deadline

    async def held(self) -> None:
        """Wait until we lead for the first time."""
        await self._acquired.wait()

    async def run(self) -> None:
        """Try to get the Lease, then renew it; returns when it is lost. Cancel it, then ``release``."""
        while not self.lost.is_set():
            await self.attempt()
            await asyncio.sleep(self._times.retry * random.uniform(0.8, 1.2))  # noqa: S311 - no secret: it parts the candidates
            self._notice_loss()

    async def attempt(self) -> bool:
        """Try once to get or renew the Lease; whether that was so."""
        self._notice_loss()
        began = self._clock()
        try:
            is_written = not self.lost.is_set() and await self._write()
        except ClusterError as error:
            _log.warning("lease.failed", lease=self._name, error=str(error))
            is_written = False
        if is_written and not self.lost.is_set():
            self._renewed_at = began
            if not self._acquired.is_set():
                _log.info("lease.acquired", lease=self._name, identity=self._identity)
            self._acquired.set()
        self._notice_loss()
        return is_written and self.is_held

    async def release(self) -> None:
        """Hand over at once instead of letting the others wait; only when all work has ended. Never raises."""
        was_held, self._renewed_at = self.is_held, None  # the fence closes first
        if not was_held or self._observed is None:
            return
        given_up = msgspec.structs.replace(
            self._observed.spec, holder_identity=None, lease_duration_seconds=1, renew_time=_micro_time()
        )
        try:
            await self._put(given_up, version=self._observed.metadata.resource_version)
        except ClusterError as error:
            _log.warning("lease.not_released", lease=self._name, error=str(error))

    def _notice_loss(self) -> None:
        if self._renewed_at is not None and not self.is_held and not self.lost.is_set():
            _log.error("lease.lost", lease=self._name, identity=self._identity)
            self.lost.set()

    async def _write(self) -> bool:
        try:
            found = await self._read()
            if found is None:
                await self._create()
                return True
            self._observe(found)
            if not self._may_take(found):
                # Another one leads: whatever we believed, we do not.
                self._forfeit(found)
                return False
            await self._put(self._renewal(found.spec), version=found.metadata.resource_version)
        except (Conflict, NotFound):
            # Somebody was faster. Who it was shows the next read.
            return False
        return True

    def _observe(self, found: _Lease) -> None:
        if self._observed is None or found.spec != self._observed.spec:
            self._observed_at = self._clock()
        self._observed = found

    def _may_take(self, found: _Lease) -> bool:
        holder = found.spec.holder_identity
        if not holder or holder == self._identity:
            return True
        return self._clock() - self._observed_at > (found.spec.lease_duration_seconds or self._times.duration)

    def _forfeit(self, found: _Lease) -> None:
        if self._renewed_at is not None:
            _log.error("lease.taken", lease=self._name, holder=found.spec.holder_identity)
            self.lost.set()

    def _renewal(self, before: _Spec) -> _Spec:
        now = _micro_time()
        is_ours = before.holder_identity == self._identity
        return _Spec(
            holder_identity=self._identity,
            lease_duration_seconds=self._times.duration,
            acquire_time=before.acquire_time if is_ours else now,
            renew_time=now,
            lease_transitions=_transitions(before, is_ours=is_ours),
        )

    async def _read(self) -> _Lease | None:
        try:
            answer = await self._api.request("GET", self._path, timeout_seconds=self._patience)
        except NotFound:
            return None
        return msgspec.json.decode(answer, type=_Lease)

    async def _create(self) -> None:
        body = self._document(self._renewal(_Spec()))
        collection = self._path.rpartition("/")[0]
        answer = await self._api.request("POST", collection, body=body, timeout_seconds=self._patience)
        self._observe(msgspec.json.decode(answer, type=_Lease))

    async def _put(self, spec: _Spec, *, version: str) -> None:
        body = self._document(spec, version=version)
        answer = await self._api.request("PUT", self._path, body=body, timeout_seconds=self._patience)
        self._observe(msgspec.json.decode(answer, type=_Lease))

    def _document(self, spec: _Spec, *, version: str = "") -> bytes:
        metadata = {"name": self._name, "namespace": self._namespace}
        return msgspec.json.encode(
            {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": metadata | ({"resourceVersion": version} if version else {}),
                "spec": spec,
            }
        )

    @property
    def _path(self) -> str:
        namespace, name = quote(self._namespace, safe=""), quote(self._name, safe="")
        return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}"

    @property
    def _patience(self) -> float:
        """Of one request: a silent API server must leave time for a second attempt before the deadline."""
        return self._times.renew_deadline / 3


def _transitions(before: _Spec, *, is_ours: bool) -> int:
    """How often it passed from one holder to another; its first holder is no change."""
    if before.lease_transitions is None:
        return 0
    return before.lease_transitions + (not is_ours)


def _micro_time() -> str:
    """For people; no candidate ever compares it with a clock."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
