"""Claims on the real API server: who is admitted, and what the ledger holds afterwards, whatever happens at once."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cluster.api import KubernetesApi
from cluster.errors import ClusterError
from cluster.ip_addresses import AddressLocks
from sharedvip.ledger import GRACE, grow, member_of
from sharedvip.model import AddressHolder, GroupName
from sharedvip.parse import shared_values
from tests.builders import KEY, listeners
from tests.cluster.connection import Connection
from tests.webhook.replicas import Scene, messages, now, replica, some_address, tell
from tests.webhook.samples import sample
from webhook import metrics
from webhook.answer import Verdict

pytestmark = pytest.mark.e2e

WRITERS = 16
ALLOWED = Verdict.ALLOWED
DENIED = Verdict.DENIED


def writes(purpose: str) -> float:
    """To the ledger, by admission."""
    return sample("sharedvip_ledger_writes_total", purpose=purpose)


def conflicts(reason: str) -> float:
    """Claims that the API server refused."""
    return sample("sharedvip_ledger_conflicts_total", reason=reason)


def test_of_sixteen_who_want_one_port_exactly_one_gets_it(connection: Connection) -> None:
    """On two replicas at once; the others are told that it is being created right now."""

    async def story(scene: Scene) -> None:
        answers = await scene.race(*(scene.new(f"web-{number}", "80/TCP") for number in range(WRITERS)))

        verdicts = [answer.verdict for answer in answers]
        assert verdicts.count(ALLOWED) == 1
        winner = f"web-{verdicts.index(ALLOWED)}"
        assert await scene.claims() == [(winner, "80/TCP")]
        said = (
            f"spec.ports[0]: 80/TCP is being claimed on shared VIP '{KEY}' by Service '{winner}', which is being "
            "created right now; try again in a moment, or choose another port [duplicate-port]"
        )
        assert {messages(answer) for answer in answers if answer.denials} == {said}

    tell(connection, story, replicas=2)


def test_of_sixteen_who_want_different_addresses_exactly_one_gets_its(connection: Connection) -> None:
    """One group has one address."""

    async def story(scene: Scene) -> None:
        addresses = [some_address() for _ in range(WRITERS)]
        answers = await scene.race(
            *(scene.new(f"web-{n}", f"{80 + n}/TCP", load_balancer_ip=addresses[n]) for n in range(WRITERS))
        )

        verdicts = [answer.verdict for answer in answers]
        assert verdicts.count(ALLOWED) == 1
        winner = verdicts.index(ALLOWED)
        assert await scene.claims() == [(f"web-{winner}", f"{80 + winner}/TCP")]
        assert [await scene.lock_of(address) for address in addresses].count(KEY) == 1
        assert await scene.lock_of(addresses[winner]) == KEY

    tell(connection, story, replicas=2)


def test_of_sixteen_groups_that_want_one_address_exactly_one_gets_it(connection: Connection) -> None:
    """And what the losers claimed before they met the lock is given back."""

    async def story(scene: Scene) -> None:
        address, keys = some_address(), [f"key-{number}" for number in range(WRITERS)]
        answers = await scene.race(*(scene.new(f"web-{key}", key=key, load_balancer_ip=address) for key in keys))

        verdicts = [answer.verdict for answer in answers]
        assert verdicts.count(ALLOWED) == 1
        winner = keys[verdicts.index(ALLOWED)]
        assert await scene.lock_of(address) == winner
        assert [key for key in keys if await scene.claims(key)] == [winner]
        assert all("[static-address-taken]" in messages(answer) for answer in answers if answer.denials)

    tell(connection, story, replicas=2)


def test_all_who_want_different_ports_get_them(connection: Connection) -> None:
    """Nobody is refused because others write too."""

    async def story(scene: Scene) -> None:
        answers = await scene.race(*(scene.new(f"web-{n}", f"{80 + n}/TCP") for n in range(WRITERS)))

        assert [messages(answer) for answer in answers] == [""] * WRITERS
        assert await scene.claims() == [(f"web-{n}", f"{80 + n}/TCP") for n in range(WRITERS)]

    tell(connection, story, replicas=2)


def test_of_an_update_and_a_create_that_want_one_port_exactly_one_gets_it(connection: Connection) -> None:
    """An update is a claim like any other."""

    async def story(scene: Scene) -> None:
        old = await scene.settled("web", "80/TCP")
        changes = [scene.change(old, "80/TCP", "443/TCP"), *(scene.new(f"api-{n}", "443/TCP") for n in range(3))]

        answers = await scene.race(*changes)

        assert [answer.verdict for answer in answers].count(ALLOWED) == 1
        assert [listener for _, listener in await scene.claims()] == ["80/TCP", "443/TCP"]

    tell(connection, story, replicas=2)


def test_two_updates_of_one_service_lose_none_of_their_claims(connection: Connection) -> None:
    """Each applies old and new, with the version it read; who read too early reads again."""

    async def story(scene: Scene) -> None:
        old = await scene.settled("web", "80/TCP")

        answers = await scene.race(*(scene.change(old, "80/TCP", f"{1000 + n}/TCP") for n in range(8)))

        assert [messages(answer) for answer in answers] == [""] * 8
        assert {port for _, port in await scene.claims()} == {"80/TCP", *(f"{1000 + n}/TCP" for n in range(8))}

    tell(connection, story, replicas=2)


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


def test_a_port_is_free_as_soon_as_its_service_is_gone(connection: Connection) -> None:
    """Admission releases the stale claims itself, of all members that went; it waits for no janitor."""

    async def story(scene: Scene) -> None:
        names = ("one", "two", "three")
        for number, name in enumerate(names):
            await scene.settled(name, f"{80 + number}/TCP")
            await scene.seen(name)
        for name in names:
            await scene.delete(name)
        before = writes("release")

        answer = await scene.validate(scene.new("web", "80/TCP", "81/TCP", "82/TCP"))

        assert messages(answer) == ""
        assert writes("release") >= before + len(names)
        assert await scene.claims() == [("web", "80/TCP"), ("web", "81/TCP"), ("web", "82/TCP")]

    tell(connection, story)


def test_a_group_that_is_gone_leaves_its_address_to_nobody(connection: Connection) -> None:
    """Its ledger still says it: who comes anew neither inherits it nor falls out with it."""

    async def story(scene: Scene) -> None:
        await scene.settled("old", "80/TCP", loadBalancerIP=some_address())
        await scene.seen("old")
        await scene.delete("old")
        new = scene.new("web", "443/TCP")

        mutated = await scene.replicas[0].admission.mutate(new)
        answer = await scene.validate(new)

        assert mutated.inheritance is None
        assert messages(answer) == ""
        assert await scene.claims() == [("web", "443/TCP")]

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


def test_a_service_made_anew_takes_over_from_its_predecessor(connection: Connection) -> None:
    """``kubectl replace --force``: the same name, another uid."""

    def retries() -> float:
        return sum(sample.value for sample in next(iter(metrics.RETRIES.collect())).samples)

    async def story(scene: Scene) -> None:
        await scene.settled("web", "80/TCP")
        await scene.seen("web")
        await scene.delete("web")
        before = retries()

        answer = await scene.validate(scene.new("web", "80/TCP"))

        assert messages(answer) == ""
        assert retries() > before
        assert await scene.claims() == [("web", "80/TCP")]

    tell(connection, story)


def test_an_update_of_what_was_made_anew_meanwhile_is_left_to_the_api_server(connection: Connection) -> None:
    """It will not store it, but ask again for what is there now: a refusal would lose a legitimate patch."""

    async def story(scene: Scene) -> None:
        old = await scene.settled("web", "80/TCP")
        await scene.delete("web")
        await scene.settled("web", "81/TCP")

        answer = await scene.validate(scene.change(old, "80/TCP", "81/TCP"))

        assert (answer.verdict, bool(answer.claimed)) == (ALLOWED, False)

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


def test_an_update_that_meets_anothers_lock_gives_back_what_it_had_not(connection: Connection) -> None:
    """Its old claims and its old address stay."""

    async def story(scene: Scene) -> None:
        mine, theirs = some_address(), some_address()
        await AddressLocks(scene.api).take(theirs, GroupName(scene.namespace, "other"))
        old = await scene.settled("web", "80/TCP", loadBalancerIP=mine)
        before = writes("give-back")

        answer = await scene.validate(scene.change(old, "80/TCP", "443/TCP", load_balancer_ip=theirs))

        assert writes("give-back") == before + 1
        ledger = await scene.ledger()
        assert answer.rules == ("static-address-taken",)
        assert ledger is not None
        assert ledger.shared.static_address == mine
        assert await scene.claims() == [("web", "80/TCP")]

    tell(connection, story)


def test_giving_back_leaves_what_another_update_has_claimed_since(connection: Connection) -> None:
    """Else that one would be stored, and its listener nobody's."""

    class MeetsAnother(AddressLocks):
        """In the middle of the request, another one for the same Service is admitted."""

        scene: Scene

        async def take(self, address: str, group: GroupName, **given: Any) -> AddressHolder | None:  # noqa: ANN401 - whatever it takes
            """Somebody else holds it."""
            del address, given
            ledger, web = await self.scene.ledger(), await self.scene.live("web")
            assert ledger is not None
            more = [claim._replace(listener=one) for claim in ledger.claims[:1] for one in listeners("8080/TCP")]
            await self.scene.store.claim(group, member_of(web), shared=ledger.shared, claims=[*ledger.claims, *more])
            return AddressHolder("elsewhere", key="other")

    async def whole(api: KubernetesApi) -> None:
        locks = MeetsAnother(api)
        async with replica(api, locks=locks) as one:
            scene = locks.scene = Scene(api, connection.namespace, [one])
            old = await scene.settled("web", "80/TCP", loadBalancerIP=some_address())

            answer = await scene.validate(scene.change(old, "80/TCP", "443/TCP", load_balancer_ip=some_address()))

            assert answer.rules == ("static-address-taken",)
            assert ("web", "8080/TCP") in await scene.claims()

    connection.tell(whole)


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
    """It came past admission: its update is let through with a warning, and claims nothing."""

    async def story(scene: Scene) -> None:
        await scene.settled("web", "80/TCP")
        old = await scene.stored("late", "80/TCP")
        await scene.seen("late")

        answer = await scene.validate(scene.change(old, "80/TCP", infra_setting=""))
        more = await scene.validate(scene.change(old, "80/TCP", "443/TCP"))

        assert (answer.verdict, more.verdict, bool(more.claimed)) == (ALLOWED, ALLOWED, False)
        assert any("still in conflict" in warning for warning in more.warnings)
        assert await scene.claims() == [("web", "80/TCP")]

    tell(connection, story)


