"""A Go that compiles nothing, but answers as Go does and keeps a diary; how it behaves is told by files beside it."""

import json
import os
import sys
from pathlib import Path

import pytest

from localcluster.binaries import KWOK_STAGES

# `hold`: a build waits until the file is gone, with a child as a compiler. `fail`: a build ends with words and 1.
_GO = """#!/bin/sh
here={here}
case "$1" in
version) echo "go version go$(cat $here/version) linux/amd64" ;;
mod) cat $here/module.json ;;
build)
  echo "$@" >> $here/diary
  while [ "$1" != -o ]; do shift; done
  echo half > "$2"
  : > "$GOTMPDIR/left-by-go"
  if [ -e $here/fail ]; then echo "cannot find package $3"; exit 1; fi
  if [ -e $here/hold ]; then
    tail -f $here/hold &
    while [ -e $here/hold ]; do /bin/sleep 0.05; done
    kill $!
  fi
  printf '#!/bin/sh\\necho %s\\n' "$3" > "$2"
  chmod +x "$2"
  ;;
esac
"""


class FakeGo:
    """The fake, first in PATH, with a cache folder of its own."""

    def __init__(self, folder: Path, *, version: str = "1.26.8") -> None:
        self.folder = folder
        self.cache = folder / "cache"
        bin_folder = folder / "bin"
        bin_folder.mkdir(parents=True)
        (bin_folder / "go").write_text(_GO.format(here=folder))
        (bin_folder / "go").chmod(0o755)
        (folder / "version").write_text(version)
        self._write_module()

    def _write_module(self) -> None:
        module = self.folder / "module"
        for stage in KWOK_STAGES:
            (module / stage).mkdir(parents=True)
            (module / stage / "kustomization.yaml").touch()
            (module / stage / f"{stage.replace('/', '-')}.yaml").touch()
        (self.folder / "module.json").write_text(json.dumps({"Dir": str(module)}))

    @property
    def environment(self) -> dict[str, str]:
        """For a subprocess: this Go, this cache, and the repository's packages."""
        return {
            "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin",
            "SHAREDVIP_CACHE": str(self.cache),
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "HOME": str(self.folder),
        }

    @property
    def builds(self) -> list[str]:
        """The packages built so far, in order."""
        diary = self.folder / "diary"
        return [line.split()[-1] for line in diary.read_text().splitlines()] if diary.exists() else []

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make this process see it."""
        for name in ("PATH", "SHAREDVIP_CACHE"):
            monkeypatch.setenv(name, self.environment[name])
        monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)

    def hold(self) -> None:
        """Let builds wait from now on."""
        (self.folder / "hold").touch()

    def release(self) -> None:
        """Let them go on."""
        (self.folder / "hold").unlink()

    def fail(self) -> None:
        """Let builds fail from now on."""
        (self.folder / "fail").touch()

    def remains(self) -> list[Path]:
        """What unfinished builds left in the cache."""
        return list(self.cache.rglob(".building-*"))
