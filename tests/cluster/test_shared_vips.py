"""The ledger on the real API server: who wins, who is told what, and what is left behind."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from cluster.api import KubernetesApi
from cluster.errors import Invalid
from cluster.field_conflicts import FieldConflict
from cluster.shared_vips import ClaimRefused, SharedVipStore, StaleLedger
from sharedvip.ledger import Ledger
from sharedvip.model import GroupName, SharedValues
from tests.builders import KEY
from tests.cluster.connection import Connection
from tests.cluster.ledgers import SOME_ADDRESS, Claimant, claims, group_in, member, tell

pytestmark = pytest.mark.e2e

ROUNDS = 3
WRITERS = 16


def managers(connection: Connection, name: str = KEY) -> dict[str, str]:
    """Who owns something in a ``SharedVIP``, and by which operation."""
    entries = connection.get("sharedvip", name)["metadata"].get("managedFields", [])
    return {entry["manager"]: entry["operation"] for entry in entries}


async def race(group: Claimant, writers: Sequence[tuple[str, SharedValues]]) -> list[Ledger | BaseException]:
    """All claim at the same time, each its port with its values."""
    return await asyncio.gather(
        *(group.claim(member(f"web-{i}"), port, shared=shared) for i, (port, shared) in enumerate(writers)),
        return_exceptions=True,
    )


@pytest.mark.parametrize(
    ("writers", "winners"),
    [
        pytest.param([("80/TCP", SharedValues())] * WRITERS, 1, id="of one port exactly one wins"),
        pytest.param(
            [(f"{80 + i}/TCP", SharedValues(static_address=f"10.0.0.{i}")) for i in range(WRITERS)],
            1,
            id="of different static addresses exactly one wins",
        ),
        pytest.param(
            [(f"{80 + i}/TCP", SharedValues() if i % 2 else SOME_ADDRESS) for i in range(WRITERS)],
            WRITERS // 2,
            id="with an address and without one never join",
        ),
        pytest.param([(f"{80 + i}/TCP", SOME_ADDRESS) for i in range(WRITERS)], WRITERS, id="different ports all win"),
        pytest.param(
            [("53/TCP", SharedValues()), ("53/UDP", SharedValues())], 2, id="one port of two protocols is two"
        ),
    ],
)
def test_simultaneous_claims(connection: Connection, writers: list[tuple[str, SharedValues]], winners: int) -> None:
    """The API server is the arbiter: who wins is in the ledger, everybody else was refused and is not."""

    async def story(api: KubernetesApi) -> None:
        for number in range(ROUNDS):
            group = Claimant(SharedVipStore(api), group_in(connection.namespace, f"round-{number}"))
            results = await race(group, writers)
            admitted = [i for i, result in enumerate(results) if isinstance(result, Ledger)]
            refused = [result for result in results if isinstance(result, ClaimRefused)]

            assert len(admitted) == winners, results
            assert len(admitted) + len(refused) == len(writers), results
            assert {m.service for m in (await group.read()).members} == {f"web-{i}" for i in admitted}

    connection.tell(story)


def test_what_was_claimed_is_read_back(connection: Connection) -> None:
    """Values, claims and microseconds come back as they were sent, also under a key that is no name."""
    shared = SharedValues("2001:db8::1", "ako.vmware.com/avi-lb", "infra", "rule")

    async def story(group: Claimant) -> None:
        assert await group.store.read(group.group) is None
        written = await group.claim(member("web"), "443/TCP", "80/TCP", "80/SCTP", shared=shared)
        ledger = await group.read()

        assert ledger == written
        assert ledger.name == group.group
        assert ledger.shared == shared
        assert ledger.claims == claims(member("web"), "80/SCTP", "80/TCP", "443/TCP")
        assert (ledger.vip, ledger.is_deleting, ledger.has_finalizer) == ("", False, False)

    tell(connection, story, key="Not_a.Name")


def test_a_refusal_names_every_field_and_its_holder(connection: Connection) -> None:
    """The API server's conflict becomes values that a caller can look at; nothing was written."""

    async def story(group: Claimant) -> None:
        await group.claim(member("web"), "80/TCP")
        with pytest.raises(ClaimRefused) as refused:
            await group.claim(member("api"), "80/TCP", "81/TCP", shared=SOME_ADDRESS)

        assert set(refused.value.conflicts) == {
            FieldConflict(".spec.staticAddress", "web.1"),
            FieldConflict('.spec.claims[port=80,protocol="TCP"].service', "web.1"),
        }
        assert (await group.read()).members == (member("web"),)

    tell(connection, story)


