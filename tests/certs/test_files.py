"""The offline mode: the same material in a folder, and keys for their owner only."""

import asyncio
import os
import ssl
from datetime import datetime
from pathlib import Path
from typing import Final

import pytest
from structlog.testing import capture_logs

from certs.command import CertsSettings, run
from certs.errors import MaterialError
from certs.files import read_files, write_files
from certs.issue import Names, names_of
from certs.renewal import renewed
from certs.serving import ServingCertificate
from tests.certs.builders import DAY, NAME, NOW

FILES: Final = {"authority.crt": 0o644, "authority.key": 0o600, "ca.crt": 0o644, "tls.crt": 0o644, "tls.key": 0o600}


def offline(directory: Path, *, now: datetime = NOW, ip_addresses: tuple[str, ...] = ("127.0.0.1",)) -> int:
    """`sharedvip certs --directory`, at a moment of ours."""
    settings = CertsSettings(directory=directory, ip_addresses=ip_addresses)
    return asyncio.run(run(settings, now=lambda: now))


def modes(directory: Path) -> dict[str, int]:
    """Each file's permissions."""
    return {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}


def test_keys_are_for_their_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    """Also where the folder is shared and the umask lets everybody read."""
    before = os.umask(0)
    try:
        assert offline(tmp_path / "made" / "here") == 0
    finally:
        os.umask(before)

    assert modes(tmp_path / "made" / "here") == FILES


def test_what_was_written_can_be_served_and_trusted(tmp_path: Path) -> None:
    """A server loads the pair, a client the bundle."""
    offline(tmp_path)

    certificate = ServingCertificate(tmp_path / "tls.crt", tmp_path / "tls.key", now=lambda: NOW)
    ssl.create_default_context(cafile=tmp_path / "ca.crt")

    assert certificate.is_valid
    assert names_of((tmp_path / "tls.crt").read_bytes()) == Names(frozenset((NAME,)), frozenset(("127.0.0.1",)))


def test_a_second_run_writes_nothing(tmp_path: Path) -> None:
    """Not even the same bytes again: a server that follows the files has nothing to do."""
    offline(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    offline(tmp_path, now=NOW + DAY)

    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_a_run_near_the_end_renews_in_place(tmp_path: Path) -> None:
    """With the modes as before, and nothing left over."""
    offline(tmp_path)
    before = read_files(tmp_path)
    offline(tmp_path, now=NOW + 300 * DAY)

    after = read_files(tmp_path)
    assert after.serving != before.serving
    assert after.authority == before.authority
    assert modes(tmp_path) == FILES


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """In one line, with the reason."""
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    material = renewed(None, names=Names(frozenset((NAME,)), frozenset()), now=NOW)

    with pytest.raises(MaterialError, match=r"cannot be written: File exists$"):
        write_files(blocked, material)


def test_a_file_that_cannot_be_read_ends_the_command_with_words(tmp_path: Path) -> None:
    """Exit code 1, one line, no traceback, and what is there is not overwritten."""
    (tmp_path / "tls.key").mkdir()
    with capture_logs() as logs:
        assert offline(tmp_path) == 1

    assert [line["problem"] for line in logs] == [f"{tmp_path / 'tls.key'}: cannot be read: Is a directory"]
    assert [path.name for path in tmp_path.iterdir()] == ["tls.key"]


def test_all_wrong_settings_are_told_at_once(tmp_path: Path) -> None:
    """Exit code 2, and nothing is written."""
    settings = CertsSettings(
        directory=tmp_path, namespace="Not_One", dns_names=("*.ok.example", "-no-"), ip_addresses=("10.0.0", "::1")
    )
    with capture_logs() as logs:
        assert asyncio.run(run(settings)) == 2

    assert [line["problem"].split(" must ")[0] for line in logs] == [
        "namespace: 'Not_One'",
        "dns_names: '-no-'",
        "ip_addresses: '10.0.0'",
    ]
    assert list(tmp_path.iterdir()) == []
