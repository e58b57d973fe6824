"""VIP addresses: the Controller allocates them while it answers the POST, keeps them, and gives them back."""

from ipaddress import ip_address, ip_network

from tests.contracts.bodies import vip, vsvip
from tests.contracts.client import Client, Document, Site, path_of


def address(made: Document) -> str:
    """The first VIP's address."""
    return made["vip"][0]["ip_address"]["addr"]


def preferring(controller: Site, wanted: str) -> Document:
    """A vsvip that asks for an address, as AKO does for a static one: with auto-allocation too."""
    return vsvip(controller, vip=[vip(controller, ip_address={"addr": wanted, "type": "V4"})])


def test_the_answer_to_the_post_holds_the_address(client: Client, controller: Site) -> None:
    """Nobody has to wait for it."""
    made = client.made("vsvip", vsvip(controller))

    assert ip_address(address(made)) in ip_network(controller.subnet)
    assert made["vip"][0]["ip_address"]["type"] == "V4"
    assert made["vip"][0]["avi_allocated_vip"] is True
    assert address(client.read(made)) == address(made)


def test_two_vsvips_get_two_addresses(client: Client, controller: Site) -> None:
    """An address has one holder."""
    assert address(client.made("vsvip", vsvip(controller))) != address(client.made("vsvip", vsvip(controller)))


def test_without_a_network_the_clouds_own_is_used(client: Client, controller: Site) -> None:
    """The first usable network of its IPAM profile."""
    made = client.made("vsvip", vsvip(controller, vip=[{"vip_id": "0", "auto_allocate_ip": True}]))

    assert address(made)


def test_a_preferred_address_that_is_free_is_given(client: Client, controller: Site) -> None:
    """The one that was just given back is surely free."""
    first = client.made("vsvip", vsvip(controller))
    client.delete(path_of(first))

    assert address(client.made("vsvip", preferring(controller, address(first)))) == address(first)


def test_a_preferred_address_that_is_taken_is_refused(client: Client, controller: Site) -> None:
    """And nothing is made; the words are not known."""
    first = client.made("vsvip", vsvip(controller))
    body = preferring(controller, address(first))
    answer = client.post("vsvip", body)

    assert 400 <= answer.status < 500
    assert answer.error
    assert client.get(f"vsvip?name={body['name']}").body["count"] == 0


def test_a_preferred_address_of_another_network_is_refused(client: Client, controller: Site) -> None:
    """It is in no range."""
    assert 400 <= client.post("vsvip", preferring(controller, "192.0.2.1")).status < 500


def test_a_static_address_without_allocation_is_taken_as_it_is(client: Client, controller: Site) -> None:
    """Nobody checks it, as recorded from a real Controller."""
    body = vsvip(controller, vip=[{"vip_id": "0", "ip_address": {"addr": "192.0.2.1", "type": "V4"}}])
    made = client.made("vsvip", body)

    assert (address(made), made["vip"][0]["avi_allocated_vip"]) == ("192.0.2.1", False)


def test_a_put_without_address_keeps_it(client: Client, controller: Site) -> None:
    """AKO does so at every update."""
    body = vsvip(controller)
    made = client.made("vsvip", body)
    answer = client.put(path_of(made), {**body, "vsvip_cloud_config_cksum": "2"})

    assert (answer.status, address(answer.body)) == (200, address(made))
    assert answer.body["vsvip_cloud_config_cksum"] == "2"


def test_a_put_with_its_own_answer_keeps_the_address(client: Client, controller: Site) -> None:
    """Read, change, write."""
    made = client.made("vsvip", vsvip(controller))
    answer = client.put(path_of(made), made)

    assert (answer.status, address(answer.body)) == (200, address(made))


def test_an_address_can_not_be_changed(client: Client, controller: Site) -> None:
    """The words tell what to do instead: AKO looks for them."""
    body = vsvip(controller)
    made = client.made("vsvip", body)
    other = str(ip_address(address(made)) + 1)
    answer = client.put(path_of(made), {**preferring(controller, other), "name": body["name"]})

    assert answer.status == 400
    assert "If a new preferred IP is needed, please recreate the VIP" in answer.error
    assert address(client.read(made)) == address(made)


def test_a_vip_id_can_not_be_changed(client: Client, controller: Site) -> None:
    """Likewise."""
    body = vsvip(controller)
    made = client.made("vsvip", body)
    answer = client.put(path_of(made), {**body, "vip": [{**body["vip"][0], "vip_id": "7"}]})

    assert answer.status == 400
    assert "Changing an existing VIP's vip_id is not supported" in answer.error


def test_a_vip_needs_its_id(client: Client, controller: Site) -> None:
    """400 by the field check."""
    assert client.post("vsvip", vsvip(controller, vip=[{"auto_allocate_ip": True}])).status == 400
