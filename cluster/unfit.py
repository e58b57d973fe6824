"""Why a Service cannot be written into a ``SharedVIP``, in the words of the rules; it never writes.

The rules compare a Service with its group as that is stored. What the ledger says no to is found out only by writing.
"""

from collections.abc import Iterable
from typing import Final

from cluster.errors import Cause, Invalid
from cluster.field_conflicts import FieldConflict
from sharedvip.annotations import INFRA_SETTING, L4_RULE
from sharedvip.model import Denial, ServiceView
from sharedvip.parse import CLASS_FIELD, INTENDED_ADDRESS_FIELD, PORTS_FIELD, annotation_field, static_address_field
from sharedvip.rules import (
    class_mismatch,
    duplicate_port,
    infra_mismatch,
    intended_address_unfit,
    static_address_invalid,
    static_address_mismatch,
)
from sharedvip.wording import quoted, services

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


def recorded_otherwise(service: ServiceView, conflicts: Iterable[FieldConflict]) -> tuple[Denial, ...]:
    """At least one: members are recorded with another value, whatever they are stored with by now."""
    found = [_otherwise(service, conflict.field.removeprefix("."), conflict.manager) for conflict in conflicts]
    # Each once: of one claim several fields are in conflict.
    return tuple(dict.fromkeys(found or [_otherwise(service, "", "")]))


def _otherwise(service: ServiceView, field: str, manager: str) -> Denial:
    # A field manager is a Service's name and its uid; a Service's name has no dot.
    name = manager.partition(".")[0]
    whose = services([name], one="is", many="are") if name else "somebody else is"
    return _denial(
        service,
        field,
        problem=f"{whose} recorded with another value",
        remedy="set what its SharedVIP shows (kubectl get svip), or use another sharing key",
        address_rule=static_address_mismatch.ID,
    )


def _unfit(service: ServiceView, field: str, *, message: str) -> Denial:
    fits = "must be changed to a value that fits"
    return _denial(service, field, problem=message, remedy=fits, address_rule=static_address_invalid.ID)


def _denial(service: ServiceView, field: str, *, problem: str, remedy: str, address_rule: str) -> Denial:
    by_address = (address_rule, static_address_field(service))
    other = _FIELDS.get(field, (duplicate_port.ID, PORTS_FIELD))
    rule, path = by_address if field in _ADDRESS_FIELDS else other
    return Denial(
        rule=rule,
        field=path,
        problem=f"cannot be recorded for shared VIP {quoted(service.sharing_key or '')}: {problem}",
        remedy=remedy,
        subject=path,
    )
