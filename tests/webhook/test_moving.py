"""A group that moves, on the real API server: who opens a move, who goes along, and what its ledger says of it."""

from dataclasses import replace

import pytest

from cluster.ip_addresses import AddressLocks
from sharedvip.ledger import Ledger, member_of
from tests.builders import KEY
from tests.cluster.connection import Connection
from tests.webhook.moving_group import Group, with_group
from tests.webhook.replicas import Scene, messages, some_address, tell
from webhook.answer import Verdict

pytestmark = pytest.mark.e2e

ALLOWED, DENIED = Verdict.ALLOWED, Verdict.DENIED
ANNOTATION = "metadata.annotations[sharedvip.dev/intended-address]"


def test_a_member_opens_a_move_and_the_address_is_locked(connection: Connection) -> None:
    """The group's address stays what it is."""

    async def story(group: Group) -> None:
        asked = group.scene.change(group.web, "80/TCP", intended_address=group.new)

        answer = await group.scene.validate(asked)

        assert answer.verdict is ALLOWED
        assert await group.addresses() == (group.old, group.new)
        assert await group.scene.lock_of(group.new) == KEY
        assert await group.headings() == {"web": group.new}

    with_group(connection, story)


def test_a_dry_run_opens_nothing(connection: Connection) -> None:
    """And is told the same."""

    async def story(group: Group) -> None:
        before = await group.ledger()
        asked = group.scene.change(
            group.web, "80/TCP", dry_run=True, intended_address=group.new, load_balancer_ip=group.new
        )

        assert (await group.scene.validate(asked)).verdict is ALLOWED
        assert await group.ledger() == before
        assert await group.scene.lock_of(group.new) is None

    with_group(connection, story)


def test_members_go_ahead_with_address_and_annotation_in_one_request_each(connection: Connection) -> None:
    """What ``kubectl apply`` of both manifests sends; the claims keep saying where they are served."""

    async def story(group: Group) -> None:
        for service in (group.web, group.api):
            ports = [str(listener) for listener in service.listeners]
            asked = group.scene.change(service, *ports, intended_address=group.new, load_balancer_ip=group.new)
            assert messages(await group.scene.validate(asked)) == ""

        assert await group.addresses() == (group.old, group.new)
        assert await group.headings() == {"web": group.new, "api": group.new}

    with_group(connection, story)


def test_without_the_annotation_a_change_is_refused_and_the_way_is_named(connection: Connection) -> None:
    """A typing error is no beginning of a move."""

    async def story(group: Group) -> None:
        answer = await group.scene.validate(group.scene.change(group.web, "80/TCP", load_balancer_ip=group.new))

        assert messages(answer) == (
            f"spec.loadBalancerIP: {group.new} differs from the {group.old} that Service 'api' shares under '{KEY}'; "
            f"set {group.old}, or move the whole group with annotation 'sharedvip.dev/intended-address' beside the new "
            "address [static-address-mismatch]"
        )

    with_group(connection, story)


def test_once_a_move_is_open_a_member_follows_without_the_annotation(connection: Connection) -> None:
    """And a third address is still refused, with both that are right."""

    async def story(group: Group) -> None:
        await group.scene.validate(group.scene.change(group.web, "80/TCP", intended_address=group.new))
        third = some_address()

        follows = await group.scene.validate(group.scene.change(group.api, "443/TCP", load_balancer_ip=group.new))
        strays = await group.scene.validate(group.scene.change(group.api, "443/TCP", load_balancer_ip=third))

        assert messages(follows) == ""
        assert f"set {group.old}, or {group.new}, which the group is moving to" in messages(strays)

    with_group(connection, story)


def test_of_two_who_open_moves_to_different_addresses_exactly_one_does(connection: Connection) -> None:
    """At once, on two replicas; the other is told where the group goes, and its lock is not left behind."""

    async def story(group: Group) -> None:
        other = some_address()
        changes = (
            group.scene.change(group.web, "80/TCP", intended_address=group.new),
            group.scene.change(group.api, "443/TCP", intended_address=other),
        )

        answers = await group.scene.race(*changes)

        assert sorted(answer.verdict.name for answer in answers) == [ALLOWED.name, DENIED.name]
        won, lost = (group.new, other) if answers[0].verdict is ALLOWED else (other, group.new)
        assert await group.addresses() == (group.old, won)
        assert [await group.scene.lock_of(address) for address in (won, lost)] == [KEY, None]
        said = "\n".join(map(messages, answers)).strip()
        assert said.startswith(f"{ANNOTATION}: {lost} is not the {won} that shared VIP '{KEY}' is moving to")

    with_group(connection, story, replicas=2)


