"""Claims on the real API server: who is admitted, and what the ledger holds afterwards."""

import asyncio
from dataclasses import replace

import pytest

from cluster.api import KubernetesApi
from cluster.errors import ClusterError
from cluster.ip_addresses import AddressLocks
from cluster.services import read_service
from sharedvip.model import GroupName
from tests.builders import KEY
from tests.cluster.connection import Connection
from tests.webhook.replicas import DEADLINE_SECONDS, Scene, messages, replica, some_address, tell
from tests.webhook.samples import writes
from webhook.answer import Verdict
from webhook.view import Asked

pytestmark = pytest.mark.e2e

ALLOWED = Verdict.ALLOWED
DENIED = Verdict.DENIED


def test_an_update_holds_the_old_and_the_new(connection: Connection) -> None:
    """It may yet be refused by somebody after us; then the old listeners live on."""

    async def story(scene: Scene) -> None:
        old = await scene.settled("web", "80/TCP")
        before = writes("claim")

        answer = await scene.validate(scene.change(old, "443/TCP"))

        assert answer.claimed
        assert writes("claim") > before
        assert await scene.claims() == [("web", "80/TCP"), ("web", "443/TCP")]

    tell(connection, story)


def test_an_address_is_inherited_from_a_peer_that_no_cache_shows_yet(connection: Connection) -> None:
    """Two Services of one manifest arrive within less time than a cache needs."""

    async def story(scene: Scene) -> None:
        address = some_address()
        scene.replicas[0].freeze()
        await scene.settled("first", "80/TCP", loadBalancerIP=address)

        mutated = await scene.replicas[0].admission.mutate(scene.new("second", "443/TCP"))

        assert mutated.inheritance is not None
        assert mutated.inheritance.value == address

    tell(connection, story)


def test_a_terminating_peer_still_holds_its_port(connection: Connection) -> None:
    """It is programmed until it is gone."""

    async def story(scene: Scene) -> None:
        await scene.settled("old", "80/TCP")
        patch = ("patch", "service", "old", "--type=merge", '-p={"metadata":{"finalizers":["example.com/wait"]}}')
        await connection.kubectl_async(*patch)
        await scene.delete("old")

        answer = await scene.validate(scene.new("web", "80/TCP"))

        await connection.kubectl_async("patch", "service", "old", "--type=merge", '-p={"metadata":{"finalizers":null}}')
        assert "80/TCP is already served" in messages(answer)

    tell(connection, story)


def test_a_service_that_is_there_already_is_told_so(connection: Connection) -> None:
    """As the API server itself would, also where only the live look shows it; its claims are not touched."""

    async def story(scene: Scene) -> None:
        late, in_time = scene.replicas
        late.freeze()
        await scene.settled("web", "80/TCP")
        await scene.seen("web", by=1)
        assert in_time.services.get(scene.new("web").candidate.name)

        answers = [await scene.validate(scene.new("web", "80/TCP"), by=number) for number in range(2)]

        assert [answer.verdict for answer in answers] == [Verdict.ALREADY_EXISTS] * 2
        assert await scene.claims() == [("web", "80/TCP")]

    tell(connection, story, replicas=2)


def test_so_is_who_would_make_an_ordinary_service_anew(connection: Connection) -> None:
    """No cache knows that one, and a claim for it would be in the way of the ``kubectl replace`` that comes next."""

    async def story(scene: Scene) -> None:
        old = await scene.stored("web", "80/TCP", key=None, type="ClusterIP")
        async with asyncio.timeout(DEADLINE_SECONDS):
            while await read_service(scene.api, old.name, is_exact=False) is None:
                pass

        answer = await scene.validate(scene.new("web", "80/TCP"))

        assert (answer.verdict, await scene.claims()) == (Verdict.ALREADY_EXISTS, [])
        joined = replace(scene.change(old, "80/TCP").candidate, sharing_key=KEY)
        assert messages(await scene.validate(Asked(joined, old))) == ""

    tell(connection, story)


