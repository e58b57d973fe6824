"""The short form of ``make soak``: every guarantee, tried as there, on the same parts, a few rounds each."""

import asyncio
from typing import Final

import pytest

from cluster.api import KubernetesApi
from soak.guarantees import GUARANTEES, Guarantee
from soak.rig import Rig

pytestmark = pytest.mark.e2e

ROUNDS: Final = 16
"""Twice each of the races in a storm; ten Services each in ``living-cluster``. Nobody waits for a grace."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("guarantee", [pytest.param(one, id=one.name) for one in GUARANTEES])
def test_a_guarantee_is_kept(rig: Rig, guarantee: Guarantee) -> None:
    """The judge is the stored world, afterwards with ``sharedvip audit --ledger`` over the whole cluster."""

    async def kept() -> str:
        api = await KubernetesApi.connect(rig.cluster.kubeconfig, user_agent="sharedvip-soak")
        try:
            result = await guarantee.keep(rig, api, rounds=ROUNDS)
        finally:
            await api.close()
        return "" if result.is_kept else str(result)

    assert asyncio.run(kept()) == ""
