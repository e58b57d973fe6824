"""One pass over one group: settle the ledger, build on Avi, tell everybody; each step may be cut short and repeated.

It never looks at what kind of event it was called for.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, NamedTuple, Protocol

from reconciler.avi_errors import AviError, NoFreeAddress
from reconciler.avi_side import AviSide
from reconciler.desired import Observation, desired
from reconciler.graph import GroupGraph
from reconciler.ledger_keeper import LedgerKeeper
from reconciler.observe import Around, listener_reports, observe
from reconciler.plan import plan
from reconciler.ports import ClusterError, GroupReport, Kubernetes, Verdict
from reconciler.settings import ReconcilerSettings
from reconciler.settled import Settled, soonest
from reconciler.status import StatusKeeper
from reconciler.surroundings import Nowhere, Surroundings
from sharedvip.addresses import canonical
from sharedvip.ledger import Ledger, is_accepted
from sharedvip.model import GroupName, ServiceName, ServiceView
from sharedvip.wording import joined

CONFLICT: Final = "Conflict"
"""The reason of who is not let in."""
NOT_LICENSED: Final = "NotLicensed"
"""The reason of who cannot be served with the Controller's licence."""
WAITING: Final = "InfraSettingMissing"
"""The reason of a new group whose AviInfraSetting is not there."""
NOT_SELECTED: Final = "NamespaceNotSelected"
"""The reason of a group that the operator does not want built."""


class Outcome(NamedTuple):
    """What a pass did."""

    avi_calls: int = 0
    wake_seconds: float | None = None
    """Come again after this long, event or not."""
    is_repair: bool = False
    """Whether what somebody else changed on Avi was put right."""


class Pass(Protocol):
    """What a worker does for a group."""

    async def run(self, group: GroupName) -> Outcome:
        """One pass; raises ``AviError`` or ``ClusterError`` when it must be tried again."""
        ...


@dataclass(frozen=True, slots=True)
class Built:
    """The group on Avi after this pass, and what kept it from being as wanted."""

    observation: Observation
    graph: GroupGraph | None
    vip: str
    calls: int = 0
    failure: AviError | None = None
    further_vips: tuple[str, ...] = ()
    host_names: frozenset[str] = frozenset()
    """Those that have a DNS record."""

    def host_name(self, service: ServiceView) -> str:
        """The first of a member's names that has a record, "" where none has."""
        own = self.observation.host_names.get(service.name, ())
        # A status holds no underscore, which DNS does. Source: Kubernetes core/validation, ValidateLoadBalancerStatus.
        return next((name for name in own if name in self.host_names and "_" not in name), "")