def test_without_the_api_server_nobody_decides(connection: Connection) -> None:
    """A claim cannot be written, so the answer is an error, which becomes a 503."""

    async def story(scene: Scene) -> None:
        admission = scene.replicas[0].admission
        # Needs nobody to be asked: the type alone is wrong.
        answer = await admission.validate(scene.new("web", type="ClusterIP"))
        assert answer.rules == ("not-load-balancer",)
        with pytest.raises(ClusterError):
            await admission.validate(scene.new("web"))
        with pytest.raises(ClusterError):
            await admission.mutate(scene.new("web"))

    async def whole(api: KubernetesApi) -> None:
        text = connection.cluster.kubeconfig.read_text().replace(connection.cluster.server, "https://127.0.0.1:1")
        nowhere = connection.cluster.directory / f"nowhere-{connection.namespace}.kubeconfig"
        nowhere.write_text(text)
        dead = await KubernetesApi.connect(nowhere, user_agent="sharedvip-test/1")
        try:
            async with replica(api, live=dead) as one:
                await story(Scene(api, connection.namespace, [one]))
        finally:
            await dead.close()

    connection.tell(whole)


def test_a_dry_run_leaves_no_trace(connection: Connection) -> None:
    """Admitted or not: no ledger, no claim, no lock, and what is stale stays."""

    async def story(scene: Scene) -> None:
        address = some_address()
        assert messages(await scene.validate(scene.new("web", dry_run=True, load_balancer_ip=address))) == ""
        assert (await scene.ledger(), await scene.lock_of(address)) == (None, None)

        old = await scene.settled("old", "80/TCP")
        before = await scene.ledger()
        refused = await scene.validate(scene.new("web", "80/TCP", dry_run=True))
        assert refused.rules == ("duplicate-port",)
        assert messages(await scene.validate(scene.change(old, "80/TCP", "443/TCP", dry_run=True))) == ""
        assert await scene.ledger() == before

        await scene.seen("old")
        await scene.delete("old")
        assert messages(await scene.validate(scene.new("web", "80/TCP", dry_run=True))) == ""
        assert await scene.ledger() == before

    tell(connection, story)


def test_an_update_is_not_excused_from_claiming_by_a_late_cache(connection: Connection) -> None:
    """The cache shows a conflict that is over, and not that the Service was accepted: the live look shows both."""

    async def story(scene: Scene) -> None:
        await scene.stored("ghost", "80/TCP")
        await scene.seen("ghost")
        scene.replicas[0].freeze()
        await scene.delete("ghost")
        old = await scene.settled("web", "80/TCP")

        answer = await scene.validate(scene.change(old, "80/TCP", "443/TCP"))

        assert (answer.verdict, bool(answer.claimed)) == (ALLOWED, True)
        assert await scene.claims() == [("web", "80/TCP"), ("web", "443/TCP")]

    tell(connection, story)


def test_a_violation_that_was_there_before_may_stay(connection: Connection) -> None:
    """It came past admission: its update is let through with a warning, and makes no member of it."""

    async def story(scene: Scene) -> None:
        await scene.settled("web", "80/TCP")
        old = await scene.stored("late", "80/TCP")
        await scene.seen("late")

        answer = await scene.validate(scene.change(old, "80/TCP", infra_setting=""))
        more = await scene.validate(scene.change(old, "80/TCP", "443/TCP"))

        assert (answer.verdict, answer.claimed) == (ALLOWED, "")
        assert any("still in conflict" in warning for warning in answer.warnings)
        assert (more.verdict, more.claimed) == (ALLOWED, f"{KEY}: 443/TCP")
        assert any("still in conflict" in warning for warning in more.warnings)
        assert await scene.claims() == [("web", "80/TCP")]

    tell(connection, story)


