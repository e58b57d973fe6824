"""One control plane on loopback as a context manager: etcd, API server, controllers, scheduler and kwok's nodes.

It never uses a fixed port or a folder twice, and leaves neither a process nor a file behind.
"""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from localcluster.api import AdminClient, Answer, ApiUnreachable
from localcluster.binaries import Progress, ensure_binaries
from localcluster.commands import (
    API_SERVER,
    CONTROLLER_MANAGER,
    ETCD,
    KWOK,
    SCHEDULER,
    WORKLOADS,
    Layout,
    api_server_command,
    controller_manager_command,
    etcd_command,
    kwok_command,
    scheduler_command,
)
from localcluster.credentials import ADMIN, User, write_certificates, write_kubeconfig, write_tokens
from localcluster.nodes import is_ready, render_node
from localcluster.ports import free_ports
from localcluster.processes import ChildProcesses, ProcessDied
from localcluster.waiting import DeadlinePassed, wait_until

# The files' names, and the user names: those of the real certificates, which a webhook's exemptions may look at.
USERS: Final = {
    ADMIN: "kubernetes-admin",
    CONTROLLER_MANAGER: "system:kube-controller-manager",
    SCHEDULER: "system:kube-scheduler",
    KWOK: "kwok",
}
COMMANDS: Final = {
    ETCD: etcd_command,
    API_SERVER: api_server_command,
    CONTROLLER_MANAGER: controller_manager_command,
    SCHEDULER: scheduler_command,
    KWOK: kwok_command,
}
# About 5 s on two idle cores; ten times that for a machine that compiles meanwhile.
START_DEADLINE_SECONDS: Final = 60.0
_SERVICE_ACCOUNT_SECONDS: Final = 120.0
"""The controller manager's watches come back after a restart of the API server with pauses of 30 s and more."""
START_ATTEMPTS: Final = 3
# etcd waits 7 s for streams that an API server which lost it opens again and again; a SIGKILL then loses nothing.
RESTART_PATIENCE_SECONDS: Final = 3.0
PORT_TAKEN: Final = "address already in use"
SERVICE_ACCOUNT_TOKEN_LIFE: Final = "8h"  # noqa: S105 - a duration: longer than a working day's session


class KubectlFailed(Exception):  # noqa: N818 - says what happened
    """A kubectl command did not succeed; the message holds its words on stderr."""


class NotReady(Exception):  # noqa: N818 - says what happened
    """The cluster did not become ready in time; the message holds the end of every log."""


