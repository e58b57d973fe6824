"""The janitor ends moves: by changing the group's address once all have come, or by giving up; nobody is disturbed."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from cluster.errors import ClusterError
from reconciler.ledger_keeper import LedgerKeeper
from reconciler.mover import CLAIM_AGAIN_SECONDS, LOCK_AGAIN_SECONDS
from reconciler.settled import Settled
from sharedvip.ledger import GRACE, Claim, Ledger, Member
from sharedvip.model import GroupName, Policy, ServiceView, SharedValues
from tests.builders import GROUP, service
from tests.reconciler.controller import START, Avi, stack
from tests.reconciler.fake_kubernetes import FakeKubernetes

OLD, NEW = "100.64.246.1", "100.64.246.2"
OTHER = GroupName("default", "other-key")
PORTS = {"web": "80/TCP", "api": "443/TCP", "dns": "53/UDP"}


def at(name: str, address: str, *, intended: str = "") -> ServiceView:
    """A Service on a port of its own."""
    return service(name, PORTS[name], load_balancer_ip=address, intended_address=intended)


class Cluster(FakeKubernetes):
    """A group of 'web' and 'api' on the old address, built by us."""

    def __init__(self) -> None:
        super().__init__()
        self.admit(at("web", OLD), at("api", OLD), at=START)
        self.addresses[OLD] = GROUP
        self.ledgers[GROUP] = replace(self.ledgers[GROUP], has_finalizer=True)
        self.dies_in = -1
        """How many writes of claims it lives to take; negative: all."""
        self.interrupts: list[ServiceView] = []
        """Who is admitted right before the next write, by another replica."""

    async def claim(
        self,
        group: GroupName,
        member: Member,
        *,
        shared: SharedValues,
        claims: Sequence[Claim],
        resource_version: str = "",
        force: bool = False,
    ) -> Ledger:
        """As a cluster whose client may die."""
        if self.dies_in == 0:
            raise ClusterError("killed")
        self.dies_in -= 1
        while self.interrupts:
            self.admit(self.interrupts.pop(), at=START)
        return await super().claim(
            group, member, shared=shared, claims=claims, resource_version=resource_version, force=force
        )

    def shared(self) -> tuple[str, str]:
        """The group's address and the intended one."""
        shared = self.ledgers[GROUP].shared
        return shared.static_address, shared.intended_address


def settle(cluster: Cluster, *, at: datetime = START) -> Settled:
    """One visit of a janitor that has just started."""
    return asyncio.run(LedgerKeeper(cluster, policy=Policy(), now=lambda: at).settle(GROUP))


def test_until_all_have_come_nothing_changes() -> None:
    """The message says who is missing; nobody writes."""
    cluster = Cluster()
    cluster.admit(at("web", NEW, intended=NEW), at=START)

    settled = settle(cluster)

    assert settled.moving == f"1 of 2 Services carry {NEW}; waits for 'api'"
    assert settled.refused == {}
    assert (cluster.shared(), cluster.writes) == ((OLD, NEW), [])


@pytest.mark.parametrize("writes", [0, 1, 2, 3])
def test_when_all_have_come_the_address_changes_wherever_the_janitor_dies(writes: int) -> None:
    """The second visit finishes what the first began."""
    cluster = Cluster()
    cluster.admit(at("web", NEW, intended=NEW), at("api", NEW), at=START)
    cluster.dies_in = writes
    if writes < 3:
        assert settle(cluster).moving == "is looked at again soon: killed"
        cluster.dies_in = -1

    settled = settle(cluster)

    assert (settled.moving, cluster.shared()) == ("", (NEW, ""))
    assert {claim.heading for claim in cluster.ledgers[GROUP].claims} == {None}
    assert cluster.addresses[NEW] == GROUP
    cluster.writes.clear()
    assert settle(cluster).refused == {}
    assert cluster.writes == []


def test_who_is_admitted_in_that_moment_comes_first() -> None:
    """A way back is claimed between the look and the write: the write is refused, and the janitor waits."""
    cluster = Cluster()
    cluster.admit(at("web", NEW, intended=NEW), at("api", NEW), at=START)
    cluster.interrupts = [at("api", OLD)]

    settled = settle(cluster)

    assert settled.wake_seconds == CLAIM_AGAIN_SECONDS
    assert cluster.shared() == (OLD, NEW)
    assert settle(cluster).moving == f"1 of 2 Services carry {NEW}; waits for 'api'"


def test_a_newcomer_during_the_move_is_waited_for_too() -> None:
    """It came past admission with the old address: accepted at once, and served where all are."""
    cluster = Cluster()
    cluster.admit(at("web", NEW, intended=NEW), at("api", NEW), at=START)
    cluster.apply(at("dns", OLD))

    settled = settle(cluster)

    assert settled.refused == {}
    assert settled.moving == f"2 of 3 Services carry {NEW}; waits for 'dns'"


