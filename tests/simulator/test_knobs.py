"""Each knob turns what avi.md leaves open, and licence tiers refuse what they lack."""

from dataclasses import fields
from pathlib import Path

import pytest

from simulator.settings import Knobs, Settings
from tests.contracts.bodies import l4policyset, macro, pool, rule, service, tree, virtualservice, vsvip
from tests.contracts.client import Document, path_of
from tests.simulator.desk import PASSWORD, Desk, desk


def turned(knobs: Knobs) -> Desk:
    """A desk with other knobs."""
    return desk(knobs=knobs)


def of_tier(tier: str) -> Desk:
    """A desk of that licence tier."""
    return desk(Settings(password=PASSWORD, licence_tier=tier))


def test_the_page_size_when_none_is_asked_for() -> None:
    """Documented for inventory only."""
    it = turned(Knobs(default_page_size=1))
    for _ in range(2):
        it.client.made("pool", pool(it.site))

    assert len(it.client.get("pool").results) == 1


@pytest.mark.parametrize(
    ("knobs", "path"),
    [(Knobs(page_overflow_status=418), "pool?page=9"), (Knobs(page_size_status=418), "pool?page_size=999")],
)
def test_the_status_of_an_impossible_page(knobs: Knobs, path: str) -> None:
    """Both are inferred."""
    assert turned(knobs).client.get(path).status == 418


def test_the_status_of_deleting_what_is_needed() -> None:
    """System defaults, and what others refer to."""
    it = turned(Knobs(system_object_status=418, referred_status=400))
    profile = it.client.get("networkprofile?name=System-TCP-Proxy").results[0]
    vip = it.client.made("vsvip", vsvip(it.site))
    it.client.made("virtualservice", virtualservice(it.site, vsvip_ref=vip["url"]))
    system, used = it.client.delete(path_of(profile)), it.client.delete(path_of(vip))

    assert (system.status, system.error) == (418, "Cannot delete system default object")
    assert (used.status, used.body["obj_name"]) == (400, vip["name"])


def test_the_status_of_a_version_too_high() -> None:
    """[INF]."""
    assert turned(Knobs(invalid_version_status=418)).client.speaking("31.1.1").get("pool").status == 418


def test_the_status_of_a_write_without_referer() -> None:
    """[INF]."""
    it = turned(Knobs(missing_referer_status=418))

    assert it.client.call("POST", "pool", body=pool(it.site), headers={"Referer": None}).status == 418


def test_the_status_of_a_duplicate_listener() -> None:
    """[INF]; the words name both."""
    it = turned(Knobs(duplicate_listener_status=418))
    vip = it.client.made("vsvip", vsvip(it.site))
    body = virtualservice(it.site, vsvip_ref=vip["url"], services=[service(80), service(80)])
    answer = it.client.post("virtualservice", body)

    assert (answer.status, answer.error) == (418, "Service port 80/TCP overlaps with 80/TCP in this virtual service")


@pytest.mark.parametrize(("shares", "status"), [(True, 201), (False, 400)])
def test_two_virtual_services_with_one_port_and_two_protocols(shares: bool, status: int) -> None:  # noqa: FBT001 - a row
    """Undocumented."""
    it = turned(Knobs(shares_port_between_protocols=shares))
    vip = it.client.made("vsvip", vsvip(it.site))
    it.client.made("virtualservice", virtualservice(it.site, vsvip_ref=vip["url"], services=[service(80)]))
    other = virtualservice(it.site, vsvip_ref=vip["url"], services=[service(80, "UDP")])

    assert it.client.post("virtualservice", other).status == status


@pytest.mark.parametrize(("refuses", "status"), [(True, 400), (False, 201)])
def test_a_rule_for_a_protocol_that_nobody_speaks(refuses: bool, status: int) -> None:  # noqa: FBT001 - a row
    """A mistake that a real Controller may or may not see."""
    it = turned(Knobs(refuses_unserved_rule_protocol=refuses))
    made = it.client.made("pool", pool(it.site))
    rules = {"rules": [rule(80, "SCTP", pool_ref=made["url"])]}
    policy = it.client.made("l4policyset", l4policyset(it.site, l4_connection_policy=rules))
    vip = it.client.made("vsvip", vsvip(it.site))
    policies = [{"index": 0, "l4_policy_set_ref": policy["url"]}]

    assert (
        it.client.post("virtualservice", virtualservice(it.site, vsvip_ref=vip["url"], l4_policies=policies)).status
        == status
    )


