"""The janitor over a fake cluster, with a clock in hand; it judges nothing."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from reconciler.ledger_keeper import LedgerKeeper
from reconciler.settled import Settled
from sharedvip.model import GroupName, Policy, ServiceView
from tests.builders import GROUP, service
from tests.reconciler.controller import START
from tests.reconciler.fake_kubernetes import FakeKubernetes

WEB = service("web", "80/TCP")
API = service("api", "443/TCP")


@dataclass
class Janitor:
    """A keeper with a clock in hand."""

    kubernetes: FakeKubernetes
    now: datetime = START

    @cached_property
    def keeper(self) -> LedgerKeeper:
        """The one under test."""
        return LedgerKeeper(self.kubernetes, policy=Policy(), now=lambda: self.now)

    def settle(self, group: GroupName = GROUP) -> Settled:
        """One visit."""
        return asyncio.run(self.keeper.settle(group))

    def claimed(self, group: GroupName = GROUP) -> list[str]:
        """``web 80/TCP`` for each claim in the ledger."""
        ledger = self.kubernetes.ledgers.get(group)
        return [f"{claim.service} {claim.listener}" for claim in ledger.claims] if ledger else []


def janitor_of(*admitted: ServiceView) -> Janitor:
    """Over a group whose members came by admission."""
    kubernetes = FakeKubernetes()
    kubernetes.admit(*admitted, at=START)
    return Janitor(kubernetes)
