"""Brings the project's own environment with nothing but this Python: uv from PyPI, then the locked dependencies.

It never touches the machine's Python, its packages or anything outside ``.venv`` and the user's cache folder.
"""

import contextlib
import hashlib
import json
import os
import platform
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV_VERSION = "0.13.9"
# From https://pypi.org/simple/uv/, by (system, machine); the musl builds of Linux/arm64 serve both C libraries.
UV_WHEELS = {
    ("Linux", "x86_64"): "d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19",
    ("Linux", "aarch64"): "5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe",
    ("Darwin", "x86_64"): "c16ed11e013557536b3e60065f1b912f6407bd6518e041b961e23ef9e6b4fbf5",
    ("Darwin", "arm64"): "66c512266d633bef48384a1f53003f41f2a8e7b36fe6e7fbfd3e0fd52d96fa63",
}
DOWNLOAD_TIMEOUT_SECONDS = 60


class CannotContinueError(Exception):
    """What stands in the way, in words for whoever typed ``make``."""


def cache_folder() -> Path:
    """The user's cache folder of this project."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sharedvip"
    return Path(os.environ.get("SHAREDVIP_CACHE") or default)


def trust() -> ssl.SSLContext:
    """The machine's trust, and the CA file that pip was told of: some networks have their own."""
    context = ssl.create_default_context()
    for variable in ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE"):
        if os.environ.get(variable):
            context.load_verify_locations(os.environ[variable])
    return context


def download(url: str, *, accept: str = "*/*") -> bytes:
    """The document at a URL.

    Raises:
        CannotContinueError: No answer, or not a good one.
    """
    request = urllib.request.Request(url, headers={"Accept": accept})  # noqa: S310 - the index's URL is ours or the user's
    try:
        with urllib.request.urlopen(request, timeout=DOWNLOAD_TIMEOUT_SECONDS, context=trust()) as reply:  # noqa: S310
            return reply.read()
    except (urllib.error.URLError, OSError) as error:
        raise CannotContinueError(
            f"{url} cannot be read ({error}); a PyPI index must be reachable, or uv installed"
        ) from error


def wheel_url(sha256: str) -> str:
    """Where the index keeps the wheel of that hash."""
    index = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("PIP_INDEX_URL") or "https://pypi.org/simple"
    page = json.loads(download(f"{index.rstrip('/')}/uv/", accept="application/vnd.pypi.simple.v1+json"))
    for file in page["files"]:
        if file["hashes"].get("sha256") == sha256:
            return file["url"]
    raise CannotContinueError(f"the index {index} has no uv {UV_VERSION} with SHA-256 {sha256}")


def bring_uv() -> Path:
    """The pinned uv, from the cache or from PyPI; ``UV`` in the environment names another one to use."""
    if os.environ.get("UV"):
        return Path(os.environ["UV"])
    uv = cache_folder() / "uv" / UV_VERSION / "uv"
    if not uv.exists():
        print(f"environment: downloading uv {UV_VERSION} (17 MB, once)", flush=True)
        install_uv(uv)
    return uv


def install_uv(uv: Path) -> None:
    """Put the pinned uv there, whole or not at all."""
    sha256 = UV_WHEELS.get((platform.system(), platform.machine()))
    if sha256 is None:
        raise CannotContinueError(
            f"no uv is pinned for {platform.system()} {platform.machine()}; install it and set UV=<path>"
        )
    wheel = download(wheel_url(sha256))
    if hashlib.sha256(wheel).hexdigest() != sha256:
        raise CannotContinueError(f"the uv {UV_VERSION} that arrived is not the pinned one; try again")
    uv.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=uv.parent) as folder:
        archive = Path(folder) / "uv.whl"
        archive.write_bytes(wheel)
        with zipfile.ZipFile(archive) as opened:
            unpacked = Path(opened.extract(f"uv-{UV_VERSION}.data/scripts/uv", folder))
        unpacked.chmod(0o755)
        unpacked.replace(uv)


def wanted() -> str:
    """What the environment must be made of, as one hash."""
    parts = [(ROOT / name).read_bytes() for name in ("uv.lock", "pyproject.toml")]
    return hashlib.sha256(b"\0".join([*parts, sys.version.encode(), str(ROOT).encode()])).hexdigest()


def sync() -> None:
    """Make ``.venv`` what the lock file says, unless it is so already."""
    stamp = ROOT / ".venv" / "sharedvip-environment"
    with contextlib.suppress(OSError):
        if stamp.read_text() == wanted():
            return
    print("environment: installing the locked dependencies into .venv", flush=True)
    surroundings = {
        "UV_PYTHON": sys.executable,
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_SYSTEM_CERTS": "1",
        "UV_PROJECT_ENVIRONMENT": str(ROOT / ".venv"),
    }
    command = [str(bring_uv()), "sync", "--locked", "--quiet", "--project", str(ROOT)]
    done = subprocess.run(command, env={**os.environ, **surroundings}, check=False)  # noqa: S603 - our own words
    if done.returncode:
        raise CannotContinueError("uv could not install the locked dependencies; its own words are above")
    stamp.write_text(wanted())


def main() -> int:
    """Bring the environment; 0 when it is there."""
    if sys.version_info < (3, 11):  # noqa: UP036 - only an older Python gets here
        print(f"environment: Python 3.11 or newer is needed, this is {platform.python_version()}", file=sys.stderr)
        return 1
    try:
        sync()
    except CannotContinueError as reason:
        print(f"environment: {reason}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
