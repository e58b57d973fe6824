"""What speaks against sending a replica requests; it stops none that come all the same."""

from typing import Final

from sharedvip.leaving import LATEST_SECONDS
from webhook.clients import Certificate
from webhook.ending import Ending
from webhook.settings import WebhookSettings
from webhook.world import World


class Readiness:
    """Asked at each ``/readyz``.

    Args:
        world: What is known, and of when.
        certificate: The one that is served.
        settings: How long the API server may be silent.
        ending: Whether this replica is about to end.
    """

    def __init__(self, world: World, certificate: Certificate, *, settings: WebhookSettings, ending: Ending) -> None:
        self._world: Final = world
        self._certificate: Final = certificate
        self._settings: Final = settings
        self._ending: Final = ending

    def __call__(self) -> tuple[str, ...]:
        """One line each; none: it is ready."""
        staleness, age = self._world.staleness_seconds(), self._world.held.age_seconds()
        found = {
            "stopping": self._ending.has_begun,
            "the caches are not complete yet": not self._world.has_synced,
            f"the API server has said nothing for {staleness:.0f} s": staleness
            > self._settings.staleness_limit_seconds,
            # It lets nobody join with an address: others may.
            f"what is known of Services is {age:.0f} s old": age > LATEST_SECONDS,
        }
        return (*(text for text, is_so in found.items() if is_so), *self._certificate.faults())
