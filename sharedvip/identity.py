"""What a Service, a namespace and a uid can be called at all; it never judges what they ask for.

Source: apimachinery ``util/validation``, ``IsDNS1123Label``. Uids are UUIDs, of which only the letters matter here.
"""

import re
from typing import Final

from sharedvip.model import ServiceView

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_UID: Final = re.compile(r"[-A-Za-z0-9]{0,64}")
"""With a name and a dot it is a field manager, for which the API server has 128 letters."""


def is_label(text: str) -> bool:
    """Whether a Service or a namespace can have this name."""
    return _LABEL.fullmatch(text) is not None


def find_flaw(service: ServiceView) -> str:
    """What no stored Service has; "" for nothing."""
    if not is_label(service.name.namespace):
        return "its namespace is not the name of one"
    if not is_label(service.name.name):
        return "its name is not one that a Service can have"
    return "" if _UID.fullmatch(service.uid) else "its uid is not one"