def test_a_dry_run_answers_and_leaves_nothing(connection: Connection) -> None:
    """Neither a new ledger nor a claim in one that is there; a conflict is told all the same."""

    async def story(group: Claimant) -> None:
        assert (await group.claim(member("web"), "80/TCP", dry_run=True)).members == (member("web"),)
        assert await group.store.read(group.group) is None
        before = await group.claim(member("web"), "80/TCP")
        await group.claim(member("api"), "81/TCP", dry_run=True)
        with pytest.raises(ClaimRefused):
            await group.claim(member("api"), "80/TCP", dry_run=True)

        assert await group.read() == before

    tell(connection, story)


def test_a_claim_grows_and_shrinks_with_what_is_applied(connection: Connection) -> None:
    """A member's apply says all that it claims; the others' claims stay."""

    async def story(group: Claimant) -> None:
        await group.claim(member("api"), "53/UDP")
        await group.claim(member("web"), "80/TCP", "81/TCP")
        ledger = await group.claim(member("web"), "81/TCP", "82/TCP")

        assert ledger.claims == (
            *claims(member("api"), "53/UDP"),
            *claims(member("web"), "81/TCP", "82/TCP"),
        )

    tell(connection, story)


def test_a_sole_owner_may_change_the_address_and_one_of_two_may_not(connection: Connection) -> None:
    """Equal values are owned together."""

    async def story(group: Claimant) -> None:
        await group.claim(member("web"), "80/TCP", shared=SOME_ADDRESS)
        changed = await group.claim(member("web"), "80/TCP", shared=SharedValues(static_address="10.0.0.2"))
        await group.claim(member("api"), "81/TCP", shared=changed.shared)
        with pytest.raises(ClaimRefused) as refused:
            await group.claim(member("web"), "80/TCP", shared=SOME_ADDRESS)

        assert refused.value.conflicts == (FieldConflict(".spec.staticAddress", "api.1"),)

    tell(connection, story)


def test_who_leaves_takes_its_claims_and_its_name_along(connection: Connection) -> None:
    """No trace of who left stays in a living ledger, or it would grow with every Service that ever was."""

    async def story(group: Claimant) -> None:
        for i in range(5):
            await group.claim(member("web"), "80/TCP", shared=SOME_ADDRESS)
            await group.claim(member(f"old-{i}"), f"{90 + i}/TCP", shared=SOME_ADDRESS)
            await group.store.leave(group.group, member(f"old-{i}"))

        assert (await group.read()).claims == claims(member("web"), "80/TCP")

    tell(connection, story)
    assert managers(connection) == {"web.1": "Apply"}


def test_the_last_who_leaves_leaves_an_empty_ledger_for_anybody(connection: Connection) -> None:
    """Its key stays, its values do not, and the next who claims takes over the rest."""

    async def story(group: Claimant) -> None:
        await group.claim(member("web"), "80/TCP", shared=SOME_ADDRESS)
        await group.store.leave(group.group, member("web"))
        empty = await group.read()
        assert (empty.claims, empty.shared) == ((), SharedValues())
        await group.claim(member("api"), "80/TCP")

    tell(connection, story)
    assert managers(connection) == {"api.1": "Apply"}


def test_leaving_where_there_is_no_ledger_makes_none(connection: Connection) -> None:
    """An apply makes what is not there; a leave must not."""

    async def story(group: Claimant) -> None:
        await group.store.leave(group.group, member("web"))
        await group.store.leave(group.group, member("web"), resource_version="5")

        assert await group.store.read(group.group) is None

    tell(connection, story)


