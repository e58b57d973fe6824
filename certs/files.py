"""Keeps the key material in a folder, where there is no cluster to keep it; keys are readable for their owner only."""

import os
from pathlib import Path
from typing import Final

from certs.errors import MaterialError
from certs.issue import Authority, KeyPair
from certs.renewal import Material
from certs.secret import BUNDLE, CERTIFICATE, KEY

AUTHORITY_CERTIFICATE: Final = "authority.crt"
AUTHORITY_KEY: Final = "authority.key"
PUBLIC_MODE: Final = 0o644
KEY_MODE: Final = 0o600


def read_files(directory: Path) -> Material:
    """What the folder holds; a file that is missing is empty bytes.

    Raises:
        MaterialError: A file is there and cannot be read.
    """
    return Material(
        Authority(_read(directory / AUTHORITY_CERTIFICATE), _read(directory / AUTHORITY_KEY)),
        KeyPair(_read(directory / CERTIFICATE), _read(directory / KEY)),
        _read(directory / BUNDLE),
    )


def write_files(directory: Path, material: Material) -> None:
    """Write ``tls.crt``, ``tls.key``, ``ca.crt`` (the bundle) and the authority, making the folder where it is missing.

    Each file appears whole or not at all, what is trusted before what is served: a crash may come between any two.

    Raises:
        MaterialError: The folder cannot be written.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(directory / AUTHORITY_KEY, material.authority.key_pem, mode=KEY_MODE)
        _write(directory / AUTHORITY_CERTIFICATE, material.authority.certificate_pem, mode=PUBLIC_MODE)
        _write(directory / BUNDLE, material.bundle_pem, mode=PUBLIC_MODE)
        _write(directory / KEY, material.serving.key_pem, mode=KEY_MODE)
        _write(directory / CERTIFICATE, material.serving.certificate_pem, mode=PUBLIC_MODE)
    except OSError as error:
        raise MaterialError(f"{directory}: cannot be written: {error.strerror}") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise MaterialError(f"{path}: cannot be read: {error.strerror}") from None


def _write(path: Path, content: bytes, *, mode: int) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    # O_EXCL with the mode at creation: at no moment can others open a key, whatever the umask.
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    beside.replace(path)
