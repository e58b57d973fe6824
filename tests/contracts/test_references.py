"""How objects refer to each other, and that they can not come apart."""

import pytest

from tests.contracts.bodies import BUILDERS, l4policyset, pool, rule, service, virtualservice, vsvip
from tests.contracts.client import Client, Document, Site, path_of

SPELLINGS = {
    "by name": "/api/pool?name={name}",
    "by name, with a slash": "/api/pool/?name={name}",
    "by uuid": "/api/pool/{uuid}",
    "by uuid, with name": "/api/pool/{uuid}#{name}",
    "as URL": "{url}",
}


def policy_for(controller: Site, reference: str) -> Document:
    """A policy set whose one rule selects the pool."""
    return l4policyset(controller, l4_connection_policy={"rules": [rule(80, "TCP", pool_ref=reference)]})


def pool_ref(made: Document) -> str:
    """The pool that the first rule selects."""
    return made["l4_connection_policy"]["rules"][0]["action"]["select_pool"]["pool_ref"]


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_a_reference_is_resolved_however_it_is_written(spelling: str, client: Client, controller: Site) -> None:
    """And shown as the full URL with the name."""
    made = client.made("pool", pool(controller))
    policy = client.made("l4policyset", policy_for(controller, spelling.format(**made)))

    assert pool_ref(policy) == made["url"]


def test_a_read_shows_names_only_when_asked(client: Client, controller: Site) -> None:
    """``include_name``, bare as AKO sends it or with a value."""
    made = client.made("pool", pool(controller))
    policy = client.made("l4policyset", policy_for(controller, made["url"]))
    path = path_of(policy)

    assert pool_ref(client.get(path).body) == made["url"].partition("#")[0]
    assert pool_ref(client.get(f"{path}?include_name").body) == made["url"]
    assert pool_ref(client.get(f"{path}?include_name=true").body) == made["url"]


def test_a_renamed_object_is_still_referred_to(client: Client, controller: Site) -> None:
    """References are kept by uuid."""
    made = client.made("pool", pool(controller))
    policy = client.made("l4policyset", policy_for(controller, made["url"]))
    renamed = client.patch(path_of(made), {"replace": {"name": f"{made['name']}-2"}}).body

    assert pool_ref(client.get(f"{path_of(policy)}?include_name").body) == renamed["url"]


def test_a_reference_to_no_pool_is_not_found(client: Client, controller: Site) -> None:
    """404 on the referrer's own POST: AKO looks for these words."""
    answer = client.post("l4policyset", policy_for(controller, "/api/pool?name=nowhere"))

    assert (answer.status, answer.error) == (404, "Pool object not found!")


@pytest.mark.parametrize(
    ("field", "words"),
    [("vrf_context_ref", "VrfContext"), ("vip", "Network")],
    ids=["an unknown VRF is refused", "an unknown network is refused"],
)
def test_a_reference_into_the_infrastructure_is_refused_otherwise(
    field: str, words: str, client: Client, controller: Site
) -> None:
    """400: AKO retries these two slowly."""
    origin = {"network_ref": "/api/network/?name=nowhere"}
    broken: dict[str, object] = {
        "vrf_context_ref": "/api/vrfcontext?name=nowhere",
        "vip": [{"vip_id": "0", "auto_allocate_ip": True, "ipam_network_subnet": origin}],
    }
    answer = client.post("vsvip", vsvip(controller, **{field: broken[field]}))

    assert answer.status == 400
    assert f"{words} object not found" in answer.error


def test_a_put_may_not_refer_to_nothing(client: Client, controller: Site) -> None:
    """And changes nothing then."""
    made = client.made("pool", pool(controller))
    policy = client.made("l4policyset", policy_for(controller, made["url"]))
    answer = client.put(path_of(policy), {**policy_for(controller, "/api/pool/pool-none"), "name": policy["name"]})

    assert answer.status == 404
    assert client.read(policy)["_last_modified"] == policy["_last_modified"]


