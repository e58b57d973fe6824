"""The janitor while requests are admitted between its looks and its writes: what they claim stays claimed."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from cluster.errors import ClusterError
from cluster.ip_addresses import IsNeeded, Unlocked
from reconciler.ledger_keeper import LedgerKeeper
from sharedvip.ledger import Claim, Ledger, Member
from sharedvip.model import GroupName, Policy, ServiceView, SharedValues
from tests.builders import GROUP, service
from tests.reconciler.controller import START
from tests.reconciler.fake_kubernetes import FakeKubernetes

API = service("api", "443/TCP")
WEB = service("web", "80/TCP")
ADDRESS = "10.0.0.1"


@dataclass
class Busy(FakeKubernetes):
    """One request is admitted at one moment: before a member's claim, or after it has left or the ledger was read."""

    before_claim_of: str = ""
    after_leave_of: str = ""
    after_reading: bool = False
    after_marking: str = ""
    is_locked_for_good: bool = False
    """Whether no lock can be let go."""
    shown: tuple[ServiceView, ...] | None = None
    """What the watch of Services shows, where it is late."""
    admits: ServiceView | None = None

    def happens(self) -> None:
        """Once."""
        asked, self.admits = self.admits, None
        if asked is not None:
            self.ask(asked, at=START)

    def members(self, group: GroupName) -> tuple[ServiceView, ...]:
        """As far as the watch has come."""
        return super().members(group) if self.shown is None else self.shown

    async def read_ledger(self, group: GroupName) -> Ledger | None:
        """As it was a moment ago."""
        found = await super().read_ledger(group)
        if self.after_reading:
            self.happens()
        return found

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
        """Late, maybe."""
        if member.service == self.before_claim_of:
            self.happens()
        return await super().claim(
            group, member, shared=shared, claims=claims, resource_version=resource_version, force=force
        )

    async def leave(self, group: GroupName, member: Member, *, resource_version: str = "") -> None:
        """And then something."""
        await super().leave(group, member, resource_version=resource_version)
        if member.service == self.after_leave_of:
            self.happens()

    async def release_address(self, address: str, group: GroupName, *, is_needed: IsNeeded) -> Unlocked:
        """Says that it is leaving, and gets no further, once."""
        if address == self.after_marking or self.is_locked_for_good:
            self.after_marking = ""
            self.leaving.add(address)
            raise ClusterError("the API server was away")
        return await super().release_address(address, group, is_needed=is_needed)


def keeper(kubernetes: Busy) -> LedgerKeeper:
    """The janitor, at one moment."""
    return LedgerKeeper(kubernetes, policy=Policy(), now=lambda: START)


def claimed(kubernetes: Busy) -> list[str]:
    """``web 80/TCP`` for each claim."""
    return [f"{claim.service} {claim.listener}" for claim in kubernetes.ledgers[GROUP].claims]


def test_who_claims_while_another_is_released_keeps_all() -> None:
    """Two members have given up something; between the two writes one of them is admitted with what it gave up."""
    kubernetes = Busy(after_leave_of="api", admits=service("web", "80/TCP", "81/TCP", "82/TCP"))
    kubernetes.admit(API, service("web", "80/TCP", "81/TCP"), at=START)
    janitor = keeper(kubernetes)
    janitor.observe(GROUP)
    kubernetes.delete(API.name)
    kubernetes.apply(WEB)

    asyncio.run(janitor.settle(GROUP))
    assert claimed(kubernetes) == ["web 80/TCP", "web 81/TCP", "web 82/TCP"]


def test_a_newcomer_that_is_being_changed_is_not_sent_away_with_the_others() -> None:
    """The second one's claim is late because of the first one's new request, which must not pay for it."""
    kubernetes = Busy(before_claim_of="web", admits=service("api", "443/TCP", "8443/TCP"))
    kubernetes.apply(API, WEB)

    asyncio.run(keeper(kubernetes).settle(GROUP))
    assert claimed(kubernetes) == ["api 443/TCP", "api 8443/TCP"]


def test_a_newcomer_whose_group_an_update_of_it_has_founded_keeps_what_that_claimed() -> None:
    """Both write as the same member: without a version the later would drop what the earlier has."""
    kubernetes = Busy(after_reading=True, admits=service("web", "80/TCP", "81/TCP"))
    kubernetes.apply(WEB)

    asyncio.run(keeper(kubernetes).settle(GROUP))
    assert claimed(kubernetes) == ["web 80/TCP", "web 81/TCP"]


