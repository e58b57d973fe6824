"""A pass in guard mode: the ledger is kept, refusals are told, and every Service's status is somebody else's."""

import asyncio
from dataclasses import replace

import pytest

from reconciler.guard_pass import GuardPass
from reconciler.ledger_keeper import LedgerKeeper
from reconciler.ports import Verdict
from reconciler.status import StatusKeeper
from sharedvip.model import Policy, ServiceView
from tests.builders import GROUP, service
from tests.reconciler.controller import START
from tests.reconciler.fake_kubernetes import FakeKubernetes

WEB = service("web", "80/TCP")
API = service("api", "443/TCP")
RIVAL = service("rival", "80/TCP")


def _guard(kubernetes: FakeKubernetes) -> GuardPass:
    keeper = LedgerKeeper(kubernetes, policy=Policy(), now=lambda: START)
    return GuardPass(kubernetes, keeper=keeper, statuses=StatusKeeper(kubernetes))


def test_a_refusal_is_told_once_and_no_status_is_written() -> None:
    """The address in the status is AKO's."""
    kubernetes = FakeKubernetes()
    kubernetes.admit(replace(WEB, vips=("10.0.0.7",)), at=START)
    kubernetes.apply(RIVAL)
    guard = _guard(kubernetes)

    async def story() -> None:
        await guard.run(GROUP)
        await guard.run(GROUP)

    asyncio.run(story())
    assert kubernetes.events == [("rival", "Warning", "Conflict")]
    assert kubernetes.verdicts == {}
    assert kubernetes.vips(WEB, RIVAL) == [("10.0.0.7",), ()]


def test_who_can_be_no_member_is_told_once_and_is_in_nobody_s_way() -> None:
    """It has the annotation, and nothing will ever come of that."""
    kubernetes = FakeKubernetes()
    kubernetes.apply(WEB, replace(API, type="ClusterIP"))
    guard = _guard(kubernetes)

    async def story() -> None:
        await guard.run(GROUP)
        await guard.run(GROUP)

    asyncio.run(story())
    assert kubernetes.events == [("api", "Warning", "Conflict")]
    assert [claim.service for claim in kubernetes.ledgers[GROUP].claims] == ["web"]
    assert kubernetes.reports[GROUP].verdict.reason == "Pending"


def test_who_has_lost_its_claims_has_no_address_any_more() -> None:
    """Admission goes by what the ``SharedVIP`` says: the last member is gone, and one that cannot join is there."""
    kubernetes = FakeKubernetes()
    kubernetes.admit(replace(WEB, vips=("10.0.0.7",)), at=START)
    guard = _guard(kubernetes)

    async def story() -> None:
        await guard.run(GROUP)
        kubernetes.delete(WEB.name)
        kubernetes.apply(replace(API, load_balancer_class="another"))
        await guard.run(GROUP)

    asyncio.run(story())
    assert kubernetes.ledgers[GROUP].claims == ()
    assert kubernetes.ledgers[GROUP].vip == ""


def test_a_group_that_is_over_leaves_no_ledger() -> None:
    """All its Services are gone."""
    kubernetes = FakeKubernetes()
    kubernetes.admit(WEB, at=START)
    guard = _guard(kubernetes)

    async def story() -> None:
        await guard.run(GROUP)
        kubernetes.delete(WEB.name)
        await guard.run(GROUP)

    asyncio.run(story())
    assert kubernetes.ledgers == {}


@pytest.mark.parametrize(
    ("members", "reason", "vip"),
    [
        pytest.param([WEB, API], "Pending", "", id="nobody has an address yet"),
        pytest.param([replace(WEB, vips=("10.0.0.7",)), API], "Guarded", "10.0.0.7", id="one has"),
        pytest.param(
            [replace(s, vips=("10.0.0.7",)) for s in (WEB, API)], "Guarded", "10.0.0.7", id="all have the same"
        ),
        pytest.param(
            [replace(WEB, vips=("10.0.0.7",)), replace(API, vips=("10.0.0.8",))],
            "DifferentVIPs",
            "",
            id="they differ: AKO built one in spite of a conflict",
        ),
        pytest.param(
            [replace(WEB, vips=("2001:DB8::7", "10.0.0.7")), replace(API, vips=("10.0.0.7", "2001:db8::7"))],
            "Guarded",
            "10.0.0.7",
            id="dual stack",
        ),
        pytest.param(
            [replace(WEB, vips=("10.0.0.7", "2001:db8::7")), replace(API, vips=("10.0.0.7",))],
            "Guarded",
            "10.0.0.7",
            id="one shows no IPv6 address",
        ),
    ],
)
def test_the_vip_is_what_the_statuses_show(members: list[ServiceView], reason: str, vip: str) -> None:
    """Admission compares static addresses with it."""
    kubernetes = FakeKubernetes()
    kubernetes.admit(*members, at=START)

    asyncio.run(_guard(kubernetes).run(GROUP))
    report = kubernetes.reports[GROUP]
    assert (report.verdict.reason, report.vip) == (reason, vip)
    assert report.services == ("api", "web")
    assert kubernetes.ledgers[GROUP].vip == vip


def test_a_shared_vip_with_a_finalizer_of_full_mode_goes_when_a_hand_deletes_it() -> None:
    """And comes back with all that it said."""
    kubernetes = FakeKubernetes()
    kubernetes.admit(WEB, API, at=START)
    kubernetes.ledgers[GROUP] = replace(kubernetes.ledgers[GROUP], has_finalizer=True, is_deleting=True)
    guard = _guard(kubernetes)

    asyncio.run(guard.run(GROUP))
    assert kubernetes.ledgers == {}
    asyncio.run(guard.run(GROUP))
    assert [claim.service for claim in kubernetes.ledgers[GROUP].claims] == ["web", "api"]


def test_one_that_was_made_anew_since_stays_though_the_watch_shows_the_old_one() -> None:
    """It holds the claim of a create that is on its way: gone, another would have the port too."""
    kubernetes = FakeKubernetes()
    kubernetes.admit(WEB, at=START)
    kubernetes.ledgers[GROUP] = replace(kubernetes.ledgers[GROUP], has_finalizer=True, is_deleting=True)
    kubernetes.shown_ledgers[GROUP] = kubernetes.ledgers.pop(GROUP)
    kubernetes.ask(API, at=START)
    made_anew = kubernetes.ledgers[GROUP]

    asyncio.run(_guard(kubernetes).run(GROUP))
    assert kubernetes.ledgers == {GROUP: made_anew}
    assert [claim.service for claim in made_anew.claims] == ["api"]


@pytest.mark.parametrize(
    ("members", "is_ready"),
    [
        pytest.param([WEB], False, id="the group has no address yet"),
        pytest.param([replace(WEB, vips=("10.0.0.7",))], True, id="the group is served"),
        pytest.param(
            [replace(WEB, vips=("10.0.0.7",)), replace(API, vips=("10.0.0.8",))], False, id="its members differ too"
        ),
    ],
)
def test_who_is_not_let_in_is_named_by_the_group(members: list[ServiceView], is_ready: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Those who are in are served as before: whether it is ready is theirs to say."""
    kubernetes = FakeKubernetes()
    kubernetes.admit(*members, at=START)
    kubernetes.apply(RIVAL)

    asyncio.run(_guard(kubernetes).run(GROUP))
    verdict = Verdict(is_ready=is_ready, reason="Conflict", message="not let in: 'rival'")
    assert kubernetes.reports[GROUP].verdict == verdict
