"""AKO's calls, byte by byte in its own way, answered with what AKO's code reads (ako.md 2.3, 3, 6).

Raw requests over TLS, as its Go client sends them: JSON login, ``//api/``, ``include_name=`` without a value,
``X-Avi-Tenant: *``, ``X-Avi-UserAgent: AKO``. No AKO was run.
"""

import json
import re
import ssl
from collections.abc import Iterator
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import quote

import pytest

from simulator.serve import Running, running
from simulator.settings import Settings
from tests.contracts.client import Document

CLUSTER = "cluster"
OWNER = f"ako-{CLUSTER}"
GROUP = f"{CLUSTER}--default-shared-vip-key-1"
CLOUD = "/api/cloud?name=Default-Cloud"
TENANT = "/api/tenant/?name=admin"
VRF = "/api/vrfcontext?name=global"
LISTED = (
    *("pool", "poolgroup", "l4policyset", "httppolicyset", "vsdatascriptset"),
    *("sslkeyandcertificate", "pkiprofile", "virtualservice"),
)


class Ako:
    """AKO's REST client for one Controller: it remembers the cookies, as the Go SDK does, and no more."""

    def __init__(self, simulator: Running) -> None:
        """Not logged in."""
        access = simulator.access
        context = ssl.create_default_context(cafile=access.ca)
        self._port = int(access.url.rpartition(":")[2])
        self._connection = HTTPSConnection("127.0.0.1", self._port, timeout=30, context=context)
        self._credentials = {"username": access.username, "password": access.password}
        self._cookies: dict[str, str] = {}

    def login(self) -> int:
        """POST /login with JSON; both cookies are there afterwards."""
        status, _ = self.call("POST", "/login", self._credentials)
        assert self._cookies["csrftoken"]
        assert self._cookies.get("sessionid") or self._cookies.get("avi-sessionid")
        return status

    def call(self, method: str, path: str, body: object = None, *, tenant: str = "admin") -> tuple[int, Document]:
        """Status and body; ``path`` as AKO writes it, its query included."""
        headers = {
            "Content-Type": "application/json",
            "X-Avi-UserAgent": "AKO",
            "X-Avi-Version": "30.2.1",
            "X-Avi-Tenant": tenant,
            "Referer": f"https://127.0.0.1:{self._port}",
        }
        if self._cookies:
            headers["X-CSRFToken"] = self._cookies["csrftoken"]
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        content = None if body is None else json.dumps(body)
        self._connection.request(method, path, body=content, headers=headers)
        answer = self._connection.getresponse()
        for line in answer.headers.get_all("Set-Cookie") or []:
            name, _, value = line.split(";")[0].partition("=")
            self._cookies[name] = value
        text = answer.read()
        return answer.status, json.loads(text) if text else {}

    def get(self, path: str, *, tenant: str = "admin") -> Document:
        """What a GET shows; it must show something."""
        status, body = self.call("GET", f"//api/{path}", tenant=tenant)
        assert status == 200, (path, body)
        return body

    def only(self, path: str) -> Document:
        """The one object of a list that must have one."""
        body = self.get(path)
        assert body["count"] == len(body["results"]) == 1, (path, body)
        return body["results"][0]

    def listed(self, kind: str, **query: str) -> list[Document]:
        """A list of AKO's cache, followed by ``next`` as AKO does: what comes after ``/api/<kind>``."""
        asked = {"include_name": "true", "page_size": "100", **query}
        path, found = "?" + "&".join(f"{key}={quote(value)}" for key, value in asked.items()), list[Document]()
        while path:
            body = self.get(f"{kind}{path}", tenant="*")
            assert isinstance(body["count"], int)
            found += body["results"]
            path = str(body["next"]).split(f"/api/{kind}")[1] if body.get("next") else ""
        return found

    def cache(self) -> dict[str, list[Document]]:
        """All lists of ``PopulateCache``, in its order."""
        held = {"vsvip": self.listed("vsvip", **{"name.contains": f"{CLUSTER}--", "cloud_ref.name": "Default-Cloud"})}
        held |= {kind: self.listed(kind, created_by=OWNER) for kind in LISTED}
        held["stringgroup"] = self.listed("stringgroup", label_key="created_by", label_value=OWNER)
        profile = "applicationpersistenceprofile"
        held[profile] = self.listed(profile, **{"name.contains": f"{CLUSTER}--"})
        return held

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


