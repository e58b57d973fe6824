"""The ledgers of all groups, as last observed; it never writes, and never waits once it has synced."""

from collections.abc import Callable, Iterable
from typing import Final

from cluster.api import KubernetesApi
from cluster.index import Index
from cluster.reflector import Reflector
from cluster.shared_vip_documents import RawSharedVip, parse_shared_vip
from cluster.shared_vips import PATH
from sharedvip.ledger import Ledger, object_name
from sharedvip.model import GroupName

OnLedgerChange = Callable[[Ledger | None, Ledger | None], None]


class SharedVipCache:
    """All ledgers, indexed by address."""

    def __init__(self, api: KubernetesApi) -> None:
        """Read nothing before ``run``."""
        self.reflector: Final = Reflector(api, PATH, raw=RawSharedVip, select=_select, on_change=self._on_change)
        self._subscribers: list[OnLedgerChange] = []
        self._by_address: Index[str, GroupName, Ledger] = Index()

    async def run(self) -> None:
        """Keep in step until cancelled."""
        await self.reflector.run()

    @property
    def has_synced(self) -> bool:
        """Whether all ledgers were read at least once."""
        return self.reflector.has_synced

    def staleness_seconds(self) -> float:
        """Seconds since the API server last said anything, bookmarks included."""
        return self.reflector.staleness_seconds()

    def subscribe(self, on_change: OnLedgerChange) -> None:
        """Have every change told, after the indexes know it."""
        self._subscribers.append(on_change)

    def get(self, name: GroupName) -> Ledger | None:
        """The ledger of one group."""
        ledger = self.reflector.get(name.namespace, object_name(name.key))
        return ledger if ledger is not None and ledger.name == name else None

    def all(self) -> tuple[Ledger, ...]:
        """All ledgers, sorted by group."""
        return _sorted(self.reflector.records())

    def by_address(self, address: str) -> tuple[GroupName, ...]:
        """The groups that claim an address, move to it or live on it (canonical spelling), sorted."""
        return tuple(sorted(ledger.name for ledger in self._by_address.get(address)))

    def _on_change(self, old: Ledger | None, new: Ledger | None) -> None:
        if old is not None:
            self._forget(old)
        if new is not None:
            self._remember(new)
        for tell in self._subscribers:
            tell(old, new)

    def _remember(self, ledger: Ledger) -> None:
        for address in _addresses(ledger):
            self._by_address.put(address, ledger.name, ledger)

    def _forget(self, ledger: Ledger) -> None:
        for address in _addresses(ledger):
            self._by_address.drop(address, ledger.name)


def _select(raw: RawSharedVip) -> Ledger | None:
    # The schema lets a wrong hash pass as a name: such an object is nobody's ledger.
    return parse_shared_vip(raw) if raw.metadata.name == object_name(raw.spec.key) else None


def _addresses(ledger: Ledger) -> frozenset[str]:
    return ledger.addresses | ({ledger.vip} - {""})


def _sorted(ledgers: Iterable[Ledger]) -> tuple[Ledger, ...]:
    return tuple(sorted(ledgers, key=lambda ledger: ledger.name))
