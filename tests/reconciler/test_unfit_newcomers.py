"""A newcomer that no ledger can hold: it is told so, and holds up nobody."""

from collections.abc import Sequence

from cluster.errors import Cause, Invalid
from reconciler.ledger_keeper import LOOK_AGAIN_SECONDS
from sharedvip.ledger import Claim, Ledger, Member
from sharedvip.model import GroupName, SharedValues
from tests.builders import GROUP, KEY, service
from tests.reconciler.controller import START
from tests.reconciler.fake_kubernetes import FakeKubernetes
from tests.reconciler.test_ledger_keeper import API, WEB, Janitor

MORE = service("more", "8443/TCP")


class _Full(FakeKubernetes):
    """Has no room for one of them."""

    async def claim(
        self,
        group: GroupName,
        member: Member,
        *,
        shared: SharedValues,
        claims: Sequence[Claim],
        resource_version: str = "",
        force: bool = False,
    ) -> Ledger:
        """As the API server's schema says it."""
        if member.service == WEB.name.name:
            cause = Cause("spec.claims", "FieldValueTooMany", "Too many: 1030: must have at most 1024 items")
            raise Invalid(422, "Invalid", message="SharedVIP is invalid", causes=(cause,))
        return await super().claim(
            group, member, shared=shared, claims=claims, resource_version=resource_version, force=force
        )


def test_the_members_go_on_and_the_others_wait_for_it() -> None:
    """All together or not at all, as with any other reason."""
    janitor = Janitor(_Full())
    janitor.kubernetes.admit(API, at=START)
    janitor.kubernetes.apply(WEB, MORE)

    settled = janitor.settle()

    assert settled.ledger == janitor.kubernetes.ledgers[GROUP]
    assert settled.refused[WEB.name] == (
        f"spec.ports: cannot be recorded for shared VIP '{KEY}': Too many: 1030: must have at most 1024 items; must be "
        "changed to a value that fits [duplicate-port]"
    )
    assert settled.refused[MORE.name].startswith("waits for Service 'web': Services that came past admission join")
    assert (janitor.claimed(), settled.wake_seconds) == (["api 443/TCP"], LOOK_AGAIN_SECONDS)
    assert janitor.kubernetes.writes == ["claim more", "leave more"]


def test_a_group_of_it_alone_is_none() -> None:
    """The ledger that was made for it is empty, and goes as any empty one."""
    janitor = Janitor(_Full())
    janitor.kubernetes.apply(WEB)

    settled = janitor.settle()

    assert list(settled.refused) == [WEB.name]
    assert settled.ledger is not None
    assert settled.ledger.claims == ()
