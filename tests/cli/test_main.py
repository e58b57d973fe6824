"""The ``sharedvip`` command as a person meets it: sentences and exit codes, never a traceback."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app

RUNNER = CliRunner()


@pytest.mark.parametrize("command", ["webhook", "reconciler", "certs", "simulator", "demo"])
def test_every_command_says_what_it_does(command: str) -> None:
    """In the overview."""
    assert f" {command} " in RUNNER.invoke(app, ["--help"]).output


def test_wrong_settings_are_all_told(tmp_path: Path) -> None:
    """Exit code 2, one line each."""
    words = ["webhook", "--certificate=a", "--key=b", "--port=70000", "--drain-seconds=-1"]

    done = RUNNER.invoke(app, words)

    assert done.exit_code == 2
    assert "port: 70000 must be 0 to 65535" in done.output
    assert "drain_seconds: -1.0 must not be negative" in done.output
    assert list(tmp_path.iterdir()) == []


def test_a_certificate_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    """Exit code 1."""
    done = RUNNER.invoke(app, ["webhook", f"--certificate={tmp_path / 'no.crt'}", f"--key={tmp_path / 'no.key'}"])

    assert done.exit_code == 1
    assert "no.crt: cannot be read" in done.output
    assert "Traceback" not in done.output


def test_no_cluster_is_a_sentence(tmp_path: Path) -> None:
    """Outside a pod and without a kubeconfig; the certificate is found good before."""
    issued = RUNNER.invoke(app, ["certs", f"--directory={tmp_path}"])
    assert issued.exit_code == 0

    done = RUNNER.invoke(
        app, ["webhook", f"--certificate={tmp_path / 'tls.crt'}", f"--key={tmp_path / 'tls.key'}", "--port=0"]
    )

    assert done.exit_code == 1
    assert "cannot tell where the API server is" in done.output


def test_help_does_not_load_the_kubernetes_client() -> None:
    """``sharedvip --help`` answers at once: what a command runs is imported when it runs."""
    program = "import sys, cli.main; sys.exit('kubernetes' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0  # noqa: S603 - our own words