@pytest.fixture
def ako(tmp_path: Path) -> Iterator[Ako]:
    """AKO at a Controller of its own, logged in."""
    with running(Settings(), directory=tmp_path) as simulator:
        client = Ako(simulator)
        assert client.login() == 200
        yield client
        client.close()


def uuid_in(reference: str, kind: str) -> str:
    """As AKO's ``ExtractUUID``: by its regular expression, without the ``#``."""
    found = re.search(f"{kind}-.*.#", reference)
    assert found, reference
    return found.group()[:-1]


def markers(**more: str) -> list[Document]:
    """Labels as AKO orders them."""
    pairs = {"clustername": CLUSTER, "Namespace": "default", **more, "GatewayName": "shared-vip-key-1"}
    return [{"key": key, "values": [value]} for key, value in pairs.items()]


def pool(service: str, protocol: str) -> Document:
    """A member's pool (ako.md 2.3)."""
    metadata: Document = {"namespace_svc_name": [f"default/{service}"], "hostnames": None, "pool_ratio": 0}
    servers = [
        {"ip": {"addr": address, "type": "V4"}, "port": 8080, "external_uuid": f"{address}:8080", "enabled": True}
        for address in ("10.244.1.11", "10.244.2.12")
    ]
    return {
        "name": f"{CLUSTER}--default-{service}-shared-vip-key-1-{protocol}-80",
        "tenant_ref": TENANT,
        "cloud_ref": CLOUD,
        "vrf_ref": VRF,
        "created_by": OWNER,
        "cloud_config_cksum": "16971075",
        "graceful_disable_timeout": 1,
        "sni_enabled": False,
        "health_monitor_refs": [f"/api/healthmonitor/?name=System-{protocol}"],
        "servers": [{**server, "server_node": "node-0"} for server in servers],
        "markers": markers(ServiceName=service, Port="80", Protocol=protocol),
        "service_metadata": json.dumps(metadata),
    }


def vsvip() -> Document:
    """The group's address."""
    subnet = {"ip_addr": {"addr": "100.64.196.0", "type": "V4"}, "mask": 24}
    origin = {"network_ref": "/api/network/?name=net1", "subnet": subnet}
    return {
        "name": GROUP,
        "tenant_ref": TENANT,
        "cloud_ref": CLOUD,
        "east_west_placement": False,
        "vip": [{"vip_id": "0", "auto_allocate_ip": True, "ipam_network_subnet": origin}],
        "dns_info": [{"fqdn": "lb1.default.avi.internal"}],
        "vrf_context_ref": VRF,
        "markers": markers()[:1],
        "vsvip_cloud_config_cksum": "7",
    }


def rule(index: int, name: str, protocol: str) -> Document:
    """A rule is named after its pool's reference."""
    reference = f"/api/pool?name={name}"
    match = {
        "port": {"match_criteria": "IS_IN", "ports": [80]},
        "protocol": {"match_criteria": "IS_IN", "protocol": f"PROTOCOL_{protocol}"},
    }
    action = {"select_pool": {"action_type": "L4_RULE_ACTION_SELECT_POOL", "pool_ref": reference}}
    return {"index": index, "name": reference, "match": match, "action": action}


def l4policyset(*pools: Document) -> Document:
    """One rule for each pool."""
    protocols = [str(one["name"]).split("-")[-2] for one in pools]
    rules = [rule(index, str(pools[index]["name"]), protocol) for index, protocol in enumerate(protocols)]
    connection = {"rules": rules}
    return {
        "name": GROUP,
        "tenant_ref": TENANT,
        "created_by": OWNER,
        "l4_connection_policy": connection,
        "markers": markers(),
    }


