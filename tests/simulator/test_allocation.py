"""IPAM with subnets of the test's choice: exhaustion, ranges, both families."""

import pytest

from simulator.settings import Knobs, Settings, Subnet
from tests.contracts.bodies import vip, vsvip
from tests.contracts.client import Client, Document, path_of, unique
from tests.simulator.desk import Desk, desk

ONE_OR_TWO = (Subnet("net1", "10.0.0.0/24", (("10.0.0.10", "10.0.0.11"),)),)


def wanted(**fields: object) -> Document:
    """A vsvip of one VIP on whatever network the cloud has."""
    return {"name": unique("vsvip"), "vip": [{"vip_id": "0", "auto_allocate_ip": True, **fields}]}


def given(client: Client, **fields: object) -> str:
    """The address that a new vsvip gets."""
    return client.made("vsvip", wanted(**fields))["vip"][0]["ip_address"]["addr"]


def v4(address: str) -> Document:
    """An address message."""
    return {"addr": address, "type": "V4"}


def with_ranges(*ranges: Document) -> tuple[Desk, str]:
    """A desk whose cloud has a second network with these ranges, and the network's reference."""
    it = desk()
    prefix = {"ip_addr": v4("10.9.0.0"), "mask": 29}
    subnets = [{"prefix": prefix, "static_ip_ranges": list(ranges)}]
    return it, it.client.made("network", {"name": "net9", "configured_subnets": subnets})["url"]


def span(first: str, last: str, kind: str) -> Document:
    """A range of a subnet."""
    return {"range": {"begin": v4(first), "end": v4(last)}, "type": kind}


def test_the_documentations_addresses_come_first() -> None:
    """The first VIP is 100.64.196.61, the static 100.64.196.75 stays free."""
    it = desk()
    first = given(it.client)
    rest = [given(it.client) for _ in range(20)]

    assert first == "100.64.196.61"
    assert "100.64.196.75" not in rest
    assert given(it.client, ip_address=v4("100.64.196.75")) == "100.64.196.75"


def test_a_network_that_is_full_is_refused_and_a_deletion_helps() -> None:
    """AKO looks for these words."""
    it = desk(subnets=ONE_OR_TWO)
    first = it.client.made("vsvip", wanted())
    assert given(it.client) == "10.0.0.11"
    answer = it.client.post("vsvip", wanted())

    assert answer.status == 400
    assert "No available free IPs" in answer.error
    assert it.client.delete(path_of(first)).status == 204
    assert given(it.client) == "10.0.0.10"


def test_an_address_is_given_back_when_its_tree_fails() -> None:
    """One transaction."""
    it = desk(subnets=ONE_OR_TWO)
    data = {"name": "vs", "vsvip_ref_data": wanted(), "services": [{"port": 80}], "weight": 999}

    for _ in range(3):
        assert it.client.post("macro", {"model_name": "VirtualService", "data": data}).status == 400
    assert given(it.client) == "10.0.0.10"


def test_two_vips_of_one_vsvip_get_two_addresses() -> None:
    """In the order in which they stand."""
    it = desk(subnets=ONE_OR_TWO)
    body = {"name": "two", "vip": [{"vip_id": ident, "auto_allocate_ip": True} for ident in ("1", "2")]}

    assert [one["ip_address"]["addr"] for one in it.client.made("vsvip", body)["vip"]] == ["10.0.0.10", "10.0.0.11"]


def test_a_vip_can_not_be_added_to_a_vsvip() -> None:
    """Avi's own IPAM does not support it."""
    it = desk()
    made = it.client.made("vsvip", body := wanted())
    both = [body["vip"][0], {"vip_id": "1", "auto_allocate_ip": True}]

    assert it.client.put(path_of(made), {**body, "vip": both}).status == 400


def test_a_status_for_a_taken_address_is_a_knob() -> None:
    """Nobody knows it."""
    it = desk(knobs=Knobs(preferred_address_status=409))
    given(it.client, ip_address=v4("100.64.196.75"))

    assert it.client.post("vsvip", wanted(ip_address=v4("100.64.196.75"))).status == 409


def test_a_renewed_preferred_address_is_no_conflict_with_itself() -> None:
    """A PUT that names the address which the vsvip holds."""
    it = desk()
    body = wanted(ip_address=v4("100.64.196.75"))
    made = it.client.made("vsvip", body)

    assert it.client.put(path_of(made), body).status == 200


def test_without_a_subnet_all_hosts_are_used_but_the_first_and_last() -> None:
    """A /30 has two."""
    it = desk(subnets=(Subnet("net1", "10.0.0.0/30"),))

    assert [given(it.client), given(it.client)] == ["10.0.0.1", "10.0.0.2"]
    assert it.client.post("vsvip", wanted()).status == 400


