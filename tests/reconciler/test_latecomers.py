"""Who comes past admission and who leaves, in every order: the right status on every Service, and none on others'."""

import asyncio
import itertools
import json
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from sharedvip.decide import decide
from sharedvip.ledger import group_of
from sharedvip.model import GroupName, ServiceView, Situation
from tests.builders import GROUP, service, service_object
from tests.reconciler.controller import START, Avi, Stack, admitted, process, stack
from tests.reconciler.fake_kubernetes import FakeKubernetes
from tests.reconciler.live import World, has_event, has_reason, until
from tests.reconciler.live import service as live_service

WEB = service("web", "80/TCP")
API = service("api", "443/TCP")
DNS = service("dns", "53/UDP")
OTHER = GroupName("default", "other-key")
ORDERS = 24

FITS = service("fits", "81/TCP")
FOREIGN = service("foreign", "82/TCP", load_balancer_class="example.com/other")
RIVAL = service("rival", "80/TCP")

_EVENTS: dict[str, Callable[[FakeKubernetes], None]] = {
    "one that fits comes by admission": lambda kubernetes: kubernetes.admit(FITS, at=START),
    "one of a foreign class comes": lambda kubernetes: kubernetes.apply(FOREIGN),
    "one loses its annotation": lambda kubernetes: kubernetes.apply(replace(API, sharing_key=None)),
    "one changes its key": lambda kubernetes: kubernetes.apply(replace(DNS, sharing_key=OTHER.key)),
    "one comes for a taken port": lambda kubernetes: kubernetes.apply(RIVAL),
}


async def _look(reconciler: Stack) -> None:
    """As the loop does after an event."""
    for group in sorted({*reconciler.kubernetes.groups(), *reconciler.side.view.groups()}):
        await reconciler.look(group)
    for leaver in list(reconciler.kubernetes.leavers()):
        await reconciler.statuses.withdraw(leaver)


def _told(kubernetes: FakeKubernetes) -> dict[str, tuple[str, bool]]:
    """Reason and whether there is a VIP, by Service; "" where nothing of ours is said."""
    return {
        name.name: (kubernetes.verdicts[name].reason if name in kubernetes.verdicts else "", bool(each.vips))
        for name, each in kubernetes.stored.items()
    }


def test_the_same_events_in_every_order_end_in_the_same_statuses(avi: Avi, cluster_name: str) -> None:
    """Some of 120 orders, others in each run, a pass after each event: nobody is disturbed by what comes after."""

    async def told() -> None:
        async with stack(avi, FakeKubernetes(), cluster=cluster_name) as whole:
            for order in random.sample(list(itertools.permutations(_EVENTS)), ORDERS):
                kubernetes = admitted(WEB, API, DNS)
                reconciler = process(whole.client, kubernetes, whole.settings)
                await reconciler.side.read()
                await _look(reconciler)
                vip = kubernetes.vips(WEB)
                for event in order:
                    _EVENTS[event](kubernetes)
                    await _look(reconciler)
                await _look(reconciler)
                assert _told(kubernetes) == {
                    "web": ("Programmed", True),
                    "api": ("", False),
                    "dns": ("Programmed", True),
                    "fits": ("Programmed", True),
                    "foreign": ("Conflict", False),
                    "rival": ("Conflict", False),
                }, order
                assert kubernetes.vips(WEB) == kubernetes.vips(FITS) == vip, order
                assert kubernetes.vips(DNS) != vip, order
                kubernetes.delete(*list(kubernetes.stored))
                await _look(reconciler)
                assert avi.names(cluster_name) == [], order

    asyncio.run(told())


_TOGETHER = (WEB, API, DNS, RIVAL)


@pytest.mark.parametrize(
    "order", tuple(itertools.permutations(_TOGETHER)), ids=lambda order: "-".join(s.name.name for s in order)
)
def test_newcomers_join_all_together_or_not_at_all(avi: Avi, cluster_name: str, order: tuple[ServiceView, ...]) -> None:
    """Two of the four want one port: nothing is built, each is told; when one of the two gives way, all are served."""

    async def told() -> None:
        kubernetes = FakeKubernetes()
        async with stack(avi, kubernetes, cluster=cluster_name) as reconciler:
            kubernetes.apply(*order)
            await reconciler.look()
            assert avi.calls() == []
            assert {kubernetes.verdicts[each.name].reason for each in order} == {"Conflict"}
            assert "waits for" in kubernetes.verdicts[API.name].message
            kubernetes.apply(service("rival", "8080/TCP"))
            await reconciler.look()
            assert avi.calls() == ["POST macro"]
            assert {kubernetes.verdicts[each.name].reason for each in order} == {"Programmed"}
            kubernetes.delete(*list(kubernetes.stored))
            await reconciler.look()

    asyncio.run(told())


