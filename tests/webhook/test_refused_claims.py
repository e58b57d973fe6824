"""Claims that a ledger does not take, on the real API server: what is counted, and what is said."""

import asyncio

import pytest

from tests.builders import KEY
from tests.cluster.connection import Connection
from tests.webhook.replicas import Scene, messages, tell
from tests.webhook.samples import sample

pytestmark = pytest.mark.e2e


def conflicts(reason: str) -> float:
    """Claims that the API server refused."""
    return sample("sharedvip_ledger_conflicts_total", reason=reason)


def test_a_claim_that_the_ledger_refuses_is_counted(connection: Connection) -> None:
    """By a reason of its own: another has the port, or another update was written since the ledger was read."""

    async def story(scene: Scene) -> None:
        late = scene.replicas[0]
        old = await scene.settled("web", "80/TCP")
        await scene.seen("web")
        await scene.until(lambda: late.ledgers.get(scene.group()) is not None)
        late.freeze()
        await scene.settled("api", "443/TCP")
        taken, stale = conflicts("ClaimRefused"), conflicts("StaleLedger")

        refused = await scene.validate(scene.new("new", "443/TCP"))
        changed = await scene.validate(scene.change(old, "80/TCP", "8080/TCP"))

        assert (refused.rules, messages(changed)) == (("duplicate-port",), "")
        assert (conflicts("ClaimRefused"), conflicts("StaleLedger")) == (taken + 1, stale + 1)

    tell(connection, story)


def test_a_value_that_no_ledger_can_hold_is_refused(connection: Connection) -> None:
    """Trying again would not help, so it is no 503."""

    async def story(scene: Scene) -> None:
        answer = await scene.validate(scene.new("web", infra_setting="x" * 254, l4_rule="y" * 300))

        assert answer.rules == ("infra-mismatch",)
        assert {denial.field for denial in answer.denials} == {
            "metadata.annotations[aviinfrasetting.ako.vmware.com/name]",
            "metadata.annotations[ako.vmware.com/l4rule]",
        }
        assert f"cannot be recorded for shared VIP '{KEY}'" in messages(answer)

    tell(connection, story)


def test_a_ledger_that_is_being_deleted_takes_nobody(connection: Connection) -> None:
    """What is claimed in it goes with it; soon there can be a new one."""

    async def story(scene: Scene) -> None:
        await scene.settled("web", "80/TCP")
        finalizer = ("patch", "sharedvip", KEY, "--type=merge")
        await connection.kubectl_async(*finalizer, '-p={"metadata":{"finalizers":["sharedvip.dev/avi"]}}')
        await connection.kubectl_async("delete", "sharedvip", KEY, "--wait=false")

        refused = await scene.validate(scene.new("api", "443/TCP"))
        waiting = asyncio.create_task(scene.validate(scene.new("api", "444/TCP")))
        await connection.kubectl_async(*finalizer, '-p={"metadata":{"finalizers":null}}')
        admitted = await waiting

        assert "is being deleted; try again in a moment" in messages(refused)
        assert messages(admitted) == ""
        assert await scene.claims() == [("api", "444/TCP")]

    tell(connection, story)
