"""The programs are built once, whole, by one process at a time, and never when they are given."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from localcluster.binaries import PACKAGES, REQUIRED, Binaries, ensure_binaries
from localcluster.toolchain import CannotBuild
from localcluster.waiting import wait_until
from tests.localcluster.fakego import FakeGo
from tests.localcluster.observe import processes_about


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGo:
    """A fake Go that this process and its children find."""
    fake = FakeGo(tmp_path / "fakego")
    fake.use(monkeypatch)
    return fake


def bring(*names: str) -> Binaries:
    """Programs without progress."""
    return ensure_binaries(names, progress=lambda _: None)


def start_build(go: FakeGo, *names: str) -> subprocess.Popen[str]:
    """``python -m localcluster build`` in a process of its own."""
    command = [sys.executable, "-m", "localcluster", "build", *names]
    return subprocess.Popen(  # noqa: S603 - our own words
        command, env=go.environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_every_program_is_built_from_its_package(go: FakeGo) -> None:
    """A first call builds all that is required, and each result is Go's."""
    found = bring(*REQUIRED)

    assert go.builds == [PACKAGES[name] for name in REQUIRED]
    for name in REQUIRED:
        assert PACKAGES[name] in found.path(name).read_text()
        assert os.access(found.path(name), os.X_OK)
    assert go.remains() == []


def test_a_second_call_builds_nothing(go: FakeGo) -> None:
    """What is in the cache stays as it is, and only what is missing is added."""
    first = bring("etcd")
    second = bring("etcd", "kwok")

    assert go.builds == [PACKAGES["etcd"], PACKAGES["kwok"]]
    assert second.path("etcd") == first.path("etcd")


def test_another_go_version_builds_anew(go: FakeGo) -> None:
    """The cache is keyed by the version, so an update of Go never mixes."""
    first = bring("etcd")
    (go.folder / "version").write_text("1.27.0")
    second = bring("etcd")

    assert second.path("etcd") != first.path("etcd")
    assert len(go.builds) == 2


@pytest.mark.usefixtures("go")
def test_the_stages_are_copied_without_kustomization() -> None:
    """Each of kwok's stage files comes along; kustomize's list is no stage."""
    names = [stage.name for stage in bring("etcd").stages]

    assert names == [
        "kustomize-stage-node-fast.yaml",
        "kustomize-stage-node-heartbeat-with-lease.yaml",
        "kustomize-stage-pod-fast.yaml",
    ]


def test_given_programs_are_used(go: FakeGo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With KUBEBUILDER_ASSETS only what is missing there is built; the stages still come from the module."""
    assets = tmp_path / "assets"
    assets.mkdir()
    (assets / "etcd").touch(mode=0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    found = bring("etcd", "kwok")

    assert found.path("etcd") == assets / "etcd"
    assert go.builds == [PACKAGES["kwok"]]
    assert len(found.stages) == 3


@pytest.mark.usefixtures("go")
def test_assets_that_are_no_folder_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistyped KUBEBUILDER_ASSETS is told at once and not answered with a build of 12 minutes."""
    monkeypatch.setenv("KUBEBUILDER_ASSETS", "/nowhere/at/all")
    with pytest.raises(CannotBuild, match=r"^KUBEBUILDER_ASSETS: '/nowhere/at/all' is not a folder; must be one"):
        bring("etcd")


@pytest.mark.usefixtures("go")
def test_unknown_and_unasked_programs_are_refused() -> None:
    """A name is checked before anything is built, and asking for what was not brought says what to do."""
    with pytest.raises(CannotBuild, match=r"^unknown: etdc; must be of etcd, "):
        bring("etdc")
    with pytest.raises(CannotBuild, match=r"^opa is not among etcd; ask ensure_binaries for it$"):
        bring("etcd").path("opa")


def test_a_failed_build_tells_gos_words(go: FakeGo) -> None:
    """The reason is in the error, nothing half stays, and the next call tries again."""
    go.fail()
    with pytest.raises(CannotBuild, match=r"cannot find package go\.etcd\.io/etcd/server/v3"):
        bring("etcd")
    assert go.remains() == []

    (go.folder / "fail").unlink()
    bring("etcd")
    assert len(go.builds) == 2


def test_a_long_build_shows_that_it_lives(go: FakeGo) -> None:
    """Whoever waits sees which program is built and for how long already."""
    lines: list[str] = []

    def note(line: str) -> None:
        lines.append(line)
        if len(lines) == 3:
            go.release()

    go.hold()
    ensure_binaries(["etcd"], progress=note, heartbeat_seconds=0.05)

    assert lines[0] == "localcluster: building etcd (1 of 1)"
    assert lines[1].startswith("localcluster: building etcd (1 of 1), ")
    assert lines[-1].startswith("localcluster: building etcd (1 of 1): done in ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_build_leaves_nothing(go: FakeGo, number: signal.Signals) -> None:
    """Go and its children end, and neither its temporary files nor half a program stay."""
    go.hold()
    with start_build(go, "etcd") as build:
        wait_until(lambda: bool(processes_about(f"{go.folder}/hold")), what="Go compiles", deadline_seconds=20)
        build.send_signal(number)
        _, words = build.communicate(timeout=20)

    assert (build.returncode, words.splitlines()[-1]) == (130, "localcluster: stopped")
    wait_until(lambda: not processes_about(f"{go.folder}/"), what="nothing is left", deadline_seconds=5)
    assert go.remains() == []
    assert list(go.cache.rglob("etcd")) == []


@pytest.mark.usefixtures("go")
def test_what_a_killed_build_left_is_removed() -> None:
    """A SIGKILL leaves a folder behind; the next build removes it."""
    remains = bring("etcd").path("etcd").parent / ".building-killed"
    remains.mkdir()
    bring("kwok")

    assert not remains.exists()


def test_two_processes_build_once(go: FakeGo) -> None:
    """The second waits for the first and then finds the program."""
    go.hold()
    with start_build(go, "etcd") as first:
        wait_until(lambda: bool(go.builds), what="the first one builds", deadline_seconds=20)
        with start_build(go, "etcd") as second:
            assert second.stderr is not None
            assert "another process builds" in second.stderr.readline()
            go.release()
            told = [build.communicate(timeout=20)[0] for build in (first, second)]

    assert (first.returncode, second.returncode) == (0, 0)
    assert told[0] == told[1]
    assert len(go.builds) == 1
