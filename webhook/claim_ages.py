"""How long claims wait for their Services, seen by the caches alone; it never reads, writes or decides.

A claim is made a moment before its Service is stored, and stays for a moment after that is gone. One that waits longer
than the grace (65 s) is a port that nobody uses and nobody else can have: the janitor is not doing its work. The
webhook measures it, not the reconciler: a reconciler that is gone would take the bad news along.

Kept up with every change, so that a scrape reads what waits (nearly always nothing) and not 2,000 groups.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

from cluster.services import ServiceCache
from cluster.shared_vip_cache import SharedVipCache
from sharedvip.ledger import Claim, Ledger, confirmed_claims
from sharedvip.model import GroupName, ServiceView
from webhook import metrics


class ClaimAges:
    """The claims without a Service.

    Args:
        services: Kept in step by somebody else.
        ledgers: Likewise.
        now: UTC.
    """

    def __init__(self, services: ServiceCache, ledgers: SharedVipCache, *, now: Callable[[], datetime]) -> None:
        self._services: Final = services
        self._ledgers: Final = ledgers
        self._now: Final = now
        self._waiting: dict[GroupName, dict[Claim, datetime]] = {}
        """Since when; a claim without what an update writes that finds it there."""
        services.subscribe(self._service_changed)
        ledgers.subscribe(self._ledger_changed)

    @property
    def waiting(self) -> int:
        """How many there are."""
        return sum(map(len, self._waiting.values()))

    @property
    def oldest_seconds(self) -> float:
        """How long the first of them has waited; 0 where there is none."""
        since = [moment for claims in self._waiting.values() for moment in claims.values()]
        return self._age(min(since)) if since else 0.0

    def show(self) -> None:
        """Have the metrics say it."""
        metrics.CLAIMS_WAITING.set_function(lambda: self.waiting)
        metrics.CLAIM_OLDEST.set_function(lambda: self.oldest_seconds)

    def _service_changed(self, old: ServiceView | None, new: ServiceView | None) -> None:
        for group in {service.group for service in (old, new) if service is not None and service.group is not None}:
            self._look(group, self._ledgers.get(group), new_claims=frozenset())

    def _ledger_changed(self, old: Ledger | None, new: Ledger | None) -> None:
        one = new or old
        if one is not None:
            self._look(one.name, new, new_claims=_claims(new) - _claims(old))

    def _look(self, group: GroupName, ledger: Ledger | None, *, new_claims: frozenset[Claim]) -> None:
        shown = _plain(confirmed_claims(ledger, self._services.members(group))) if ledger else frozenset[Claim]()
        # What is new may be shown at once: the watch of Services is not slower than that of ledgers.
        known = self._waiting.pop(group, {}) | {claim: claim.claimed_at for claim in new_claims}
        if self._has_begun:
            # Who was shown before, and waits again for its end, was measured then.
            for claim in shown & {claim for claim, since in known.items() if since == claim.claimed_at}:
                metrics.CLAIM_SECONDS.observe(self._age(claim.claimed_at))
        if waiting := _claims(ledger) - shown:
            now = self._now()
            self._waiting[group] = {claim: known.get(claim, now) for claim in waiting}

    @property
    def _has_begun(self) -> bool:
        """Whether the caches were complete: what was there before was not waited for."""
        return self._services.reflector.has_synced and self._ledgers.has_synced

    def _age(self, made: datetime) -> float:
        # Another replica's clock may be ahead of ours.
        return max(0.0, (self._now() - made).total_seconds())


def _claims(ledger: Ledger | None) -> frozenset[Claim]:
    return _plain(ledger.held) if ledger else frozenset()


def _plain(claims: Iterable[Claim]) -> frozenset[Claim]:
    return frozenset(claim._replace(heading=None, replaces="", asked_at=None, is_reserved=False) for claim in claims)
