"""What a guarantee is tried on: control plane, three webhook replicas, the janitor; it judges nothing."""

import asyncio
import threading
import urllib.request
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Final, Self

from cli.demo.install import NAMESPACE
from cli.demo.stage import RECONCILER, Replica, Stage
from localcluster.ports import LOOPBACK

REPLICAS: Final = 3
_DECIDED: Final = "sharedvip_admission_requests_total{"
_LEADS: Final = "sharedvip_reconciler_leader 1"
_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
LOOK_SECONDS: Final = 0.5
"""How often the rig looks whether the janitor has ended, or leads."""
LEADS_SECONDS: Final = 120.0
"""A Lease of 15 s, and a read of everything by a process that has just begun, while all writers write."""


class Rig(Stage):
    """The demo's stage with the reconciler in guard mode: Avi has no say in admission, and takes processor time."""

    def __init__(self, *, progress: Callable[[str], None]) -> None:
        """``progress`` gets a line for each thing that takes a while."""
        super().__init__(webhooks=REPLICAS, progress=progress)
        self._turn = threading.RLock()
        self._ending = threading.Event()
        self._kubelet = threading.Thread(target=self._tend, name="kubelet")

    def __enter__(self) -> Self:
        """Start everything, or nothing; from here on a janitor that ends by itself is followed by another."""
        super().__enter__()
        self._kubelet.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End everything."""
        self._ending.set()
        self._kubelet.join()
        super().__exit__(kind, error, traceback)

    def stop(self, name: str, *, kill: bool = False) -> None:
        """End one of our processes, by SIGTERM or SIGKILL, until somebody starts it again."""
        with self._turn:
            super().stop(name, kill=kill)

    def start_reconciler(self) -> None:
        """Start the janitor, without waiting for it."""
        self._start_program(
            RECONCILER,
            "reconciler",
            "--mode=guard",
            "--cluster-name=soak",
            f"--health-port={self.reconciler_health_port}",
            f"--kubeconfig={self.cluster.service_account_kubeconfig(NAMESPACE, 'sharedvip-reconciler')}",
        )

    async def decided(self) -> tuple[float, ...]:
        """How many requests each webhook replica has decided since it was started, by its own count."""
        return tuple(await asyncio.gather(*(asyncio.to_thread(_decided, one) for one in self.replicas)))

    async def restart_replica(self, number: int) -> None:
        """SIGKILL to one webhook replica; returns when its successor is ready."""
        await _to_its_end(self._restart_replica, self.replicas[number % len(self.replicas)])

    async def restart_janitor(self) -> None:
        """SIGKILL to the janitor: its successor begins when the Lease has run out."""
        await _to_its_end(self._restart_janitor)

    async def janitor_leads(self) -> None:
        """Wait until it does, as one that could not renew its Lease is another process, and waits for that to run out.

        Raises:
            TimeoutError: It does not for ``LEADS_SECONDS``.
        """
        async with asyncio.timeout(LEADS_SECONDS):
            while not await self.is_led():  # noqa: ASYNC110 - another process tells nobody
                await asyncio.sleep(LOOK_SECONDS)

    async def is_led(self) -> bool:
        """Whether a janitor leads just now."""
        return await asyncio.to_thread(self._leads)

    def _leads(self) -> bool:
        try:
            return any(line.startswith(_LEADS) for line in _metrics(self.reconciler_health_port))
        except OSError:
            return False  # it has ended, or has just begun

    async def restart_api_server(self, *, kill: bool) -> None:
        """End the API server; returns when its successor is ready."""
        await _to_its_end(partial(self.cluster.restart_apiserver, kill=kill))

    def _restart_replica(self, replica: Replica) -> None:
        self.stop(replica.name, kill=True)
        self.start_webhook(replica)
        self.wait_ready(replica.name, replica.health_port)

    def _restart_janitor(self) -> None:
        with self._turn:
            self.stop(RECONCILER, kill=True)
            self.start_reconciler()

    def _tend(self) -> None:
        """As the kubelet does: a janitor that could not renew its Lease ends, and its successor begins anew."""
        while not self._ending.wait(LOOK_SECONDS):
            with self._turn:
                if (
                    RECONCILER in self._children.pids
                    and self._children.wait(RECONCILER, timeout_seconds=0.0) is not None
                ):
                    self.stop(RECONCILER, kill=True)
                    self.start_reconciler()


def _decided(replica: Replica) -> float:
    return sum(float(line.rpartition(" ")[2]) for line in _metrics(replica.health_port) if line.startswith(_DECIDED))


def _metrics(health_port: int) -> list[str]:
    with _DIRECT.open(f"http://{LOOPBACK}:{health_port}/metrics", timeout=30) as reply:
        return reply.read().decode().splitlines()


async def _to_its_end(work: Callable[..., object], *words: object) -> None:
    """In a thread, also when nobody wants it any more: a storm that is over must not strike the next guarantee."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *words))
    try:
        await asyncio.shield(task)
    finally:
        await asyncio.wait({task})
        task.result()
