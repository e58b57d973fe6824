"""Who holds an address outside a group."""

import pytest

from sharedvip.holders import address_holders
from sharedvip.model import AddressHolder, GroupName, ServiceName, ServiceView
from tests.builders import GROUP, service

ADDRESS = "10.1.2.3"


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