def test_a_member_whose_class_turns_foreign_goes_on_and_is_told(avi: Avi, cluster_name: str) -> None:
    """It slipped past admission: its listener stays as admitted, and so do the others'."""

    async def told() -> None:
        kubernetes = admitted(WEB, API)
        async with stack(avi, kubernetes, cluster=cluster_name) as reconciler:
            await reconciler.look()
            before = kubernetes.vips(WEB, API)
            avi.forget()
            kubernetes.apply(replace(API, load_balancer_class="example.com/other"))
            await reconciler.look()
            assert kubernetes.vips(WEB, API) == before
            assert [kubernetes.verdicts[s.name].reason for s in (WEB, API)] == ["Programmed", "Conflict"]
            assert avi.calls() == []

    asyncio.run(told())


def test_a_service_that_is_no_load_balancer_any_more_leaves(avi: Avi, cluster_name: str) -> None:
    """And comes back when it is one again, on the VIP of its group (AKO's AV-226793)."""

    async def told() -> None:
        kubernetes = admitted(WEB, API)
        async with stack(avi, kubernetes, cluster=cluster_name) as reconciler:
            await _look(reconciler)
            vip = kubernetes.vips(WEB)
            kubernetes.apply(replace(API, type="ClusterIP"))
            await _look(reconciler)
            assert (kubernetes.vips(API), len(kubernetes.ledgers[GROUP].claims)) == ([()], 1)
            kubernetes.admit(API, at=START)
            await _look(reconciler)
            assert kubernetes.vips(WEB) == kubernetes.vips(API) == vip

    asyncio.run(told())


def test_a_group_changes_its_address_by_moving_to_another_key(avi: Avi, cluster_name: str) -> None:
    """ADR 5, the path of today: each update is admitted on its own, and each Service moves once."""
    first, second = "100.64.245.1", "100.64.245.2"
    old = [service(name, port, load_balancer_ip=first) for name, port in (("a", "1/TCP"), ("b", "2/TCP"))]
    new = [replace(each, sharing_key=OTHER.key, load_balancer_ip=second) for each in old]

    async def told() -> None:
        kubernetes = admitted(*old)
        async with stack(avi, kubernetes, cluster=cluster_name) as reconciler:
            await _look(reconciler)
            for number, each in enumerate(new):
                assert each.group is not None
                group = group_of(
                    each.group, ledger=kubernetes.ledger(OTHER), services=kubernetes.members(OTHER), candidate=each
                )
                assert decide(each, Situation(group)) == ()
                kubernetes.admit(each, at=START)
                await _look(reconciler)
                shown = [second if moved <= number else first for moved in range(len(new))]
                assert kubernetes.vips(*old) == [(address,) for address in shown]
            assert OTHER in kubernetes.ledgers
            assert GROUP not in kubernetes.ledgers

    asyncio.run(told())


@pytest.mark.e2e
def test_what_another_controller_wrote_into_a_status_is_still_there(world: World) -> None:
    """Of a foreign class with our annotation, and of one that has none: at the start, and when they change."""

    async def story() -> None:
        names = ("metal", "plain")
        metal = service_object(
            "metal", namespace=world.namespace, spec={"loadBalancerClass": "metallb.io/metallb", "ports": _PORTS}
        )
        plain = service_object("plain", key=None, namespace=world.namespace)
        await world.apply(dict(metal), dict(plain))
        theirs = json.dumps({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}})
        for name in names:
            whose = ("--subresource=status", "--type=merge", "--field-manager=metallb", f"--patch={theirs}")
            await world.kubectl("patch", "service", name, *whose)
        async with world.reconciler():
            await world.apply(live_service("web", "80/TCP", namespace=world.namespace))
            await until("the foreign one is refused", lambda: has_event(world, "metal", "Conflict"))
            await world.kubectl("label", "service", *names, "touched=yes")
            await world.kubectl("annotate", "service", "metal", "ako.vmware.com/enable-shared-vip-")
            await until("ours is served", lambda: has_reason(world, "web", "Programmed"))
            await until("what we said is gone", lambda: has_reason(world, "metal", ""))
            assert [await world.vip(name) for name in names] == ["192.0.2.7"] * 2
            assert "conditions" not in (await world.get("service", "plain"))["status"]
            await world.kubectl("delete", "service", "web", *names)

    world.tell(story)


_PORTS = [{"name": "p", "port": 81, "protocol": "TCP", "targetPort": 8080}]
