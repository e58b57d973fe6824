"""A folder of files that change together, as the kubelet lays out a mounted Secret or ConfigMap.

Source: Kubernetes ``pkg/volume/util/atomic_writer.go``: the files are links into ``..data``, itself a link, which one
rename turns to the new version.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path


class MountedVolume:
    """The folder; it is made where it is missing."""

    def __init__(self, directory: Path, files: Mapping[str, bytes]) -> None:
        """``files`` are its first version."""
        self.directory = directory
        self._version = 0
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.write(files)
        for name in files:
            (directory / name).symlink_to(f"..data/{name}")

    def write(self, files: Mapping[str, bytes]) -> None:
        """All files anew, in one moment; the names are those of the beginning."""
        before, self._version = self._version, self._version + 1
        fresh = self.directory / f"..{self._version}"
        fresh.mkdir(mode=0o700)
        for name, content in files.items():
            (fresh / name).write_bytes(content)
        link = self.directory / "..data_tmp"
        link.symlink_to(fresh.name)
        link.replace(self.directory / "..data")
        # The kubelet removes it at once, too: whoever reads in that moment finds no file.
        shutil.rmtree(self.directory / f"..{before}", ignore_errors=True)