def test_a_range_for_service_engines_gives_no_vip() -> None:
    """The others do."""
    it, network = with_ranges(
        span("10.9.0.1", "10.9.0.2", "STATIC_IPS_FOR_SE"),
        span("10.9.0.4", "10.9.0.4", "STATIC_IPS_FOR_VIP"),
        span("10.9.0.5", "10.9.0.5", "STATIC_IPS_FOR_VIP_AND_SE"),
    )
    origin = {"network_ref": network}

    assert [given(it.client, ipam_network_subnet=origin) for _ in range(2)] == ["10.9.0.4", "10.9.0.5"]
    assert it.client.post("vsvip", wanted(ipam_network_subnet=origin)).status == 400


def test_a_range_outside_of_its_subnet_is_refused() -> None:
    """Assumed; at the network's own POST."""
    it = desk()
    for first, last in (("10.9.1.1", "10.9.1.2"), ("10.9.0.3", "10.9.0.1")):
        ranges = [{"range": {"begin": v4(first), "end": v4(last)}}]
        subnet = {"prefix": {"ip_addr": v4("10.9.0.0"), "mask": 29}, "static_ip_ranges": ranges}
        assert it.client.post("network", {"name": "net9", "configured_subnets": [subnet]}).status == 400


def test_the_first_usable_network_with_room_for_the_family_is_taken() -> None:
    """In the order of the IPAM profile."""
    it = desk(
        subnets=(Subnet("six", "2001:db8:6::/64"), Subnet("both", "10.0.0.0/24"), Subnet("both", "2001:db8::/64"))
    )
    made = it.client.made("vsvip", wanted(auto_allocate_ip_type="V4_V6"))["vip"][0]
    six = it.client.made("vsvip", wanted(auto_allocate_ip_type="V6_ONLY"))["vip"][0]

    assert (made["ip_address"]["addr"], made["ip6_address"]) == ("10.0.0.1", {"addr": "2001:db8::1", "type": "V6"})
    assert ("ip_address" in six, six["ip6_address"]["addr"]) == (False, "2001:db8:6::1")


def test_an_address_is_one_however_it_is_spelled() -> None:
    """IPv6 has many spellings."""
    it = desk(subnets=(Subnet("six", "2001:db8::/64"),))
    first = {"addr": "2001:DB8:0::75", "type": "V6"}
    made = it.client.made("vsvip", wanted(auto_allocate_ip_type="V6_ONLY", ip6_address=first))

    assert made["vip"][0]["ip6_address"]["addr"] == "2001:db8::75"
    second = {"addr": "2001:db8:0:0::75", "type": "V6"}
    assert it.client.post("vsvip", wanted(auto_allocate_ip_type="V6_ONLY", ip6_address=second)).status == 400


def test_a_subnet_that_the_network_has_not_gives_nothing() -> None:
    """The network is there, the subnet is not."""
    it = desk()
    other = {"ip_addr": v4("10.99.0.0"), "mask": 24}
    body = vsvip(it.site)
    body["vip"][0]["ipam_network_subnet"]["subnet"] = other

    assert "No available free IPs" in it.client.post("vsvip", body).error


@pytest.mark.parametrize(
    "address", [{"addr": "x", "type": "V4"}, {"addr": "::1", "type": "V4"}, {"addr": "vip.example", "type": "DNS"}]
)
def test_an_address_that_is_none_is_refused(address: Document) -> None:
    """400 by the field check; allocation gives numbers, not names."""
    it = desk()

    assert it.client.post("vsvip", vsvip(it.site, vip=[vip(it.site, ip_address=address)])).status == 400


def test_an_address_belongs_to_one_cloud() -> None:
    """Another cloud may use it too."""
    it = desk()
    given(it.client, ip_address=v4("100.64.196.75"))
    other = it.client.made("cloud", {"name": "other", "ipam_provider_ref": "/api/ipamdnsproviderprofile?name=avi-ipam"})
    body = {**wanted(ip_address=v4("100.64.196.75")), "cloud_ref": other["url"]}

    assert it.client.post("vsvip", body).status == 201


def test_wrong_subnets_are_refused_at_the_start() -> None:
    """By the settings' words, before anything listens."""
    with pytest.raises(ValueError, match=r"10\.1\.0\.1-10\.1\.0\.2 is no range of 10\.0\.0\.0/24"):
        desk(Settings(subnets=(Subnet("net1", "10.0.0.0/24", (("10.1.0.1", "10.1.0.2"),)),)))
    with pytest.raises(ValueError, match="is no version"):
        desk(Settings(version="thirty"))
