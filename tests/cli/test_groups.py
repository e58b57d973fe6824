"""``sharedvip groups`` shows every group as it is, and everybody who asks for it."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

import cli.groups
from cli.backends import EndpointLine
from cli.groups import GroupTree, Service, SharedVip, read, render, trees
from cli.main import app
from cluster import service_status
from cluster.api import KubernetesApi
from cluster.errors import Gone
from cluster.services import read_service
from cluster.shared_vip_documents import ListenerStatus, SharedVipStatus
from cluster.shared_vips import SharedVipStore
from localcluster.cluster import LocalCluster
from reconciler.group_pass import CONFLICT
from sharedvip.annotations import READY_CONDITION, SHARED_VIP
from sharedvip.ledger import Claim, Member
from sharedvip.model import GroupName, Listener, ServiceName, SharedValues
from sharedvip.rules import duplicate_port
from sharedvip.wording import joined
from tests.builders import KEY, peer, service, service_object, situation
from tests.cluster.scripted import ScriptedApi, page

PAGE = Path(__file__).parents[2] / "docs/how-to/look-at-groups.md"
LB1, LB2 = "sharedvip-avisvc-lb1", "sharedvip-avisvc-lb2"
CRD = Path(__file__).parents[2] / "deploy/10-customresourcedefinition.yaml"
RUNNER = CliRunner()

Object = dict[str, Any]


SLICE: Object = {
    "apiVersion": "discovery.k8s.io/v1",
    "kind": "EndpointSlice",
    "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
    "addressType": "IPv4",
    "ports": [{"name": "tcp-80", "port": 8080, "protocol": "TCP"}],
    "endpoints": [
        {"addresses": ["10.244.0.1"]},
        {"addresses": ["10.244.0.2"], "conditions": {"ready": False}},
    ],
}


def shared_vip(*claims: str, key: str = KEY, **status: object) -> SharedVip:
    """``shared_vip("80/TCP web")``; each Service's uid is its name."""
    entries: list[Object] = []
    for claim in claims:
        listener, _, service = claim.partition(" ")
        port, _, protocol = listener.partition("/")
        entries.append({"port": int(port), "protocol": protocol, "service": service, "uid": service})
    document = {"metadata": {"namespace": "default"}, "spec": {"key": key, "claims": entries}, "status": status}
    return msgspec.convert(document, type=SharedVip)


def asker(name: str, *, key: str = KEY, kind: str = "LoadBalancer", reason: str = "", message: str = "") -> Service:
    """A Service that asks for the group; with a reason, our condition is on it."""
    condition = {"type": READY_CONDITION, "status": str(reason == "Programmed"), "reason": reason, "message": message}
    metadata = {"name": name, "namespace": "default", "uid": name, "annotations": {SHARED_VIP: key}}
    status = {"conditions": [condition] if reason else []}
    return msgspec.convert({"metadata": metadata, "spec": {"type": kind}, "status": status}, type=Service)


def only(*, shared_vips: tuple[SharedVip, ...] = (), services: tuple[Service, ...] = ()) -> GroupTree:
    """The one group there is."""
    (group,) = trees(shared_vips, services)
    return group


PROGRAMMED = {"type": "Ready", "status": "True", "reason": "Programmed", "message": "80/TCP served"}
SERVED = {"port": 80, "protocol": "TCP", "service": "web", "servers": 3, "readyServers": 2}


def test_the_whole_tree() -> None:
    """VIP, listener, Service, servers, who is refused and who waits, in this order."""
    group = only(
        shared_vips=(
            shared_vip(
                "443/TCP api",
                "80/TCP web",
                vip="10.0.0.1",
                virtualService="vs-1",
                listeners=[SERVED],
                conditions=[PROGRAMMED],
            ),
        ),
        services=(
            asker("web", reason="Programmed"),
            asker("api"),
            asker("zoe"),
            asker("late", reason="Conflict", message="port 80/TCP is taken\nand more [duplicate-port]"),
        ),
    )

    assert render([group]).splitlines() == [
        f"10.0.0.1  default/{KEY}  Programmed",
        "├── 80/TCP -> web  2 of 3 servers ready",
        "├── 443/TCP -> api  claimed, not served",
        "├── refused: late  Conflict: port 80/TCP is taken; and more [duplicate-port]",
        "└── waiting: zoe  nobody has judged it yet; its Events may tell more",
    ]


def test_the_endpoints_behind_a_listener_are_its_leaves() -> None:
    """Ten of them in text, with their nodes; a listener without any has no leaves."""
    found = [EndpointLine(f"10.0.1.{number}", 8080, is_ready=number != 2, node="node-1") for number in range(1, 13)]
    (group,) = trees(
        (shared_vip("80/TCP web", "443/TCP api", listeners=[SERVED]),),
        (),
        {(ServiceName("default", "web"), Listener(80, "TCP")): tuple(found)},
    )

    lines = render([group]).splitlines()

    assert lines[1:4] == [
        "├── 80/TCP -> web  2 of 3 servers ready",
        "│   ├── 10.0.1.1:8080  ready  on node-1",
        "│   ├── 10.0.1.2:8080  not ready  on node-1",
    ]
    assert lines[-2:] == ["│   └── and 2 more; -o json lists all", "└── 443/TCP -> api  claimed"]
    assert EndpointLine("2001:db8::1", 80, is_ready=True).place == "[2001:db8::1]:80"


