"""Who holds an address outside a group."""

import pytest

from sharedvip.holders import address_holders
from sharedvip.model import AddressHolder, GroupName, ServiceName, ServiceView
from tests.builders import GROUP, service


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
            [service("plain", key=None)], [], (AddressHolder("default", service="plain"),), id="an ordinary Service"
        ),
        pytest.param([service("member", key="other")], [], (), id="not a member of another group by itself"),
        pytest.param([service("left", key=None, has_ready_condition=True)], [], (), id="not who was a member just now"),
        pytest.param([service("mine", key=None)], [], (), id="not the candidate, which brings its own address"),
        pytest.param([service("inside", key=None, type="ClusterIP")], [], (), id="not a Service of another type"),
    ],
)
def test_who_holds_an_address(
    services: list[ServiceView], groups: list[GroupName], expected: tuple[AddressHolder, ...]
) -> None:
    """Groups by their ledgers, ordinary Services by themselves."""
    candidate = ServiceName("default", "mine")
    assert address_holders(GROUP, candidate=candidate, services=services, groups=groups) == expected
