"""API versions: parsing the header, and which fields are newer than the version asked for; it reads no object."""

import re
from typing import Final, TypeAlias

from simulator.documents import entries, is_message
from simulator.refusals import RefusedError

Version: TypeAlias = tuple[int, int, int]

OLDEST: Final[Version] = (16, 4, 2)
"""What a request without X-Avi-Version is answered as. Source: avi.md 1.2 [CAS: AVI_API_VERSION: 16_4_2]."""

NEWER_FIELDS: Final[dict[str, Version]] = {
    "override_application_profile_ref": (17, 2, 4),
    "enable_http2": (20, 1, 1),
    "is_active_ftp_data_port": (22, 1, 1),
    "graceful_hm_down_disable_timeout": (30, 2, 1),
    "is_passive_ftp_data_port": (31, 1, 1),
    "graceful_disable_timeout_sec": (31, 2, 1),
}
"""Field, wherever it stands, and the version that brought it. Source: avi.md 3 [SW, SW+], 2.4 [TF 141]; a few known
ones only, so that an unknown field never hurts."""


def parse(header: str, *, highest: Version, status: int) -> Version:
    """The version a request asks for.

    Args:
        header: X-Avi-Version; empty is the oldest.
        highest: The Controller's own.
        status: The status of a refusal. Source: avi.md 2.4 "Invalid version" [SDK], code [INF].
    """
    if not header:
        return OLDEST
    version = numbers(header)
    if version is None or version > highest:
        raise RefusedError(status, f"Invalid version {header}. The Controller's version is {dotted(highest)}.")
    return version


def numbers(words: str) -> Version | None:
    """``30.2.1`` or ``30.2.1-2p3`` as numbers; None if it is no version."""
    found = re.match(r"^(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(?:$|[-.])", words)
    return (int(found.group(1)), int(found.group(2)), int(found.group(3) or 0)) if found else None


def dotted(version: Version) -> str:
    """``30.2.1``."""
    return ".".join(map(str, version))


def underscored(version: Version) -> str:
    """``30_2_1``, as in the AVI_API_VERSION header and in error texts."""
    return "_".join(map(str, version))


def check_fields(value: object, version: Version) -> None:
    """Refuse a body with a field newer than the version asked for.

    Source: avi.md 2.4 [TF 141, 14]: status and text.
    """
    for field, part in value.items() if is_message(value) else ():
        since = NEWER_FIELDS.get(field)
        if since is not None and since > version:
            raise _too_new(field, asked=version, since=since)
        check_fields(part, version)
    for part in entries(value):
        check_fields(part, version)


def _too_new(field: str, *, asked: Version, since: Version) -> RefusedError:
    return RefusedError(
        400,
        f"Incoming request (v{underscored(asked)}) has field ({field}) "
        f"introduced in later versions(v{underscored(since)}).",
    )
