"""What is asked, and the group as it is known at one moment, as values; nothing is looked up here."""

from dataclasses import dataclass, replace
from datetime import datetime

from starlette.types import Receive

from sharedvip.decide import existing_denials, new_denials
from sharedvip.ledger import GRACE, Claim, Ledger, group_of, is_accepted, is_young, member_of
from sharedvip.model import (
    AddressHolder,
    Denial,
    Group,
    GroupName,
    Policy,
    ServiceView,
    SharedValues,
    Situation,
)
from sharedvip.parse import shared_values, static_address
from sharedvip.turning import change_under_way, is_outdated, is_overtaken, values_to_claim
from webhook.caller import waiting

PATIENCE_SECONDS = 1.0
"""How long to wait for what is on its way: a create takes some 10 ms from its claim to the watch."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: the Service as it is to be, and as it is stored (None for a create)."""

    candidate: ServiceView
    old: ServiceView | None
    is_dry_run: bool = False
    patience_seconds: float = PATIENCE_SECONDS
    """How long it may wait for others: less where its caller is in a hurry, or the refusal would come too late."""
    caller: Receive = waiting
    """By which its caller says that it is gone."""

    @property
    def group(self) -> GroupName:
        """The group that the candidate asks for; only for one that asks."""
        return GroupName(self.candidate.name.namespace, self.candidate.sharing_key or "")


@dataclass(frozen=True, slots=True)
class View:
    """The group as it is known at one moment."""

    ledger: Ledger | None
    services: tuple[ServiceView, ...]
    holders: tuple[AddressHolder, ...]
    policy: Policy
    at: datetime
    """UTC."""
    intended_holders: tuple[AddressHolder, ...] = ()
    is_live: bool = False
    """Whether all that speaks against the candidate was looked at live."""
    held_by_others: tuple[Denial, ...] = ()
    """What an address that the candidate has already is held by, as only its lock has told."""
    is_forcing: bool = False
    """Whether a claim may take over what it meets: only what no member owns was in the way."""

    def situation(self, asked: Asked) -> Situation:
        """What the rules look at."""
        return Situation(
            self.group(asked),
            self.holders,
            self.policy,
            self.intended_holders,
            is_member=self.has_accepted(asked),
        )

    def has_accepted(self, asked: Asked) -> bool:
        """Whether the Service as it is stored is a member of the candidate's group."""
        return asked.old is not None and is_accepted(self.ledger, asked.old)

    def group(self, asked: Asked) -> Group:
        """The group as the candidate meets it."""
        return group_of(asked.group, ledger=self.ledger, services=self.services, candidate=asked.candidate)

    def shared(self, asked: Asked) -> SharedValues:
        """What the candidate is to claim to share."""
        under_way, group = self.change_under_way(asked), self.group(asked)
        return values_to_claim(asked.candidate, old=asked.old, group=group, under_way=under_way)

    def change_under_way(self, asked: Asked) -> SharedValues | None:
        """What the candidate's group is to share by another request for it, which may still be stored."""
        return change_under_way(self.ledger, asked.old, now=self.at)

    def is_overtaken(self, asked: Asked) -> bool:
        """Whether another request for the candidate, on its way, makes its group share something else."""
        under_way = self.change_under_way(asked)
        # Nearly always None: then nobody has to look at the group once more.
        return under_way is not None and is_overtaken(
            self.shared(asked), candidate=asked.candidate, old=asked.old, under_way=under_way
        )

    def is_outdated(self, asked: Asked) -> bool:
        """Whether the ledger knows of a request over another version than the one that this was computed from."""
        return asked.old is not None and is_outdated(self.ledger, asked.old, now=self.at)

    def is_claimed_in_vain(self, asked: Asked) -> bool:
        """Whether all that its member claims is young, and with an address that is another's: to be given back."""
        claims = self.ledger.claims_of(member_of(asked.candidate)) if self.ledger else ()
        is_told = self.ledger is not None and self.ledger.shared.static_address in {
            denial.subject for denial in self.held_by_others
        }
        return is_told and is_young(claims, now=self.at)

    def is_served_on(self, address: str, asked: Asked) -> bool:
        """Whether the candidate is accepted where its group lives: it is not taken out, whoever has the lock."""
        return self.ledger is not None and address == self.ledger.vip and self.has_accepted(asked)

    def is_doubtful(self, asked: Asked) -> bool:
        """Whether what the candidate's member holds may just be about to be given back, by a request or the janitor."""
        held = self.ledger.held_by(member_of(asked.candidate)) if self.ledger else ()
        return any(self.at - claim.latest <= GRACE for claim in held)

    def denials(self, asked: Asked) -> tuple[Denial, ...]:
        """The new violations."""
        return new_denials(asked.candidate, old=asked.old, situation=self.situation(asked))

    def is_only_pending(self, asked: Asked) -> bool:
        """Whether nothing stands in the way but what is on its way itself."""
        return not new_denials(asked.candidate, old=asked.old, situation=self._settled(asked))

    def is_old_only_pending(self, asked: Asked) -> bool:
        """Likewise of what an update leaves as it was."""
        return not existing_denials(asked.candidate, old=asked.old, situation=self._settled(asked))

    def _settled(self, asked: Asked) -> Situation:
        """Without what is on its way itself."""
        situation = self.situation(asked)
        stored = tuple(peer for peer in situation.group.peers if not peer.is_pending)
        return replace(
            situation,
            group=replace(situation.group, peers=stored),
            address_holders=tuple(holder for holder in situation.address_holders if not holder.is_pending),
            intended_holders=tuple(holder for holder in situation.intended_holders if not holder.is_pending),
        )


@dataclass(frozen=True, slots=True)
class Look:
    """The group as it is now."""

    view: View
    """Without what is stale."""
    stale: tuple[Claim, ...] = ()
    """Claims in the way of which nothing will ever come: their Service is gone, or never came within the grace."""
    stored: ServiceView | None = None
    """The Service of the candidate's name, if one is there."""


def asked_addresses(asked: Asked) -> tuple[str, str]:
    """What the candidate has, and what it intends to have where that is another; "" for none."""
    return static_address(asked.candidate), shared_values(asked.candidate).intended_address