@pytest.mark.parametrize("comes_back", [True, False], ids=["claimed again", "still free"])
def test_a_lock_that_says_it_is_leaving_does_not_stay_so(*, comes_back: bool) -> None:
    """Whoever finds it waits for it to go or to stay, and is told 503 when it does neither."""
    kubernetes = Busy(after_marking=ADDRESS)
    web = replace(WEB, load_balancer_ip=ADDRESS)
    kubernetes.admit(web, at=START)
    kubernetes.addresses[ADDRESS] = GROUP
    janitor = keeper(kubernetes)
    asyncio.run(janitor.settle(GROUP))
    kubernetes.delete(web.name)
    settled = asyncio.run(janitor.settle(GROUP))
    with pytest.raises(ClusterError, match="away"):
        asyncio.run(janitor.release_addresses(GROUP, settled.ledger))
    if comes_back:
        kubernetes.admit(replace(web, uid="another"), at=START)

    asyncio.run(janitor.settle(GROUP))
    assert kubernetes.leaving == set()
    assert kubernetes.addresses == ({ADDRESS: GROUP} if comes_back else {})


def test_a_lock_that_cannot_go_holds_up_nobody() -> None:
    """A hand has taken our label off it: the group's newcomers come in all the same."""
    kubernetes = Busy(is_locked_for_good=True)
    web = replace(WEB, load_balancer_ip=ADDRESS)
    kubernetes.admit(web, at=START)
    kubernetes.addresses[ADDRESS] = GROUP
    janitor = keeper(kubernetes)
    janitor.observe(GROUP)
    kubernetes.admit(replace(web, load_balancer_ip=""), at=START)
    with pytest.raises(ClusterError, match="away"):
        asyncio.run(janitor.release_addresses(GROUP, kubernetes.ledgers[GROUP]))
    kubernetes.apply(API)

    asyncio.run(janitor.settle(GROUP))
    assert claimed(kubernetes) == ["web 80/TCP", "api 443/TCP"]


def test_an_address_that_is_in_use_again_is_not_forgotten() -> None:
    """It was claimed after the last look, and is given back before the next: its lock goes then."""
    kubernetes = Busy()
    web = replace(WEB, load_balancer_ip=ADDRESS)
    kubernetes.admit(web, at=START)
    kubernetes.addresses[ADDRESS] = GROUP
    janitor = keeper(kubernetes)
    janitor.observe(GROUP)
    in_use = kubernetes.ledgers[GROUP]

    asyncio.run(janitor.release_addresses(GROUP, None))
    assert kubernetes.addresses == {ADDRESS: GROUP}
    kubernetes.ledgers[GROUP] = replace(in_use, claims=(), shared=SharedValues())
    asyncio.run(janitor.release_addresses(GROUP, None))
    assert kubernetes.addresses == {ADDRESS: GROUP}, "a Service is stored with it"
    kubernetes.delete(web.name)
    asyncio.run(janitor.release_addresses(GROUP, None))
    assert kubernetes.addresses == {}


@pytest.mark.parametrize("is_stored", [False, True], ids=["on its way", "stored by now"])
def test_a_claim_is_not_taken_for_stored_because_of_what_was_before_it(*, is_stored: bool) -> None:
    """80 was given up and is asked for again; the watch of Services still shows the first, and then the giving up."""
    both = service("web", "80/TCP", "81/TCP")
    kubernetes = Busy()
    kubernetes.admit(both, at=START)
    janitor = keeper(kubernetes)
    first = kubernetes.members(GROUP)
    kubernetes.admit(service("web", "81/TCP"), at=START)
    given_up = kubernetes.members(GROUP)
    kubernetes.shown = first
    kubernetes.ask(both, at=START + timedelta(seconds=1))
    janitor.observe(GROUP)
    kubernetes.shown = given_up
    if is_stored:
        kubernetes.apply(both)

    asyncio.run(janitor.settle(GROUP))
    assert claimed(kubernetes) == ["web 80/TCP", "web 81/TCP"]


def test_a_claim_whose_update_came_to_nothing_goes() -> None:
    """Something else was stored over the Service since: that update never will be."""
    kubernetes = Busy()
    kubernetes.admit(WEB, at=START)
    janitor = keeper(kubernetes)
    kubernetes.ask(service("web", "80/TCP", "81/TCP"), at=START + timedelta(seconds=2))
    kubernetes.shown = (service("web", "80/TCP", "81/TCP"),)
    janitor.observe(GROUP)
    kubernetes.shown = None
    kubernetes.apply(WEB)

    asyncio.run(janitor.settle(GROUP))
    assert claimed(kubernetes) == ["web 80/TCP"]
