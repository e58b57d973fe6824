"""Minimal valid bodies of each kind, as a POST sends them; they name no tenant, so the header decides."""

from ipaddress import ip_network

from tests.contracts.client import Document, Site, unique

RULE_PROTOCOLS = {"TCP": "System-TCP-Proxy", "UDP": "System-UDP-Fast-Path", "SCTP": "System-SCTP-Proxy"}


def healthmonitor(site: Site, **fields: object) -> Document:
    """A TCP monitor."""
    del site
    return {"name": unique("monitor"), "type": "HEALTH_MONITOR_TCP", "tcp_monitor": {}, **fields}


def networkprofile(site: Site, **fields: object) -> Document:
    """A UDP fast path profile."""
    del site
    return {"name": unique("profile"), "profile": {"type": "PROTOCOL_TYPE_UDP_FAST_PATH"}, **fields}


def applicationprofile(site: Site, **fields: object) -> Document:
    """An L4 profile."""
    del site
    return {"name": unique("application"), "type": "APPLICATION_PROFILE_TYPE_L4", **fields}


def server(address: str, **fields: object) -> Document:
    """A server of a pool."""
    return {"ip": {"addr": address, "type": "V4"}, "port": 8080, **fields}


def pool(site: Site, **fields: object) -> Document:
    """A pool of one server."""
    return {"name": unique("pool"), "cloud_ref": cloud(site), "servers": [server("10.244.1.11")], **fields}


def vip(site: Site, **fields: object) -> Document:
    """A VIP that IPAM allocates."""
    prefix = ip_network(site.subnet)
    subnet = {"ip_addr": {"addr": str(prefix.network_address), "type": "V4"}, "mask": prefix.prefixlen}
    origin = {"network_ref": f"/api/network/?name={site.network}", "subnet": subnet}
    return {"vip_id": "0", "auto_allocate_ip": True, "ipam_network_subnet": origin, **fields}


def vsvip(site: Site, **fields: object) -> Document:
    """A vsvip of one VIP."""
    return {"name": unique("vsvip"), "cloud_ref": cloud(site), "vip": [vip(site)], **fields}


def rule(port: int, protocol: str, *, index: int = 0, **action: object) -> Document:
    """An L4 rule for one listener; ``action`` says which pool."""
    return {
        "name": f"{protocol}-{port}",
        "index": index,
        "match": {
            "port": {"match_criteria": "IS_IN", "ports": [port]},
            "protocol": {"match_criteria": "IS_IN", "protocol": f"PROTOCOL_{protocol}"},
        },
        "action": {"select_pool": {"action_type": "L4_RULE_ACTION_SELECT_POOL", **action}},
    }


def l4policyset(site: Site, **fields: object) -> Document:
    """A policy set without a rule."""
    del site
    return {"name": unique("policy"), "l4_connection_policy": {"rules": []}, **fields}


def service(port: int, protocol: str = "TCP", **fields: object) -> Document:
    """A listener of a virtual service whose own profile is System-TCP-Proxy."""
    override = {"override_network_profile_ref": f"/api/networkprofile/?name={RULE_PROTOCOLS[protocol]}"}
    return {"port": port, "port_range_end": port, **(override if protocol != "TCP" else {}), **fields}


def virtualservice(site: Site, **fields: object) -> Document:
    """An L4 virtual service; the caller gives its vsvip."""
    return {
        "name": unique("vs"),
        "cloud_ref": cloud(site),
        "application_profile_ref": "/api/applicationprofile/?name=System-L4-Application",
        "network_profile_ref": "/api/networkprofile/?name=System-TCP-Proxy",
        "services": [service(80)],
        **fields,
    }


def tree(site: Site, **fields: object) -> Document:
    """The documentation's shared VIP as one document: 80/TCP and 80/UDP, each with its pool (avi.md 3, 4.1)."""
    tcp, udp = pool(site), pool(site, servers=[server("10.244.2.12")])
    rules = [rule(80, "TCP", pool_ref_data=tcp), rule(80, "UDP", index=1, pool_ref_data=udp)]
    policy = l4policyset(site, l4_connection_policy={"rules": rules})
    return virtualservice(
        site,
        services=[service(80), service(80, "UDP")],
        vsvip_ref_data=vsvip(site),
        l4_policies=[{"index": 0, "l4_policy_set_ref_data": policy}],
        **fields,
    )


def macro(data: Document) -> Document:
    """A macro request about a virtual service."""
    return {"model_name": "VirtualService", "data": data}


def cloud(site: Site) -> str:
    """The reference to the site's cloud."""
    return f"/api/cloud?name={site.cloud}"


BUILDERS = {
    "healthmonitor": healthmonitor,
    "networkprofile": networkprofile,
    "applicationprofile": applicationprofile,
    "pool": pool,
    "vsvip": vsvip,
    "l4policyset": l4policyset,
}
"""The kinds that need no other object first; a test may make them in a Controller that is not its own."""