# Without the environment's proxies: they must not see loopback.
_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def say(line: str) -> None:
    """Progress for whoever waits at a terminal; stdout stays the program's."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - speaks to a person


def _fresh_directory(parent: Path | None) -> Path:
    """A new folder that only its owner may enter."""
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="sharedvip-localcluster-", dir=parent)).absolute()


class LocalCluster:
    """A real control plane with fake nodes on loopback; a context manager.

    Pods on its nodes become Ready with an address at once and run nothing. Webhooks are reached by URL only.
    """

    def __init__(
        self,
        *,
        nodes: int = 1,
        progress: Progress = say,
        directory: Path | None = None,
        api_server_flags: Sequence[str] = (),
    ) -> None:
        """Start nothing yet.

        Args:
            nodes: How many there are at the start.
            progress: Gets a line for each thing that takes a while.
            directory: Where the cluster's own fresh folder is made; by default where temporary files go.
            api_server_flags: Further ones for kube-apiserver.
        """
        self._nodes = nodes
        self._progress = progress
        self._parent = directory
        self._api_server_flags = tuple(api_server_flags)
        self._running: _Running | None = None

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

    def start(self) -> None:
        """Build what is missing, start everything, and return when pods can be scheduled.

        Raises:
            CannotBuild: The programs cannot be brought.
            ProcessDied: One of the processes ended.
            NotReady: It took longer than 60 seconds.
        """
        if self._running is not None:
            raise RuntimeError("this cluster is already started")
        binaries = ensure_binaries(progress=self._progress)
        for attempt in range(1, START_ATTEMPTS + 1):
            ports = free_ports(3)
            layout = Layout(_fresh_directory(self._parent), binaries, *ports, api_server_flags=self._api_server_flags)
            self._running = _Running(layout)
            if self._start_once(is_last=attempt == START_ATTEMPTS):
                return

    def _start_once(self, *, is_last: bool) -> bool:
        """Whether it started; False when somebody took a port meanwhile. Nothing stays behind unless it started."""
        try:
            self._running_now.start(self._nodes)
        except ProcessDied as died:
            self.stop()
            if is_last or PORT_TAKEN not in died.tail:
                raise
            return False
        except BaseException:  # also Ctrl-C in the middle
            self.stop()
            raise
        return True

    def stop(self) -> None:
        """Stop everything and remove the folder; a cluster that does not run is left as it is."""
        if self._running is not None:
            self._running.stop()
            self._running = None

    @property
    def directory(self) -> Path:
        """The cluster's own folder, with its logs; it goes away with the cluster."""
        return self._running_now.layout.directory

    @property
    def kubeconfig(self) -> Path:
        """A kubeconfig that may do everything; it needs no other file."""
        return self._running_now.layout.kubeconfig(ADMIN)

    @property
    def server(self) -> str:
        """The API server's https URL."""
        return self._running_now.layout.server

    @property
    def ca(self) -> Path:
        """The certificate to trust when speaking to the API server."""
        return self._running_now.layout.ca

    @property
    def kubectl(self) -> Path:
        """The kubectl of the same version."""
        return self._running_now.layout.binaries.path("kubectl")

    @property
    def processes(self) -> Mapping[str, int]:
        """The process id of every process, by the name of its program."""
        return self._running_now.children.pids

    def run_kubectl(
        self,
        *args: str,
        input: str | None = None,  # noqa: A002 - the word of subprocess.run
        check: bool = True,
        deadline_seconds: float = 30,
        kubeconfig: Path | None = None,
        editor: str = "",
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator, or with another kubeconfig, in an environment without the user's own.

        Raises:
            KubectlFailed: It ended with another code than 0 (with ``check``), or not in time.
        """
        command = [str(self.kubectl), f"--kubeconfig={kubeconfig or self.kubeconfig}", *args]
        # HOME: kubectl keeps what it discovered there, and reads the user's preferences from there. PATH: it runs diff.
        # TMPDIR: it keeps an edit there that was refused.
        folder = str(self.directory)
        environment = {"HOME": folder, "TMPDIR": folder, "PATH": os.defpath, "KUBE_EDITOR": editor}
        try:
            done = subprocess.run(  # noqa: S603 - the caller is a test or a demo
                command,
                input=input,
                env=environment,
                capture_output=True,
                text=True,
                timeout=deadline_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            raise KubectlFailed(f"kubectl {' '.join(args)}: not done within {deadline_seconds:g} s") from late
        if check and done.returncode:
            raise KubectlFailed(f"kubectl {' '.join(args)}: {done.stderr.strip()}")
        return done

    def create_namespace(self, name: str) -> None:
        """Create a namespace, and return when pods may be created in it: its service account is there.

        Raises:
            KubectlFailed: It cannot be created.
            NotReady: The service account did not come.
        """
        self.run_kubectl("create", "namespace", name)
        self._running_now.wait_for_service_account(name)

    def service_account_kubeconfig(self, namespace: str, name: str) -> Path:
        """A kubeconfig with a fresh token of a service account, good for 8 hours, in a file only its owner reads.

        Raises:
            KubectlFailed: There is no such service account.
        """
        done = self.run_kubectl(
            "create", "token", name, f"--namespace={namespace}", f"--duration={SERVICE_ACCOUNT_TOKEN_LIFE}"
        )
        path = self.directory / f"serviceaccount-{namespace}-{name}.kubeconfig"
        write_kubeconfig(path, server=self.server, ca=self.ca, token=done.stdout.strip(), namespace=namespace)
        return path

    def restart_apiserver(self, *, kill: bool = False) -> None:
        """End the API server, with SIGKILL if asked, start it on the same port, and return when it is ready."""
        self._running_now.restart(API_SERVER, kill=kill)

    def restart_etcd(self, *, kill: bool = False) -> None:
        """The same for etcd; its data stay."""
        self._running_now.restart(ETCD, kill=kill)

    def add_nodes(self, count: int) -> None:
        """Add Nodes after those that are there (``kwok-0``, ``kwok-1``, ...), and return when all are ready."""
        self._running_now.add_nodes(count)

    @property
    def _running_now(self) -> "_Running":
        if self._running is None:
            raise RuntimeError("this cluster is not started")
        return self._running


class _Running:
    """The processes of one attempt, its folder and its administrator."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.children = ChildProcesses(logs=layout.directory)
        self._admin = AdminClient(layout.server, layout.ca, secrets.token_urlsafe(32))
        self._node_count = 0

    def start(self, nodes: int) -> None:
        """Everything in its order; returns when pods can be scheduled."""
        self._write_credentials()
        self._start_process(ETCD)
        self._wait(self._is_etcd_healthy, what="etcd is healthy")
        self._start_process(API_SERVER)
        self._wait(self._is_api_server_ready, what="the API server is ready")
        for name in WORKLOADS:
            self._start_process(name)
        self.add_nodes(nodes)
        self.wait_for_service_account("default")

    def stop(self) -> None:
        """End everything in its order; whatever interrupts that, no process and no file stays."""
        try:
            self.children.stop(*WORKLOADS)
            self.children.stop(API_SERVER)
            self.children.stop(ETCD)
        finally:
            self.children.close()
            shutil.rmtree(self.layout.directory, ignore_errors=True)

    def restart(self, name: str, *, kill: bool) -> None:
        """End one process, start it again, and return when the API server is ready."""
        if kill:
            self.children.kill(name)
        else:
            self.children.stop(name, patience_seconds=RESTART_PATIENCE_SECONDS)
        self._start_process(name)
        if name == ETCD:
            self._wait(self._is_etcd_healthy, what="etcd is healthy again")
        self._wait(self._is_api_server_ready, what="the API server is ready again")

    def add_nodes(self, count: int) -> None:
        """Create the next Nodes, and return when all can take pods."""
        for number in range(self._node_count, self._node_count + count):
            self._require_created(self._admin.post("/api/v1/nodes", render_node(number)))
        self._node_count += count
        self._wait(self._are_nodes_ready, what=f"{self._node_count} nodes are ready")

    def wait_for_service_account(self, namespace: str) -> None:
        """Return when pods may be created in the namespace."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
        self._wait(
            lambda: self._admin.get(path).code == 200,  # noqa: PLR2004 - HTTP's OK
            what=f"namespace {namespace} has its service account",
            deadline_seconds=_SERVICE_ACCOUNT_SECONDS,
        )

    def _write_credentials(self) -> None:
        """Certificates, and for each user a token with its kubeconfig."""
        layout = self.layout
        write_certificates(layout.directory)
        users = {user: User(name, secrets.token_urlsafe(32)) for user, name in USERS.items()}
        users[ADMIN] = User(USERS[ADMIN], self._admin.token)
        write_tokens(layout.directory, users=users.values())
        for key, user in users.items():
            write_kubeconfig(layout.kubeconfig(key), server=layout.server, ca=layout.ca, token=user.token)

    def _start_process(self, name: str) -> None:
        environment = {"HOME": str(self.layout.directory), "PATH": "/usr/bin:/bin"}
        self.children.start(name, COMMANDS[name](self.layout), environment=environment)

    def _is_etcd_healthy(self) -> bool:
        try:
            with _DIRECT.open(f"{self.layout.etcd}/health", timeout=5) as reply:
                return b'"true"' in reply.read()
        except (urllib.error.URLError, OSError):
            return False

    def _is_api_server_ready(self) -> bool:
        try:
            return self._admin.get("/readyz") == Answer(200, "ok")
        except ApiUnreachable:
            return False

    def _are_nodes_ready(self) -> bool:
        nodes = self._admin.get("/api/v1/nodes").parse_object().get("items", [])
        return len(nodes) >= self._node_count and all(is_ready(node) for node in nodes)

    def _require_created(self, answer: Answer) -> None:
        if answer.code != 201:  # noqa: PLR2004 - HTTP's Created
            raise NotReady(f"the API server did not create a Node: {answer.text}")

    def _wait(
        self, condition: Callable[[], bool], *, what: str, deadline_seconds: float = START_DEADLINE_SECONDS
    ) -> None:
        try:
            wait_until(condition, what=what, deadline_seconds=deadline_seconds, meanwhile=self.children.check)
        except DeadlinePassed as late:
            tails = [f"--- {name}\n{self.children.log_tail(name)}" for name in self.children.pids]
            raise NotReady("\n".join([str(late), *tails])) from late