def test_a_stale_read_is_refused(connection: Connection) -> None:
    """Neither a claim nor a leave may undo what was written after the read."""

    async def story(group: Claimant) -> None:
        old = await group.claim(member("web"), "80/TCP")
        new = await group.claim(member("api"), "81/TCP")
        with pytest.raises(StaleLedger):
            await group.claim(member("web"), "80/TCP", "82/TCP", version=old.resource_version)
        with pytest.raises(StaleLedger):
            await group.store.leave(group.group, member("web"), resource_version=old.resource_version)
        assert await group.read() == new

        await group.store.leave(group.group, member("web"), resource_version=new.resource_version)
        last = await group.read()
        with pytest.raises(StaleLedger):
            # The last one's leave needs two writes; the version counts for both.
            await group.store.leave(group.group, member("api"), resource_version=new.resource_version)
        await group.store.leave(group.group, member("api"), resource_version=last.resource_version)

        assert (await group.read()).claims == ()

    tell(connection, story)


def test_a_version_of_a_ledger_that_is_gone_founds_a_new_one(connection: Connection) -> None:
    """Measured: the API server ignores the version of what is not there. Nobody else's claims can be lost by it."""

    async def story(group: Claimant) -> None:
        old = await group.claim(member("web"), "80/TCP")
        await group.store.remove(old)
        new = await group.claim(member("web"), "80/TCP", version=old.resource_version)

        assert new.uid != old.uid

    tell(connection, story)


def test_founding_makes_an_empty_ledger_once(connection: Connection) -> None:
    """Several may found at once; a ledger with claims stays as it is."""

    async def story(group: Claimant) -> None:
        founded = await asyncio.gather(*(group.store.found(group.group) for _ in range(8)))
        assert {ledger.uid for ledger in founded if ledger} == {(await group.read()).uid}
        claimed = await group.claim(member("web"), "80/TCP")

        assert await group.store.found(group.group) == claimed

    tell(connection, story)


def test_a_namesake_is_taken_over_whole(connection: Connection) -> None:
    """The earlier incarnation owns nothing any more: a listener that it shared with us could never be given up."""
    old, new = member("web", uid="1"), member("web", uid="2")

    async def story(group: Claimant) -> None:
        ledger = await group.claim(old, "80/TCP", "81/TCP", shared=SOME_ADDRESS)
        with pytest.raises(ClaimRefused):
            await group.claim(new, "80/TCP", "81/TCP", shared=SOME_ADDRESS)
        taken = await group.claim(
            new, "80/TCP", "81/TCP", shared=SOME_ADDRESS, version=ledger.resource_version, force=True
        )
        assert taken.claims == claims(new, "80/TCP", "81/TCP")
        assert taken == await group.read()
        less = await group.claim(new, "81/TCP", shared=SharedValues())
        assert less.claims == claims(new, "81/TCP")
        assert less.shared == SharedValues()

    tell(connection, story)
    assert managers(connection) == {"web.2": "Apply"}


def test_force_with_a_stale_read_is_refused(connection: Connection) -> None:
    """Whom to take over from was decided by what was read."""

    async def story(group: Claimant) -> None:
        old = await group.claim(member("web"), "80/TCP")
        await group.claim(member("web"), "80/TCP", "81/TCP")
        with pytest.raises(StaleLedger):
            await group.claim(member("api"), "80/TCP", version=old.resource_version, force=True)

    tell(connection, story)


def test_who_holds_no_listener_has_no_say(connection: Connection) -> None:
    """A hand took the claims of a Service away; the address that it shared is in nobody's way, dry run or not."""
    other = SharedValues(static_address="10.0.0.2")

    async def story(group: Claimant) -> None:
        await group.claim(member("web"), "80/TCP", shared=SOME_ADDRESS)
        patch = '[{"op": "remove", "path": "/spec/claims"}]'
        await connection.kubectl_async("patch", "sharedvip", KEY, "--type=json", f"--patch={patch}")
        await group.claim(member("api"), "81/TCP", shared=other, dry_run=True)
        ledger = await group.claim(member("api"), "81/TCP", shared=other)

        assert ledger.shared == other
        assert ledger.members == (member("api"),)

    tell(connection, story)
    assert managers(connection)["api.1"] == "Apply"
    assert "web.1" not in managers(connection)


