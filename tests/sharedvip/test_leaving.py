"""Who leaves its group, and the address that it takes along."""

from typing import Any

import pytest

from sharedvip.leaving import address_taken_along
from tests.builders import service


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        pytest.param({"load_balancer_ip": "10.0.0.1"}, "10.0.0.1", id="an address"),
        pytest.param({"load_balancer_ip": "2001:DB8:0::1"}, "2001:db8::1", id="in another spelling"),
        pytest.param({"load_balancer_ip": "10.0.0.1", "type": "NodePort"}, "", id="of what is no LoadBalancer"),
        pytest.param({"load_balancer_ip": "localhost"}, "", id="a name"),
        pytest.param({"load_balancer_ip": "::ffff:10.0.0.1"}, "", id="IPv4 in the clothes of IPv6"),
        pytest.param({"load_balancer_ip": "../1" * 100_000}, "", id="anything"),
    ],
)
def test_only_an_address_is_taken_along(fields: dict[str, Any], address: str) -> None:
    """There is no lock on another text, and to ask for one is an error of the API server's."""
    assert address_taken_along(service(key=None, **fields)) == address
