"""What admission refuses although no rule of the core speaks: what the ledger itself says no to; it never looks it up.

The rules compare a Service with its group. Here are the words for what is found out only by writing: somebody is
writing too, another group holds the address. (For a value that fits no ``SharedVIP``: ``cluster/unfit.py``.)
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from cluster.shared_vips import ClaimRefused, LedgerIsLeaving
from sharedvip.model import AddressHolder, Denial, Group, Situation
from sharedvip.parse import SHARING_KEY_FIELD, shared_values, static_address
from sharedvip.rules import duplicate_port, static_address_mismatch, static_address_taken
from sharedvip.wording import quoted, services
from webhook.view import Asked

_AGAIN: Final = "try again in a moment"
_TAKE_OUT: Final = "take it out (set it to null where your manifest does not name it)"


def on_its_way(asked: Asked, lost_to: ClaimRefused | LedgerIsLeaving) -> Denial:
    """What the rules have no word for, as it is over in a moment."""
    vip = f"shared VIP {quoted(asked.group.key)}"
    if isinstance(lost_to, LedgerIsLeaving):
        return _denial(SHARING_KEY_FIELD, f"{vip} is being deleted", subject=asked.group.key)
    own = asked.candidate.name.name
    # A field manager is a Service's name and its uid; a Service's name has no dot.
    others = {conflict.manager.partition(".")[0] for conflict in lost_to.conflicts} - {own, ""}
    if not others:
        return _denial("metadata.name", f"another request for Service {quoted(own)} is under way on {vip}", subject=own)
    problem = f"{services(others, one='is', many='are')} being changed right now on {vip}"
    return _denial(SHARING_KEY_FIELD, problem, subject=asked.group.key)


def to_inherit(denials: Iterable[Denial]) -> tuple[Denial, ...]:
    """The same for a Service without an address, which the mutating webhook would have given the group's.

    That was not asked, or could not answer (its ``failurePolicy`` is ``Ignore``), or the group has it since.
    """
    return tuple(
        replace(denial, remedy=f"{denial.remedy}, or {_AGAIN} to inherit it") if _is_to_inherit(denial) else denial
        for denial in denials
    )


def to_take_out(denials: Iterable[Denial], asked: Asked) -> tuple[Denial, ...]:
    """The same for an update that keeps its address: perhaps it was inherited, and the manifest never named it."""
    if asked.old is None or static_address(asked.old) != static_address(asked.candidate):
        return tuple(denials)
    return tuple(map(_to_take_out, denials))


def _to_take_out(denial: Denial) -> Denial:
    if denial.rule != static_address_taken.ID:
        return denial
    return replace(denial, remedy=denial.remedy.replace(static_address_taken.LEAVE_OUT, _TAKE_OUT))


def _is_to_inherit(denial: Denial) -> bool:
    return denial.rule == static_address_mismatch.ID and denial.remedy.startswith("set ")


def taken(asked: Asked, holder: AddressHolder, address: str) -> tuple[Denial, ...]:
    """The lock on its address, or on the one that it intends, is another's."""
    group = Group(asked.group)
    is_intended = address == shared_values(asked.candidate).intended_address
    situation = Situation(group, intended_holders=(holder,)) if is_intended else Situation(group, (holder,))
    return static_address_taken.check(asked.candidate, situation)


def _denial(field: str, problem: str, *, subject: str) -> Denial:
    return Denial(rule=duplicate_port.ID, field=field, problem=problem, remedy=_AGAIN, subject=subject)
