"""A mounted volume's files change together, and nobody ever sees half of a change."""

import threading
from pathlib import Path

from localcluster.mounted import MountedVolume


def test_files_change_together_under_a_reader(tmp_path: Path) -> None:
    """Who opens the link of all files once sees one version; the old one is gone afterwards."""
    volume, is_over, seen = MountedVolume(tmp_path / "tls", {"a": b"0", "b": b"0"}), threading.Event(), set[bytes]()

    def read() -> None:
        while not is_over.is_set():
            version = (tmp_path / "tls" / "..data").resolve()
            try:
                seen.add((version / "a").read_bytes() + b"/" + (version / "b").read_bytes())
            except FileNotFoundError:
                continue

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(1, 50):
        volume.write({"a": b"%d" % number, "b": b"%d" % number})
    is_over.set()
    reader.join()

    assert all(one.partition(b"/")[0] == one.partition(b"/")[2] for one in seen)
    assert {name: (tmp_path / "tls" / name).read_bytes() for name in ("a", "b")} == {"a": b"49", "b": b"49"}
    assert sorted(path.name for path in (tmp_path / "tls").iterdir()) == ["..50", "..data", "a", "b"]
