"""Who holds an address outside a group."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sharedvip.holders import address_holders, as_joining
from sharedvip.ledger import GRACE, Claim, Ledger
from sharedvip.model import AddressHolder, GroupName, ServiceName, ServiceView
from tests.builders import GROUP, listener, service

ADDRESS = "10.1.2.3"
NOW = datetime(2026, 11, 26, tzinfo=UTC)


@pytest.mark.parametrize(
    ("services", "groups", "expected"),
    [
        pytest.param([], [], (), id="nobody"),
        pytest.param([], [GROUP], (), id="not the group itself"),
        pytest.param(
            [],
            [GroupName("z", "k"), GroupName("default", "other")],
            (AddressHolder("default", key="other"), AddressHolder("z", key="k")),
            id="other groups, sorted by namespace",
        ),
        pytest.param(
            [service("plain", key=None, load_balancer_ip=ADDRESS)],
            [],
            (AddressHolder("default", service="plain"),),
            id="an ordinary Service",
        ),
        pytest.param(
            [service("member", key="other", load_balancer_ip=ADDRESS), service("two", key="other", vips=(ADDRESS,))],
            [],
            (AddressHolder("default", key="other"),),
            id="a group whose members are in no ledger",
        ),
        pytest.param(
            [service("member", key="other", vips=(ADDRESS,))],
            [],
            (AddressHolder("default", key="other"),),
            id="a group that another operator serves there",
        ),
        pytest.param(
            [service("member", key="other", vips=(ADDRESS,), has_ready_condition=True)],
            [],
            (),
            id="not who has it from a group that it has left",
        ),
        pytest.param(
            [service("member", key="other", load_balancer_ip=ADDRESS, type="ClusterIP")],
            [],
            (),
            id="not who is no member",
        ),
        pytest.param(
            [service("member", key="other", load_balancer_ip=ADDRESS)],
            [GROUP],
            (),
            id="nobody who came past admission, for a group that has it by its ledger",
        ),
        pytest.param(
            [service("left", key=None, vips=(ADDRESS,), has_ready_condition=True)],
            [],
            (),
            id="not who was a member just now",
        ),
        pytest.param(
            [service("mine", key=None, load_balancer_ip=ADDRESS)],
            [],
            (),
            id="not the candidate, which brings its own address",
        ),
        pytest.param(
            [service("inside", key=None, load_balancer_ip=ADDRESS, type="ClusterIP")],
            [],
            (),
            id="not a Service of another type",
        ),
    ],
)
def test_who_holds_an_address(
    services: list[ServiceView], groups: list[GroupName], expected: tuple[AddressHolder, ...]
) -> None:
    """Groups by their ledgers or their members, ordinary Services by themselves."""
    candidate = ServiceName("default", "mine")
    assert address_holders(GROUP, ADDRESS, candidate=candidate, services=services, groups=groups) == expected


@pytest.mark.parametrize(
    ("version", "age", "group", "is_pending"),
    [
        pytest.param("7", timedelta(), GROUP, True, id="its update may still be stored"),
        pytest.param("8", timedelta(), GROUP, False, id="another version is stored"),
        pytest.param("7", GRACE + timedelta(seconds=1), GROUP, False, id="nothing came for too long"),
        pytest.param("7", timedelta(), GroupName("other", GROUP.key), False, id="a namesake in another namespace"),
    ],
)
def test_who_is_about_to_join_with_its_address_is_pending(
    version: str, age: timedelta, group: GroupName, *, is_pending: bool
) -> None:
    """The claim says over which version: then it is no holder outside the group for long."""
    stored = replace(service("web", "80/TCP", key=None, load_balancer_ip=ADDRESS), uid="u", resource_version=version)
    ledger = Ledger(group, claims=(Claim(listener("80/TCP"), "web", "u", NOW - age, replaces="7"),))
    holders = (AddressHolder("default", service="web"), AddressHolder("default", key="other"))

    found = as_joining(holders, ledger, {stored.name: stored}, now=NOW)

    assert found == (replace(holders[0], is_pending=is_pending), holders[1])
    assert as_joining(holders, None, {stored.name: stored}, now=NOW) == holders
