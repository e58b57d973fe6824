"""A sharing key must be a label value of 1 to 63 characters.

Field:   ``metadata.annotations[ako.vmware.com/enable-shared-vip]``.
Source:  Kubernetes "Labels and Selectors", syntax of a label value.
Because: AKO cuts a key at ``/``, so that two keys collide, and puts it into names and URLs as it is. An empty one
         means to AKO that there is none.
"""

from typing import Final

from sharedvip.keys import MAX_KEY_LENGTH, is_valid_key
from sharedvip.model import Denial, ServiceView, Situation
from sharedvip.parse import SHARING_KEY_FIELD
from sharedvip.wording import quoted

ID: Final = "invalid-key"

_REMEDY = "must be 1 to 63 letters, digits, '-', '_' or '.', with a letter or digit at both ends"


def check(candidate: ServiceView, situation: Situation) -> tuple[Denial, ...]:
    """At most one denial; its subject is the key."""
    del situation  # it is a matter of the Service alone
    key = candidate.sharing_key
    if key is None or is_valid_key(key):
        return ()
    return (Denial(rule=ID, field=SHARING_KEY_FIELD, problem=_problem(key), remedy=_REMEDY, subject=quoted(key)),)


def _problem(key: str) -> str:
    if not key:
        return "is empty"
    if len(key) > MAX_KEY_LENGTH:
        return f"{quoted(key)} has {len(key)} characters, too many for a sharing key"
    return f"{quoted(key)} is not a sharing key"
