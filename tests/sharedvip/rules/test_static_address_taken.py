"""The rule ``static-address-taken``, case by case."""

from dataclasses import replace

import pytest

from sharedvip.model import AddressHolder, ServiceView
from sharedvip.rules.static_address_taken import check
from tests.builders import lines, service, situation

OTHER_KEY = AddressHolder("default", key="other-key")
THIRD_KEY = AddressHolder("default", key="third-key")
PLAIN = AddressHolder("default", service="plain")
PLAINER = AddressHolder("default", service="plainer")
SECRET_KEY = AddressHolder("secret-team", key="secret-key")
SECRET_SERVICE = AddressHolder("secret-team", service="secret-service")
PENDING = AddressHolder("default", key="pending-key", is_pending=True)
SECRET_PENDING = AddressHolder("secret-team", key="secret-key", is_pending=True)
CANDIDATE = service(load_balancer_ip="100.64.196.75")


def taken(by: str, remedy: str = "choose another address, or leave it out") -> list[str]:
    """The one refusal."""
    return [f"spec.loadBalancerIP: 100.64.196.75 is already held {by}; {remedy} [static-address-taken]"]


def claimed(by: str) -> list[str]:
    """The one refusal, for now."""
    remedy = "try again in a moment, or choose another address"
    return [f"spec.loadBalancerIP: 100.64.196.75 is being claimed {by} right now; {remedy} [static-address-taken]"]


@pytest.mark.parametrize(
    ("candidate", "holders", "expected"),
    [
        pytest.param(
            CANDIDATE, [PENDING], claimed("by shared VIP 'pending-key'"), id="what is on its way may not come"
        ),
        pytest.param(CANDIDATE, [SECRET_PENDING], claimed("in another namespace"), id="in another namespace, unnamed"),
        pytest.param(
            CANDIDATE,
            [PLAIN, PENDING, SECRET_PENDING],
            taken("by Service 'plain'"),
            id="who holds it is told, and not who would like to",
        ),
        pytest.param(CANDIDATE, [], [], id="a free address is allowed"),
        pytest.param(
            CANDIDATE,
            [OTHER_KEY],
            taken("by shared VIP 'other-key'", "choose another address, leave it out, or use sharing key 'other-key'"),
            id="another group's address is refused, and joining that group is offered",
        ),
        pytest.param(CANDIDATE, [PLAIN], taken("by Service 'plain'"), id="an ordinary Service's address is refused"),
        pytest.param(
            CANDIDATE,
            [AddressHolder("default")],
            taken("by an IPAddress that is not sharedvip's"),
            id="whoever else locks addresses is not called a Service without a name",
        ),
        pytest.param(
            CANDIDATE,
            [SECRET_KEY],
            taken("in another namespace"),
            id="another namespace's group is never named",
        ),
        pytest.param(
            CANDIDATE,
            [SECRET_SERVICE],
            taken("in another namespace"),
            id="another namespace's Service is never named",
        ),
        pytest.param(
            CANDIDATE,
            [OTHER_KEY, PLAIN, PLAINER, THIRD_KEY, SECRET_KEY],
            taken(
                "by shared VIPs 'other-key', 'third-key' and by Services 'plain', 'plainer' and in another namespace"
            ),
            id="all holders are told",
        ),
        pytest.param(
            CANDIDATE,
            [OTHER_KEY, PLAIN],
            taken("by shared VIP 'other-key' and by Service 'plain'"),
            id="joining the other group is not offered where it would not help",
        ),
        pytest.param(
            CANDIDATE,
            [OTHER_KEY, SECRET_KEY],
            taken("by shared VIP 'other-key' and in another namespace"),
            id="nor where the address is held in another namespace too",
        ),
        pytest.param(
            service(load_balancer_ip="foo"), [OTHER_KEY], [], id="where the text is no address, no one can hold it"
        ),
        pytest.param(service(), [OTHER_KEY], [], id="a Service without an address takes none"),
    ],
)
def test_an_address_has_one_owner(candidate: ServiceView, holders: list[AddressHolder], expected: list[str]) -> None:
    """A static address is unique in the cluster, and other namespaces are nobody's business."""
    assert expected == lines(check(candidate, situation(holders=holders)))


def test_nothing_of_another_namespace_leaves_it() -> None:
    """Not even in the parts for machines."""
    [denial] = check(CANDIDATE, situation(holders=[SECRET_KEY, SECRET_SERVICE]))

    assert "secret" not in repr(denial)


def test_the_denial_tells_machines_who_is_in_the_way() -> None:
    """The subject is the canonical address, the peers are the ordinary Services of the namespace."""
    candidate = service(address_annotation="2001:DB8::1")

    [denial] = check(candidate, situation(holders=[OTHER_KEY, PLAIN, SECRET_SERVICE]))

    assert denial.field == "metadata.annotations[ako.vmware.com/load-balancer-ip]"
    assert (denial.subject, denial.peers) == ("2001:db8::1", ("plain",))


def test_an_address_that_somebody_holds_is_no_address_to_move_to() -> None:
    """By another group or an ordinary Service; the one that the Service has is told apart."""
    mover = service(load_balancer_ip="100.64.196.75", intended_address="100.64.196.79")
    field = "metadata.annotations[sharedvip.dev/intended-address]"
    met = replace(situation(), intended_holders=(PLAIN,))

    (denial,) = check(mover, met)

    said = (
        f"{field}: 100.64.196.79 is already held by Service 'plain'; choose another address, or remove the annotation"
    )
    assert str(denial) == f"{said} [static-address-taken]"
    assert denial.peers == ("plain",)
    assert check(mover, situation()) == ()
    assert [each.subject for each in check(mover, replace(met, address_holders=(PLAINER,)))] == [
        "100.64.196.75",
        "100.64.196.79",
    ]


def test_who_has_arrived_is_told_once() -> None:
    """What it intends is what it has."""
    arrived = service(load_balancer_ip="100.64.196.75", intended_address="100.64.196.75")

    assert len(check(arrived, situation(holders=[PLAIN]))) == 1
