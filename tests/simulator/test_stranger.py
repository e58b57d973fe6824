"""A Go client that knows nothing of us: VMware's alb-sdk with its models, built from the module proxy, as AKO is.

Its types refuse a wrong shape, so what it prints was understood.
"""

import json
import subprocess
from pathlib import Path

import pytest

from localcluster.toolchain import bring_go, find_go, go_environment
from simulator.serve import running
from simulator.settings import Settings
from tests.contracts.client import Document

SOURCE = Path(__file__).parent / "stranger"
BUILD_SECONDS = 600.0

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(BUILD_SECONDS)]


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program; Go's own cache makes all builds but the first a matter of seconds."""
    program = tmp_path_factory.mktemp("stranger") / "stranger"
    go = bring_go(find_go(), progress=lambda _line: None)
    words = [str(go), "build", "-o", str(program), "."]
    environment = {**go_environment(), "GOTMPDIR": str(program.parent)}
    done = subprocess.run(words, cwd=SOURCE, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    assert done.returncode == 0, done.stderr
    return program


def _seen(stranger: Path, directory: Path) -> Document:
    with running(Settings(), directory=directory) as simulator:
        access = simulator.access
        words = [str(stranger), access.url.removeprefix("https://"), access.ca, access.username, access.password]
        # glog, the SDK's, writes files where TMPDIR says.
        environment = {"TMPDIR": str(directory)}
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120, env=environment)  # noqa: S603 - our own program
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_vmwares_go_sdk_makes_a_shared_vip_and_takes_it_away(stranger: Path, tmp_path: Path) -> None:
    """Boot, five POSTs, lists over all tenants, PATCH, PUT, refusals by status, deletion by name."""
    assert _seen(stranger, tmp_path) == {
        "boot": {
            "version": "30.2.1",
            "cluster": "CLUSTER_UP_NO_HA",
            "tier": "ENTERPRISE",
            "cloud": "CLOUD_NONE",
            "groups": 1,
        },
        "built": {"vip": "100.64.196.61", "services": 2, "cksum": "1", "modified": True},
        "listed": {
            "count": 2,
            "next": True,
            "pools": 2,
            "vs": "cluster--default-shared-vip-key-1",
            "absent": True,
        },
        "changed": {"servers": 0, "stale": 412, "timeout": 2},
        "refused": {"twice": 409, "unknown": 404, "referred": 403},
        "left": 0,
    }
