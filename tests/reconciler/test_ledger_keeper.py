"""The janitor: what it releases and when, whom it lets in, and that nobody who is in is ever disturbed."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from cluster.errors import ClusterError
from reconciler.settled import LOOK_AGAIN_SECONDS, Settled
from sharedvip.ledger import GRACE, Ledger, member_of
from sharedvip.model import GroupName, ServiceName, ServiceView
from tests.builders import GROUP, listener, service
from tests.reconciler.controller import START
from tests.reconciler.fake_kubernetes import FakeKubernetes
from tests.reconciler.janitor import API, WEB, Janitor, janitor_of

RIVAL = service("rival", "80/TCP")


def test_what_is_as_claimed_is_left_alone() -> None:
    """Nothing is written, nobody comes again."""
    janitor = janitor_of(WEB, API)

    assert janitor.settle() == Settled(janitor.kubernetes.ledgers[GROUP])
    assert janitor.kubernetes.writes == []


def test_a_deleted_service_gives_up_its_claims_at_once() -> None:
    """It was seen, and is gone."""
    janitor = janitor_of(WEB, API)
    janitor.keeper.observe(GROUP)
    janitor.kubernetes.delete(WEB.name)

    janitor.settle()
    assert janitor.claimed() == ["api 443/TCP"]


def test_a_stored_update_gives_up_what_it_dropped_at_once() -> None:
    """Admission claimed old and new; the world shows only the new."""
    janitor = janitor_of(WEB)
    janitor.keeper.observe(GROUP)
    janitor.kubernetes.admit(service("web", "8080/TCP"), at=START)

    janitor.settle()
    assert janitor.claimed() == ["web 8080/TCP"]


def test_a_claim_whose_service_never_came_waits_for_the_grace() -> None:
    """Allowed does not mean stored; nobody knows yet."""
    janitor = janitor_of(WEB)
    del janitor.kubernetes.stored[WEB.name]

    settled = janitor.settle()
    assert janitor.claimed() == ["web 80/TCP"]
    assert settled.wake_seconds == pytest.approx(GRACE.total_seconds() + 1)
    janitor.now += GRACE
    assert janitor.settle().wake_seconds == pytest.approx(1)
    janitor.now += timedelta(seconds=1)
    janitor.settle()
    assert janitor.claimed() == []


def test_after_the_grace_a_live_look_decides() -> None:
    """The Service is there, and the cache is late: it keeps its claim."""
    janitor = janitor_of(WEB, API)
    unseen = _Late(**{name: getattr(janitor.kubernetes, name) for name in ("stored", "ledgers")}, unseen={WEB.name})
    late = Janitor(unseen, START + 2 * GRACE)

    late.settle()
    assert late.claimed() == ["web 80/TCP", "api 443/TCP"]


class _Late(FakeKubernetes):
    """A cache that has not heard of some Services."""

    def __init__(self, *, unseen: set[ServiceName], **others: dict[ServiceName, ServiceView]) -> None:
        super().__init__(**others)  # pyright: ignore[reportArgumentType] - the maps of another fake
        self.unseen = unseen

    def members(self, group: GroupName) -> tuple[ServiceView, ...]:
        return tuple(member for member in super().members(group) if member.name not in self.unseen)


def test_services_that_came_past_admission_are_let_in_together() -> None:
    """The webhook was down."""
    janitor = Janitor(FakeKubernetes())
    janitor.kubernetes.apply(WEB, API)

    assert janitor.settle().refused == {}
    assert janitor.claimed() == ["web 80/TCP", "api 443/TCP"]


def test_or_not_at_all() -> None:
    """One does not fit: the other waits, and is told for whom; the verdict depends on no order."""
    janitor = Janitor(FakeKubernetes())
    janitor.kubernetes.apply(WEB, RIVAL, API)

    settled = janitor.settle()
    assert janitor.claimed() == []
    assert "80/TCP is already served" in settled.refused[WEB.name]
    assert settled.refused[API.name].startswith("waits for Services 'rival', 'web'")
    assert settled.wake_seconds == LOOK_AGAIN_SECONDS


def test_a_newcomer_in_conflict_disturbs_no_member() -> None:
    """Nothing of the ledger changes."""
    janitor = janitor_of(WEB)
    janitor.kubernetes.apply(RIVAL)
    before = janitor.kubernetes.ledgers[GROUP]

    settled = janitor.settle()
    assert list(settled.refused) == [RIVAL.name]
    assert janitor.kubernetes.ledgers[GROUP] == before


@pytest.mark.parametrize("is_first", [True, False])
def test_two_groups_that_came_past_admission_with_one_address_wait_for_each_other(*, is_first: bool) -> None:
    """Whoever is looked at first has no right to it: neither is let in, and either is when the other gives way."""
    mine, other = replace(WEB, load_balancer_ip="10.0.0.1"), service("dns", key="other", load_balancer_ip="10.0.0.1")
    assert other.group is not None
    janitor = Janitor(FakeKubernetes())
    janitor.kubernetes.apply(mine, other)

    groups = [GROUP, other.group] if is_first else [other.group, GROUP]
    assert [len(janitor.settle(group).refused) for group in groups] == [1, 1]
    assert janitor.kubernetes.ledgers == {}
    assert janitor.kubernetes.writes == []

    janitor.kubernetes.apply(replace(mine, load_balancer_ip="10.0.0.2"))
    assert [janitor.settle(group).refused for group in groups] == [{}, {}]
    assert janitor.claimed(other.group) == ["dns 80/TCP"]


def test_conflicting_static_addresses_make_no_group() -> None:
    """The seed: a misconfiguration, and no virtual service."""
    janitor = Janitor(FakeKubernetes())
    janitor.kubernetes.apply(
        replace(WEB, load_balancer_ip="10.0.0.1"),
        replace(API, load_balancer_ip="10.0.0.2"),
    )

    assert set(janitor.settle().refused) == {WEB.name, API.name}
    assert janitor.claimed() == []


def test_a_member_whose_update_slipped_past_keeps_what_it_had() -> None:
    """Its new port is another's: it is refused, and its old claim stays while its old port is there."""
    janitor = janitor_of(WEB, API)
    janitor.kubernetes.apply(service("web", "80/TCP", "443/TCP"))

    assert list(janitor.settle().refused) == [WEB.name]
    assert janitor.claimed() == ["web 80/TCP", "api 443/TCP"]


