"""Two Services on one VIP must not claim the same port and protocol, nor one Service twice.

Field:   ``spec.ports[*].port`` with ``spec.ports[*].protocol``.
Source:  AKO ``docs/shared_vip.md``, "things that must be considered", no. 2.
Because: a peer that was admitted a moment ago, or is being deleted, holds its ports too: they are, or will be,
         programmed. The API server refuses doubles inside one Service itself, but a manifest has met no API server.
"""

from typing import Final

from sharedvip.model import Denial, Group, Listener, Peer, ServicePort, ServiceView, Situation
from sharedvip.parse import PORTS_FIELD, port_field
from sharedvip.wording import quoted, services

ID: Final = "duplicate-port"
MOST_LISTENERS: Final = 1024
"""Of a group. Source: ``spec.claims`` of the ``SharedVIP``, ``maxItems``."""

_REMEDY = "choose another port, or another protocol"


def check(candidate: ServiceView, situation: Situation) -> tuple[Denial, ...]:
    """One denial per entry at fault, in the order of the ports; its subject is the listener: ``80/TCP``.

    An entry that repeats an earlier one of the same Service is told so, and not again who else holds the listener.
    """
    if len(candidate.ports) > MOST_LISTENERS and len(set(candidate.listeners)) > MOST_LISTENERS:
        return (_denial_of_many(candidate, situation.group),)
    held: dict[Listener, list[Peer]] = {}
    for peer in situation.group.peers:
        for listener in peer.listeners:
            held.setdefault(listener, []).append(peer)
    first: dict[Listener, ServicePort] = {}
    denials: list[Denial] = []
    for port in candidate.ports:
        earlier = first.setdefault(port.listener, port)
        if earlier is not port:
            denials.append(_denial_of_repeated(port, earlier=earlier))
        elif holders := held.get(port.listener):
            denials.append(_denial_of_held(port, holders=holders, group=situation.group))
    return tuple(denials)


def _denial_of_many(candidate: ServiceView, group: Group) -> Denial:
    """Alone it is too much for any group; each port of it need not be compared with others', which takes seconds."""
    vip = f"shared VIP {quoted(group.name.key)}, which holds {MOST_LISTENERS:,}"
    return Denial(
        rule=ID,
        field=PORTS_FIELD,
        problem=f"{len(set(candidate.listeners)):,} ports are too many for {vip}",
        remedy="use several Services, with several sharing keys",
        subject=PORTS_FIELD,
    )


def _denial_of_repeated(port: ServicePort, *, earlier: ServicePort) -> Denial:
    return Denial(
        rule=ID,
        field=port_field(port.index),
        problem=f"{port.listener} is already in {port_field(earlier.index)} of this Service",
        remedy=_REMEDY,
        # Its own subject: that a peer held the listener before does not excuse a double inside the Service.
        subject=f"{port.listener} twice",
    )


def _denial_of_held(port: ServicePort, *, holders: list[Peer], group: Group) -> Denial:
    names = tuple(sorted({holder.service for holder in holders}))
    where = f"on shared VIP {quoted(group.name.key)} by {services(names)}"
    if all(holder.is_pending for holder in holders):
        verb = "is" if len(names) == 1 else "are"
        stored = {peer.service for peer in group.peers if not peer.is_pending}
        event = "changed" if stored.issuperset(names) else "created"
        problem = f"{port.listener} is being claimed {where}, which {verb} being {event} right now"
        remedy = "try again in a moment, or choose another port"
    else:
        problem, remedy = f"{port.listener} is already served {where}", _REMEDY
    return Denial(
        rule=ID,
        field=port_field(port.index),
        problem=problem,
        remedy=remedy,
        subject=str(port.listener),
        peers=names,
    )
