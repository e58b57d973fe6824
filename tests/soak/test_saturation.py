"""Without our FlowSchema our calls queue with everybody's: the twin that shows that the guarantee can be broken."""

import asyncio
import secrets
import time
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
PATIENCE_SECONDS = 120.0
"""Of 27 decisions 16 failed when it was measured, one or more in each of nine rounds: the first is enough as a rule."""


@contextmanager
def no_flow_schema(rig: Rig) -> Generator[None]:
    """As if one file of ``deploy/`` had been forgotten."""
    rig.cluster.run_kubectl("delete", "-f", str(FLOW_SCHEMA))
    try:
        yield
    finally:
        rig.cluster.run_kubectl("apply", "-f", str(FLOW_SCHEMA))


def decisions_failed(result: Result) -> list[str]:
    """Breaches in which the API server could not reach us, or was not answered in time."""
    return [breach for breach in result.breaches if "failed calling webhook" in breach]


@pytest.mark.timeout(300)
def test_without_its_flow_schema_the_guarantee_is_broken(rig: Rig) -> None:
    """Its calls are not in a level of their own, and of its decisions one comes too late or not at all."""
    namespace = f"twin-{secrets.token_hex(2)}"
    rig.cluster.create_namespace(namespace)
    result = Result("saturated-api-server", "the twin")

    async def story() -> None:
        api = await KubernetesApi.connect(rig.cluster.kubeconfig, user_agent="sharedvip-soak")
        until = time.monotonic() + PATIENCE_SECONDS
        try:
            while not decisions_failed(result) and time.monotonic() < until:
                await saturated(rig, Arena(api, namespace), rounds=1, result=result)
        finally:
            await api.close()

    with no_flow_schema(rig):
        asyncio.run(story())

    assert any("calls in our level" in breach for breach in result.breaches)
    assert decisions_failed(result)
    assert result.counts["ordinary requests in queues"] > 0
