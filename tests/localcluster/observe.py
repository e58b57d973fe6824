"""What the operating system knows of processes; it starts and ends none."""

import subprocess
from pathlib import Path


def processes_about(text: str) -> list[str]:
    """The command lines of the living processes that hold the text; a zombie has none."""
    return [line for line in _command_lines() if text in line]


def _command_lines() -> list[str]:
    proc = Path("/proc")
    if not (proc / "self" / "cmdline").exists():  # macOS
        listed = subprocess.run(["/bin/ps", "-axo", "args="], capture_output=True, text=True, check=True)
        return listed.stdout.splitlines()
    return [line for line in (_command_line(folder) for folder in proc.glob("[0-9]*")) if line]


def _command_line(folder: Path) -> str:
    try:
        return (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:  # it ended meanwhile
        return ""