def test_who_came_past_admission_locks_its_address_when_it_is_admitted(connection: Connection) -> None:
    """Its address is no news, but nobody holds it yet. Where somebody does, it stays as it was and claims nothing."""

    async def story(scene: Scene) -> None:
        free, held = some_address(), some_address()
        await AddressLocks(scene.api).take(held, GroupName(scene.namespace, "other"))
        first = await scene.stored("first", "80/TCP", key="a", loadBalancerIP=free)
        second = await scene.stored("second", "80/TCP", key="b", loadBalancerIP=held)

        answers = [await scene.validate(scene.change(old, "80/TCP", "443/TCP")) for old in (first, second)]

        assert [(answer.verdict, bool(answer.claimed)) for answer in answers] == [(ALLOWED, True), (ALLOWED, False)]
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


def test_a_claim_whose_service_never_came_is_released_after_the_grace(connection: Connection) -> None:
    """Somebody after us refused it, and no cache ever saw it."""

    async def story(scene: Scene) -> None:
        lost = scene.new("lost", "80/TCP").candidate
        claims = grow(None, lost, old=None, now=now() - GRACE - timedelta(seconds=1))
        await scene.store.claim(scene.group(), member_of(lost), shared=shared_values(lost), claims=claims)

        answer = await scene.validate(scene.new("web", "80/TCP"))

        assert messages(answer) == ""
        assert await scene.claims() == [("web", "80/TCP")]

    tell(connection, story)
