"""Members and claims as the tests of the ledger write them; it judges nothing."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from cluster.api import KubernetesApi
from cluster.shared_vips import SharedVipStore
from sharedvip.ledger import Claim, Ledger, Member
from sharedvip.model import GroupName, SharedValues
from tests.builders import KEY, listener
from tests.cluster.connection import Connection

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
NOTHING_SHARED = SharedValues()
SOME_ADDRESS = SharedValues(static_address="10.0.0.1")


def group_in(namespace: str, key: str = KEY) -> GroupName:
    """The seed's group in another namespace."""
    return GroupName(namespace, key)


def member(name: str, *, uid: str = "1") -> Member:
    """The first incarnation of a Service, or another."""
    return Member(name, uid)


def claims(of: Member, *ports: str, at: datetime = NOW) -> tuple[Claim, ...]:
    """``claims(member("web"), "80/TCP")``."""
    return tuple(Claim(listener(port), *of, at) for port in ports)


class Claimant:
    """A store that claims in few words.

    Args:
        store: The real one.
        group: Where is claimed.
    """

    def __init__(self, store: SharedVipStore, group: GroupName) -> None:
        self.store = store
        self.group = group

    async def claim(
        self,
        of: Member,
        *ports: str,
        shared: SharedValues = NOTHING_SHARED,
        version: str = "",
        force: bool = False,
        dry_run: bool = False,
    ) -> Ledger:
        """``await group.claim(member("web"), "80/TCP")``."""
        wanted: Sequence[Claim] = claims(of, *ports)
        return await self.store.claim(
            self.group, of, shared=shared, claims=wanted, resource_version=version, force=force, dry_run=dry_run
        )

    async def read(self) -> Ledger:
        """The ledger, which must be there."""
        ledger = await self.store.read(self.group)
        assert ledger is not None
        return ledger


def tell(connection: Connection, story: Callable[[Claimant], Awaitable[None]], *, key: str = KEY) -> None:
    """Run a story about one group."""

    async def whole(api: KubernetesApi) -> None:
        await story(Claimant(SharedVipStore(api), group_in(connection.namespace, key)))

    connection.tell(whole)