def test_a_newcomer_locks_its_address() -> None:
    """In the whole cluster."""
    janitor = Janitor(FakeKubernetes())
    janitor.kubernetes.apply(replace(WEB, load_balancer_ip="10.0.0.1"))

    assert janitor.settle().refused == {}
    assert janitor.kubernetes.addresses == {"10.0.0.1": GROUP}


def test_a_newcomer_whose_address_another_group_holds_gives_its_claims_back() -> None:
    """Claim first, then lock: who loses leaves no trace."""
    other = GroupName("other", "key")
    janitor = Janitor(FakeKubernetes(addresses={"10.0.0.1": other}))
    janitor.kubernetes.apply(replace(WEB, load_balancer_ip="10.0.0.1"))

    settled = janitor.settle()
    assert "10.0.0.1" in settled.refused[WEB.name]
    assert janitor.claimed() == []
    assert janitor.kubernetes.addresses == {"10.0.0.1": other}


def test_an_address_is_unlocked_when_the_group_does_not_use_it_any_more() -> None:
    """And only then, and only the group's own."""
    janitor = Janitor(FakeKubernetes())
    janitor.kubernetes.apply(replace(WEB, load_balancer_ip="10.0.0.1"))
    ledger = janitor.settle().ledger

    async def release(now: Ledger | None) -> None:
        await janitor.keeper.release_addresses(GROUP, now)

    asyncio.run(release(ledger))
    assert janitor.kubernetes.addresses == {"10.0.0.1": GROUP}
    janitor.kubernetes.delete(WEB.name)
    asyncio.run(release(janitor.settle().ledger))
    assert janitor.kubernetes.addresses == {}
    assert janitor.keeper.groups_with_addresses() == ()


def test_locks_that_nobody_remembers_are_found_again() -> None:
    """The process that took them is gone, and so is the group."""
    janitor = Janitor(FakeKubernetes(addresses={"10.0.0.1": GROUP}))

    asyncio.run(janitor.keeper.refresh())
    assert janitor.keeper.groups_with_addresses() == (GROUP,)
    asyncio.run(janitor.keeper.release_addresses(GROUP, None))
    assert janitor.kubernetes.addresses == {}


def test_a_lock_that_a_hand_deleted_is_made_again() -> None:
    """At the next resync; one that somebody else has by now stays his, and the audit tells."""
    other = GroupName("shop", "other")
    janitor = janitor_of(replace(WEB, load_balancer_ip="10.0.0.1"))
    janitor.kubernetes.addresses.clear()

    asyncio.run(janitor.keeper.refresh())
    assert janitor.kubernetes.addresses == {"10.0.0.1": GROUP}

    janitor.kubernetes.addresses["10.0.0.1"] = other
    asyncio.run(janitor.keeper.refresh())
    assert janitor.kubernetes.addresses == {"10.0.0.1": other}
    assert janitor.claimed() == ["web 80/TCP"]