def test_what_is_referred_to_may_not_be_deleted(client: Client, controller: Site) -> None:
    """The refusal names who refers; children may go only after their parents."""
    vip, made = client.made("vsvip", vsvip(controller)), client.made("pool", pool(controller))
    policy = client.made("l4policyset", policy_for(controller, made["url"]))
    policies = [{"index": 0, "l4_policy_set_ref": policy["url"]}]
    vs = client.made("virtualservice", virtualservice(controller, vsvip_ref=vip["url"], l4_policies=policies))

    for child, parent in ((vip, f"VirtualService {vs['name']}"), (policy, f"VirtualService {vs['name']}")):
        answer = client.delete(path_of(child))
        assert answer.status in {400, 403}  # avi.md 6: which of the two on 31 and newer is open
        assert f"Cannot delete, object is referred by: ['{parent}']" in answer.error
    assert f"'L4PolicySet {policy['name']}'" in client.delete(path_of(made)).error
    for parent_first in (vs, policy, made, vip):
        assert client.delete(path_of(parent_first)).status == 204


def test_dropping_a_reference_frees_what_it_held(client: Client, controller: Site) -> None:
    """The port is removed first, then its pool: the order that removes a listener."""
    made = client.made("pool", pool(controller))
    policy = client.made("l4policyset", policy_for(controller, made["url"]))
    client.put(path_of(policy), {"name": policy["name"], "l4_connection_policy": {"rules": []}})

    assert client.delete(path_of(made)).status == 204


def test_a_tenant_in_use_may_not_be_deleted(client: Client, admin: Client, controller: Site) -> None:
    """Its objects refer to it."""
    client.made("pool", pool(controller))
    tenant = admin.get(f"tenant?name={client.tenant}").results[0]

    assert admin.delete(path_of(tenant)).status in {400, 403}


def test_a_system_object_may_not_be_deleted(admin: Client) -> None:
    """It is everybody's."""
    profile = admin.get("networkprofile?name=System-UDP-Fast-Path").results[0]

    assert admin.delete(path_of(profile)).status in {400, 403}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("networkprofile", "System-TCP-Proxy"),
        ("networkprofile", "System-TCP-Fast-Path"),
        ("networkprofile", "System-UDP-Fast-Path"),
        ("networkprofile", "System-SCTP-Proxy"),
        ("applicationprofile", "System-L4-Application"),
        ("applicationprofile", "System-SSL-Application"),
        ("healthmonitor", "System-TCP"),
        ("healthmonitor", "System-UDP"),
        ("healthmonitor", "System-SCTP"),
    ],
)
def test_the_system_objects_are_seen_in_every_tenant(kind: str, name: str, client: Client) -> None:
    """A virtual service refers to them by name."""
    assert client.get(f"{kind}/?name={name}").body["count"] == 1


def test_a_vsvip_shows_who_uses_it(client: Client, controller: Site) -> None:
    """``vs_refs``, when it is read by uuid."""
    vip = client.made("vsvip", vsvip(controller))
    assert "vs_refs" not in client.read(vip)
    vs = client.made("virtualservice", virtualservice(controller, vsvip_ref=vip["url"]))

    assert client.read(vip)["vs_refs"] == [vs["url"].partition("#")[0]]


@pytest.mark.parametrize("services", [[service(80), service(80)], [service(80, port_range_end=90), service(85)]])
def test_listeners_of_one_virtual_service_may_not_overlap(
    services: list[Document], client: Client, controller: Site
) -> None:
    """Same protocol and port, or ranges that meet."""
    vip = client.made("vsvip", vsvip(controller))
    answer = client.post("virtualservice", virtualservice(controller, vsvip_ref=vip["url"], services=services))

    assert 400 <= answer.status < 500


def test_listeners_of_one_port_and_two_protocols_are_fine(client: Client, controller: Site) -> None:
    """The whole point of a shared VIP."""
    vip = client.made("vsvip", vsvip(controller))
    services = [service(80), service(80, "UDP"), service(80, "SCTP")]

    client.made("virtualservice", virtualservice(controller, vsvip_ref=vip["url"], services=services))


def test_two_virtual_services_may_share_a_vsvip_on_other_ports(client: Client, controller: Site) -> None:
    """And may not on the same."""
    vip = client.made("vsvip", vsvip(controller))
    client.made("virtualservice", virtualservice(controller, vsvip_ref=vip["url"], services=[service(80)]))
    client.made("virtualservice", virtualservice(controller, vsvip_ref=vip["url"], services=[service(443)]))
    answer = client.post("virtualservice", virtualservice(controller, vsvip_ref=vip["url"], services=[service(443)]))

    assert 400 <= answer.status < 500


def test_every_kind_has_a_builder() -> None:
    """So that no kind is forgotten above."""
    assert set(BUILDERS) >= {"pool", "vsvip", "l4policyset"}
