"""User, password and CA from a directory of files, as a mounted Secret shows them; never logged, never kept in text."""

from dataclasses import dataclass, field
from pathlib import Path

from reconciler.avi_errors import AviCredentialsRefused


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a login needs; equal when nothing in the files changed."""

    username: str = field(repr=False)
    password: str = field(repr=False)
    ca: bytes = field(repr=False)
    ca_path: str


def read_credentials(directory: Path) -> Credentials:
    """What the files say now.

    Raises:
        AviCredentialsRefused: A file is missing, unreadable or empty; the message names it.
    """
    username = _read(directory / "username").decode(errors="replace").strip()
    password = _read(directory / "password").decode(errors="replace").strip()
    ca_path = directory / "ca.crt"
    return Credentials(username, password, _read(ca_path), str(ca_path))


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AviCredentialsRefused(f"cannot read {path.name} of the Avi credentials: {error.strerror}") from error
    if not content.strip():
        raise AviCredentialsRefused(f"{path.name} of the Avi credentials is empty")
    return content
