"""What a sharing key may look like; it never says who uses one."""

import re

MAX_KEY_LENGTH = 63
"""Source: Kubernetes ``k8s.io/apimachinery/pkg/util/validation``, ``LabelValueMaxLength``."""

_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")


def is_valid_key(key: str) -> bool:
    """Whether it is a label value of at least one character, so that it can be a label, a name and a URL's part."""
    return len(key) <= MAX_KEY_LENGTH and _LABEL_VALUE.fullmatch(key) is not None
