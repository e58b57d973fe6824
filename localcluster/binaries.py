"""The programs of the control plane: from ``KUBEBUILDER_ASSETS`` (the envtest convention), or built once into a cache.

It never leaves half a program, builds nothing twice, and stops its compilers when it is interrupted.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, Final

from localcluster.processes import ChildProcesses
from localcluster.toolchain import CannotBuild, Go, bring_go, cache_folder, find_go, go_environment

MODULE_FOLDER: Final = Path(__file__).resolve().parent
KUBERNETES_VERSION: Final = "v1.36.3"
PACKAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "etcd": "go.etcd.io/etcd/server/v3",
        "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
        "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
        "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
        "kubectl": "k8s.io/kubernetes/cmd/kubectl",
        "kwok": "sigs.k8s.io/kwok/cmd/kwok",
        "opa": "github.com/open-policy-agent/opa",
    }
)
# opa is for the benchmark only, which asks for it by name.
REQUIRED: Final = tuple(name for name in PACKAGES if name != "opa")
BUILD_FLAGS: Final = (
    "-trimpath",
    "-buildvcs=false",
    # Without the version `kubectl version` cannot read the server's.
    f"-ldflags=-s -w -X k8s.io/component-base/version.gitVersion={KUBERNETES_VERSION}",
)
KWOK_MODULE: Final = "sigs.k8s.io/kwok"
KWOK_STAGES: Final = tuple(f"kustomize/stage/{name}" for name in ("pod/fast", "node/fast", "node/heartbeat-with-lease"))
HEARTBEAT_SECONDS: Final = 10.0
DOWNLOAD_DEADLINE_SECONDS: Final = 300

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Binaries:
    """Where each program is, and the stage files that kwok must be given."""

    paths: Mapping[str, Path]
    stages: tuple[Path, ...]

    def path(self, name: str) -> Path:
        """The program of that name.

        Raises:
            CannotBuild: It was not asked for when these were brought.
        """
        if name not in self.paths:
            raise CannotBuild(f"{name} is not among {', '.join(sorted(self.paths))}; ask ensure_binaries for it")
        return self.paths[name]


@dataclass(frozen=True, slots=True)
class _Builder:
    """One Go, and the cache folder of what it builds."""

    go: Go
    folder: Path
    progress: Progress
    heartbeat_seconds: float

    def ensure(self, names: Sequence[str]) -> None:
        """Have these programs and kwok's stages in the folder; one process at a time builds."""
        if not self._missing(names) and self.stages():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with _locked(self.folder.with_suffix(".lock"), progress=self.progress):
            self._remove_remains()
            go = bring_go(self.go, progress=self.progress)
            missing = self._missing(names)
            for number, name in enumerate(missing, start=1):
                self._build(go, name, label=f"building {name} ({number} of {len(missing)})")
            if not self.stages():
                self._copy_stages(go)

    def stages(self) -> tuple[Path, ...]:
        """The stage files in the folder, sorted; none when they were not copied yet."""
        return tuple(sorted((self.folder / "stages").glob("*.yaml")))

    def _missing(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if not (self.folder / name).exists()]

    def _remove_remains(self) -> None:
        """Remove what a killed build left; we hold the lock, so nobody is in there."""
        for remains in self.folder.glob(".building-*"):
            shutil.rmtree(remains, ignore_errors=True)

    def _build(self, go: Path, name: str, *, label: str) -> None:
        """Build one program beside its place, then move it there."""
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".building-") as temporary:
            work = Path(temporary)
            result = work / name
            # GOTMPDIR: what an interrupted Go leaves is then in the folder that we remove.
            environment = {**go_environment(), "GOTMPDIR": temporary}
            argv = [str(go), "build", *BUILD_FLAGS, "-o", str(result), PACKAGES[name]]
            with ChildProcesses(logs=work) as children:
                children.start(name, argv, environment=environment, folder=MODULE_FOLDER)
                self._await(children, name, label=label)
            result.replace(self.folder / name)

    def _await(self, children: ChildProcesses, name: str, *, label: str) -> None:
        started = time.monotonic()
        self.progress(f"localcluster: {label}")
        while (code := children.wait(name, timeout_seconds=self.heartbeat_seconds)) is None:
            self.progress(f"localcluster: {label}, {time.monotonic() - started:.0f} s")
        if code:
            raise CannotBuild(f"{PACKAGES[name]} does not build; the end of Go's words:\n{children.log_tail(name)}")
        self.progress(f"localcluster: {label}: done in {time.monotonic() - started:.1f} s")

    def _copy_stages(self, go: Path) -> None:
        """Copy kwok's stage files out of its module; their names differ, one folder holds them all."""
        source = _module_folder(go, KWOK_MODULE)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".building-") as temporary:
            copied = Path(temporary) / "stages"
            copied.mkdir()
            for folder in KWOK_STAGES:
                for stage in (source / folder).glob("*.yaml"):
                    if stage.name != "kustomization.yaml":
                        (copied / stage.name).write_bytes(stage.read_bytes())
            copied.replace(self.folder / "stages")


