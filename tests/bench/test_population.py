"""The benchmark's Services are what users could have, and its reviews ask what they say."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from bench.admission import opa, reviews
from bench.admission.population import (
    BenchGroup,
    JsonObject,
    Namespace,
    groups,
    render_ledger,
    render_members,
    render_service,
)
from sharedvip.decide import decide, relevant_change
from sharedvip.ledger import group_of
from sharedvip.model import GroupName, ServiceView, Situation
from sharedvip.parse import ServiceObject, parse_service
from webhook.admission import parse_asked
from webhook.review import parse_review
from webhook.view import Asked

NAMESPACES = (Namespace("ns-a", 20), Namespace("ns-b", 10))
GROUPS = tuple(groups(NAMESPACES))


def stored(group: BenchGroup) -> list[JsonObject]:
    """A group's Services as the API server stores them."""
    return [
        {**service, "metadata": {**service["metadata"], "uid": f"uid-{n}"}}
        for n, service in enumerate(render_members(group))
    ]


def view(service: JsonObject) -> ServiceView:
    """As our rules see it."""
    return parse_service(cast("ServiceObject", service))


def asked(review: bytes) -> Asked:
    """As admission reads it."""
    found = parse_asked(parse_review(review))
    assert isinstance(found, Asked)
    return found


def test_every_namespace_has_as_many_services_as_it_says() -> None:
    """In groups of five, each with a key of its own."""
    names = [service["metadata"]["name"] for group in GROUPS for service in render_members(group)]

    assert len(set(names)) == len(names) == 30
    assert len({group.key for group in GROUPS}) == len(GROUPS) == 6


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.key)
def test_no_group_breaks_a_rule(group: BenchGroup) -> None:
    """So that nothing is warned of while it is measured, and a newcomer with other ports is admitted."""
    services = [view(service) for service in stored(group)]
    newcomer = view(render_service(group, name="new", ports=((20_001, "TCP"), (20_001, "UDP"))))
    name = GroupName(group.namespace, group.key)

    for candidate in (*services, newcomer):
        met = group_of(name, ledger=None, services=services, candidate=candidate)
        assert decide(candidate, Situation(met)) == ()


def test_static_addresses_are_different() -> None:
    """In 2,000 groups too."""
    addresses = [group.static_address for group in groups([Namespace("ns", 10_000)]) if group.static_address]

    assert len(set(addresses)) == len(addresses) == 500


def test_a_ledger_holds_every_listener_once() -> None:
    """As the schema demands."""
    claims = render_ledger(GROUPS[0], stored(GROUPS[0]))["spec"]["claims"]

    assert len({(claim["port"], claim["protocol"]) for claim in claims}) == len(claims) == 10


def test_an_irrelevant_update_is_one() -> None:
    """And only its label differs."""
    services = stored(GROUPS[0])

    for review, service in zip(reviews.irrelevant_updates(services), services, strict=True):
        found = asked(review)
        assert found.old == found.candidate == view(service)
        request = json.loads(review)["request"]
        assert request["object"]["metadata"]["labels"] != request["oldObject"]["metadata"]["labels"]


def test_another_target_port_is_read_and_is_no_relevant_change() -> None:
    """The longer way to the same answer."""
    found = asked(next(reviews.port_updates(stored(GROUPS[0]))))

    assert found.old is not None
    assert found.old != found.candidate
    assert not relevant_change(found.old, found.candidate)


def test_a_refused_create_breaks_one_rule() -> None:
    """It is no LoadBalancer, and new."""
    found = asked(next(reviews.refused_creates(stored(GROUPS[0]))))
    name = GroupName(GROUPS[0].namespace, GROUPS[0].key)
    met = group_of(name, ledger=None, services=[], candidate=found.candidate)

    assert found.old is None
    assert [denial.rule for denial in decide(found.candidate, Situation(met))] == ["not-load-balancer"]


def test_opas_data_hold_every_service() -> None:
    """Whole in the inventory, by listener in the index."""
    services = {"ns-a": stored(GROUPS[0]), "ns-b": stored(GROUPS[4])}

    inventory: Any = opa.render_inventory(services)
    index: Any = opa.render_index(services)

    found = inventory["inventory"]["namespace"]["ns-a"]["v1"]["Service"]
    assert list(found.values()) == services["ns-a"]
    group = index["groups"]["ns-b"][GROUPS[4].key]
    assert group["address"] == GROUPS[4].static_address
    assert set(group["listeners"].values()) == set(GROUPS[4].members)


def test_the_policies_of_the_peers_name_our_annotation() -> None:
    """A policy that looks at another one would win by doing nothing."""
    folder = Path(opa.__file__).parent
    policy = next(yaml.safe_load_all((folder / "vap.yaml").read_text()))

    for text in (json.dumps(policy), *(file.read_text() for file in (folder / "rego").glob("*.rego"))):
        assert "ako.vmware.com/enable-shared-vip" in text
        assert len(re.findall("ako.vmware.com/load-balancer-ip", text)) >= 2


def test_a_group_without_an_address_may_be_joined_by_one_write() -> None:
    """With an address, the create would also look at the address's lock."""
    free = [group for group in GROUPS if not group.static_address]

    assert free
    assert replace(free[0], number=4).static_address