def test_who_programs_avi_in_guard_mode_tells_nobody_what_is_served() -> None:
    """A listener that AKO serves well was "not served" here, and is claimed: that is all that is known."""
    guarded = {"type": "Ready", "status": "True", "reason": "Guarded", "message": "Service 'web' has 10.0.0.1"}
    group = only(shared_vips=(shared_vip("80/TCP web", vip="10.0.0.1", conditions=[guarded]),))

    assert render([group]).splitlines() == [f"10.0.0.1  default/{KEY}  Guarded", "└── 80/TCP -> web  claimed"]


def test_a_group_that_nobody_has_looked_at_is_shown() -> None:
    """Admission has made its ledger, and the reconciler comes later."""
    group = only(shared_vips=(shared_vip("80/TCP web"),))

    assert render([group]).splitlines() == [
        f"(no VIP)  default/{KEY}  no status: the reconciler has not looked at it yet",
        "└── 80/TCP -> web  claimed",
    ]


def test_a_group_that_is_not_ready_says_why() -> None:
    """In the words of its condition."""
    failed = {"type": "Ready", "status": "False", "reason": "AviRefused", "message": "no free address in 'net1'"}

    assert render([only(shared_vips=(shared_vip(conditions=[failed]),))]).endswith(
        "AviRefused: no free address in 'net1'\n"
    )


def test_the_page_shows_what_is_printed() -> None:
    """``docs/how-to/look-at-groups.md``: a group that is served, and ready, says all the same who is left out."""
    (denial,) = duplicate_port.check(service("late", "80/TCP"), situation(peer(LB1, "80/TCP")))
    conflict = {"type": "Ready", "status": "True", "reason": CONFLICT, "message": f"not let in: {joined(['late'])}"}
    listeners = [
        {"port": 80, "protocol": "TCP", "service": LB1, "servers": 2, "readyServers": 2},
        {"port": 80, "protocol": "UDP", "service": LB2, "servers": 2, "readyServers": 1},
    ]
    ledger = shared_vip(vip="100.64.196.61", virtualService="vs-1", listeners=listeners, conditions=[conflict])
    first, second = (EndpointLine(f"10.128.{n * 16}.1", 8080, is_ready=True, node=f"kwok-{n}") for n in range(2))
    third = EndpointLine("10.128.16.2", 8080, is_ready=False, node="kwok-1")
    found = {
        (ServiceName("default", LB1), Listener(80, "TCP")): (first, second),
        (ServiceName("default", LB2), Listener(80, "UDP")): (first, third),
    }

    printed = render(trees((ledger,), (asker("late", reason=CONFLICT, message=str(denial)),), found))

    assert PAGE.read_text().partition("$ sharedvip groups -n default\n")[2].partition("```")[0] == printed


def test_a_group_without_a_ledger_is_shown() -> None:
    """Newcomers that do not fit together have none."""
    group = only(services=(asker("a", reason="Conflict", message="differs"),))

    assert (group.key, group.listeners, [one.service for one in group.refused]) == (KEY, (), ["a"])


def test_a_member_that_wants_more_in_vain_is_refused_too() -> None:
    """It holds one listener and asked for another past admission."""
    group = only(
        shared_vips=(shared_vip("80/TCP web"),), services=(asker("web", reason=CONFLICT, message="443/TCP is taken"),)
    )

    assert [one.message for one in group.refused] == ["443/TCP is taken"]


def test_an_earlier_incarnation_is_not_the_member() -> None:
    """The claim's uid decides, not its name."""
    ledger = shared_vip("80/TCP web")
    reborn = msgspec.convert(
        {
            "metadata": {"name": "web", "namespace": "default", "uid": "2", "annotations": {SHARED_VIP: KEY}},
            "spec": {"type": "LoadBalancer"},
        },
        type=Service,
    )

    assert only(shared_vips=(ledger,), services=(reborn,)).waiting == ("web",)


def test_who_cannot_be_a_member_is_not_shown() -> None:
    """A ClusterIP Service, or one without the annotation."""
    plain = msgspec.convert({"metadata": {"name": "b", "namespace": "default"}}, type=Service)

    assert trees((), (asker("a", kind="ClusterIP"), plain)) == ()


def test_no_group_is_a_sentence() -> None:
    """Silence would look like a fault."""
    assert render(()) == "no group of Services shares a VIP here\n"


def test_nothing_moves_the_terminals_cursor() -> None:
    """A key that came past admission may hold escape sequences."""
    printed = render([only(services=(asker("a", key="\x1b[2Jkey", reason="Conflict", message="\rno"),))])

    assert "\x1b" not in printed
    assert "\r" not in printed
    assert "\\x1b[2Jkey" in printed


