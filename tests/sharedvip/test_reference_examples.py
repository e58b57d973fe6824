"""Each example on the reference page is what the rules really say, word for word."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from sharedvip.decide import decide
from sharedvip.model import AddressHolder, Policy, ServiceView, Situation
from sharedvip.rules import RULES
from tests.builders import lines, peer, service, situation

PAGE = (Path(__file__).parents[2] / "docs/reference/rules.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```text\n(.+)\n```$", PAGE, flags=re.MULTILINE)
AVI = "ako.vmware.com/avi-lb"
SEED_PEERS = tuple(peer(f"sharedvip-avisvc-lb{n}", static_address="100.64.196.75") for n in (1, 2))

OLD, NEW = "100.64.1.1", "100.64.1.9"


def moving(to: str, *, is_member: bool = True) -> Situation:
    """The group of 'api', built by our reconciler on the old address."""
    found = situation(peer("api", "443/TCP", static_address=OLD, intended_address=to))
    group = replace(found.group, static_address=OLD, intended_address=to, is_built=True)
    return replace(found, group=group, is_member=is_member)


STILL = moving("")
SCENES: list[tuple[ServiceView, Situation]] = [
    (service(type="ClusterIP"), situation()),
    (service(key="web/a"), situation()),
    (service("web", "80"), situation(peer("sharedvip-avisvc-lb1", "80"))),
    (service("web", "80"), situation(peer("sharedvip-avisvc-lb1", "80", is_pending=True))),
    (service("web", "80", "443", "80"), situation()),
    (service("web", *map(str, range(1, 1026))), situation()),
    (service(load_balancer_ip="foo"), situation()),
    (service(load_balancer_ip="10.0.0.1", address_annotation="10.0.0.2"), situation()),
    (service(load_balancer_ip="2001:db8::1", ip_families=("IPv4",)), situation()),
    (service(load_balancer_ip="100.64.196.76"), situation(*SEED_PEERS)),
    (service(), situation(*(peer(name, static_address="100.64.196.75") for name in "ab"))),
    (service(load_balancer_ip="10.0.0.1"), situation(peer("a"), peer("b"))),
    (service(load_balancer_ip="100.64.1.7"), moving(NEW)),
    (service(load_balancer_ip=NEW), STILL),
    (service(load_balancer_ip="100.64.196.76"), situation(peer("a"), peer("b"), vip="100.64.196.61")),
    (service(load_balancer_ip=OLD, intended_address="foo"), STILL),
    (service(load_balancer_ip=OLD, intended_address="100.64.1.8"), moving(NEW)),
    (service(load_balancer_ip=OLD, intended_address=NEW), replace(STILL, group=replace(STILL.group, is_built=False))),
    (service(intended_address=NEW), situation()),
    (service(load_balancer_ip="100.64.196.75"), situation(holders=[AddressHolder("default", key="other-key")])),
    (service(load_balancer_ip="100.64.196.75"), situation(holders=[AddressHolder("elsewhere", key="other-key")])),
    (
        service(load_balancer_ip="100.64.196.75"),
        situation(holders=[AddressHolder("default", key="other-key", is_pending=True)]),
    ),
    (service(load_balancer_class="example.com/lb"), situation()),
    (service(), situation(policy=Policy(is_default_class=False))),
    (service(), situation(peer("a", load_balancer_class=AVI))),
    (service(infra_setting="silver"), situation(peer("a", infra_setting="gold"))),
    (service(), situation(peer("a", l4_rule="fast"))),
]


@pytest.mark.parametrize(("scene", "example"), list(zip(SCENES, EXAMPLES, strict=True)), ids=EXAMPLES)
def test_an_example_is_what_the_rules_say(scene: tuple[ServiceView, Situation], example: str) -> None:
    """One scene for each example, in the order of the page; nothing else is wrong in it."""
    assert lines(decide(*scene)) == [example]


def test_every_rule_has_an_example_with_its_id() -> None:
    """Of each rule at least one."""
    assert {example.rpartition("[")[2].rstrip("]") for example in EXAMPLES} == {rule.ID for rule in RULES}
