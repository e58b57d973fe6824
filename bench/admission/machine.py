"""On what and with which versions a run was made; it never guesses: what the system does not tell is not told."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Final

from localcluster.binaries import KUBERNETES_VERSION, MODULE_FOLDER

_PACKAGES: Final = ("fastapi", "uvicorn", "uvloop", "httptools", "msgspec", "kubernetes")
_OPA: Final = "github.com/open-policy-agent/opa "


def describe_machine() -> str:
    """Processor, memory and system in a sentence's part."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} processors, {_processor()}, {memory:.0f} GiB, {platform.system()} {platform.release()}"


def describe_versions() -> str:
    """What ran, with its versions."""
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return f"Python {platform.python_version()}, {packages}, Kubernetes {KUBERNETES_VERSION}, OPA {opa_version()}"


def opa_version() -> str:
    """The version that ``localcluster/go.mod`` pins."""
    pinned = (MODULE_FOLDER / "go.mod").read_text().partition(_OPA)[2]
    return pinned.split(maxsplit=1)[0]


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    if file.exists():
        for line in file.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
