"""The simulator as a process: ``python -m simulator``."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.contracts.client import Client, Document, Https

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 60.0
WORDS = "a password of the test"


@contextmanager
def process(directory: Path, *arguments: str) -> Generator[subprocess.Popen[str]]:
    """A simulator, killed at the end if it still runs."""
    started = subprocess.Popen(  # noqa: S603 - our own module, arguments of this file
        [sys.executable, "-m", "simulator", "--directory", str(directory), *arguments],
        cwd=ROOT,
        env={**os.environ, "AVI_SIMULATOR_PASSWORD": WORDS},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def first_line(started: subprocess.Popen[str]) -> str:
    """What it says when it listens."""
    assert started.stdout is not None
    return started.stdout.readline()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_end(ending: signal.Signals, tmp_path: Path) -> None:
    """One line of words, files for the owner alone, no trace of ``avi.json`` afterwards."""
    directory = tmp_path / "avi"
    with process(directory, "--subnet", "net7=10.7.0.0/24,10.7.0.7-10.7.0.9", "--username", "me") as started:
        line = first_line(started)
        told: Document = json.loads((directory / "avi.json").read_text())
        send = Https(told["url"], verify=told["ca"])
        client = Client(send, told["url"])
        assert client.login("me", WORDS).status == 200
        made = client.made("vsvip", {"name": "v", "vip": [{"vip_id": "0", "auto_allocate_ip": True}]})
        send.close()
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (directory, *directory.iterdir())}
        started.send_signal(ending)
        out, err = started.communicate(timeout=DEADLINE_SECONDS)

    assert made["vip"][0]["ip_address"]["addr"] == "10.7.0.7"
    assert set(told) == {"url", "username", "password", "ca", "control"}
    assert modes.items() >= {"avi": 0o700, "avi.json": 0o600, "tls.key": 0o600}.items()
    assert (started.returncode, out, err) == (0, "", "")
    assert told["url"] in line
    assert WORDS not in line
    assert sorted(path.name for path in directory.iterdir()) == ["ca.crt", "tls.crt", "tls.key"]


def test_its_flags_make_it_as_strict_as_a_real_one(tmp_path: Path) -> None:
    """Rate limit, lock-out, nodes, placement: each shows where a Controller shows it."""
    directory = tmp_path / "avi"
    strict = "--requests-per-second=32 --request-burst=40 --login-failures=1 --nodes=3 --placement-seconds=600"
    with process(directory, *strict.split(), "--name-release-seconds=600") as started:
        first_line(started)
        told: Document = json.loads((directory / "avi.json").read_text())
        send = Https(told["url"], verify=told["ca"])
        client = Client(send, told["url"])
        client.login("admin", WORDS)
        limit = client.get("controllerproperties").body
        nodes = client.get("cluster").body["nodes"]
        made = client.made("pool", {"name": "p"})
        gone = client.delete(f"pool/{made['uuid']}").status
        again = client.post("pool", {"name": "p"}).status
        vs = client.made("virtualservice", {"name": "v", "services": []})
        state = client.get(f"virtualservice/{vs['uuid']}/runtime").body["oper_status"]["state"]
        client.login("admin", "wrong")
        locked = client.login("admin", WORDS).status
        send.close()

    assert (limit["portal_request_rate_limit"], limit["portal_request_burst_limit"]) == (32, 40)
    assert (len(nodes), gone, again, state, locked) == (3, 204, 409, "OPER_CREATING", 401)


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    """Status 1 and one line."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with process(tmp_path / "avi", "--control-port", str(taken.getsockname()[1])) as started:
            out, err = started.communicate(timeout=DEADLINE_SECONDS)

    assert (started.returncode, out, err.count("\n")) == (1, "", 1)
    assert "Address already in use" in err


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("--subnet", "net1"), 2),
        (("--subnet", "net1=10.0.0.0/24,10.1.0.1-10.1.0.2"), 1),
        (("--version", "x"), 1),
        (("--licence-tier", "X"), 2),
    ],
)
def test_wrong_arguments_are_told(arguments: tuple[str, ...], status: int, tmp_path: Path) -> None:
    """Without a traceback."""
    with process(tmp_path / "avi", *arguments) as started:
        _, err = started.communicate(timeout=DEADLINE_SECONDS)

    assert started.returncode == status
    assert "Traceback" not in err
    assert not (tmp_path / "avi" / "avi.json").exists()
