"""The DNS names of a group's members, by AKO's rules for L4; it never says which of them has a record.

Source: AKO 2.2.1 ``avi_model_l4_translator.go`` and ``lib.go`` (``ako.md`` 1.4): an annotated name comes first, else
``<service>.<namespace>.<domain>`` or, flat, ``<service>-<namespace>.<domain>`` with at most 63 characters before it.
"""

import re
from collections.abc import Sequence
from typing import Final

from reconciler.settings import AutoFqdn
from sharedvip.model import ServiceName

MAX_LABEL: Final = 63
"""Source: RFC 1035, 2.3.4."""
_KEPT_OF_NAMESPACE: Final = 48
"""What AKO keeps of a namespace where neither name leaves room for the other."""

_LABEL: Final = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME: Final = re.compile(r"(?=.{1,253}$)[a-z0-9_]([-a-z0-9_]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def domain_of(domains: Sequence[str], *, default: str) -> str:
    """The domain of names that we make: the default if the cloud has it, else the first by alphabet; "" for none."""
    known = sorted(domain.strip(".") for domain in domains)
    return default.strip(".") if default.strip(".") in known else next(iter(known), "")


def host_names(
    service: ServiceName, *, annotated: str, domains: Sequence[str], default_domain: str, auto: AutoFqdn
) -> tuple[str, ...]:
    """The names of a member, none where the cloud has no DNS; only names that the cloud's DNS can hold.

    Args:
        service: Whose names.
        annotated: What its external-dns annotation says, several names separated by commas.
        domains: Of the cloud's DNS profile.
        default_domain: The operator's.
        auto: How a name is made where none is annotated.
    """
    own = tuple(name.strip().strip(".").lower() for name in annotated.split(",") if name.strip())
    if own:
        return tuple(dict.fromkeys(name for name in own if _is_held(name, domains)))
    domain = domain_of(domains, default=default_domain)
    if not domain or auto == "disabled":
        return ()
    name, namespace = _fitting(service.name, "s"), _fitting(service.namespace, "n")
    if auto == "default":
        return (f"{name}.{namespace}.{domain}",)
    name, namespace = _shortened(name, namespace)
    return (f"{name}-{namespace}.{domain}",)


def _is_held(name: str, domains: Sequence[str]) -> bool:
    return bool(_NAME.fullmatch(name)) and any(name.endswith(f".{domain.strip('.')}") for domain in domains)


def _fitting(label: str, prefix: str) -> str:
    """A label begins with a letter (RFC 1035); AKO puts one in front where that is all that is missing."""
    is_mended = not _LABEL.fullmatch(label) and _LABEL.fullmatch(prefix + label)
    return prefix + label if is_mended else label


def _shortened(name: str, namespace: str) -> tuple[str, str]:
    if len(name) + len(namespace) + 1 <= MAX_LABEL:
        return name, namespace
    if MAX_LABEL - len(namespace) - 1 <= 0:
        room = MAX_LABEL - len(name) - 1
        namespace = namespace[: room if room > 0 else _KEPT_OF_NAMESPACE].rstrip("-")
    return name[: MAX_LABEL - len(namespace) - 1].rstrip("-"), namespace