def test_an_intended_address_that_is_anothers_takes_nobody_out() -> None:
    """The group is served where it is."""
    janitor = janitor_of(replace(WEB, load_balancer_ip="10.0.0.1", intended_address="10.0.0.2"))
    janitor.kubernetes.addresses = {"10.0.0.1": GROUP, "10.0.0.2": GroupName("shop", "other")}
    janitor.now += GRACE * 2

    asyncio.run(janitor.keeper.refresh())
    assert janitor.claimed() == ["web 80/TCP"]


def test_a_write_that_fails_makes_the_cache_count_again() -> None:
    """What we believed to have written may be gone: the next visit begins with what is observed."""
    broken = FakeKubernetes(no_to={"claim web": ClusterError("no answer")})
    janitor = Janitor(broken)
    janitor.kubernetes.apply(WEB)
    with pytest.raises(ClusterError):
        janitor.settle()

    broken.no_to.clear()
    assert janitor.settle().refused == {}
    assert janitor.claimed() == ["web 80/TCP"]


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(replace(WEB, type="ClusterIP"), id="it is of another type"),
        pytest.param(replace(WEB, sharing_key=None), id="it lost the annotation"),
        pytest.param(replace(WEB, sharing_key="other"), id="it moved to another group"),
    ],
)
def test_whoever_is_no_member_any_more_gives_up_its_claims(after: ServiceView) -> None:
    """Seen before, not shown now."""
    janitor = janitor_of(WEB, API)
    janitor.keeper.observe(GROUP)
    janitor.kubernetes.apply(after)

    janitor.settle()
    assert janitor.claimed() == ["api 443/TCP"]


def test_a_service_that_was_made_anew_gets_the_listener_of_its_predecessor() -> None:
    """Deleted and created with the webhook down: the old claim goes and the new one comes in one visit."""
    janitor = janitor_of(WEB)
    janitor.keeper.observe(GROUP)
    again = replace(WEB, uid="uid-2")
    janitor.kubernetes.stored[WEB.name] = again

    assert janitor.settle().refused == {}
    ledger = janitor.kubernetes.ledgers[GROUP]
    assert [claim.listener for claim in ledger.claims_of(member_of(again))] == [listener("80/TCP")]


def test_an_address_that_a_group_lives_on_stays_locked() -> None:
    """Its Service has taken the static address out: Avi leaves the VIP where it is."""
    janitor = janitor_of(replace(WEB, load_balancer_ip="10.0.0.1"))
    janitor.kubernetes.addresses["10.0.0.1"] = GROUP
    janitor.kubernetes.ledgers[GROUP] = replace(janitor.kubernetes.ledgers[GROUP], vip="10.0.0.1")
    janitor.settle()
    janitor.kubernetes.admit(WEB, at=START)

    asyncio.run(janitor.keeper.release_addresses(GROUP, janitor.settle().ledger))
    assert janitor.kubernetes.addresses == {"10.0.0.1": GROUP}


def test_a_lock_whose_going_was_cut_short_is_looked_at_again() -> None:
    """Its reconciler was killed in between: whoever needs the address would be told "try again" for ever."""
    janitor = janitor_of(replace(WEB, load_balancer_ip="10.0.0.1"))
    janitor.kubernetes.addresses.update({"10.0.0.1": GROUP, "10.0.0.2": GROUP})
    janitor.kubernetes.leaving.update({"10.0.0.1", "10.0.0.2"})

    asyncio.run(janitor.keeper.refresh())
    assert janitor.keeper.groups_with_addresses() == (GROUP,)
    janitor.settle()
    assert janitor.kubernetes.leaving == set()
    assert janitor.kubernetes.addresses == {"10.0.0.1": GROUP}


def test_what_is_claimed_while_a_newcomer_is_judged_is_not_erased() -> None:
    """The cache of ledgers is behind: the newcomer was admitted, with a port more, by a webhook meanwhile."""
    janitor = Janitor(_Behind())
    janitor.kubernetes.apply(WEB)
    janitor.kubernetes.ask(WEB, at=START)
    janitor.kubernetes.ask(service("web", "80/TCP", "443/TCP"), at=START)

    janitor.settle()
    assert janitor.claimed() == ["web 80/TCP", "web 443/TCP"]


class _Behind(FakeKubernetes):
    """A cache that has heard of no ledger."""

    def ledger(self, group: GroupName) -> Ledger | None:
        """As of long ago."""
        del group