def virtualservice() -> Document:
    """80/TCP and 80/UDP."""
    port: Document = {"port": 80, "port_range_end": 80, "enable_ssl": False, "enable_http2": False}
    udp = {"override_network_profile_ref": "/api/networkprofile/?name=System-UDP-Fast-Path"}
    return {
        "name": GROUP,
        "tenant_ref": TENANT,
        "cloud_ref": CLOUD,
        "se_group_ref": "/api/serviceenginegroup?name=Default-Group",
        "vrf_context_ref": VRF,
        "vsvip_ref": f"/api/vsvip/?name={GROUP}",
        "application_profile_ref": "/api/applicationprofile/?name=System-L4-Application",
        "network_profile_ref": "/api/networkprofile/?name=System-TCP-Proxy",
        "created_by": OWNER,
        "cloud_config_cksum": "2686902241",
        "error_page_profile_ref": "",
        "remove_listening_port_on_vs_down": True,
        "services": [port, {**port, **udp}],
        "l4_policies": [{"index": 0, "l4_policy_set_ref": f"/api/l4policyset/?name={GROUP}"}],
        "markers": markers(),
        "service_metadata": json.dumps({"hostnames": None, "namespace_svc_name": None}),
    }


def made(ako: Ako, kind: str, body: Document) -> Document:
    """What a POST answers, with what AKO's cache needs of every answer."""
    slash = "" if kind == "vsvip" else "/"
    status, shown = ako.call("POST", f"//api/{kind}{slash}", body)
    assert status == 201, shown
    assert str(shown["uuid"]).startswith(f"{kind}-")
    assert shown["name"] == body["name"]
    assert isinstance(shown["_last_modified"], str)
    return shown


def group(ako: Ako) -> dict[str, Document]:
    """The shared VIP of the documentation, made in AKO's order."""
    tcp, udp = pool("sharedvip-avisvc-lb1", "TCP"), pool("sharedvip-avisvc-lb2", "UDP")
    found = {"vsvip": made(ako, "vsvip", vsvip()), "tcp": made(ako, "pool", tcp), "udp": made(ako, "pool", udp)}
    found["l4policyset"] = made(ako, "l4policyset", l4policyset(tcp, udp))
    found["virtualservice"] = made(ako, "virtualservice", virtualservice())
    return found


