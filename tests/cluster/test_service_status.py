"""A Service's status on the real API server: ours is written, nobody else's is."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cluster.api import KubernetesApi
from cluster.field_conflicts import FieldConflict
from cluster.service_status import publish, withdraw
from sharedvip.model import ServiceView
from tests.builders import service, service_object
from tests.cluster.connection import Connection
from tests.cluster.ledgers import NOW

pytestmark = pytest.mark.e2e


class NotLeadingError(Exception):
    """Another does."""


def create(connection: Connection, name: str = "web") -> ServiceView:
    """A Service, with the uid that it got."""
    connection.kubectl("create", "--filename=-", input=json.dumps(service_object(name, namespace=connection.namespace)))
    uid = connection.get("service", name)["metadata"]["uid"]
    return service(name, namespace=connection.namespace, uid=uid)


def status(connection: Connection, name: str = "web") -> dict[str, Any]:
    """As it is stored."""
    return connection.get("service", name)["status"]


async def say(
    api: KubernetesApi, of: ServiceView, *, vip: str = "10.0.0.1", ready: bool = True, hours: int = 0
) -> tuple[FieldConflict, ...]:
    """Publish what these tests do not vary."""
    reason = "Programmed" if ready else "Conflict"
    now = NOW + timedelta(hours=hours)
    return await publish(api, of, vip=vip, ready=ready, reason=reason, message="80/TCP", now=now)


def test_the_vip_and_the_condition_are_published_and_withdrawn(connection: Connection) -> None:
    """All of it, and nothing is left but what was there before."""
    web = create(connection)
    before = status(connection)

    async def story(api: KubernetesApi) -> None:
        assert await say(api, web) == ()
        said = status(connection)
        assert said["loadBalancer"]["ingress"] == [{"ip": "10.0.0.1", "ipMode": "VIP"}]
        assert [c | {"observedGeneration": 0} for c in said["conditions"]] == [
            {
                "type": "sharedvip.dev/Ready",
                "status": "True",
                "reason": "Programmed",
                "message": "80/TCP",
                "lastTransitionTime": "2026-01-02T03:04:05Z",
                "observedGeneration": 0,
            }
        ]
        await withdraw(api, web)
        assert status(connection) == before

    connection.tell(story)


def test_both_addresses_and_the_host_name_are_published(connection: Connection) -> None:
    """A dual-stack VIP has two entries, each with the name; without a name there is none left."""
    web = create(connection)

    async def story(api: KubernetesApi) -> None:
        name = "web.default.avi.internal"
        await publish(
            api,
            web,
            vip="10.0.0.1",
            ready=True,
            reason="Programmed",
            message="80/TCP",
            now=NOW,
            hostname=name,
            further_vips=("2001:db8::1",),
        )
        assert status(connection)["loadBalancer"]["ingress"] == [
            {"ip": "10.0.0.1", "ipMode": "VIP", "hostname": name},
            {"ip": "2001:db8::1", "ipMode": "VIP", "hostname": name},
        ]
        await say(api, web)
        assert status(connection)["loadBalancer"]["ingress"] == [{"ip": "10.0.0.1", "ipMode": "VIP"}]

    connection.tell(story)


def test_the_condition_keeps_its_time_while_its_status_is_the_same(connection: Connection) -> None:
    """And what is said again unchanged is not stored again."""
    web = create(connection)

    def since() -> str:
        return status(connection)["conditions"][0]["lastTransitionTime"]

    async def story(api: KubernetesApi) -> None:
        await say(api, web)
        version = connection.get("service", "web")["metadata"]["resourceVersion"]
        await say(api, web, hours=1)
        assert connection.get("service", "web")["metadata"]["resourceVersion"] == version
        await say(api, web, vip="10.0.0.2", hours=1)
        assert since() == "2026-01-02T03:04:05Z"
        await say(api, web, ready=False, hours=2)
        assert since() == "2026-01-02T05:04:05Z"

    connection.tell(story)


def test_without_a_vip_our_address_goes(connection: Connection) -> None:
    """The condition tells why."""
    web = create(connection)

    async def story(api: KubernetesApi) -> None:
        await say(api, web)
        await say(api, web, vip="", ready=False)
        assert status(connection)["loadBalancer"] == {}
        assert status(connection)["conditions"][0]["status"] == "False"

    connection.tell(story)


def test_an_address_of_another_manager_stays(connection: Connection) -> None:
    """AKO, say, still serves it: our condition is written, its address is neither replaced nor withdrawn."""
    web = create(connection)
    theirs = {"ingress": [{"ip": "10.9.9.9", "ipMode": "VIP"}]}
    patch = '{"status": {"loadBalancer": {"ingress": [{"ip": "10.9.9.9"}]}}}'
    connection.kubectl("patch", "service", "web", "--subresource=status", f"--patch={patch}", "--field-manager=ako")

    async def story(api: KubernetesApi) -> None:
        assert await say(api, web) == (FieldConflict(".status.loadBalancer.ingress", "ako"),)
        assert status(connection)["loadBalancer"] == theirs
        (said,) = status(connection)["conditions"]
        assert (said["type"], said["status"], said["reason"]) == ("sharedvip.dev/Ready", "False", "StatusOwnedByOther")
        assert "served on 10.0.0.1, but status.loadBalancer belongs to 'ako'" in said["message"]
        await withdraw(api, web)
        assert status(connection) == {"loadBalancer": theirs}

    connection.tell(story)


@pytest.mark.parametrize("allowed", [0, 1])
def test_a_leader_that_was_deposed_says_nothing_more(connection: Connection, *, allowed: int) -> None:
    """Each write is asked for: between two of them a new leader may have said what is true now."""
    web = create(connection)
    patch = '{"status": {"loadBalancer": {"ingress": [{"ip": "10.9.9.9"}]}}}'
    connection.kubectl("patch", "service", "web", "--subresource=status", f"--patch={patch}", "--field-manager=ako")
    before, asked = connection.get("service", "web"), list[str]()

    def may_write() -> None:
        if len(asked) >= allowed:
            raise NotLeadingError
        asked.append("write")

    async def story(api: KubernetesApi) -> None:
        with pytest.raises(NotLeadingError):
            await publish(api, web, vip="10.0.0.1", ready=True, reason="R", message="", now=NOW, may_write=may_write)
        assert connection.get("service", "web") == before

    connection.tell(story)


def test_conditions_of_others_stay(connection: Connection) -> None:
    """Each has its own entry."""
    web = create(connection)
    theirs = {
        "type": "example.com/Theirs",
        "status": "True",
        "reason": "R",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    patch = json.dumps({"status": {"conditions": [theirs]}})
    connection.kubectl("patch", "service", "web", "--subresource=status", f"--patch={patch}")

    async def story(api: KubernetesApi) -> None:
        await say(api, web)
        assert [c["type"] for c in status(connection)["conditions"]] == ["example.com/Theirs", "sharedvip.dev/Ready"]
        await withdraw(api, web)
        assert status(connection)["conditions"] == [theirs]

    connection.tell(story)


def test_a_service_that_is_gone_or_made_anew_is_left_alone(connection: Connection) -> None:
    """What we would say is about another one."""
    web = create(connection)
    gone = replace(web, name=web.name._replace(name="gone"))
    earlier = replace(web, uid="11111111-1111-1111-1111-111111111111")
    before = connection.get("service", "web")

    async def story(api: KubernetesApi) -> None:
        for one in (gone, earlier):
            assert await say(api, one) == ()
            await withdraw(api, one)
        assert connection.get("service", "web") == before

    connection.tell(story)
