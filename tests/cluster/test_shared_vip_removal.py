"""The end of a ledger on the real API server: no claim that was admitted goes with it."""

import asyncio
from dataclasses import replace

import pytest

from cluster.api import KubernetesApi
from cluster.shared_vips import LedgerIsLeaving, SharedVipStore, StaleLedger
from sharedvip.ledger import Ledger, Member
from tests.builders import KEY
from tests.cluster.connection import Connection
from tests.cluster.ledgers import Claimant, group_in, member, tell

pytestmark = pytest.mark.e2e

ROUNDS = 12
FINALIZER_PATCH = '{"metadata": {"finalizers": null}}'


def test_a_claim_in_a_ledger_that_is_leaving_is_told_so(connection: Connection) -> None:
    """The API server would take it, and drop it with the ledger."""

    async def story(group: Claimant) -> None:
        await group.claim(member("web"), "80/TCP")
        await group.store.put_finalizer(await group.read())
        await connection.kubectl_async("delete", "sharedvip", KEY, "--wait=false")
        assert (await group.read()).is_deleting
        with pytest.raises(LedgerIsLeaving):
            await group.claim(member("api"), "81/TCP")
        await group.store.remove(await group.read())
        assert await group.store.read(group.group) is None

        assert (await group.claim(member("api"), "81/TCP")).members == (member("api"),)

    tell(connection, story)


def test_a_finalizer_comes_late_for_a_ledger_that_is_gone_or_leaving(connection: Connection) -> None:
    """Putting it never makes a ledger."""

    async def story(group: Claimant) -> None:
        gone = await group.claim(member("web"), "80/TCP")
        await group.store.remove(gone)
        with pytest.raises(StaleLedger):
            await group.store.put_finalizer(gone)
        assert await group.store.read(group.group) is None
        leaving = await group.claim(member("web"), "80/TCP")
        with pytest.raises(StaleLedger):
            await group.store.put_finalizer(gone)
        theirs = '{"metadata": {"finalizers": ["example.com/theirs"]}}'
        await connection.kubectl_async("patch", "sharedvip", KEY, "--type=merge", f"--patch={theirs}")
        await connection.kubectl_async("delete", "sharedvip", KEY, "--wait=false")
        with pytest.raises(LedgerIsLeaving):
            await group.store.put_finalizer(leaving)
        await connection.kubectl_async("patch", "sharedvip", KEY, "--type=merge", f"--patch={FINALIZER_PATCH}")

    tell(connection, story)


def test_removing_leaves_the_finalizers_of_others(connection: Connection) -> None:
    """Ours goes, however it came there; the object waits for theirs."""

    async def story(group: Claimant) -> None:
        await group.claim(member("web"), "80/TCP")
        both = '{"metadata": {"finalizers": ["example.com/theirs", "sharedvip.dev/avi"]}}'
        await connection.kubectl_async("patch", "sharedvip", KEY, "--type=merge", f"--patch={both}")
        await group.store.remove(await group.read())
        after = await group.read()
        assert (after.is_deleting, after.has_finalizer) == (True, False)
        await connection.kubectl_async("patch", "sharedvip", KEY, "--type=merge", f"--patch={FINALIZER_PATCH}")

        assert await group.store.read(group.group) is None

    tell(connection, story)


def test_a_ledger_that_was_written_since_is_not_removed(connection: Connection) -> None:
    """Our own status is no reason to keep it, somebody's claim is."""

    async def story(group: Claimant) -> None:
        await group.claim(member("web"), "80/TCP")
        await group.store.leave(group.group, member("web"))
        empty = await group.read()
        await group.store.put_finalizer(empty)
        await group.claim(member("api"), "81/TCP")
        with pytest.raises(StaleLedger):
            await group.store.remove(empty)
        kept = await group.read()
        assert (kept.members, kept.has_finalizer) == ((member("api"),), True)
        await group.store.remove(replace(kept, resource_version="1"))
        await group.store.remove(kept)

        assert await group.store.read(group.group) is None

    tell(connection, story)


def test_no_admitted_claim_is_lost_to_a_removal(connection: Connection) -> None:
    """Whoever was told that it holds its port, holds it; in whatever order the two writes came."""

    async def one(group: Claimant, claimant: Member) -> tuple[bool, bool]:
        await group.claim(member("web"), "80/TCP")
        await group.store.leave(group.group, member("web"))
        empty = await group.read()
        await group.store.put_finalizer(empty)
        removed, claimed = await asyncio.gather(
            group.store.remove(empty), group.claim(claimant, "81/TCP"), return_exceptions=True
        )
        assert isinstance(claimed, Ledger | LedgerIsLeaving), claimed
        assert removed is None or isinstance(removed, StaleLedger), removed
        after = await group.store.read(group.group)
        if isinstance(claimed, Ledger):
            assert after is not None
            assert after.members == (claimant,)
            assert not after.is_deleting
        return removed is None, isinstance(claimed, Ledger)

    async def story(api: KubernetesApi) -> None:
        for number in range(ROUNDS):
            group = Claimant(SharedVipStore(api), group_in(connection.namespace, f"round-{number}"))
            outcome = await one(group, member("api"))
            assert any(outcome)

    connection.tell(story)
