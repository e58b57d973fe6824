"""What every end-to-end test ends with: ``sharedvip audit --ledger`` finds nothing."""

import asyncio

from cli.audit import Report, audit, read_world
from cli.demo.stage import Stage
from cluster.api import KubernetesApi
from localcluster.waiting import DeadlinePassed, wait_until
from sharedvip.audit import StoredWorld
from sharedvip.ledger import GRACE

_PATIENCE_SECONDS = 30.0
"""The janitor is quick, the machine may not be."""
_FORGET_SECONDS = GRACE.total_seconds() + 30.0
"""Who was admitted and never stored leaves a claim for the grace; where nobody was, nobody waits."""


def holds(stage: Stage, *, namespace: str = "") -> None:
    """Nothing stored breaks a rule, every member is in its ledger, and every lock is its group's.

    A claim without its Service is one only when it is older than the grace (65 s): a test is not that old as a rule,
    and ``nothing_is_left`` looks at the end of them all.
    """
    report = asyncio.run(_report(stage, namespace))
    assert report.findings == (), "\n".join(map(str, report.findings))


def nothing_is_left(stage: Stage) -> None:
    """All tests have deleted their Services: no ledger, no claim and no lock outlives them, whatever was killed."""
    holds(stage)
    try:
        wait_until(
            lambda: _left(asyncio.run(_world(stage))) == (),
            what="no SharedVIP and no IPAddress of ours is left",
            deadline_seconds=_FORGET_SECONDS,
        )
    except DeadlinePassed as error:
        left = _left(asyncio.run(_world(stage)))
        raise AssertionError(f"{error}: {left}") from error


def _left(world: StoredWorld) -> tuple[object, ...]:
    return (*world.ledgers, *world.locks)


async def _report(stage: Stage, namespace: str) -> Report:
    api = await KubernetesApi.connect(stage.cluster.kubeconfig, user_agent="sharedvip-test/1")
    try:
        return await audit(api, namespace=namespace, with_ledger=True, patience_seconds=_PATIENCE_SECONDS)
    finally:
        await api.close()


async def _world(stage: Stage) -> StoredWorld:
    api = await KubernetesApi.connect(stage.cluster.kubeconfig, user_agent="sharedvip-test/1")
    try:
        return await read_world(api)
    finally:
        await api.close()
