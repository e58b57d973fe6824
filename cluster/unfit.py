"""Why a Service cannot be written into a ``SharedVIP``, in the words of the rules; it never writes.

The rules compare a Service with its group. What the schema of the ledger says no to is found out only by writing.
"""

from typing import Final

from cluster.errors import Cause, Invalid
from sharedvip.annotations import INFRA_SETTING, L4_RULE
from sharedvip.model import Denial, ServiceView
from sharedvip.parse import CLASS_FIELD, INTENDED_ADDRESS_FIELD, annotation_field, static_address_field
from sharedvip.rules import (
    class_mismatch,
    duplicate_port,
    infra_mismatch,
    intended_address_unfit,
    static_address_invalid,
)
from sharedvip.wording import quoted

_FIELDS: Final = {
    "spec.loadBalancerClass": (class_mismatch.ID, CLASS_FIELD),
    "spec.infraSetting": (infra_mismatch.ID, annotation_field(INFRA_SETTING)),
    "spec.intendedAddress": (intended_address_unfit.ID, INTENDED_ADDRESS_FIELD),
    "spec.l4Rule": (infra_mismatch.ID, annotation_field(L4_RULE)),
}
"""A field of the ledger: the rule and the field of the Service that it comes from."""
_ADDRESS_FIELDS: Final = frozenset({"spec.staticAddress", "metadata.name"})
"""Of the ledger, and of the ``IPAddress`` that is the lock."""


def unfit(service: ServiceView, error: Invalid) -> tuple[Denial, ...]:
    """At least one: trying again would not help, so it is a refusal."""
    # Beside the field at fault stands what could not be checked because of it.
    known = [cause for cause in error.causes if cause.field in _FIELDS or cause.field in _ADDRESS_FIELDS]
    causes = known or error.causes[:1] or (Cause("", "", error.message),)
    return tuple(_unfit(service, cause.field, message=cause.message) for cause in causes)


def _unfit(service: ServiceView, field: str, *, message: str) -> Denial:
    by_address = (static_address_invalid.ID, static_address_field(service))
    other = _FIELDS.get(field, (duplicate_port.ID, "spec.ports"))
    rule, path = by_address if field in _ADDRESS_FIELDS else other
    return Denial(
        rule=rule,
        field=path,
        problem=f"cannot be recorded for shared VIP {quoted(service.sharing_key or '')}: {message}",
        remedy="must be changed to a value that fits",
        subject=path,
    )
