"""Any sequence of calls leaves a Controller whole: every reference leads somewhere, every address has one holder."""

import itertools
import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from simulator.control import state
from tests.contracts.bodies import l4policyset, macro, pool, server, service, virtualservice
from tests.contracts.bodies import rule as l4_rule
from tests.contracts.client import Document, path_of
from tests.simulator.desk import Desk, desk

NAMES = st.sampled_from(["a", "b", "c"])
PORTS = st.sampled_from([80, 81])
PROTOCOLS = st.sampled_from(["TCP", "UDP"])
KINDS = ("virtualservice", "l4policyset", "pool", "vsvip")
ADDRESSES = st.sampled_from(["", "", "100.64.196.61", "100.64.196.75", "192.0.2.1"])
REFUSALS = {400, 403, 404, 409, 412}


class Anything(RuleBasedStateMachine):
    """Calls at random on few names, so that clashes are common; a refused call changes nothing."""

    @initialize()
    def begin(self) -> None:
        """A fresh Controller."""
        self.desk: Desk = desk()

    def attempt(self, method: str, path: str, body: object = None) -> None:
        """A call, which is done or changes nothing."""
        before = state(self.desk.controller)
        answer = self.desk.client.call(method, path, body=body)
        if answer.status >= 300:
            assert answer.status in REFUSALS, answer.text
            assert answer.error
            assert state(self.desk.controller) == before

    def all_of(self, kind: str) -> list[Document]:
        """The objects of a kind."""
        return self.desk.client.get(f"{kind}?page_size=200").results

    @rule(name=NAMES, address=ADDRESSES)
    def make_vsvip(self, name: str, address: str) -> None:
        """With an address of its own choice, perhaps."""
        preferred = {"ip_address": {"addr": address, "type": "V4"}} if address else {}
        self.attempt("POST", "vsvip", {"name": name, "vip": [{"vip_id": "0", "auto_allocate_ip": True, **preferred}]})

    @rule(name=NAMES)
    def make_pool(self, name: str) -> None:
        """A pool."""
        self.attempt("POST", "pool", pool(self.desk.site, name=name))

    @rule(name=NAMES, goal=NAMES, port=PORTS, protocol=PROTOCOLS)
    def make_policy(self, name: str, goal: str, port: int, protocol: str) -> None:
        """To a pool that may not be there."""
        rules = {"rules": [l4_rule(port, protocol, pool_ref=f"/api/pool?name={goal}")]}
        self.attempt("POST", "l4policyset", l4policyset(self.desk.site, name=name, l4_connection_policy=rules))

    @rule(name=NAMES, goal=NAMES, port=PORTS, protocol=PROTOCOLS)
    def make_virtual_service(self, name: str, goal: str, port: int, protocol: str) -> None:
        """On a vsvip that may not be there or be in use on that port."""
        body = virtualservice(self.desk.site, name=name, services=[service(port, protocol)])
        self.attempt("POST", "virtualservice", {**body, "vsvip_ref": f"/api/vsvip?name={goal}"})

    @rule(name=NAMES, port=PORTS, is_put=st.booleans(), breaks=st.booleans())
    def make_tree(self, name: str, port: int, is_put: bool, breaks: bool) -> None:  # noqa: FBT001 - drawn
        """By macro, which may be wrong at its top."""
        vip = {"name": name, "vip": [{"vip_id": "0", "auto_allocate_ip": True}]}
        rules = {"rules": [l4_rule(port, "TCP", pool_ref_data=pool(self.desk.site, name=name))]}
        policy = {"name": name, "l4_connection_policy": rules}
        data = virtualservice(self.desk.site, name=name, services=[service(port)], vsvip_ref_data=vip)
        data |= {"l4_policies": [{"index": 0, "l4_policy_set_ref_data": policy}], "weight": 999 if breaks else 1}
        self.attempt("PUT" if is_put else "POST", "macro", macro(data))

    @precondition(lambda self: any(self.all_of(kind) for kind in KINDS))
    @rule(data=st.data())
    def change_one(self, data: st.DataObject) -> None:
        """Delete, rename, rewrite or tear down something that is there."""
        one: Document = data.draw(st.sampled_from([each for kind in KINDS for each in self.all_of(kind)]))
        match data.draw(st.sampled_from(["delete", "rename", "rewrite", "stale", "tear", "servers"])):
            case "delete":
                self.attempt("DELETE", path_of(one))
            case "rename":
                self.attempt("PATCH", path_of(one), {"replace": {"name": data.draw(NAMES)}})
            case "rewrite":
                self.attempt("PUT", path_of(one), one)
            case "stale":
                self.attempt("PUT", path_of(one), {**one, "_last_modified": "1"})
            case "tear":
                self.attempt("DELETE", "macro", macro({"uuid": one["uuid"]}))
            case _:
                self.attempt("PATCH", path_of(one), {"replace": {"servers": [server("10.0.0.9")]}})

    @invariant()
    def every_reference_leads_somewhere(self) -> None:
        """What is shown with a name exists under that name."""
        shown = state(self.desk.controller)
        known = {(one["uuid"], one["name"]) for kind in shown.values() for one in kind}
        words = json.dumps(shown).split('"')
        for reference in (word for word in words if word.startswith("/api/")):
            uuid, _, name = reference.rpartition("/")[2].partition("#")
            assert (uuid, name) in known, reference

    @invariant()
    def every_allocated_address_has_one_holder(self) -> None:
        """And lies in the network."""
        held = [vip["ip_address"]["addr"] for one in self.all_of("vsvip") for vip in one["vip"]]

        assert len(held) == len(set(held))
        assert all(address.startswith("100.64.196.") for address in held)

    @invariant()
    def every_listener_of_a_vip_has_one_holder(self) -> None:
        """The heart of the matter."""
        listeners = [
            (vs["vsvip_ref"], entry["port"], entry.get("override_network_profile_ref", ""))
            for vs in self.all_of("virtualservice")
            for entry in vs["services"]
        ]

        assert len(listeners) == len(set(listeners))

    @invariant()
    def every_name_is_had_once(self) -> None:
        """Per kind."""
        for kind in KINDS:
            names = [one["name"] for one in self.all_of(kind)]
            assert len(names) == len(set(names))