class FullPass:
    """Full mode: the ledger, Avi and every status.

    Args:
        kubernetes: The cluster.
        keeper: The janitor.
        avi: The Controller.
        statuses: The way to users.
        settings: The operator's.
        surroundings: What else of the cluster matters.
    """

    def __init__(
        self,
        kubernetes: Kubernetes,
        *,
        keeper: LedgerKeeper,
        avi: AviSide,
        statuses: StatusKeeper,
        settings: ReconcilerSettings,
        surroundings: Surroundings | None = None,
    ) -> None:
        self._surroundings: Final = surroundings or Nowhere()
        self._kubernetes: Final = kubernetes
        self._keeper: Final = keeper
        self._avi: Final = avi
        self._statuses: Final = statuses
        self._settings: Final = settings

    async def run(self, group: GroupName) -> Outcome:
        """One pass.

        Raises:
            AviError: The Controller refused or could not be asked; the statuses say so.
            ClusterError: The API server refused or could not be asked.
        """
        settled = await self._keeper.settle(group)
        if self._avi.unknown is None and await let_go_if_deleted(self._kubernetes, group, settled.ledger):
            self._keeper.begin_anew(group)
            return Outcome()
        built = await self._build(group, settled.ledger)
        untold = await self._tell(group, settled, built)
        if self._avi.unknown is not None:
            # The statuses say so. Whoever reads the Controller at last has every group looked at again.
            return Outcome(wake_seconds=settled.wake_seconds)
        if built.failure is not None:
            raise built.failure
        again_seconds = await self._keeper.release_addresses(group, settled.ledger)
        await self._tidy(group, settled.ledger)
        if untold is not None:
            raise untold
        has_drifted = group in self._avi.drifted
        self._avi.drifted.discard(group)
        return Outcome(
            built.calls, soonest(settled.wake_seconds, again_seconds), is_repair=has_drifted and built.calls > 0
        )

    async def _build(self, group: GroupName, ledger: Ledger | None) -> Built:
        avi = self._avi
        observation = observe(group, ledger=ledger, kubernetes=self._kubernetes, around=self._around(group))
        graph = desired(observation, self._settings)
        if avi.unknown is not None:
            # Only the Controller is away: the VIP that was told before serves as it did.
            return Built(observation, graph, ledger.vip if ledger else "", failure=avi.unknown)
        if graph and ledger and not ledger.has_finalizer and not ledger.is_deleting:
            # First: from the first Avi write on, the SharedVIP must not vanish without us.
            await self._kubernetes.put_finalizer(ledger)
        planner = partial(plan, graph, has_macro=avi.has_macro)
        try:
            calls, failure = await avi.applier.bring(group, planner), None
        except AviError as error:
            calls, failure = 0, error
        observed = avi.view.group(group)
        vip, *further = map(canonical, observed.vips if observed.virtualservice and observed.vips else ("",))
        return Built(observation, graph, vip, calls, failure, tuple(further), observed.host_names)

    def _around(self, group: GroupName) -> Around:
        avi = self._avi
        # Of a Controller that was not read yet nobody knows: no group may look like a new one.
        is_built = avi.unknown is not None or any(True for _ in avi.view.group(group))
        return Around(self._surroundings, self._settings, avi.licence_tier, avi.domains, is_built)

    async def _tell(self, group: GroupName, settled: Settled, built: Built) -> ClusterError | None:
        """Everybody is told, also after one could not be; the first failure."""
        untold: ClusterError | None = None
        if built.observation.is_selected:
            await warn(self._statuses, self._kubernetes.members(group), self._keeper.excluded(group))
        for service in self._kubernetes.members(group):
            if service.is_member and not service.is_deleting:
                try:
                    await self._tell_one(service, settled, built)
                except ClusterError as error:
                    untold = untold or error
        is_passing = is_over(self._kubernetes, group, settled.ledger)
        if settled.ledger is not None and not settled.ledger.is_deleting and not is_passing:
            await self._statuses.report(group, self._report(group, settled, built))
        return untold

    async def _tell_one(self, service: ServiceView, settled: Settled, built: Built) -> None:
        if built.observation.is_selected:
            verdict, vip = self._verdict(service, settled, built)
            if vip:
                verdict = replace(verdict, hostname=built.host_name(service), further_vips=built.further_vips)
            await self._statuses.publish(service, vip=vip, verdict=verdict)
        elif service.has_ready_condition:
            # Another may serve it now: what we said goes, and nothing comes in its place.
            await self._statuses.withdraw(service)

    def _verdict(self, service: ServiceView, settled: Settled, built: Built) -> tuple[Verdict, str]:
        mine = [listener for listener, serving in built.observation.serving.items() if serving.service == service]
        vip = built.vip if mine else ""
        if message := settled.refused.get(service.name, ""):
            return Verdict(is_ready=False, reason=CONFLICT, message=message), vip
        if built.failure is not None:
            return _failed(built.failure, built.observation), vip
        if not is_accepted(settled.ledger, service):
            return Verdict(is_ready=False, reason="Pending", message="is about to join its shared VIP"), vip
        if waits_for := built.observation.waits_for:
            return Verdict(is_ready=False, reason=WAITING, message=waits_for), vip
        if why := built.observation.unserved.get(service.name, ""):
            return Verdict(is_ready=False, reason=NOT_LICENSED, message=why), vip
        return _programmed(map(str, sorted(mine)), vip), vip

    def _report(self, group: GroupName, settled: Settled, built: Built) -> GroupReport:
        listeners = listener_reports(built.observation, built.graph) if built.graph else ()
        vs = self._avi.view.group(group).virtualservice
        return GroupReport(
            vip=built.vip,
            virtual_service=vs.uuid if vs else "",
            listeners=listeners,
            services=tuple(sorted({listener.service for listener in listeners})),
            verdict=_group_verdict(settled, built),
            moving=settled.moving,
        )

    async def _tidy(self, group: GroupName, ledger: Ledger | None) -> None:
        if is_over(self._kubernetes, group, ledger):
            await let_go(self._kubernetes, ledger)
            self._keeper.forget(group)
            self._statuses.forget(group)