def test_groups_are_sorted() -> None:
    """By namespace and key."""
    found = trees((shared_vip(key="b"), shared_vip(key="c")), (asker("x", key="a"),))

    assert [group.key for group in found] == ["a", "b", "c"]


def test_the_reason_is_the_reconcilers() -> None:
    """Spelled twice, so that the command need not load avisdk."""
    assert cli.groups.CONFLICT == CONFLICT


def test_a_position_that_is_forgotten_is_begun_anew() -> None:
    """410 in the middle of a list was the end of the command; ledgers come first, then who speaks of them."""
    ledgers = [page({"metadata": {"name": "a", "namespace": "default"}, "spec": {"key": "a"}}, more="x"), page()]
    script = ScriptedApi([ledgers[0], Gone(410, "Expired", message="too old"), *ledgers, page(), page()])

    assert [group.key for group in asyncio.run(read(script.api, ""))] == ["a"]


def test_another_output_is_refused() -> None:
    """With the words that are possible; exit code 2, before anybody is asked."""
    done = RUNNER.invoke(app, ["groups", "--output=yaml"])

    assert done.exit_code == 2
    assert "text, json" in done.output


def test_a_kubeconfig_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    """Exit code 1, no traceback."""
    done = RUNNER.invoke(app, ["groups", f"--kubeconfig={tmp_path / 'none'}"])

    assert done.exit_code == 1
    assert "cannot tell where the API server is" in done.output


def test_what_cannot_be_read_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of an API server that is none, or of a ``SharedVIP`` of another make; exit code 1, no traceback."""

    async def connect(kubeconfig: Path | None, *, user_agent: str) -> KubernetesApi:
        del kubeconfig, user_agent
        return ScriptedApi([page({"metadata": 7})]).api

    monkeypatch.setattr(KubernetesApi, "connect", connect)

    done = RUNNER.invoke(app, ["groups"])

    assert done.exit_code == 1
    assert "the API server answered with something that cannot be read: Expected `object`" in done.output


@pytest.mark.e2e
def test_a_real_group(cluster: LocalCluster, namespace: str) -> None:
    """As the API server stores it, as text and as JSON."""
    cluster.run_kubectl("apply", "-f", str(CRD))
    cluster.run_kubectl("wait", "--for=condition=Established", "crd/sharedvips.sharedvip.dev")
    for made in (service_object("web", namespace=namespace), service_object("late", namespace=namespace)):
        cluster.run_kubectl("apply", "-f", "-", input=json.dumps(made))
    cluster.run_kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(SLICE))
    asyncio.run(tell_statuses(cluster, namespace))

    words = ["groups", "-n", namespace, f"--kubeconfig={cluster.kubeconfig}"]
    text, structured = RUNNER.invoke(app, words), RUNNER.invoke(app, [*words, "-o", "json"])

    assert text.output.splitlines() == [
        f"10.9.8.7  {namespace}/{KEY}  Programmed",
        "├── 80/TCP -> web  1 of 2 servers ready",
        "│   ├── 10.244.0.1:8080  ready",
        "│   └── 10.244.0.2:8080  not ready",
        "└── refused: late  Conflict: 80/TCP is taken",
    ]
    (group,) = json.loads(structured.output)
    assert (text.exit_code, structured.exit_code) == (0, 0)
    (listener,) = group["listeners"]
    assert listener.pop("endpoints") == [
        {"address": "10.244.0.1", "port": 8080, "isReady": True, "node": ""},
        {"address": "10.244.0.2", "port": 8080, "isReady": False, "node": ""},
    ]
    assert listener == {"port": 80, "protocol": "TCP", "service": "web", "servers": 2, "readyServers": 1}
    assert group["refused"] == [{"service": "late", "reason": "Conflict", "message": "80/TCP is taken"}]


async def tell_statuses(cluster: LocalCluster, namespace: str) -> None:
    """What admission and the reconciler write: "web" is served, "late" is refused, though a port is reserved for it."""
    api = await KubernetesApi.connect(cluster.kubeconfig, user_agent="sharedvip-test/1")
    now, group, store = datetime.now(UTC), GroupName(namespace, KEY), SharedVipStore(api)
    try:
        web, late = [await read_service(api, ServiceName(namespace, name)) for name in ("web", "late")]
        assert web is not None
        assert late is not None
        claim = Claim(Listener(80, "TCP"), "web", web.uid, now)
        await store.claim(group, Member("web", web.uid), shared=SharedValues(), claims=[claim])
        more = Claim(Listener(81, "TCP"), "late", late.uid, now, is_reserved=True)
        await store.claim(group, Member("late", late.uid), shared=SharedValues(), claims=[more])
        listeners = (ListenerStatus(claim.listener, "web", 2, 1),)
        status = SharedVipStatus(
            is_ready=True, reason="Programmed", message="served", vip="10.9.8.7", listeners=listeners
        )
        await store.report(group, status, now=now)
        await service_status.publish(
            api, late, vip="", ready=False, reason="Conflict", message="80/TCP is taken", now=now
        )
        await api.request("GET", "/readyz")
    finally:
        await api.close()
