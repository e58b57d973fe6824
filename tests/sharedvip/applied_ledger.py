"""A ledger as server-side applies leave it: whose the claims are, and who owns the shared values; it knows no rule."""

from collections.abc import Iterable
from dataclasses import replace

from sharedvip.ledger import Claim, Ledger, Member
from sharedvip.model import SharedValues
from tests.builders import GROUP


class AppliedLedger:
    """The ledger of the seed's group on an API server of one's own."""

    def __init__(self) -> None:
        self.ledger = Ledger(GROUP, has_finalizer=True)
        self.owners: dict[str, set[Member]] = {"static": set(), "intended": set()}

    def apply(self, member: Member, shared: SharedValues, claims: Iterable[Claim], *, force: bool = False) -> bool:
        """A server-side apply: what it says is owned, what it does not say any more goes with its last owner."""
        others = [claim for claim in self.ledger.claims if Member(claim.service, claim.uid) != member]
        if {claim.listener for claim in others} & {claim.listener for claim in claims}:
            return False
        said = {"static": shared.static_address, "intended": shared.intended_address}
        there = {"static": self.ledger.shared.static_address, "intended": self.ledger.shared.intended_address}
        for field, value in said.items():
            is_said = field == "static" or value
            if is_said and value != there[field] and self.owners[field] - {member} and not force:
                return False
        for field, value in said.items():
            owners = self.owners[field]
            if field == "static" or value:
                self.owners[field] = owners | {member} if value == there[field] else {member}
                there[field] = value
            else:
                owners.discard(member)
                there[field] = there[field] if owners else ""
        agreed = SharedValues(there["static"], intended_address=there["intended"])
        self.ledger = replace(self.ledger, shared=agreed, claims=tuple(sorted([*others, *claims])))
        return True

    def leave(self, member: Member) -> None:
        """All that it applied goes, and what nobody else owns."""
        for owners in self.owners.values():
            owners.discard(member)
        shared = self.ledger.shared
        kept = SharedValues(
            shared.static_address if self.owners["static"] else "",
            intended_address=shared.intended_address if self.owners["intended"] else "",
        )
        claims = tuple(c for c in self.ledger.claims if Member(c.service, c.uid) != member)
        self.ledger = replace(self.ledger, shared=kept, claims=claims)
