"""Who is about to leave a group with its address, as it is noted on that address's lock; it looks at no Service."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from sharedvip.leaving import KEPT
from sharedvip.ledger import GRACE, Ledger, Member, may_be_stored
from sharedvip.model import GroupName, ServiceName, ServiceView

LEAVER_ANNOTATION: Final = "sharedvip.dev/leaver"
"""On a lock whose group's last member asked to leave and to take the address along: who, each as a ``Leaver``. Also on
one that is another group's, where a Service that came past admission has the address beside it."""
_TIME: Final = "%Y-%m-%dT%H:%M:%S.%fZ"


class Leaver(NamedTuple):
    """A Service, as it was when its update without the annotation was admitted."""

    service: str
    uid: str
    resource_version: str
    since: datetime
    """UTC, microseconds."""
    request: str
    """Tells it from another request for the same: each takes back only what it said itself."""
    group: GroupName | None = None
    """Which it leaves, where the lock is another's: who joins the lock's group need not wait, unless it has joined that
    one itself. None: the lock's."""

    def name(self, namespace: str) -> ServiceName:
        """The Service; the namespace is the lock's group's."""
        return ServiceName(self.group.namespace if self.group else namespace, self.service)

    def may_leave(self, stored: ServiceView | None, *, now: datetime) -> bool:
        """Whether that update may still be stored, by its Service as it is now, read live."""
        return may_be_stored(stored, uid=self.uid, replaces=self.resource_version, since=self.since, now=now)


class BeingLeftError(Exception):
    """The address's lock tells of somebody who has asked to leave with it, of the group that has it or of another."""

    def __init__(self, leavers: tuple[Leaver, ...]) -> None:
        """Who that may be."""
        names = ", ".join(sorted({leaver.service for leaver in leavers}))
        super().__init__(f"about to leave with the address: {names}")
        self.leavers = leavers


def in_the_way(leavers: Iterable[Leaver], ledger: Ledger) -> tuple[Leaver, ...]:
    """For whom one that joins has to wait: who leaves the group, or has joined it and may leave another one yet."""
    group, members = ledger.name, set(ledger.members)

    def is_in(leaver: Leaver) -> bool:
        is_near = leaver.name(group.namespace).namespace == group.namespace
        return leaver.group in {None, group} or (is_near and Member(leaver.service, leaver.uid) in members)

    return tuple(filter(is_in, leavers))


def services_of(leavers: Iterable[Leaver], namespace: str) -> list[ServiceName]:
    """Whom to look at, each once and sorted: a client that repeats a leave is noted many times."""
    return sorted({leaver.name(namespace) for leaver in leavers})


def still_to_be_told(leavers: Iterable[Leaver], *, now: datetime) -> tuple[Leaver, ...]:
    """Every request that may be stored yet; of those before, that such a Service may have left, until all have seen it.

    A client that repeats a leave for hours shall not fill the annotations of a lock.
    """
    ordered = sorted(leavers, key=lambda leaver: leaver.since)
    past = {one.name(""): one for one in ordered if now - GRACE - KEPT <= one.since < now - GRACE}
    return (*past.values(), *(leaver for leaver in ordered if leaver.since >= now - GRACE))


def parse_leavers(said: str) -> tuple[Leaver, ...]:
    """What ``LEAVER_ANNOTATION`` says, without what nobody can read (a hand wrote it)."""
    return tuple(one for one in map(_parse, said.split()) if one is not None)


def render_leavers(leavers: tuple[Leaver, ...]) -> str:
    """What to write there."""
    return " ".join(map(_render, leavers))


def render_time(moment: datetime) -> str:
    """UTC, microseconds."""
    return moment.astimezone(UTC).strftime(_TIME)


def parse_time(said: str) -> datetime | None:
    """None: it is no time."""
    try:
        return datetime.strptime(said, _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None


def _parse(said: str) -> Leaver | None:
    try:
        service, uid, version, since, request, *group = said.split("/")
        other = GroupName(*group) if group else None
    except (TypeError, ValueError):
        return None
    moment = parse_time(since)
    return None if moment is None else Leaver(service, uid, version, moment, request, other)


def _render(leaver: Leaver) -> str:
    return "/".join((*leaver[:3], render_time(leaver.since), leaver.request, *(leaver.group or ())))