def test_a_newcomer_that_intends_a_move_opens_it_with_its_lock() -> None:
    """The webhook was down; so does one that carries the address by then."""
    cluster = Cluster()
    cluster.apply(at("dns", OLD, intended=NEW))

    settle(cluster)

    assert cluster.shared() == (OLD, NEW)
    assert cluster.addresses[NEW] == GROUP


def test_a_member_that_leaves_is_not_waited_for() -> None:
    """It is deleted in the middle of the move."""
    cluster = Cluster()
    keeper = LedgerKeeper(cluster, policy=Policy(), now=lambda: START)
    cluster.admit(at("web", NEW, intended=NEW), at=START)
    keeper.observe(GROUP)
    cluster.delete(at("api", OLD).name)

    asyncio.run(keeper.settle(GROUP))

    assert cluster.shared() == (NEW, "")


def test_a_move_is_given_up_when_nobody_wants_it_any_more() -> None:
    """After the grace; then its lock goes too, and the group's own stays."""
    cluster = Cluster()
    cluster.admit(at("web", OLD, intended=NEW), at=START)
    cluster.addresses[NEW] = GROUP
    cluster.admit(at("web", OLD), at=START)

    settled = settle(cluster)
    assert cluster.shared() == (OLD, NEW)
    assert settled.wake_seconds == pytest.approx(GRACE.total_seconds() + 1)
    after = START + GRACE + timedelta(seconds=1)
    keeper = LedgerKeeper(cluster, policy=Policy(), now=lambda: after)
    settled = asyncio.run(keeper.settle(GROUP))
    asyncio.run(keeper.refresh())
    asyncio.run(keeper.release_addresses(GROUP, settled.ledger))

    assert cluster.shared() == (OLD, "")
    assert cluster.addresses == {OLD: GROUP}


def test_during_a_move_both_locks_stay() -> None:
    """Neither is an orphan."""
    cluster = Cluster()
    cluster.admit(at("web", NEW, intended=NEW), at=START)
    cluster.addresses[NEW] = GROUP
    keeper = LedgerKeeper(cluster, policy=Policy(), now=lambda: START)

    settled = asyncio.run(keeper.settle(GROUP))
    asyncio.run(keeper.refresh())
    asyncio.run(keeper.release_addresses(GROUP, settled.ledger))

    assert cluster.addresses == {OLD: GROUP, NEW: GROUP}


def test_a_group_does_not_move_onto_an_address_that_is_somebody_elses() -> None:
    """Whoever opened the move died before its lock, and another group has the address by now."""
    cluster = Cluster()
    cluster.admit(at("web", NEW, intended=NEW), at("api", NEW), at=START)
    cluster.addresses[NEW] = OTHER

    settled = settle(cluster)

    assert settled.moving == f"2 of 2 Services carry {NEW}; {NEW} is held by somebody else"
    assert settled.wake_seconds == LOCK_AGAIN_SECONDS
    assert cluster.shared() == (OLD, NEW)


def test_what_a_hand_wrote_is_taken_out() -> None:
    """Nobody intends it."""
    cluster = Cluster()
    ledger = cluster.ledgers[GROUP]
    by_hand = replace(ledger.shared, intended_address=NEW)
    cluster.ledgers[GROUP] = replace(ledger, shared=by_hand)
    cluster.intending[GROUP] = {Member("kubectl-edit", "")}

    settle(cluster)

    assert cluster.shared() == (OLD, "")
    assert cluster.writes[-1] == "drop intended"


def test_the_vip_moves_once_and_the_old_lock_goes_when_avi_let_go(avi: Avi, cluster_name: str) -> None:
    """Two calls that write, for all Services together; until then everybody is served where it was."""

    async def told() -> None:
        cluster = Cluster()
        async with stack(avi, cluster, cluster=cluster_name) as reconciler:
            await reconciler.keeper.refresh()
            await reconciler.look()
            assert cluster.vips(at("web", OLD), at("api", OLD)) == [(OLD,), (OLD,)]
            avi.forget()

            cluster.admit(at("web", NEW, intended=NEW), at=START)
            await reconciler.look()
            assert cluster.reports[GROUP].moving == f"1 of 2 Services carry {NEW}; waits for 'api'"
            assert {verdict.reason for verdict in cluster.verdicts.values()} == {"Programmed"}
            assert avi.calls() == []

            cluster.admit(at("api", NEW, intended=NEW), at=START)
            await reconciler.look()
            assert avi.calls() == ["DELETE macro", "POST macro"]
            assert cluster.vips(at("web", NEW), at("api", NEW)) == [(NEW,), (NEW,)]
            assert (cluster.addresses, cluster.reports[GROUP].moving) == ({NEW: GROUP}, "")

            avi.forget()
            await reconciler.look()
            assert avi.calls() == []
            cluster.delete(*list(cluster.stored))
            await reconciler.look()

    asyncio.run(told())
