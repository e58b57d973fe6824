"""A static address must be one IP address of a family that the Service has.

Field:   ``spec.loadBalancerIP`` and ``metadata.annotations[ako.vmware.com/load-balancer-ip]``.
Source:  Kubernetes API reference (``spec.loadBalancerIP`` is any text there); AKO 2.2.1 reads the field before the
         annotation.
Because: with a text that is no address the group gets no VIP, and nobody tells. A zone (``fe80::1%eth0``) or an IPv4
         address in IPv6's clothes (``::ffff:10.0.0.1``) is none that a VIP can have.
"""

from typing import Final

from sharedvip.addresses import family_of, parse_address
from sharedvip.model import Denial, ServiceView, Situation
from sharedvip.parse import ADDRESS_ANNOTATION_FIELD, ADDRESS_FIELD, static_address, static_address_field
from sharedvip.wording import quoted

ID: Final = "static-address-invalid"


def check(candidate: ServiceView, situation: Situation) -> tuple[Denial, ...]:
    """First each text that is no address, then two that differ, then a family that is missing."""
    del situation  # it is a matter of the Service alone
    if not candidate.is_member:
        return ()
    return (*_not_addresses(candidate), *_two_addresses(candidate), *_foreign_family(candidate))


def _not_addresses(candidate: ServiceView) -> tuple[Denial, ...]:
    texts = ((ADDRESS_FIELD, candidate.load_balancer_ip), (ADDRESS_ANNOTATION_FIELD, candidate.address_annotation))
    return tuple(
        Denial(
            rule=ID,
            field=field,
            problem=f"{quoted(text)} is not an IP address that a VIP can have",
            remedy="set an IPv4 or IPv6 address, or leave it out",
            subject=f"{field}={quoted(text)}",
        )
        for field, text in texts
        if text and parse_address(text) is None
    )


def _two_addresses(candidate: ServiceView) -> tuple[Denial, ...]:
    main, other = parse_address(candidate.load_balancer_ip), parse_address(candidate.address_annotation)
    if main is None or other is None or main == other:
        return ()
    return (
        Denial(
            rule=ID,
            field=ADDRESS_ANNOTATION_FIELD,
            problem=f"{other} differs from the {main} in {ADDRESS_FIELD}",
            remedy=f"set {main}, or remove one of the two",
            subject=f"{main} and {other}",
        ),
    )


def _foreign_family(candidate: ServiceView) -> tuple[Denial, ...]:
    address = parse_address(static_address(candidate))
    if address is None or not candidate.ip_families or family_of(address) in candidate.ip_families:
        return ()
    # Where the field is not one of the two known families, the API server refuses it in its own words.
    families = " and ".join(candidate.ip_families)
    return (
        Denial(
            rule=ID,
            field=static_address_field(candidate),
            problem=f"{address} is {family_of(address)}, but spec.ipFamilies has only {families}",
            remedy=f"set an address of {families}, or add {family_of(address)} to spec.ipFamilies",
            subject=f"{address} without {family_of(address)}",
        ),
    )
