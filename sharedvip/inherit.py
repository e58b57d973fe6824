"""The address that a candidate gets from its group, and the patch that sets it; nothing else is ever touched.

That all Services of a group carry the same address becomes true without everybody typing it; under AKO the same pair
works or breaks by the order of a list.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple, TypedDict

from sharedvip.addresses import parse_address
from sharedvip.annotations import LOAD_BALANCER_IP
from sharedvip.decide import can_join
from sharedvip.ledger import Ledger
from sharedvip.model import ServiceView
from sharedvip.parse import ADDRESS_FIELD, static_address, static_address_field


class Inheritance(NamedTuple):
    """Where the group's address goes, and how the group spells it."""

    field: str
    """``parse.ADDRESS_FIELD`` or ``parse.ADDRESS_ANNOTATION_FIELD``."""
    value: str


class PatchOperation(TypedDict):
    """One operation of a JSON patch (RFC 6902)."""

    op: str
    path: str
    value: str


def inherited_address(
    candidate: ServiceView, services: Iterable[ServiceView], ledger: Ledger | None
) -> Inheritance | None:
    """The group's one address, for a candidate without its own; None where there is nothing to add, or no one address.

    Args:
        candidate: The Service as it is to be. With the address set, the answer is None: it is idempotent.
        services: Stored Services, in any order; those of other groups and the candidate's own old self do not count.
        ledger: The group's, None where there is none yet. It speaks for members that are not stored yet.
    """
    if candidate.is_deleting or not can_join(candidate) or static_address(candidate):
        return None
    peers = [s for s in services if s.is_in(candidate.group) and s.name != candidate.name]
    # While the group moves, its address is still the one that it is served on.
    ahead = ledger.shared.intended_address if ledger is not None and ledger.is_moving else ""
    settled = sorted((s for s in peers if static_address(s) not in {"", ahead}), key=lambda s: s.name)
    addresses = {static_address(s) for s in settled} | _claimed_by_others(ledger, candidate)
    if len(addresses) != 1 or parse_address(address := addresses.pop()) is None:
        return None
    if not settled:
        return Inheritance(ADDRESS_FIELD, address)
    first = settled[0]
    return Inheritance(static_address_field(first), first.load_balancer_ip or first.address_annotation)


def _claimed_by_others(ledger: Ledger | None, candidate: ServiceView) -> set[str]:
    # A Service alone in its group may drop its address: what only it has claimed is not the group's.
    if ledger is None or all(member.service == candidate.name.name for member in ledger.members):
        return set()
    return {ledger.shared.static_address} - {""}


# Source: RFC 6901, section 3: "~1" is a slash within a name.
_PATH_OF_ANNOTATION: Final = f"/metadata/annotations/{LOAD_BALANCER_IP.replace('/', '~1')}"


def render_patch(inheritance: Inheritance) -> list[PatchOperation]:
    """The JSON patch; ``metadata.annotations`` is there, as only an annotated Service inherits."""
    path = "/spec/loadBalancerIP" if inheritance.field == ADDRESS_FIELD else _PATH_OF_ANNOTATION
    return [PatchOperation(op="add", path=path, value=inheritance.value)]
