"""Listeners that are reserved, on the real API server: nobody else's, and no say in anything else."""

import asyncio
from datetime import timedelta

import pytest

from cluster.shared_vips import ClaimRefused
from sharedvip.ledger import Claim, Ledger, Member, Release
from sharedvip.model import SharedValues
from tests.cluster.connection import Connection
from tests.cluster.ledgers import NOW, SOME_ADDRESS, Claimant, claims, member, tell

pytestmark = pytest.mark.e2e

ANOTHER_ADDRESS = SharedValues(static_address="10.0.0.2")
WRITERS = 16


def kept_for(of: Member, *ports: str) -> tuple[Claim, ...]:
    """``kept_for(member("late"), "443/TCP")``."""
    return tuple(claim._replace(replaces="7", is_reserved=True) for claim in claims(of, *ports))


async def reserve(group: Claimant, of: Member, *ports: str) -> Ledger:
    """By the same write as any claim."""
    return await group.store.claim(group.group, of, shared=SOME_ADDRESS, claims=kept_for(of, *ports))


def test_whoever_has_no_more_shares_nothing(connection: Connection) -> None:
    """Members come and go with their address; the ledger stays for what is reserved, and goes with that."""

    async def story(group: Claimant) -> None:
        ledger = await reserve(group, member("late"), "443/TCP")
        assert (ledger.members, ledger.holders) == ((), (member("late"),))
        assert (ledger.shared, ledger.reserved) == (SharedValues(), kept_for(member("late"), "443/TCP"))

        assert (await group.claim(member("web"), "80/TCP", shared=ANOTHER_ADDRESS)).shared == ANOTHER_ADDRESS
        await group.store.leave(group.group, member("web"))
        assert (await group.claim(member("api"), "80/TCP", shared=SOME_ADDRESS)).shared == SOME_ADDRESS
        await group.store.leave(group.group, member("api"))
        left = await group.read()
        assert (left.shared, left.held) == (SharedValues(), kept_for(member("late"), "443/TCP"))

        await group.store.release(left, Release(member("late"), ()))
        assert (await group.read()).held == ()

    tell(connection, story)


def test_of_all_who_want_it_one_gets_it(connection: Connection) -> None:
    """Whether as a member or in conflict."""

    async def story(group: Claimant) -> None:
        writes = [
            group.claim(member(f"web-{n}"), "443/TCP") if n % 2 else reserve(group, member(f"late-{n}"), "443/TCP")
            for n in range(WRITERS)
        ]
        done = await asyncio.gather(*writes, return_exceptions=True)

        assert sum(isinstance(one, Ledger) for one in done) == 1
        assert sum(isinstance(one, ClaimRefused) for one in done) == WRITERS - 1
        assert len((await group.read()).holders) == 1

    tell(connection, story)


def test_a_member_has_both(connection: Connection) -> None:
    """What it shares stays its own when some or all of the one kind goes."""

    async def story(group: Claimant) -> None:
        late, later = member("late"), NOW + timedelta(seconds=1)
        both = (*claims(late, "80/TCP"), *kept_for(late, "443/TCP", "444/TCP"))
        await group.store.claim(group.group, late, shared=SOME_ADDRESS, claims=both)
        with pytest.raises(ClaimRefused):
            await group.claim(member("web"), "81/TCP", shared=ANOTHER_ADDRESS)

        after = await group.store.release(await group.read(), Release(late, both[:2]))
        assert after is not None
        assert (after.shared, after.claims, after.reserved) == (SOME_ADDRESS, both[:1], both[1:2])
        after = await group.store.release(after, Release(late, both[1:2]))
        assert after is not None
        assert (after.shared, after.claims, after.reserved) == (SharedValues(), (), both[1:2])

        ours = [claim._replace(claimed_at=later, is_reserved=False) for claim in both[:2]]
        whole = await group.store.claim(group.group, late, shared=ANOTHER_ADDRESS, claims=ours)
        assert (whole.shared, whole.claims, whole.reserved) == (ANOTHER_ADDRESS, tuple(sorted(ours)), ())

    tell(connection, story)
