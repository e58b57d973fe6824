"""What else in the cluster a group depends on, besides its own Services: nodes, Namespaces, AKO's kinds; as a protocol.

``reconciler.cluster_surroundings`` meets it with ``cluster``; ``Nowhere`` is a cluster that has nothing of it.
"""

from typing import Protocol

from cluster.ako_resources import InfraSetting, L4Rule, Namespace
from cluster.nodes import LocalPort, Node


class Surroundings(Protocol):
    """As last observed; nothing here waits."""

    def namespace(self, name: str) -> Namespace | None:
        """A Namespace, None where it is unknown."""
        ...

    def infra_setting(self, name: str) -> InfraSetting | None:
        """An AviInfraSetting."""
        ...

    def l4_rule(self, namespace: str, name: str) -> L4Rule | None:
        """An L4Rule."""
        ...

    def nodes(self) -> tuple[Node, ...]:
        """All nodes, sorted by name; none unless pools consist of nodes."""
        ...

    def local_ports(self, address: str) -> tuple[LocalPort, ...]:
        """What NodePortLocal opened for the pod at an address, sorted."""
        ...


class Nowhere:
    """A cluster without any of it."""

    def namespace(self, name: str) -> Namespace | None:  # noqa: ARG002 - the protocol's
        """None."""
        return None

    def infra_setting(self, name: str) -> InfraSetting | None:  # noqa: ARG002 - the protocol's
        """None."""
        return None

    def l4_rule(self, namespace: str, name: str) -> L4Rule | None:  # noqa: ARG002 - the protocol's
        """None."""
        return None

    def nodes(self) -> tuple[Node, ...]:
        """None."""
        return ()

    def local_ports(self, address: str) -> tuple[LocalPort, ...]:  # noqa: ARG002 - the protocol's
        """None."""
        return ()
