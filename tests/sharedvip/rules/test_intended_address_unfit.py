"""Where a group may be told to move to."""

from dataclasses import replace

import pytest

from sharedvip.model import ServiceView, Situation
from sharedvip.rules import intended_address_unfit
from tests.builders import lines, peer, service, situation

FIELD = "metadata.annotations[sharedvip.dev/intended-address]"
OLD = "100.64.1.1"
NEW = "100.64.1.9"
KEY = "shared-vip-key-1"


def _met(*, intended: str = "", is_built: bool = True, is_member: bool = True, static: str = OLD) -> Situation:
    """The group of 'api' on its address, as a member meets it."""
    found = situation(peer("api", "443/TCP", static_address=static, intended_address=intended))
    group = replace(found.group, static_address=static, intended_address=intended, is_built=is_built)
    return replace(found, group=group, is_member=is_member)


def _asks(intended: str, address: str = OLD) -> ServiceView:
    return service("web", load_balancer_ip=address, intended_address=intended)


def _said(problem: str, remedy: str) -> list[str]:
    return [f"{FIELD}: {problem}; {remedy} [intended-address-unfit]"]


@pytest.mark.parametrize(
    ("candidate", "met", "said"),
    [
        pytest.param(_asks(""), _met(), [], id="who says nothing is allowed"),
        pytest.param(_asks(NEW), _met(), [], id="a member that opens a move is allowed"),
        pytest.param(_asks(NEW, NEW), _met(), [], id="a member that opens a move and goes ahead is allowed"),
        pytest.param(_asks(NEW), _met(intended=NEW), [], id="the address that the group moves to is allowed"),
        pytest.param(_asks(NEW, NEW), _met(intended=NEW), [], id="who has arrived and still says so is allowed"),
        pytest.param(_asks(OLD), _met(), [], id="the group's own address is allowed: it was moved there before"),
        pytest.param(_asks(OLD), _met(intended=NEW), [], id="it is allowed during the next move too"),
        pytest.param(_asks(NEW), _met(is_member=False), [], id="a newcomer that opens a move is allowed"),
        pytest.param(
            _asks(NEW, NEW),
            _met(is_member=False),
            [],
            id="a newcomer that goes ahead is another rule's business: this one is allowed to be silent",
        ),
        pytest.param(
            replace(_asks(NEW), type="ClusterIP"), _met(), [], id="another type is allowed: another rule speaks"
        ),
        pytest.param(
            replace(_asks("2001:db8::1"), ip_families=("IPv4",)),
            _met(),
            _said(
                "2001:db8::1 is IPv6, but spec.ipFamilies has only IPv4",
                "set an address of IPv4, or remove the annotation",
            ),
            id="a family that the Service has not is refused",
        ),
        pytest.param(
            _asks("foo"),
            _met(),
            _said(
                "'foo' is not an IP address that a VIP can have",
                "set an IPv4 or IPv6 address, or remove the annotation",
            ),
            id="no address is refused",
        ),
        pytest.param(
            _asks("100.64.1.8"),
            _met(intended=NEW),
            _said(
                f"100.64.1.8 is not the {NEW} that shared VIP '{KEY}' is moving to with Service 'api'",
                f"set {NEW}, or remove the annotation",
            ),
            id="a second move beside another is refused",
        ),
        pytest.param(
            _asks(OLD, NEW),
            _met(intended=NEW),
            _said(
                f"{OLD} is not the {NEW} that shared VIP '{KEY}' is moving to with Service 'api'",
                f"set {NEW}, or remove the annotation",
            ),
            id="who goes along and still says the old address is refused: the next move would go back",
        ),
        pytest.param(
            _asks(NEW, ""),
            _met(static=""),
            _said(
                f"{NEW} is no address to move to, as there is no static address to move from",
                "set a static address, or remove the annotation",
            ),
            id="a group without a static address is refused",
        ),
        pytest.param(
            _asks(NEW),
            _met(is_built=False),
            _said(
                f"shared VIP '{KEY}' is not built by sharedvip's reconciler, and cannot be moved",
                "remove the annotation, or try again when it is",
            ),
            id="a group that somebody else builds is refused",
        ),
    ],
)
def test_intended_address(candidate: ServiceView, met: Situation, said: list[str]) -> None:
    """One address at a time, from one static address to another, where we build it."""
    assert lines(intended_address_unfit.check(candidate, met)) == said


def test_who_else_intends_it_is_looked_at_before_a_refusal() -> None:
    """Its name is in the denial, so admission reads it live."""
    (denial,) = intended_address_unfit.check(_asks("100.64.1.8"), _met(intended=NEW))

    assert (denial.subject, denial.peers) == ("100.64.1.8", ("api",))