@pytest.mark.parametrize(("upserts", "status"), [(False, 409), (True, 201)])
def test_a_macro_post_of_what_is_there(upserts: bool, status: int) -> None:  # noqa: FBT001 - a row
    """Seen as an upsert in the wild."""
    it = turned(Knobs(macro_upserts=upserts))
    data = tree(it.site)
    it.client.post("macro", macro(data))

    assert it.client.post("macro", macro(data)).status == status


def test_a_dead_cookie_at_login_may_be_ignored() -> None:
    """For Controllers that do."""
    it = turned(Knobs(refuses_stale_cookie_on_login=False))
    body = b'{"username": "admin", "password": "a password"}'

    assert it.client.send("POST", "/login", headers={"Cookie": "sessionid=dead"}, body=body).status == 200


def test_a_virtual_service_may_take_its_time() -> None:
    """OPER_CREATING, then what its servers say."""
    it = turned(Knobs(placement_seconds=5.0))
    (vs,) = [one for one in it.client.post("macro", macro(tree(it.site))).bodies if "/virtualservice/" in one["url"]]
    path = f"{path_of(vs)}/runtime"

    assert it.client.get(path).body["oper_status"]["state"] == "OPER_CREATING"
    it.clock.forward(5)
    assert it.client.get(path).body["oper_status"]["state"] == "OPER_UP"


def test_a_name_may_be_held_after_its_deletion() -> None:
    """The "soft deletion" that hits who deletes and makes again."""
    it = turned(Knobs(name_release_seconds=3.0))
    body = pool(it.site)
    made = it.client.made("pool", body)
    it.client.delete(path_of(made))

    assert it.client.post("pool", body).status == 409
    assert it.client.post("pool", pool(it.site)).status == 201
    it.clock.forward(3)
    assert it.client.post("pool", body).status == 201


LICENSED: dict[str, tuple[str, Document]] = {
    "an override of the network profile": ("virtualservice", {"services": [service(80, "UDP")]}),
    "an override of the application profile": (
        "virtualservice",
        {"services": [{"port": 80, "override_application_profile_ref": "/api/applicationprofile?name=System-HTTP"}]},
    ),
    "HTTP/2": ("virtualservice", {"services": [{"port": 80, "enable_http2": True}]}),
    "a pool per service": (
        "virtualservice",
        {"service_pool_select": [{"service_port": 80, "service_pool_ref": "/api/pool?name=x"}]},
    ),
    "route health injection": ("virtualservice", {"enable_rhi": True}),
    "a protocol in a rule": ("l4policyset", {"l4_connection_policy": {"rules": [rule(80, "TCP")]}}),
}


@pytest.mark.parametrize(("kind", "body"), LICENSED.values(), ids=LICENSED.keys())
def test_basic_refuses_what_is_enterprises(kind: str, body: Document) -> None:
    """In the Controller's words."""
    answer = of_tier("BASIC").client.post(kind, {"name": "x", **body})

    assert answer.status == 400
    assert answer.error.startswith("Field ")
    assert "in BASIC license tier." in answer.error


def test_essentials_has_no_tcp_proxy() -> None:
    """Neither as profile nor as default."""
    it = of_tier("ESSENTIALS")
    body = {"name": "mine", "profile": {"type": "PROTOCOL_TYPE_TCP_PROXY"}}
    vip = it.client.made("vsvip", vsvip(it.site))
    made = it.client.made("virtualservice", {"name": "vs", "vsvip_ref": vip["url"], "services": [{"port": 80}]})

    assert it.client.post("networkprofile", body).status == 400
    assert made["network_profile_ref"].endswith("#System-TCP-Fast-Path")
    assert it.client.get("systemconfiguration").body["default_license_tier"] == "ESSENTIALS"


def test_each_knob_is_tested() -> None:
    """By its name in one of these files, so that no knob is a dead one."""
    here = Path(__file__).parent
    words = "".join(path.read_text() for path in here.glob("test_*.py"))

    assert [field.name for field in fields(Knobs) if f"{field.name}=" not in words] == []
