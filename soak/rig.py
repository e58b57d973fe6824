"""What a guarantee is tried on: control plane, three webhook replicas, the janitor; it judges nothing."""

import asyncio
from collections.abc import Callable
from typing import Final

from cli.demo.install import NAMESPACE
from cli.demo.stage import RECONCILER, Replica, Stage

REPLICAS: Final = 3


class Rig(Stage):
    """The demo's stage with the reconciler in guard mode: Avi has no say in admission, and takes processor time."""

    def __init__(self, *, progress: Callable[[str], None]) -> None:
        """``progress`` gets a line for each thing that takes a while."""
        super().__init__(webhooks=REPLICAS, progress=progress)

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

    async def restart_replica(self, number: int) -> None:
        """SIGKILL to one webhook replica; returns when its successor is ready."""
        await asyncio.to_thread(self._restart_replica, self.replicas[number % len(self.replicas)])

    async def restart_api_server(self, *, kill: bool) -> None:
        """End the API server; returns when its successor is ready."""
        await asyncio.to_thread(self._restart_api_server, kill=kill)

    def _restart_replica(self, replica: Replica) -> None:
        self.stop(replica.name, kill=True)
        self.start_webhook(replica)
        self.wait_ready(replica.name, replica.health_port)

    def _restart_api_server(self, *, kill: bool) -> None:
        self.cluster.restart_apiserver(kill=kill)
        # Without an API server the Lease is lost, and the process ends: here nobody else starts a new one.
        if self._children.wait(RECONCILER, timeout_seconds=0.0) is not None:
            self.stop(RECONCILER, kill=True)
            self.start_reconciler()