def test_who_came_past_admission_locks_its_address_when_it_is_admitted(connection: Connection) -> None:
    """Its address is no news, but nobody holds it yet. Where somebody does, it stays as it was, and is no member."""

    async def story(scene: Scene) -> None:
        free, held = some_address(), some_address()
        await AddressLocks(scene.api).take(held, GroupName(scene.namespace, "other"))
        first = await scene.stored("first", "80/TCP", key="a", loadBalancerIP=free)
        second = await scene.stored("second", "80/TCP", key="b", loadBalancerIP=held)

        answers = [await scene.validate(scene.change(old, "80/TCP", "443/TCP")) for old in (first, second)]

        assert [(answer.verdict, answer.claimed) for answer in answers] == [
            (ALLOWED, "a: 80/TCP, 443/TCP"),
            (ALLOWED, "b: 443/TCP"),
        ]
        assert (await scene.lock_of(free), await scene.lock_of(held)) == ("a", "other")
        assert await scene.claims("b") == []

    tell(connection, story)


def test_a_key_can_change_and_the_old_group_keeps_its_claim_until_it_is_seen(connection: Connection) -> None:
    """Evaluated as a new member of where it arrives."""

    async def story(scene: Scene) -> None:
        old = await scene.settled("web", "80/TCP")
        await scene.settled("api", "80/TCP", key="taken")

        moved = await scene.validate(replace(scene.change(old, "80/TCP"), candidate=replace(old, sharing_key="free")))
        refused = await scene.validate(
            replace(scene.change(old, "80/TCP"), candidate=replace(old, sharing_key="taken"))
        )

        assert (moved.verdict, refused.verdict) == (ALLOWED, DENIED)
        assert (await scene.claims(), await scene.claims("free")) == ([("web", "80/TCP")], [("web", "80/TCP")])

    tell(connection, story)


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param('{"spec":{"staticAddress":"192.0.2.1"}}', id="another address for the group"),
        pytest.param(
            '{"spec":{"claims":[{"port":443,"protocol":"TCP","service":"nobody","uid":"u",'
            '"claimedAt":"2020-01-01T00:00:00.000000Z"}]}}',
            id="a claim of nobody instead of the member's",
        ),
    ],
)
def test_a_hand_in_the_ledger_blocks_nobody(connection: Connection, patch: str) -> None:
    """What no member owns is taken back, at the version that the rules have judged; a member's port stays its own."""

    async def story(scene: Scene) -> None:
        await scene.settled("web", "80/TCP")
        await connection.kubectl_async("patch", "sharedvip", KEY, "--type=merge", f"-p={patch}")

        admitted = await scene.validate(scene.new("api", "443/TCP"))
        refused = await scene.validate(scene.new("thief", "80/TCP"))

        ledger = await scene.ledger()
        assert messages(admitted) == ""
        assert "80/TCP is already served" in messages(refused)
        assert ledger is not None
        assert ledger.shared.static_address == ""
        assert ("api", "443/TCP") in await scene.claims()

    tell(connection, story)


def test_a_member_that_is_being_changed_is_named_to_those_who_wait_for_it(connection: Connection) -> None:
    """Its new address is claimed and not stored: nobody joins with the old one, and nobody is told a wrong name."""

    async def story(scene: Scene) -> None:
        before, after = some_address(), some_address()
        old = await scene.settled("web", "80/TCP", loadBalancerIP=before)
        assert (await scene.validate(scene.change(old, "80/TCP", load_balancer_ip=after))).claimed

        answer = await scene.validate(scene.new("api", "443/TCP", load_balancer_ip=before))

        assert messages(answer) == (
            f"metadata.annotations[ako.vmware.com/enable-shared-vip]: Service 'web' is being changed right now on "
            f"shared VIP '{KEY}'; try again in a moment [duplicate-port]"
        )

    tell(connection, story)


def test_who_is_in_a_hurry_waits_less(connection: Connection) -> None:
    """A refusal after the caller's deadline would be none."""

    async def story(scene: Scene) -> None:
        assert (await scene.validate(scene.new("web", "80/TCP"))).claimed
        hurried = replace(scene.new("api", "80/TCP"), patience_seconds=0.05)
        patient = asyncio.create_task(scene.validate(scene.new("late", "80/TCP")))

        answer = await scene.validate(hurried)

        assert "try again" in messages(answer)
        assert not patient.done()
        await patient

    tell(connection, story)
