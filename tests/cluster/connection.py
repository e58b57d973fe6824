"""How the tests of ``cluster`` reach the real API server; it judges nothing."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from cluster.api import KubernetesApi
from localcluster.cluster import LocalCluster

Told = TypeVar("Told")
Object = dict[str, Any]
"""A Kubernetes object as JSON gives it."""


@dataclass(frozen=True)
class Connection:
    """The cluster with our kind installed, and a namespace of one's own."""

    cluster: LocalCluster
    namespace: str

    def tell(self, story: Callable[[KubernetesApi], Awaitable[Told]]) -> Told:
        """Run a story on a connection of its own."""

        async def whole() -> Told:
            api = await KubernetesApi.connect(self.cluster.kubeconfig, user_agent="sharedvip-test/1")
            try:
                return await story(api)
            finally:
                # A request that was cancelled has its connection closed by a TLS goodbye, which asyncio does not wait
                # for: while this is answered, that is too, and the loop ends without an open socket.
                await api.request("GET", "/readyz")
                await api.close()

        return asyncio.run(whole())

    def kubectl(self, *args: str, input: str | None = None) -> str:  # noqa: A002 - the word of subprocess.run
        """What kubectl prints, in the namespace."""
        return self.cluster.run_kubectl(*args, f"--namespace={self.namespace}", input=input).stdout

    async def kubectl_async(self, *args: str) -> str:
        """The same in the middle of a story."""
        return await asyncio.to_thread(self.kubectl, *args)

    def refusal(self, *args: str, input: str | None = None) -> str:  # noqa: A002 - likewise
        """What kubectl prints when the API server says no; "" when it does not."""
        done = self.cluster.run_kubectl(*args, f"--namespace={self.namespace}", input=input, check=False)
        return done.stderr if done.returncode else ""

    def get(self, *args: str) -> Object:
        """An object, or a list of them, with managed fields."""
        return json.loads(self.kubectl("get", *args, "--output=json", "--show-managed-fields"))
