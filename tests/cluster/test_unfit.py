"""Why a Service cannot be written into a ``SharedVIP``, in the words of the rules."""

import pytest

from cluster.errors import Cause, Invalid
from cluster.field_conflicts import FieldConflict
from cluster.unfit import recorded_otherwise, unfit
from tests.builders import KEY, service

WEB = service("web", "80/TCP", load_balancer_ip="10.0.0.1")
BEGINS = f"cannot be recorded for shared VIP '{KEY}':"
ENDS = "set what its SharedVIP shows (kubectl get svip), or use another sharing key"


@pytest.mark.parametrize(
    ("causes", "said"),
    [
        pytest.param((), f"spec.ports: {BEGINS} no; must be changed to a value that fits [duplicate-port]", id="none"),
        pytest.param(
            (Cause("spec.claims", "", "a"), Cause("spec.loadBalancerClass", "", "too long")),
            f"spec.loadBalancerClass: {BEGINS} too long; must be changed to a value that fits [class-mismatch]",
            id="a field of the Service says more than what could not be checked because of it",
        ),
        pytest.param(
            (Cause("metadata.name", "", "no address"),),
            f"spec.loadBalancerIP: {BEGINS} no address; must be changed to a value that fits [static-address-invalid]",
            id="the lock's name is the address",
        ),
    ],
)
def test_what_the_schema_says_no_to_is_a_field_of_the_service(causes: tuple[Cause, ...], said: str) -> None:
    """The ledger's own fields are nobody's to know."""
    assert list(map(str, unfit(WEB, Invalid(422, "Invalid", message="no", causes=causes)))) == [said]


@pytest.mark.parametrize(
    ("conflicts", "said"),
    [
        pytest.param(
            [FieldConflict(f'.spec.claims[port=80,protocol="TCP"].{field}', "api.uid") for field in ("service", "uid")],
            [f"spec.ports: {BEGINS} Service 'api' is recorded with another value; {ENDS} [duplicate-port]"],
            id="several fields of one claim are one reason",
        ),
        pytest.param(
            [FieldConflict(".spec.staticAddress", f"{name}.uid") for name in ("api", "dns")],
            [
                f"spec.loadBalancerIP: {BEGINS} Service '{name}' is recorded with another value; {ENDS} "
                "[static-address-mismatch]"
                for name in ("api", "dns")
            ],
            id="each member is named",
        ),
        pytest.param(
            [],
            [f"spec.ports: {BEGINS} somebody else is recorded with another value; {ENDS} [duplicate-port]"],
            id="none",
        ),
    ],
)
def test_what_members_are_recorded_with_is_told_with_their_names(
    conflicts: list[FieldConflict], said: list[str]
) -> None:
    """Whatever they are stored with by now."""
    assert list(map(str, recorded_otherwise(WEB, conflicts))) == said