def ensure_binaries(
    names: Sequence[str] = REQUIRED, *, progress: Progress, heartbeat_seconds: float = HEARTBEAT_SECONDS
) -> Binaries:
    """The programs of these names (keys of ``PACKAGES``), built if they are nowhere.

    A cold build of all takes about 12 minutes on two cores; ``progress`` gets a line at each heartbeat of it.

    Raises:
        CannotBuild: A name is unknown, a package does not build, or there is no Go to be had.
    """
    unknown = [name for name in names if name not in PACKAGES]
    if unknown:
        raise CannotBuild(f"unknown: {', '.join(unknown)}; must be of {', '.join(PACKAGES)}")
    given = _given(names)
    go = find_go()
    builder = _Builder(go, cache_folder() / _key(go), progress, heartbeat_seconds)
    built = [name for name in names if name not in given]
    builder.ensure(built)
    return Binaries({**given, **{name: builder.folder / name for name in built}}, builder.stages())


def _key(go: Go) -> str:
    """What the programs are made of, as one hash."""
    modules = [(MODULE_FOLDER / name).read_bytes() for name in ("go.mod", "go.sum")]
    words = [go.version, platform.system(), platform.machine(), *BUILD_FLAGS]
    return hashlib.sha256(b"\0".join([*modules, *(word.encode() for word in words)])).hexdigest()[:16]


def _given(names: Sequence[str]) -> dict[str, Path]:
    """The programs in the folder that ``KUBEBUILDER_ASSETS`` names."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if not assets:
        return {}
    folder = Path(assets).absolute()
    if not folder.is_dir():
        raise CannotBuild(f"KUBEBUILDER_ASSETS: '{assets}' is not a folder; must be one with programs, or unset")
    return {name: folder / name for name in names if os.access(folder / name, os.X_OK)}


def _module_folder(go: Path, module: str) -> Path:
    """Where Go keeps the sources of a module of ours; fetched if they are not here."""
    command = [str(go), "mod", "download", "-json", module]
    done = subprocess.run(  # noqa: S603 - our own words
        command,
        cwd=MODULE_FOLDER,
        env=go_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=DOWNLOAD_DEADLINE_SECONDS,
    )
    if done.returncode:
        raise CannotBuild(f"Go cannot fetch {module}: {done.stderr.strip() or done.stdout.strip()}")
    return Path(json.loads(done.stdout)["Dir"])


@contextlib.contextmanager
def _locked(path: Path, *, progress: Progress) -> Generator[None]:
    """Hold the lock of that file; the kernel frees it however we end."""
    with path.open("a") as file:
        started = told = time.monotonic()
        if not _try_lock(file):
            progress("localcluster: another process builds the same programs; waiting for it")
            while not _try_lock(file):
                time.sleep(0.1)
                if time.monotonic() - told >= HEARTBEAT_SECONDS:
                    told = time.monotonic()
                    progress(f"localcluster: still waiting for the other process, {told - started:.0f} s")
        yield


def _try_lock(file: IO[str]) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
