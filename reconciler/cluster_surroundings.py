"""``surroundings.Surroundings`` on package ``cluster``: one cache per kind, and who must be looked at when it changes.

It never decides anything. Kinds that nobody needs by the settings are not read at all.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from cluster.ako_resources import InfraSetting, L4Rule, Namespace, infra_settings, l4_rules, namespaces
from cluster.api import KubernetesApi
from cluster.nodes import LocalPodCache, LocalPort, Node, NodeCache
from reconciler.settings import ReconcilerSettings

Record = TypeVar("Record", InfraSetting, L4Rule, Namespace)

EVERYWHERE: Final = ""
"""In place of a namespace: something changed that any group may depend on."""


class ClusterSurroundings:
    """What is around the groups of a cluster.

    Args:
        api: The connection.
        settings: The operator's; they say which kinds matter.
        on_change: Told the namespace whose groups must be looked at, or ``EVERYWHERE``.
    """

    def __init__(self, api: KubernetesApi, *, settings: ReconcilerSettings, on_change: Callable[[str], None]) -> None:
        self._tell: Final = on_change
        needs_namespaces = settings.namespaces is not None or settings.avi_tenant_per_namespace
        self._namespaces: Final = namespaces(api, self._on_namespace, is_required=needs_namespaces)
        self._infra: Final = infra_settings(api, lambda _old, _new: on_change(EVERYWHERE))
        self._rules: Final = l4_rules(api, self._on_rule)
        kind = settings.service_type
        self._nodes: Final = NodeCache(api, on_change=lambda: on_change(EVERYWHERE)) if kind == "NodePort" else None
        self._pods: Final = LocalPodCache(api, on_change=on_change) if kind == "NodePortLocal" else None

    @property
    def reflectors(self) -> tuple[Any, ...]:
        """All of them, of record types that nobody looks at."""
        optional = (cache.reflector for cache in (self._nodes, self._pods) if cache is not None)
        return (self._namespaces, self._infra, self._rules, *optional)

    def watches(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What keeps the caches in step, each to run until cancelled."""
        return tuple(reflector.run() for reflector in self.reflectors)

    def namespace(self, name: str) -> Namespace | None:
        """As ``Surroundings``."""
        return self._namespaces.get("", name)

    def infra_setting(self, name: str) -> InfraSetting | None:
        """As ``Surroundings``."""
        return self._infra.get("", name)

    def l4_rule(self, namespace: str, name: str) -> L4Rule | None:
        """As ``Surroundings``."""
        return self._rules.get(namespace, name)

    def nodes(self) -> tuple[Node, ...]:
        """As ``Surroundings``."""
        return () if self._nodes is None else self._nodes.all()

    def local_ports(self, address: str) -> tuple[LocalPort, ...]:
        """As ``Surroundings``."""
        return () if self._pods is None else self._pods.ports_at(address)

    def _on_namespace(self, old: Namespace | None, new: Namespace | None) -> None:
        for each in (new or old,):
            if each is not None:
                self._tell(each.name)

    def _on_rule(self, old: L4Rule | None, new: L4Rule | None) -> None:
        for each in (new or old,):
            if each is not None:
                self._tell(each.namespace)
