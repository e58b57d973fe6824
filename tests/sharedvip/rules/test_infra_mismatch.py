"""The rule ``infra-mismatch``, case by case."""

import pytest

from sharedvip.model import ServiceView, Situation
from sharedvip.rules.infra_mismatch import check
from tests.builders import lines, peer, service, situation

INFRA = "metadata.annotations[aviinfrasetting.ako.vmware.com/name]"
L4_RULE = "metadata.annotations[ako.vmware.com/l4rule]"


@pytest.mark.parametrize(
    ("candidate", "met", "expected"),
    [
        pytest.param(
            service(infra_setting="gold", l4_rule="fast"), situation(), [], id="the first of a group may name any"
        ),
        pytest.param(service(), situation(peer("a")), [], id="a group that names none is allowed"),
        pytest.param(
            service(infra_setting="gold", l4_rule="fast"),
            situation(peer("a", infra_setting="gold", l4_rule="fast")),
            [],
            id="the peers' settings are allowed",
        ),
        pytest.param(
            service(infra_setting="silver"),
            situation(peer("a", infra_setting="gold")),
            [
                (
                    f"{INFRA}: 'silver' differs from the 'gold' that Service 'a' shares under 'shared-vip-key-1'; "
                    "set 'gold', or use another sharing key [infra-mismatch]"
                )
            ],
            id="another AviInfraSetting is refused",
        ),
        pytest.param(
            service(l4_rule="slow"),
            situation(peer("a", l4_rule="fast")),
            [
                (
                    f"{L4_RULE}: 'slow' differs from the 'fast' that Service 'a' shares under 'shared-vip-key-1'; "
                    "set 'fast', or use another sharing key [infra-mismatch]"
                )
            ],
            id="another L4Rule is refused",
        ),
        pytest.param(
            service(infra_setting="gold"),
            situation(peer("a", l4_rule="fast")),
            [
                (
                    f"{INFRA}: is set to 'gold', but Service 'a' shares 'shared-vip-key-1' without this annotation; "
                    "leave it out, or use another sharing key [infra-mismatch]"
                ),
                (
                    f"{L4_RULE}: is not set, but Service 'a' shares 'fast' under 'shared-vip-key-1'; "
                    "set 'fast', or use another sharing key [infra-mismatch]"
                ),
            ],
            id="both are told, and absent is a value too",
        ),
        pytest.param(
            service(infra_setting="gold"),
            situation(peer("a", infra_setting="gold"), peer("b")),
            [
                (
                    f"{INFRA}: is set to 'gold', but Service 'b' shares 'shared-vip-key-1' without this annotation; "
                    "use another sharing key, or make the Services of the group agree first [infra-mismatch]"
                )
            ],
            id="peers that disagree must agree first",
        ),
    ],
)
def test_a_group_is_built_in_one_way(candidate: ServiceView, met: Situation, expected: list[str]) -> None:
    """One virtual service has one AviInfraSetting and one L4Rule."""
    assert expected == lines(check(candidate, met))


def test_the_two_annotations_are_two_violations() -> None:
    """The subject tells which annotation, and the candidate's value of it."""
    denials = check(service(infra_setting="x", l4_rule="x"), situation(peer("a")))

    assert [denial.subject for denial in denials] == [
        "aviinfrasetting.ako.vmware.com/name=x",
        "ako.vmware.com/l4rule=x",
    ]
    assert [denial.peers for denial in denials] == [("a",), ("a",)]
