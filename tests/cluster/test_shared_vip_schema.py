"""The schema of ``SharedVIP`` is the law: what it refuses, and what users see of it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import yaml

from cluster.api import KubernetesApi
from cluster.metrics import REQUESTS
from cluster.shared_vip_documents import ListenerStatus, SharedVipStatus
from cluster.shared_vips import ClaimRefused, SharedVipStore
from localcluster.cluster import LocalCluster
from tests.builders import KEY, listener
from tests.cluster.connection import Connection
from tests.cluster.ledgers import NOW, SOME_ADDRESS, Claimant, group_in, member

pytestmark = pytest.mark.e2e

CLAIM: dict[str, Any] = {
    "port": 80,
    "protocol": "TCP",
    "service": "web",
    "uid": "1",
    "claimedAt": "2026-01-01T00:00:00.000000Z",
}
STATUS = SharedVipStatus(
    is_ready=True,
    reason="Programmed",
    message="80/TCP, 81/UDP served on 10.0.0.1",
    vip="10.0.0.1",
    virtual_service="virtualservice-1",
    services=("api", "web"),
    listeners=(ListenerStatus(listener("80/TCP"), "web", 2, 1), ListenerStatus(listener("81/UDP"), "api", 0, 0)),
)


def document(*, name: str = "web", key: str | None = "web", **spec: object) -> str:
    """A ``SharedVIP`` as a hand would write it."""
    fields = {"key": key, **spec} if key is not None else spec
    kind = {"apiVersion": "sharedvip.dev/v1alpha1", "kind": "SharedVIP"}
    return yaml.safe_dump({**kind, "metadata": {"name": name}, "spec": fields})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        pytest.param(document(key=None), "spec.key: Required", id="no key"),
        pytest.param(document(key="-web", name="web.0123456789abcdef"), "spec.key", id="a key that is no label value"),
        pytest.param(document(name="api"), "metadata.name must be the one", id="another group's name"),
        pytest.param(document(name="web.0123456789abcdef"), "metadata.name must be", id="a hash for a readable key"),
        pytest.param(document(key="Web"), "metadata.name must be the one", id="a readable name for another key"),
        pytest.param(document(staticAddress="10.0.0.01"), "canonical", id="leading zeros"),
        pytest.param(document(staticAddress="2001:DB8::1"), "canonical", id="an IPv6 address in capitals"),
        pytest.param(document(staticAddress="none"), "canonical", id="no address"),
        pytest.param(document(intendedAddress="10.0.0.01"), "canonical", id="an intended one with leading zeros"),
        pytest.param(
            document(claims=[CLAIM | {"heading": {"address": "10.0.0.1"}}]), "since", id="a heading without a time"
        ),
        pytest.param(document(claims=[CLAIM, CLAIM | {"service": "api"}]), "Duplicate", id="one listener, two holders"),
        pytest.param(document(claims=[CLAIM | {"port": 0}]), "port", id="port 0"),
        pytest.param(document(claims=[CLAIM | {"port": 65536}]), "port", id="port 65536"),
        pytest.param(document(claims=[CLAIM | {"protocol": "tcp"}]), "protocol", id="a protocol in small letters"),
        pytest.param(document(claims=[CLAIM | {"uid": ""}]), "uid", id="a claim without a uid"),
        pytest.param(
            document(claims=[CLAIM | {"claimedAt": "2026-01-01T00:00:00Z"}]), "claimedAt", id="a time of whole seconds"
        ),
        pytest.param(
            document(claims=[CLAIM | {"claimedAt": "2026-02-30T00:00:00.000000Z"}]), "claimedAt", id="no such day"
        ),
    ],
)
def test_a_ledger_that_must_not_be_cannot_be(sharedvips: LocalCluster, given: str, words: str) -> None:
    """Not even by hand, so that who reads it need not check."""
    refusal = Connection(sharedvips, "default").refusal("create", "--filename=-", input=given)

    assert words in refusal


def test_a_ledger_as_it_must_be_can_be(connection: Connection) -> None:
    """The twin of the refusals above: the same document without their faults."""
    connection.kubectl("create", "--filename=-", input=document(staticAddress="2001:db8::1", claims=[CLAIM]))

    assert connection.get("sharedvip", "web")["spec"]["claims"] == [CLAIM]


def test_the_key_never_changes(connection: Connection) -> None:
    """The name was derived from it."""
    connection.kubectl("create", "--filename=-", input=document())
    patch = '{"spec": {"key": "api"}}'

    assert "spec.key may not change" in connection.refusal("patch", "svip", "web", "--type=merge", f"--patch={patch}")


def columns(connection: Connection) -> list[list[str]]:
    """What ``kubectl get svip`` prints, without the age."""
    return [line.split()[:-1] for line in connection.kubectl("get", "svip").splitlines()]


def test_what_kubectl_get_shows(connection: Connection) -> None:
    """The key at once, the rest when the reconciler has been there."""

    async def story(api: KubernetesApi) -> None:
        group = Claimant(SharedVipStore(api), group_in(connection.namespace))
        await group.claim(member("web"), "80/TCP", shared=SOME_ADDRESS)
        heading = ["NAME", "KEY", "VIP", "SERVICES", "LISTENERS", "READY"]
        assert columns(connection) == [heading, [KEY, KEY]]
        await group.store.report(group.group, STATUS, now=NOW)

        assert columns(connection) == [heading, [KEY, KEY, "10.0.0.1", "api,web", "80/TCP,81/UDP", "True"]]
        assert (await group.read()).vip == "10.0.0.1"

    connection.tell(story)


def test_the_condition_keeps_its_time_while_its_status_is_the_same(connection: Connection) -> None:
    """And nothing of an older report stays; a claim is none of its business."""
    broken = SharedVipStatus(is_ready=False, reason="ControllerUnreachable", message="x" * 40_000)

    def condition() -> dict[str, Any]:
        return connection.get("sharedvip", KEY)["status"]["conditions"][0]

    async def story(api: KubernetesApi) -> None:
        group = Claimant(SharedVipStore(api), group_in(connection.namespace))
        await group.claim(member("web"), "80/TCP")
        await group.store.report(group.group, STATUS, now=NOW)
        await group.store.report(group.group, STATUS, now=NOW + timedelta(hours=1))
        assert condition()["lastTransitionTime"] == "2026-01-02T03:04:05Z"
        await group.store.report(group.group, broken, now=NOW + timedelta(hours=2))
        assert condition()["lastTransitionTime"] == "2026-01-02T05:04:05Z"
        assert condition()["observedGeneration"] == 1

        assert "listeners" not in connection.get("sharedvip", KEY)["status"]
        assert (await group.read()).members == (member("web"),)

    connection.tell(story)


def _patches() -> float:
    """Requests of this process that patched something."""
    samples = [sample for metric in REQUESTS.collect() for sample in metric.samples]
    return sum(each.value for each in samples if each.name.endswith("_total") and each.labels["method"] == "PATCH")


@pytest.mark.parametrize("said", [STATUS, replace(STATUS, listeners=(), vip="")], ids=["served", "with nothing"])
def test_what_is_reported_already_is_not_written_again(connection: Connection, said: SharedVipStatus) -> None:
    """By whomever: a new leader remembers nothing. A hand's edit is undone."""

    async def story(api: KubernetesApi) -> None:
        group = Claimant(SharedVipStore(api), group_in(connection.namespace))
        await group.claim(member("web"), "80/TCP")
        await group.store.report(group.group, said, now=NOW)
        before = _patches()
        await SharedVipStore(api).report(group.group, said, now=NOW + timedelta(hours=1))
        assert _patches() == before
        edit = '--patch={"status": {"virtualService": "another"}}'
        await connection.kubectl_async("patch", "sharedvip", KEY, "--subresource=status", "--type=merge", edit)
        await group.store.report(group.group, said, now=NOW)
        assert _patches() == before + 1
        assert connection.get("sharedvip", KEY)["status"]["virtualService"] == said.virtual_service

    connection.tell(story)


