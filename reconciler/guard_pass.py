"""One pass in guard mode: the ledger, and what users see of it; no word to Avi, and none into a Service's status.

AKO, or whatever programs Avi, owns the statuses. What they show is the group's VIP: admission then knows which address
a group lives on, and refuses the change of address that would freeze it under AKO (``ako.md`` section 7, e).
"""

from collections.abc import Sequence
from typing import Final

from reconciler.group_pass import CONFLICT, Outcome, is_over, let_go, let_go_if_deleted, not_let_in, warn
from reconciler.ledger_keeper import LedgerKeeper
from reconciler.ports import GroupReport, Kubernetes, Verdict
from reconciler.settled import Settled, soonest
from reconciler.status import StatusKeeper
from sharedvip.addresses import canonical
from sharedvip.ledger import is_accepted
from sharedvip.model import GroupName, ServiceView
from sharedvip.wording import joined, services


class GuardPass:
    """The janitor alone.

    Args:
        kubernetes: The cluster.
        keeper: The janitor.
        statuses: The way to users: Events on Services that the group refuses, and the ``SharedVIP``'s own status.
    """

    def __init__(self, kubernetes: Kubernetes, *, keeper: LedgerKeeper, statuses: StatusKeeper) -> None:
        self._kubernetes: Final = kubernetes
        self._keeper: Final = keeper
        self._statuses: Final = statuses

    async def run(self, group: GroupName) -> Outcome:
        """Settle the ledger; let go of an empty one.

        Raises:
            ClusterError: The API server refused or could not be asked.
        """
        settled = await self._keeper.settle(group)
        if await let_go_if_deleted(self._kubernetes, group, settled.ledger):
            # It has a finalizer of before, when the mode was another.
            self._keeper.begin_anew(group)
            return Outcome()
        await self._tell(group, settled)
        again_seconds = await self._keeper.release_addresses(group, settled.ledger)
        if is_over(self._kubernetes, group, settled.ledger):
            await let_go(self._kubernetes, settled.ledger)
            self._keeper.forget(group)
            self._statuses.forget(group)
        return Outcome(wake_seconds=soonest(settled.wake_seconds, again_seconds))

    async def _tell(self, group: GroupName, settled: Settled) -> None:
        members = self._kubernetes.members(group)
        await warn(self._statuses, members, {**settled.refused, **self._keeper.excluded(group)})
        ledger = settled.ledger
        accepted = [service for service in members if is_accepted(ledger, service)]
        if ledger is not None and not ledger.is_deleting and not is_over(self._kubernetes, group, ledger):
            await self._statuses.report(group, _report(accepted, settled))


def _report(accepted: Sequence[ServiceView], settled: Settled) -> GroupReport:
    shown = [set(map(canonical, service.vips)) for service in accepted if service.vips]
    # One VIP may have two addresses, and a member show one of them: what all show is the group's, an IPv4 one first.
    all_shown = set[str]().union(*shown)
    common = sorted(all_shown.intersection(*shown), key=lambda vip: (":" in vip, vip))
    vips = common[:1] or sorted(all_shown)
    names = tuple(service.name.name for service in accepted)
    return GroupReport(
        vip=common[0] if common else "",
        virtual_service="",
        # How many servers each has is known to whoever programs Avi.
        listeners=(),
        services=names,
        verdict=_verdict(names, vips=vips, settled=settled),
        moving=settled.moving,
    )


def _verdict(names: Sequence[str], *, vips: Sequence[str], settled: Settled) -> Verdict:
    if settled.refused:
        return Verdict(is_ready=len(vips) == 1, reason=CONFLICT, message=not_let_in(settled))
    if not vips:
        return Verdict(is_ready=False, reason="Pending", message="no status of a member shows a VIP yet")
    if len(vips) > 1:
        return Verdict(is_ready=False, reason="DifferentVIPs", message=f"the members' statuses show {joined(vips)}")
    sharers = services(names, one="has", many="share")
    return Verdict(is_ready=True, reason="Guarded", message=f"{sharers} {vips[0]}")
