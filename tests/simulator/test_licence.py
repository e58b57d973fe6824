"""Licence tiers: every field that a tier lacks is refused in the Controller's words, every other is taken."""

from collections.abc import Iterator

import pytest

from simulator import licence
from simulator.licence import Limits
from simulator.refusals import RefusedError
from simulator.settings import Settings
from tests.contracts.bodies import pool, rule, server, service, virtualservice, vsvip
from tests.contracts.client import Document, path_of
from tests.simulator.desk import PASSWORD, Desk, desk

TIERS = ("BASIC", "ESSENTIALS")
SAMPLES: Document = {
    "connection_ramp_duration": 10,
    "append_port": "ALWAYS",
    "lb_algorithm": "LB_ALGORITHM_RANDOM",
    "lb_algorithm_hash": "LB_ALGORITHM_CONSISTENT_HASH_URI",
    "flow_dist": "CONSISTENT_HASH_SOURCE_IP_ADDRESS",
    "type": "VS_TYPE_VH_CHILD",
    "weight": 2,
    "request_queue_depth": 7,
    "capacity_estimation_ttfb_thresh": 9,
    "lb_algorithm_core_nonaffinity": 3,
}
"""A value that is not allowed, where true would not do."""


def of_tier(tier: str) -> Desk:
    """A desk of that tier."""
    return desk(Settings(password=PASSWORD, licence_tier=tier))


def refusals(limits: Limits) -> Iterator[tuple[str, str]]:
    """Tier and field of every limit that a value can break."""
    for field, by_tier in limits.items():
        yield from ((tier, field) for tier, allowed in by_tier.items() if allowed != (True,))


def rows() -> Iterator[tuple[str, str, str, Document]]:
    """Tier, class, kind and body: one field too much."""
    for tier, field in refusals(licence.VIRTUAL_SERVICE):
        yield tier, f"VirtualService.{field}", "virtualservice", {field: SAMPLES.get(field, True)}
    for tier, field in refusals(licence.SERVICE):
        yield tier, f"Service.{field}", "virtualservice", {"services": [{"port": 80, field: True}]}
    for tier, field in refusals(licence.POOL):
        yield tier, f"Pool.{field}", "pool", {field: SAMPLES.get(field, True)}
    for tier, field in refusals(licence.SERVER):
        yield tier, f"Server.{field}", "pool", {"servers": [server("10.0.0.1", **{field: True})]}
    for tier in TIERS:
        rules = [rule(80, "TCP")]
        yield tier, "L4RuleMatchTarget.protocol", "l4policyset", {"l4_connection_policy": {"rules": rules}}
    body: Document = {"profile": {"type": "PROTOCOL_TYPE_TCP_PROXY"}}
    yield "ESSENTIALS", "NetworkProfileUnion.type", "networkprofile", body


@pytest.mark.parametrize("row", list(rows()), ids=lambda row: f"{row[1]} on {row[0]}")
def test_a_field_that_the_tier_lacks_is_refused_by_name(row: tuple[str, str, str, Document]) -> None:
    """400, in one of the two documented sentences."""
    tier, field, kind, body = row
    with pytest.raises(RefusedError) as refused:
        licence.check(kind, body, tier=tier)

    assert refused.value.status == 400
    assert str(refused.value).startswith(f"Field {field} cannot ")
    assert f" in {tier} license tier." in str(refused.value)


@pytest.mark.parametrize("tier", ["ENTERPRISE", "ENTERPRISE_WITH_CLOUD_SERVICES"])
def test_enterprise_takes_everything(tier: str) -> None:
    """Both of its tiers."""
    it = of_tier(tier)
    vip = it.client.made("vsvip", vsvip(it.site))
    body = virtualservice(it.site, vsvip_ref=vip["url"], services=[service(80), service(80, "UDP")], enable_rhi=True)

    assert it.client.post("virtualservice", body).status == 201


@pytest.mark.parametrize("tier", TIERS)
def test_what_akos_shared_vip_needs_is_taken_without_overrides(tier: str) -> None:
    """An address from IPAM, a pool, a rule by port, one network profile: the fallback is possible."""
    it = of_tier(tier)
    made = it.client.made("pool", pool(it.site, graceful_disable_timeout=1, sni_enabled=False))
    target = {"action_type": "L4_RULE_ACTION_SELECT_POOL", "pool_ref": made["url"]}
    one = {"name": "r", "index": 0, "match": {"port": {"match_criteria": "IS_IN", "ports": [80]}}}
    rules = {"rules": [{**one, "action": {"select_pool": target}}]}
    policy = it.client.made("l4policyset", {"name": "p", "l4_connection_policy": rules})
    vip = it.client.made("vsvip", vsvip(it.site, dns_info=[{"fqdn": "a.avi.internal"}], bgp_peer_labels=["x"]))
    body = virtualservice(
        it.site,
        vsvip_ref=vip["url"],
        network_profile_ref="/api/networkprofile?name=System-TCP-Fast-Path",
        l4_policies=[{"index": 0, "l4_policy_set_ref": policy["url"]}],
        enable_rhi=False,
    )

    assert it.client.post("virtualservice", body).status == 201


@pytest.mark.parametrize("tier", TIERS)
def test_what_was_read_can_be_written(tier: str) -> None:
    """The tier's own defaults are filled in, so a PUT of what a GET showed is no breach of the licence."""
    it = of_tier(tier)
    vip = it.client.made("vsvip", vsvip(it.site))
    body = virtualservice(
        it.site, vsvip_ref=vip["url"], network_profile_ref="/api/networkprofile?name=System-TCP-Fast-Path"
    )
    for made in (it.client.made("virtualservice", body), it.client.made("pool", pool(it.site))):
        shown = it.client.read(made)
        assert it.client.put(path_of(made), shown).status == 200
        assert it.client.patch(path_of(made), {"replace": {"description": "x"}}).status == 200
        assert shown.get("enable_autogw", False) is False
        assert shown.get("append_port", "NEVER") == "NEVER"


def test_essentials_refuses_a_virtual_service_with_tcp_proxy() -> None:
    """The system profile is there, but it may not be used; BASIC may."""
    answers: dict[str, int] = {}
    for tier in TIERS:
        it = of_tier(tier)
        vip = it.client.made("vsvip", vsvip(it.site))
        answers[tier] = it.client.post("virtualservice", virtualservice(it.site, vsvip_ref=vip["url"])).status

    assert answers == {"BASIC": 201, "ESSENTIALS": 400}


def test_a_patch_is_licensed_too() -> None:
    """Otherwise it would be a way round."""
    it = of_tier("BASIC")
    made = it.client.made("pool", pool(it.site))
    answer = it.client.patch(path_of(made), {"replace": {"lb_algorithm": "LB_ALGORITHM_RANDOM"}})

    assert answer.error == (
        "Field Pool.lb_algorithm cannot have LB_ALGORITHM_RANDOM as its value in BASIC license tier. Allowed values: "
        "LB_ALGORITHM_LEAST_CONNECTIONS,LB_ALGORITHM_ROUND_ROBIN,LB_ALGORITHM_CONSISTENT_HASH."
    )
