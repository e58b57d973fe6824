"""Without our FlowSchema our calls queue with everybody's: the twin that shows that the guarantee can be broken."""

import asyncio
import secrets
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from cli.demo.install import DEPLOY
from cluster.api import KubernetesApi
from soak.arena import Arena
from soak.result import Result
from soak.rig import Rig
from soak.saturation import saturated

pytestmark = pytest.mark.e2e

FLOW_SCHEMA = DEPLOY / "31-flowschema.yaml"


@contextmanager
def no_flow_schema(rig: Rig) -> Generator[None]:
    """As if one file of ``deploy/`` had been forgotten."""
    rig.cluster.run_kubectl("delete", "-f", str(FLOW_SCHEMA))
    try:
        yield
    finally:
        rig.cluster.run_kubectl("apply", "-f", str(FLOW_SCHEMA))


@pytest.mark.timeout(300)
def test_without_its_flow_schema_the_guarantee_is_broken(rig: Rig) -> None:
    """Its calls are not in a level of their own, and its decisions come too late or not at all."""
    namespace = f"twin-{secrets.token_hex(2)}"
    rig.cluster.create_namespace(namespace)
    result = Result("saturated-api-server", "the twin")

    async def story() -> None:
        api = await KubernetesApi.connect(rig.cluster.kubeconfig, user_agent="sharedvip-soak")
        try:
            await saturated(rig, Arena(api, namespace), rounds=1, result=result)
        finally:
            await api.close()

    with no_flow_schema(rig):
        asyncio.run(story())

    assert any("calls in our level" in breach for breach in result.breaches)
    assert result.counts["ordinary requests in queues"] > 0
