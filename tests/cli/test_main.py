"""The ``sharedvip`` command as a person meets it: sentences and exit codes, never a traceback."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app

ROOT = Path(__file__).parents[2]
RUNNER = CliRunner()


@pytest.mark.parametrize("command", ["webhook", "reconciler", "certs", "simulator", "demo", "groups", "audit"])
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


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """A process of its own: a command that gets as far as its log decides how all of a process logs."""
    return subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-m", "cli", *words], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )


def test_a_certificate_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    """Exit code 1."""
    done = run("webhook", f"--certificate={tmp_path / 'no.crt'}", f"--key={tmp_path / 'no.key'}")

    assert done.returncode == 1
    assert "no.crt: cannot be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_cluster_is_a_sentence(tmp_path: Path) -> None:
    """Outside a pod and without a kubeconfig; the certificate is found good before."""
    assert run("certs", f"--directory={tmp_path}").returncode == 0

    done = run("webhook", f"--certificate={tmp_path / 'tls.crt'}", f"--key={tmp_path / 'tls.key'}", "--port=0")

    assert done.returncode == 1
    assert "cannot tell where the API server is" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_does_not_load_the_kubernetes_client() -> None:
    """``sharedvip --help`` answers at once: what a command runs is imported when it runs."""
    program = "import sys, cli.main; sys.exit('kubernetes' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0  # noqa: S603 - our own words