def test_a_report_on_a_group_that_is_gone_is_nothing(connection: Connection) -> None:
    """And makes no group."""

    async def story(api: KubernetesApi) -> None:
        store = SharedVipStore(api)
        await store.report(group_in(connection.namespace), STATUS, now=NOW)

        assert await store.read(group_in(connection.namespace)) is None

    connection.tell(story)


def test_what_others_write_meanwhile_is_judged_anew(connection: Connection) -> None:
    """A report is of the version that was read; who may write no more writes nothing."""

    class NoLeader(Exception):  # noqa: N818 - a word of this test
        """Somebody else leads by now."""

    async def story(api: KubernetesApi) -> None:
        group = Claimant(SharedVipStore(api), group_in(connection.namespace))
        await group.claim(member("web"), "80/TCP")
        asked: list[str] = []

        def others_write() -> None:
            asked.append("may I?")
            if len(asked) == 1:
                edit = '--patch={"status": {"virtualService": "another"}}'
                connection.kubectl("patch", "sharedvip", KEY, "--subresource=status", "--type=merge", edit)

        await group.store.report(group.group, STATUS, now=NOW, may_write=others_write)
        assert len(asked) == 2
        assert connection.get("sharedvip", KEY)["status"]["virtualService"] == STATUS.virtual_service

        def is_over() -> None:
            raise NoLeader

        with pytest.raises(NoLeader):
            await group.store.report(group.group, replace(STATUS, vip=""), now=NOW, may_write=is_over)
        assert (await group.read()).vip == STATUS.vip

    connection.tell(story)


def test_a_claim_keeps_an_owner_where_a_hand_has_emptied_who_owns_what(connection: Connection) -> None:
    """Metadata is everybody's. A status that is applied first would leave the spec to whoever comes."""

    async def story(api: KubernetesApi) -> None:
        group = Claimant(SharedVipStore(api), group_in(connection.namespace))
        await group.claim(member("web"), "80/TCP")
        edit = '--patch={"metadata": {"managedFields": [{}]}}'
        await connection.kubectl_async("patch", "sharedvip", KEY, "--type=merge", edit)
        await group.store.report(group.group, STATUS, now=NOW)
        assert (await group.read()).vip == STATUS.vip

        with pytest.raises(ClaimRefused):
            await group.claim(member("late"), "80/TCP")
        assert (await group.read()).members == (member("web"),)

    connection.tell(story)
