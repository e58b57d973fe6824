"""The documents that the reconcile benchmark stores are what it says they are."""

from collections import Counter
from typing import cast

from bench.reconcile.population import (
    SLICE_SIZE,
    STEPS,
    Rollout,
    groups,
    pod_address,
    render_service,
    render_slices,
    restart,
    rolling_groups,
)
from reconciler.settings import ReconcilerSettings
from sharedvip.decide import decide
from sharedvip.ledger import group_of
from sharedvip.model import GroupName, Situation
from sharedvip.parse import ServiceObject, parse_service

ROLLOUT = Rollout(pods=200, services=4, waves=20)
FIRST = next(rolling_groups(ROLLOUT))


def test_all_groups_may_be_admitted() -> None:
    """The rules find nothing: what is measured is no refusal."""
    for group in groups(3):
        members = [parse_service(cast("ServiceObject", render_service(group, member))) for member in group.members]
        for candidate in members:
            peers = group_of(group.name, ledger=None, services=members, candidate=candidate)

            assert decide(candidate, Situation(peers, policy=ReconcilerSettings(cluster_name="bench").policy)) == ()


def test_names_and_addresses_are_different() -> None:
    """For as many groups as the full run has: otherwise fewer would be measured than are told."""
    members = [member for group in groups(1000) for member in group.members]

    assert len({member.name for member in members}) == 2000
    assert len({address for member in members for address in member.addresses}) == 20_000
    assert all(int(part) < 256 for member in members for part in member.addresses[-1].split("."))


def test_a_service_of_many_pods_has_many_slices() -> None:
    """As the EndpointSlice controller makes them."""
    slices = list(render_slices(FIRST, FIRST.members[0]))

    assert [len(one["endpoints"]) for one in slices] == [SLICE_SIZE, SLICE_SIZE]
    assert FIRST.name == GroupName("bench-rolling", "app-00")


def test_a_restart_writes_as_often_as_it_says() -> None:
    """For one Service: once for each step of each wave."""
    written = list(restart(ROLLOUT, FIRST, FIRST.members[0]))

    assert len(written) * ROLLOUT.services == ROLLOUT.events
    assert len(written) == ROLLOUT.waves * len(STEPS)


def test_a_restart_ends_with_the_new_pods() -> None:
    """The last version of each slice, together: every new pod once, every old one never."""
    last = {one["metadata"]["name"]: one for one in restart(ROLLOUT, FIRST, FIRST.members[0])}
    addresses = Counter(each["addresses"][0] for one in last.values() for each in one["endpoints"])

    assert addresses == Counter(pod_address(number, is_new=True) for number in range(ROLLOUT.pods))


def test_a_pod_leaves_only_after_its_successor_is_ready() -> None:
    """As many are ready at every step as before."""
    for each in restart(ROLLOUT, FIRST, FIRST.members[0]):
        ready = [endpoint for endpoint in each["endpoints"] if endpoint["conditions"]["ready"]]

        assert len(ready) >= SLICE_SIZE