def test_who_comes_while_a_ghost_is_pushed_aside_keeps_what_it_claims(connection: Connection) -> None:
    """The force is for those who were in the way at the version that is written, and only if all of them are ghosts."""
    group = group_in(connection.namespace, KEY)

    class Dying(SharedVipStore):
        """Its replica ends before it buries the ghost."""

        async def _bury_ghosts(self, name: GroupName, stored: Any, timeout_seconds: float) -> Any:  # noqa: ANN401 - as the store's own
            del name, timeout_seconds
            return stored

    class Late(SharedVipStore):
        """Somebody is faster, once, between the refusal and the look at who refused."""

        is_outrun = False

        async def _read(self, name: GroupName, timeout_seconds: float) -> Any:  # noqa: ANN401 - as the store's own
            if not self.is_outrun:
                self.is_outrun = True
                fast = Claimant(Dying(self._api), group)
                await fast.claim(member("fast"), "81/TCP", shared=SOME_ADDRESS)
            return await super()._read(name, timeout_seconds)

    async def story(api: KubernetesApi) -> None:
        settled = Claimant(SharedVipStore(api), group)
        await settled.claim(member("web"), "80/TCP", shared=SOME_ADDRESS)
        patch = '[{"op": "remove", "path": "/spec/claims"}]'
        await connection.kubectl_async("patch", "sharedvip", KEY, "--type=json", f"--patch={patch}")
        other = SharedValues(static_address="10.0.0.2")
        with pytest.raises(ClaimRefused):
            await Claimant(Late(api), group).claim(member("api"), "81/TCP", shared=other)

        assert (await settled.read()).members == (member("fast"),)

    connection.tell(story)


def test_a_hands_edit_is_a_conflict_and_can_be_taken_back(connection: Connection) -> None:
    """What somebody typed is not overwritten in silence."""

    async def story(group: Claimant) -> None:
        await group.claim(member("web"), "80/TCP", shared=SOME_ADDRESS)
        patch = '{"spec": {"staticAddress": "10.0.0.9"}}'
        edit = ("--type=merge", f"--patch={patch}", "--field-manager=kubectl-edit")
        await connection.kubectl_async("patch", "sharedvip", KEY, *edit)
        with pytest.raises(ClaimRefused) as refused:
            await group.claim(member("web"), "80/TCP", shared=SOME_ADDRESS)
        assert refused.value.conflicts == (FieldConflict(".spec.staticAddress", "kubectl-edit"),)
        ledger = await group.claim(member("web"), "80/TCP", shared=SOME_ADDRESS, force=True)

        assert ledger.shared == SOME_ADDRESS

    tell(connection, story)
    assert managers(connection) == {"web.1": "Apply"}


def test_what_breaks_the_schema_is_invalid(connection: Connection) -> None:
    """The caller can tell a value that no ledger can hold from an API server that is away."""

    async def story(group: Claimant) -> None:
        with pytest.raises(Invalid, match="infraSetting"):
            await group.claim(member("web"), "80/TCP", shared=SharedValues(infra_setting="x" * 254))

    tell(connection, story)


def test_time_tells_two_claims_of_one_second_apart(connection: Connection) -> None:
    """Also one at a full second, which most encoders would write without its microseconds."""

    async def story(group: Claimant) -> None:
        of = member("web")
        for at in (claims(of, "80")[0].claimed_at.replace(microsecond=0) + timedelta(microseconds=i) for i in range(2)):
            wanted = claims(of, "80/TCP", at=at)
            ledger = await group.store.claim(group.group, of, shared=SharedValues(), claims=wanted)

            assert ledger.claims == wanted

    tell(connection, story)