TestAnything = Anything.TestCase
TestAnything.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

SCALARS = (
    st.none() | st.booleans() | st.integers(-2, 70000) | st.sampled_from(["", "x", "V4", "DNS", "10.0.0.1", "::1"])
)
FIELDS = st.sampled_from(
    [
        *(
            "name",
            "vip",
            "vip_id",
            "auto_allocate_ip",
            "auto_allocate_ip_type",
            "ip_address",
            "ip6_address",
            "addr",
            "type",
        ),
        *("ipam_network_subnet", "network_ref", "subnet", "ip_addr", "mask", "servers", "ip", "port", "services"),
        *("port_range_end", "l4_connection_policy", "rules", "match", "action", "select_pool", "pool_ref", "index"),
        *("vsvip_ref", "l4_policies", "l4_policy_set_ref", "health_monitor_refs", "configured_subnets", "prefix"),
        *("static_ip_ranges", "range", "begin", "end", "profile", "cloud_ref", "tenant_ref", "markers", "key"),
        *(
            "model_name",
            "data",
            "vsvip_ref_data",
            "pool_ref_data",
            "_last_modified",
            "uuid",
            "replace",
            "add",
            "delete",
        ),
        *("json_patch", "op", "path", "value"),
    ]
)
DOCUMENTS = st.dictionaries(
    FIELDS,
    st.recursive(SCALARS, lambda below: st.lists(below, max_size=3) | st.dictionaries(FIELDS, below, max_size=4)),
    max_size=5,
)
PATHS = st.sampled_from(
    ["pool", "vsvip", "l4policyset", "virtualservice", "network", "networkprofile", "cloud", "macro"]
)
_numbers = itertools.count()


@settings(max_examples=300, deadline=None)
@given(path=PATHS, body=DOCUMENTS, shape=st.sampled_from(["vip", "servers", "services", "configured_subnets", "own"]))
def test_no_body_breaks_the_simulator(path: str, body: Document, shape: str) -> None:
    """Whatever a client sends, it gets an answer of the Controller's, not of a bug."""
    whole = {"name": "x", shape: [body]} if shape != "own" else {"name": "x", **body}
    answer = DESK.client.post(path, whole)

    assert answer.status in {201, *REFUSALS} or "Bad pb" in answer.error, answer.text


@settings(max_examples=150, deadline=None)
@given(body=DOCUMENTS, verb=st.sampled_from(["replace", "add", "delete", "own"]))
def test_no_patch_breaks_the_simulator(body: Document, verb: str) -> None:
    """Likewise."""
    made = DESK.client.made("vsvip", {"name": f"v{next(_numbers)}", "vip": [{"vip_id": "0"}]})
    answer = DESK.client.patch(path_of(made), body if verb == "own" else {verb: body})

    assert answer.status in {200, *REFUSALS} or "Bad pb" in answer.error, answer.text


DESK = desk()
"""One for all examples of the two tests above: what they make does not matter to them."""