def is_over(kubernetes: Kubernetes, group: GroupName, ledger: Ledger | None) -> bool:
    """Nobody claims anything, and nobody is there who might."""
    return not _has_members(kubernetes, group) and (ledger is None or not ledger.held)


async def let_go_if_deleted(kubernetes: Kubernetes, group: GroupName, ledger: Ledger | None) -> bool:
    """Let the ``SharedVIP`` of a living group go that somebody deleted, before anything is tried; whether it was one.

    Until then nobody can join. Its Services come back as newcomers, and find on Avi what they need. An address that
    only the ``SharedVIP`` knows would be lost, so where nobody has read the Controller yet it is not to go.
    """
    if ledger is None or not (ledger.is_deleting and ledger.has_finalizer and _has_members(kubernetes, group)):
        return False
    # As it is stored: what was settled may say otherwise of a change that is on its way. And a watch is late: one that
    # was made anew since holds claims that nothing else knows.
    live = await kubernetes.read_ledger(group)
    if live is not None and live.is_deleting:
        await let_go(kubernetes, live)
    return True


def _has_members(kubernetes: Kubernetes, group: GroupName) -> bool:
    return any(service.is_member for service in kubernetes.members(group))


async def let_go(kubernetes: Kubernetes, ledger: Ledger | None) -> None:
    """The ``SharedVIP`` may go."""
    if ledger is not None:
        await kubernetes.remove(ledger)


def _failed(failure: AviError, observation: Observation) -> Verdict:
    message = failure.told
    if isinstance(failure, NoFreeAddress):
        networks = observation.placement.vip_networks if observation.placement else ()
        message = failure.told_of(networks[0].name or networks[0].uuid if networks else "")
    return Verdict(is_ready=False, reason=failure.reason, message=message)


def _programmed(listeners: Iterable[str], vip: str) -> Verdict:
    return Verdict(is_ready=True, reason="Programmed", message=f"{', '.join(listeners)} served on {vip}")


async def warn(statuses: StatusKeeper, services: Iterable[ServiceView], messages: Mapping[ServiceName, str]) -> None:
    """An Event, and no more, on each Service that there is a message for."""
    for service in services:
        if message := messages.get(service.name, ""):
            await statuses.warn(service, Verdict(is_ready=False, reason=CONFLICT, message=message))


def not_let_in(settled: Settled) -> str:
    """Whom the group refuses."""
    return f"not let in: {joined(name.name for name in settled.refused)}"


def _group_verdict(settled: Settled, built: Built) -> Verdict:
    if built.failure is not None:
        return _failed(built.failure, built.observation)
    if settled.refused:
        return Verdict(is_ready=built.graph is not None, reason=CONFLICT, message=not_let_in(settled))
    if not_built := _not_built(built):
        return not_built
    observation = built.observation
    if observation.unserved:
        message = "; ".join(observation.unserved[name] for name in sorted(observation.unserved))
        return Verdict(is_ready=built.graph is not None, reason=NOT_LICENSED, message=message)
    programmed = _programmed(map(str, sorted(observation.serving)), built.vip)
    return replace(programmed, message="; ".join((programmed.message, *observation.notes)))


def _not_built(built: Built) -> Verdict | None:
    if not built.observation.is_selected:
        message = "the reconciler's settings leave this namespace out (blocked_namespaces, namespace_selector)"
        return Verdict(is_ready=False, reason=NOT_SELECTED, message=message)
    if waits_for := built.observation.waits_for:
        return Verdict(is_ready=False, reason=WAITING, message=waits_for)
    if built.graph is None:
        return Verdict(is_ready=False, reason="Pending", message="no Service is served yet")
    return None
