"""``sharedvip demo --keep DIR``: a playground that stays until it is told to go; it never tells the story."""

import json
import signal
import threading
from pathlib import Path
from typing import Final

from rich.console import Console

from cli.demo.stage import Stage

FILES: Final = ("kubeconfig", "avi.json", "webhooks.json", "processes.json")


def keep_running(directory: Path, *, webhooks: int) -> int:
    """Start everything, write how to reach it into ``directory``, and wait for Ctrl-C or SIGTERM; the exit code."""
    console = Console(stderr=True)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _raise_once(stopping))
    try:
        with Stage(webhooks=webhooks) as stage:
            _write(directory, stage)
            console.print(f"demo: running; export KUBECONFIG={directory.absolute() / 'kubeconfig'}", soft_wrap=True)
            console.print("demo: Ctrl-C ends it")
            while not stopping.wait(3600):
                pass
    except KeyboardInterrupt:
        pass
    finally:
        for name in FILES:
            (directory / name).unlink(missing_ok=True)
    console.print("demo: everything has ended")
    return 0


def _raise_once(stopping: threading.Event) -> "signal._HANDLER":  # pyright: ignore[reportPrivateUsage] - typeshed's own name
    """The first signal interrupts whatever is being started; the orderly end is not interrupted by a second one."""

    def on_signal(_number: int, _frame: object) -> None:
        if not stopping.is_set():
            stopping.set()
            raise KeyboardInterrupt

    return on_signal


def _write(directory: Path, stage: Stage) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    avi = stage.avi
    access = {"url": avi.url, "username": avi.username, "password": avi.password, "ca": avi.ca, "control": avi.control}
    pids = stage.processes
    replicas = [{"url": r.url, "ca": str(stage.ca), "pid": pids[r.name]} for r in stage.replicas]
    _put(directory / "kubeconfig", stage.cluster.kubeconfig.read_text())
    _put(directory / "avi.json", json.dumps(access, indent=2))
    _put(directory / "webhooks.json", json.dumps(replicas, indent=2))
    _put(directory / "processes.json", json.dumps(dict(pids), indent=2))


def _put(file: Path, text: str) -> None:
    """Whole or not at all, and only for the owner's eyes: all of them hold, or lead to, secrets."""
    part = file.with_name(f".{file.name}.part")
    part.touch(mode=0o600)
    part.write_text(text)
    part.replace(file)
