"""Claims and ledgers of the seed's group, in few words; they judge nothing."""

from datetime import timedelta

from sharedvip.ledger import Claim, Ledger
from sharedvip.model import SharedValues
from tests.builders import GROUP, listener
from tests.strategies import START


def claim(text: str, name: str = "web", *, uid: str = "", seconds: int = 0) -> Claim:
    """A claim of a builder's Service, some seconds after the start."""
    return Claim(listener(text), name, uid or f"uid-of-{name}", START + timedelta(seconds=seconds))


def ledger(*claims: Claim, address: str = "", vip: str = "") -> Ledger:
    """A ledger of the seed's group."""
    return Ledger(GROUP, SharedValues(static_address=address), tuple(sorted(claims)), vip=vip)