def test_an_address_that_another_group_holds_is_refused_before_anybody_moves(connection: Connection) -> None:
    """The move cannot fail at its end; nothing of it is left in the ledger."""

    async def story(group: Group) -> None:
        await group.scene.settled("other", "80/TCP", key="other-key", loadBalancerIP=group.new)
        await AddressLocks(group.scene.api).take(group.new, group.scene.group("other-key"))

        answer = await group.scene.validate(group.scene.change(group.web, "80/TCP", intended_address=group.new))

        assert messages(answer) == (
            f"{ANNOTATION}: {group.new} is already held by shared VIP 'other-key'; choose another address, or remove "
            "the annotation [static-address-taken]"
        )
        assert await group.addresses() == (group.old, "")
        assert await group.scene.lock_of(group.new) == "other-key"

    with_group(connection, story)


def test_a_newcomer_inherits_the_address_that_the_group_is_served_on(connection: Connection) -> None:
    """Also when everybody else carries the new one."""

    async def story(group: Group) -> None:
        asked = group.scene.change(group.web, "80/TCP", intended_address=group.new)
        await group.scene.validate(asked)
        newcomer = group.scene.new("dns", "53/UDP")

        answer = await group.scene.replicas[0].admission.mutate(newcomer)

        assert answer.inheritance is not None
        assert answer.inheritance.value == group.old
        joined = replace(newcomer, candidate=replace(newcomer.candidate, load_balancer_ip=group.old))
        assert messages(await group.scene.validate(joined)) == ""
        assert await group.addresses() == (group.old, group.new)

    with_group(connection, story)


def test_a_newcomer_joins_while_others_are_still_behind(connection: Connection) -> None:
    """For days, perhaps: who carries the new address by now has arrived, and is not being changed."""

    async def story(group: Group) -> None:
        await group.goes("web", intended=group.new, loadBalancerIP=group.new)

        joining = group.scene.new("dns", "53/UDP", load_balancer_ip=group.old)
        assert messages(await group.scene.validate(joining)) == ""
        assert await group.addresses() == (group.old, group.new)

    with_group(connection, story)


def test_a_newcomer_s_intention_is_claimed_whatever_a_late_cache_shows(connection: Connection) -> None:
    """It shows the intended address as the one that the group has; found by ``test_move_machine``."""

    async def story(scene: Scene) -> None:
        here, there = some_address(), some_address()
        old = await scene.settled("web", "80/TCP", loadBalancerIP=here)
        await scene.store.put_finalizer(await ledger_of(scene))
        await scene.seen("web")
        assert messages(await scene.validate(scene.change(old, "80/TCP", load_balancer_ip=there))) == ""
        cache = scene.replicas[0].ledgers
        await scene.until(lambda: (shown := cache.get(scene.group())) is not None and there in shown.addresses)
        scene.replicas[0].freeze()
        ledger = await ledger_of(scene)
        taken_back = replace(ledger.shared, static_address=here)
        await scene.store.claim(scene.group(), member_of(old), shared=taken_back, claims=ledger.claims)

        newcomer = scene.new("api", "443/TCP", load_balancer_ip=here, intended_address=there)
        assert messages(await scene.validate(newcomer)) == ""
        assert (await ledger_of(scene)).shared.addresses == {here, there}

    tell(connection, story)


async def ledger_of(scene: Scene) -> Ledger:
    """Live."""
    found = await scene.ledger()
    assert found is not None
    return found


def test_another_update_of_a_member_that_goes_ahead_keeps_the_move_alive(connection: Connection) -> None:
    """It was computed before, and one of the two will be stored: the ledger must fit both."""

    async def story(group: Group) -> None:
        await group.scene.validate(
            group.scene.change(group.web, "80/TCP", intended_address=group.new, load_balancer_ip=group.new)
        )

        assert messages(await group.scene.validate(group.scene.change(group.web, "80/TCP", "81/TCP"))) == ""
        assert await group.addresses() == (group.old, group.new)
        assert await group.headings() == {"web": group.new}

    with_group(connection, story)


def test_a_service_alone_changes_its_address_without_more(connection: Connection) -> None:
    """As ever."""

    async def story(scene: Scene) -> None:
        old, new = some_address(), some_address()
        web = await scene.settled("web", "80/TCP", loadBalancerIP=old)

        assert messages(await scene.validate(scene.change(web, "80/TCP", load_balancer_ip=new))) == ""
        ledger = await scene.ledger()
        assert ledger is not None
        assert (ledger.shared.static_address, ledger.shared.intended_address) == (new, "")
        assert await scene.lock_of(new) == KEY

    tell(connection, story)


def test_a_group_that_ako_builds_cannot_be_moved(connection: Connection) -> None:
    """In guard mode no SharedVIP has our finalizer: two addresses would stop AKO's virtual service."""

    async def story(scene: Scene) -> None:
        web = await scene.settled("web", "80/TCP", loadBalancerIP=some_address())

        answer = await scene.validate(scene.change(web, "80/TCP", intended_address=some_address()))

        assert "is not built by sharedvip's reconciler" in messages(answer)

    tell(connection, story)
