"""Only a Service of type LoadBalancer may ask for a shared VIP.

Field:   ``spec.type``.
Source:  AKO ``docs/shared_vip.md``, "things that must be considered", no. 3.
Because: AKO ignores the annotation on any other type without a word. An empty value asks too: whoever wrote the
         annotation meant something by it.
"""

from typing import Final

from sharedvip.annotations import SHARED_VIP
from sharedvip.model import Denial, ServiceView, Situation
from sharedvip.parse import TYPE_FIELD
from sharedvip.wording import quoted

ID: Final = "not-load-balancer"


def check(candidate: ServiceView, situation: Situation) -> tuple[Denial, ...]:
    """At most one denial; its subject is the same for every other type, as the violation is."""
    del situation  # it is a matter of the Service alone
    if candidate.sharing_key is None or candidate.is_member:
        return ()
    return (
        Denial(
            rule=ID,
            field=TYPE_FIELD,
            problem=f"{quoted(candidate.type)} may not share a VIP, but annotation {quoted(SHARED_VIP)} asks for it",
            remedy="set 'LoadBalancer', or remove the annotation",
            subject="type",
        ),
    )