def test_akos_whole_boot_is_answered(ako: Ako) -> None:
    """Every request of ako.md 6.1 in its order, on a Controller that it never saw."""
    assert [ako.login() for _ in range(8)] == [200] * 8
    assert ako.get("initial-data")["version"]["Version"] == "30.2.1"
    runtime = ako.get("cluster/runtime")
    leaders = [node for node in runtime["node_states"] if node["role"] == "CLUSTER_LEADER"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", leaders[0]["up_since"])
    assert leaders[0]["name"]
    assert runtime["cluster_state"]["state"] in {
        *("CLUSTER_UP_NO_HA", "CLUSTER_UP_HA_ACTIVE", "CLUSTER_UP_HA_COMPROMISED")
    }
    assert ako.get("systemconfiguration")["default_license_tier"] == "ENTERPRISE"
    assert ako.only("tenant/?include_name=&name=admin")["uuid"] == "admin"

    cloud = ako.only("cloud/?include_name=&name=Default-Cloud")
    assert (cloud["vtype"], cloud["name"]) == ("CLOUD_NONE", "Default-Cloud")
    assert "/api/tenant/admin" in cloud["tenant_ref"]
    ipam = str(cloud["ipam_provider_ref"]).split("#")[1]
    network = ako.only("network/?include_name=true&name=net1&cloud_ref.name=Default-Cloud")
    assert str(network["vrf_context_ref"]).split("#")[1] == "global"
    assert ako.only("network/?include_name=true&name=net1&cloud_ref.name=Default-Cloud&vrf_context_ref.name=global")

    groups = "serviceenginegroup/?include_name=&page_size=100&cloud_ref.name=Default-Cloud"
    found = ako.only(f"{groups}&name.in=Default-Group")
    assert ako.only(f"{groups}&name=Default-Group")["uuid"] == found["uuid"]
    labels = [{"key": "clustername", "value": CLUSTER}]
    assert not found.get("labels")
    status, labelled = ako.call("PUT", f"//api/serviceenginegroup/{found['uuid']}", {**found, "labels": labels})
    assert (status, labelled["labels"]) == (200, labels)

    assert ako.only("vrfcontext/?include_name=&name=global&cloud_ref.name=Default-Cloud")["name"] == "global"
    vrf = ako.only("vrfcontext?name=global&include_name=true&cloud_ref.name=Default-Cloud")
    held = ako.get(f"vrfcontext/{vrf['uuid']}")
    routes = [{"route_id": f"{CLUSTER}-1", "prefix": {}, "next_hop": {"addr": "10.10.0.10", "type": "V4"}}]
    status, routed = ako.call("PUT", f"//api/vrfcontext/{vrf['uuid']}", {**held, "static_routes": routes})
    assert (status, routed["static_routes"]) == (200, routes)

    assert set(map(len, ako.cache().values())) == {0}
    assert ako.only(f"ipamdnsproviderprofile/?include_name=&name={ipam}")["type"] == "IPAMDNS_TYPE_INTERNAL"
    assert ako.get(f"ipamdnsproviderprofiledomainlist?cloud_uuid={cloud['uuid']}")["domains"] == ["avi.internal"]
    assert str(ako.get("cluster")["uuid"]).startswith("cluster-")
    assert [one["name"] for one in ako.get("tenant")["results"]] == ["admin"]


def test_what_an_l4rule_names_is_looked_up(ako: Ako) -> None:
    """By name with four fields; what is not simulated is not found, which AKO reports on the L4Rule."""
    fields = "fields=name,type,labels,created_by"
    shown = ako.only(f"networkprofile?name=System-TCP-Proxy&{fields}")
    assert set(shown) <= {"name", "type", "labels", "created_by", "url", "uuid"}
    assert ako.only(f"healthmonitor?name=System-TCP&{fields}")["type"] == "HEALTH_MONITOR_TCP"
    for kind in ("networksecuritypolicy", "securitypolicy", "sslprofile", "applicationpersistenceprofile"):
        assert ako.get(f"{kind}?name=mine&{fields}")["count"] == 0


def test_akos_shared_vip_is_made_with_what_its_cache_reads(ako: Ako) -> None:
    """Five POSTs; uuids are found in the references by AKO's regular expressions."""
    it = group(ako)
    vip = it["vsvip"]["vip"][0]
    assert vip["ip_address"]["addr"] == "100.64.196.61"
    assert vip.get("auto_allocate_ip_type", "V4_ONLY") == "V4_ONLY"
    assert it["vsvip"]["dns_info"][0]["fqdn"] == "lb1.default.avi.internal"
    assert it["vsvip"]["vsvip_cloud_config_cksum"] == "7"
    for one in (it["tcp"], it["udp"]):
        assert one["cloud_config_cksum"] == "16971075"
        assert json.loads(one["service_metadata"])["namespace_svc_name"]
    rules = it["l4policyset"]["l4_connection_policy"]["rules"]
    goals = [uuid_in(one["action"]["select_pool"]["pool_ref"], "pool") for one in rules]
    assert goals == [it["tcp"]["uuid"], it["udp"]["uuid"]]
    assert [one["match"]["protocol"]["protocol"] for one in rules] == ["PROTOCOL_TCP", "PROTOCOL_UDP"]
    vs = it["virtualservice"]
    assert vs["cloud_config_cksum"] == "2686902241"
    assert uuid_in(vs["vsvip_ref"], "vsvip") == it["vsvip"]["uuid"]
    assert uuid_in(vs["l4_policies"][0]["l4_policy_set_ref"], "l4policyset") == it["l4policyset"]["uuid"]
    assert str(vs["services"][1]["override_network_profile_ref"]).endswith("#System-UDP-Fast-Path")
    assert "service_metadata" in vs


def test_a_second_boot_finds_everything_again(ako: Ako) -> None:
    """With the fields that AKO dereferences without looking; and nothing of another cluster."""
    it = group(ako)
    made(ako, "pool", {"name": "other--p", "created_by": "ako-other", "cloud_config_cksum": "1"})
    held = ako.cache()

    names = {kind: sorted(str(one["uuid"]) for one in found) for kind, found in held.items() if found}
    assert names == {
        "vsvip": [it["vsvip"]["uuid"]],
        "pool": sorted([it["tcp"]["uuid"], it["udp"]["uuid"]]),
        "l4policyset": [it["l4policyset"]["uuid"]],
        "virtualservice": [it["virtualservice"]["uuid"]],
    }
    for one in (found for kind in held.values() for found in kind):
        assert isinstance(one["_last_modified"], str)
        assert str(one["tenant_ref"]).endswith("/tenant/admin#admin")
        assert str(one["url"]).endswith(f"#{one['name']}")
    assert all("service_metadata" in one and "cloud_config_cksum" in one for one in held["pool"])
    assert uuid_in(held["virtualservice"][0]["vsvip_ref"], "vsvip") == it["vsvip"]["uuid"]


def test_akos_pages_of_100_are_followed_to_the_end(ako: Ako) -> None:
    """By the part of ``next`` after the kind."""
    for number in range(230):
        made(ako, "pool", {"name": f"{CLUSTER}--{number}", "created_by": OWNER, "cloud_config_cksum": "1"})
    found = ako.listed("pool", created_by=OWNER, **{"cloud_ref.name": "Default-Cloud"})

    assert len({str(one["uuid"]) for one in found}) == len(found) == 230


def test_akos_updates_are_taken(ako: Ako) -> None:
    """A PUT without uuid and time; a vsvip is read first and sent back whole, and keeps its address."""
    it = group(ako)
    body = pool("sharedvip-avisvc-lb1", "TCP")
    del body["servers"]
    status, shown = ako.call("PUT", f"//api/pool/{it['tcp']['uuid']}", body)
    assert (status, shown.get("servers", [])) == (200, [])
    held = ako.get(f"vsvip/{it['vsvip']['uuid']}/?include_name=")
    changed = {**held, "dns_info": [{"fqdn": "other.avi.internal"}]}
    status, shown = ako.call("PUT", f"//api/vsvip/{it['vsvip']['uuid']}", changed)

    assert (status, shown["vip"][0]["ip_address"]["addr"]) == (200, "100.64.196.61")
    status, refused = ako.call("PUT", f"//api/vsvip/{it['vsvip']['uuid']}", changed)
    assert (status, "Need to reload object data VsVip" in refused["error"]) == (412, True)


def test_akos_error_paths_are_answered_in_its_words(ako: Ako) -> None:
    """409 and then a GET by name and creator; a missing pool, network, vsvip; a port in use."""
    it = group(ako)
    status, _ = ako.call("POST", "//api/pool/", pool("sharedvip-avisvc-lb1", "TCP"))
    name = quote(str(it["tcp"]["name"]))
    assert status == 409
    assert ako.only(f"pool/?include_name=&name={name}&created_by={OWNER}")["uuid"] == it["tcp"]["uuid"]
    nowhere = {**l4policyset(pool("gone", "TCP")), "name": "x"}
    nonet = {
        **vsvip(),
        "name": "x",
        "vip": [{"vip_id": "0", "ipam_network_subnet": {"network_ref": "/api/network/?name=x"}}],
    }
    expected = {
        ("POST", "l4policyset", 404): ("Pool object not found!", nowhere),
        ("POST", "vsvip", 400): ("Network object not found", nonet),
        ("GET", "vsvip/vsvip-gone", 404): ("VsVip object not found!", None),
        ("DELETE", f"vsvip/{it['vsvip']['uuid']}", 403): ("Cannot delete, object is referred by:", None),
    }
    for (method, path, wanted), (words, body) in expected.items():
        status, shown = ako.call(method, f"//api/{path}", body)
        assert (status, words in shown["error"]) == (wanted, True), shown


def test_akos_deletion_is_taken_in_its_order(ako: Ako) -> None:
    """Virtual service, vsvip, policy, pools: 204 each, and the address is free."""
    it = group(ako)
    for kind, key in (
        *(("virtualservice", "virtualservice"), ("vsvip", "vsvip"), ("l4policyset", "l4policyset")),
        *(("pool", "tcp"), ("pool", "udp")),
    ):
        assert ako.call("DELETE", f"//api/{kind}/{it[key]['uuid']}") == (204, {})

    assert set(map(len, ako.cache().values())) == {0}
    assert made(ako, "vsvip", vsvip())["vip"][0]["ip_address"]["addr"] == "100.64.196.61"
