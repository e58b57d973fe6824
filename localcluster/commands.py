"""The command line of each process of the local cluster: values in, words out; it starts nothing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from localcluster.binaries import Binaries
from localcluster.ports import LOOPBACK

ETCD: Final = "etcd"
API_SERVER: Final = "kube-apiserver"
CONTROLLER_MANAGER: Final = "kube-controller-manager"
SCHEDULER: Final = "kube-scheduler"
KWOK: Final = "kwok"
# Who works on the objects; they stop first, kube-apiserver next, and etcd last: an API server whose etcd is gone hangs
# in its own shutdown for a minute and keeps its port.
WORKLOADS: Final = (CONTROLLER_MANAGER, SCHEDULER, KWOK)

NODE_ANNOTATION: Final = "kwok.x-k8s.io/node=fake"
# What a Service needs from its Deployment to its EndpointSlice, what a namespace needs to go away, and what makes the
# objects we install complete (aggregated roles, the type check of an admission policy).
CONTROLLERS: Final = (
    "clusterrole-aggregation-controller",
    "deployment-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "namespace-controller",
    # Removes the not-ready taint from kwok's nodes; without it pods stay Pending.
    "node-lifecycle-controller",
    "replicaset-controller",
    "serviceaccount-controller",
    "validatingadmissionpolicy-status-controller",
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where one cluster keeps its files and listens."""

    directory: Path
    binaries: Binaries
    api_server_port: int
    etcd_port: int
    etcd_peer_port: int
    api_server_flags: tuple[str, ...] = ()
    """Further ones, as whoever runs a control plane may set them."""

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://{LOOPBACK}:{self.api_server_port}"

    @property
    def etcd(self) -> str:
        """The URL of etcd for its clients."""
        return f"http://{LOOPBACK}:{self.etcd_port}"

    @property
    def ca(self) -> Path:
        """The certificate of the authority that signed the API server's."""
        return self.directory / "ca.crt"

    def kubeconfig(self, user: str) -> Path:
        """The kubeconfig of one of the cluster's own users."""
        return self.directory / f"{user}.kubeconfig"

    def binary(self, name: str) -> str:
        """The absolute path of a program, as the first word of its command."""
        return str(self.binaries.path(name).absolute())


def etcd_command(layout: Layout) -> tuple[str, ...]:
    """One member, which never waits for the disk: nothing here is to be kept."""
    peer = f"http://{LOOPBACK}:{layout.etcd_peer_port}"
    return (
        layout.binary(ETCD),
        f"--data-dir={layout.directory / 'etcd'}",
        f"--listen-client-urls={layout.etcd}",
        f"--advertise-client-urls={layout.etcd}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    )


def api_server_command(layout: Layout) -> tuple[str, ...]:
    """The API server with RBAC and the default admission plugins."""
    directory = layout.directory
    return (
        layout.binary(API_SERVER),
        f"--etcd-servers={layout.etcd}",
        f"--secure-port={layout.api_server_port}",
        f"--bind-address={LOOPBACK}",
        f"--cert-dir={directory}",
        f"--tls-cert-file={directory / 'server.crt'}",
        f"--tls-private-key-file={directory / 'server.key'}",
        f"--token-auth-file={directory / 'tokens.csv'}",
        f"--service-account-key-file={directory / 'service-account.key'}",
        f"--service-account-signing-key-file={directory / 'service-account.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--allow-privileged=true",
        "--profiling=false",
        # Watches end at once when it stops; without this a restart under watching clients takes 60 s.
        "--shutdown-watch-termination-grace-period=1s",
        # There is no network in which the Service `default/kubernetes` could lead anywhere.
        "--endpoint-reconciler-type=none",
        *layout.api_server_flags,
    )


def controller_manager_command(layout: Layout) -> tuple[str, ...]:
    """The controllers named above, alone and therefore without an election; it listens nowhere."""
    return (
        layout.binary(CONTROLLER_MANAGER),
        f"--kubeconfig={layout.kubeconfig(CONTROLLER_MANAGER)}",
        f"--controllers={','.join(CONTROLLERS)}",
        "--use-service-account-credentials=false",
        "--leader-elect=false",
        "--secure-port=0",
        "--profiling=false",
    )


def scheduler_command(layout: Layout) -> tuple[str, ...]:
    """The scheduler, alone and therefore without an election; it listens nowhere."""
    return (
        layout.binary(SCHEDULER),
        f"--kubeconfig={layout.kubeconfig(SCHEDULER)}",
        "--leader-elect=false",
        "--secure-port=0",
    )


def kwok_command(layout: Layout) -> tuple[str, ...]:
    """The kubelet of our own nodes, and of no others, so that a test may add a node that nobody keeps alive."""
    return (
        layout.binary(KWOK),
        f"--kubeconfig={layout.kubeconfig(KWOK)}",
        f"--manage-nodes-with-annotation-selector={NODE_ANNOTATION}",
        *(f"--config={stage}" for stage in layout.binaries.stages),
    )
