"""The main job, told with real commands and their real output; it starts and ends nothing itself.

Every step waits for what it says, with a deadline, and fails aloud if it does not come.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from cli.demo.avi import AviView, VirtualService
from cli.demo.stage import RECONCILER, Stage
from localcluster.waiting import DeadlinePassed, wait_until

ROOT: Final = Path(__file__).resolve().parents[2]
SERVICES: Final = ("sharedvip-avisvc-lb1", "sharedvip-avisvc-lb2")
REFUSED: Final = {
    "duplicate-port": "80/TCP twice",
    "different-static-address": "two addresses for one VIP",
    "not-load-balancer": "the annotation on a ClusterIP Service",
}
"""File of ``examples/refused`` -> what is wrong with it."""
WAIT_SECONDS: Final = 30.0
INTERRUPTED: Final = 130


class StoryError(Exception):
    """Something did not happen as told."""


def tell(*, webhooks: int) -> int:
    """Start everything, tell the story, end everything; the exit code."""
    # Where nobody looks (a file, CI), lines are as long as they are.
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)
    begun = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Stage(webhooks=webhooks, progress=lambda line: console.print(escape(line), style="dim")) as stage:
            code = _tell(Story(stage, console))
            console.print("\ndemo: ending everything", style="dim")
    except KeyboardInterrupt:
        console.print("\ndemo: interrupted; everything has ended")
        return INTERRUPTED
    console.print(
        f"demo: {'done' if code == 0 else 'failed'} in {time.monotonic() - begun:.0f} s; nothing is left behind"
    )
    return code


def _tell(story: "Story") -> int:
    try:
        for step in (story.build, story.look, story.scale, story.refuse, story.prefer, story.leave):
            step()
    except (StoryError, DeadlinePassed) as error:
        story.fail(str(error))
        return 1
    story.sum_up()
    return 0


class Story:
    """The six steps."""

    def __init__(self, stage: Stage, console: Console) -> None:
        """Tell it on a console."""
        self._stage = stage
        self._console = console
        self._avi = AviView(stage.avi)
        self._shown: list[tuple[str, str]] = []

    def build(self) -> None:
        """Two Services, one VIP."""
        self._head("1. Two Services share one VIP")
        self._kubectl("apply", "-f", "examples/deployment.yaml")
        self._kubectl("rollout", "status", "deployment/avi-server")
        self._kubectl("apply", "-f", "examples/shared-vip.yaml")
        self._wait("both Services have one external address", lambda: self._has_one_address("default"))
        self._kubectl("get", "svc", *SERVICES)
        self._kubectl("get", "svip")
        address = self._addresses("default").pop()
        self._note("one external address on both Services", address)

    def look(self) -> None:
        """What Avi holds."""
        self._head("2. What the Avi Controller holds")
        self._wait("the pools have both pods", lambda: self._servers() == {2})
        found = self._show_avi()
        if len(found) != 1 or found[0].listeners != ("80/TCP", "80/UDP"):
            raise StoryError(f"Avi does not hold one virtual service with 80/TCP and 80/UDP, but {found}")
        self._note("one virtual service, one VIP, one pool per listener", f"{len(found[0].pools)} pools")

    def scale(self) -> None:
        """Pools follow pods."""
        self._head("3. The Deployment grows, the pools follow")
        self._kubectl("scale", "deployment/avi-server", "--replicas=4")
        begun = time.monotonic()
        self._wait("the pools have all four pods", lambda: self._servers() == {4})
        self._show_avi()
        self._note("the pools follow the Deployment", f"4 servers each after {time.monotonic() - begun:.1f} s")

    def refuse(self) -> None:
        """The three rules."""
        self._head("4. What cannot be shared is refused at once, in words")
        for name, what in REFUSED.items():
            done = self._kubectl("apply", "-f", f"examples/refused/{name}.yaml", may_fail=True)
            if done.returncode == 0:
                raise StoryError(f"examples/refused/{name}.yaml was not refused")
            self._note(f"refused: {what}", done.stdout.strip().rpartition("[")[2].rstrip("]"))
        self._kubectl("delete", "svc", "preferred-one")

    def prefer(self) -> None:
        """A static address."""
        self._head("5. A preferred address, in another namespace")
        self._kubectl("create", "namespace", "static")
        # The seed's manifest says ``namespace: default``, and stays as it is.
        manifest = (ROOT / "examples/shared-vip-static.yaml").read_text()
        self._kubectl(
            "apply",
            "-f",
            "-",
            given=manifest.replace("namespace: default", "namespace: static"),
            shown="sed 's/namespace: default/namespace: static/' examples/shared-vip-static.yaml | ",
        )
        self._wait("both have the preferred address", lambda: self._addresses("static") == {"100.64.196.75"})
        self._kubectl("get", "svc", "-n", "static")
        self._kubectl("get", "svip", "-A")
        self._note("a preferred address", "100.64.196.75")

    def leave(self) -> None:
        """Nothing is left."""
        self._head("6. One leaves, the other stays; all leave, nothing stays")
        before = self._addresses("default")
        self._kubectl("delete", "svc", SERVICES[0])
        self._wait("Avi serves only 80/UDP", lambda: self._listeners("default") == ("80/UDP",))
        self._kubectl("get", "svc", SERVICES[1])
        if self._addresses("default") != before:
            raise StoryError("the VIP of the Service that stayed has changed")
        self._kubectl("delete", "svc", SERVICES[1])
        self._kubectl("delete", "svc", "-n", "static", "--all")
        self._wait("nothing is left on Avi", lambda: not any(self._avi.count().values()))
        self._show_avi()
        self._kubectl("get", "svip", "-A")
        self._note("after the last one left", "nothing on Avi")

    def sum_up(self) -> None:
        """The summary."""
        self._head("Summary")
        table = Table(box=None, show_header=False)
        for what, how in self._shown:
            table.add_row("[green]✓[/green]", escape(what), escape(how))
        self._console.print(table)

    def fail(self, problem: str) -> None:
        """Say what did not happen, with the ends of the logs."""
        self._console.print(f"\n[red]demo: {escape(problem)}[/red]")
        for name in (RECONCILER, *(replica.name for replica in self._stage.replicas)):
            self._console.print(f"\nthe end of {name}'s log:\n{escape(self._stage.log_tail(name))}")

    def _head(self, title: str) -> None:
        self._console.print(f"\n[bold]{escape(title)}[/bold]")

    def _note(self, what: str, how: str) -> None:
        self._shown.append((what, how))

    def _kubectl(
        self, *words: str, may_fail: bool = False, given: str = "", shown: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as a user would, in the repository's folder, and show both; ``shown`` makes what is given."""
        self._console.print(f"\n[cyan]$ {escape(shown)}kubectl {escape(' '.join(words))}[/cyan]")
        cluster = self._stage.cluster
        done = subprocess.run(  # noqa: S603 - our own words
            [str(cluster.kubectl), *words],
            cwd=ROOT,
            input=given,
            env={"HOME": str(cluster.directory), "KUBECONFIG": str(cluster.kubeconfig)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=WAIT_SECONDS,
            check=False,
        )
        self._console.print(escape(done.stdout.rstrip()))
        if done.returncode and not may_fail:
            raise StoryError(f"kubectl {' '.join(words)} failed")
        return done

    def _addresses(self, namespace: str) -> set[str]:
        """The external addresses of both Services, ``""`` for one that has none."""
        done = self._stage.cluster.run_kubectl("get", "svc", "-n", namespace, "-o", "json")
        services = [s for s in json.loads(done.stdout)["items"] if s["metadata"]["name"] in SERVICES]
        ingress = [s["status"].get("loadBalancer", {}).get("ingress", [{}]) for s in services]
        return {entry[0].get("ip", "") for entry in ingress}

    def _has_one_address(self, namespace: str) -> bool:
        addresses = self._addresses(namespace)
        return len(addresses) == 1 and "" not in addresses

    def _servers(self) -> set[int]:
        return {pool.enabled for service in self._avi.virtual_services() for pool in service.pools}

    def _listeners(self, namespace: str) -> tuple[str, ...]:
        services = self._avi.virtual_services()
        return next((one.listeners for one in services if f"~{namespace}~" in one.name), ())

    def _show_avi(self) -> tuple[VirtualService, ...]:
        found = self._avi.virtual_services()
        tree = Tree("Avi Controller" if found else "Avi Controller: no virtual services")
        for service in found:
            branch = tree.add(f"virtual service {escape(service.name)}, VIP {service.vip}")
            for pool in service.pools:
                branch.add(f"pool {escape(pool.name)}: {', '.join(pool.servers) or 'no servers'}")
        self._console.print()
        self._console.print(tree)
        return found

    def _wait(self, what: str, is_so: Callable[[], bool]) -> None:
        wait_until(is_so, what=what, deadline_seconds=WAIT_SECONDS)
