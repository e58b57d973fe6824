"""What a platform engineer decides about the webhook; it reads no flag, file or variable."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from sharedvip.model import Policy

_LAST_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """All settings; ``problems`` tells what is wrong with them, all at once."""

    host: str = "0.0.0.0"  # noqa: S104 - the API server and the probes come from outside the pod
    port: int = 9443
    """0 takes a free one, told in the log."""
    health_port: int = 8080
    """Plain HTTP: ``/livez``, ``/readyz``, ``/metrics``; 0 takes a free one."""
    policy: Policy = field(default_factory=Policy)
    body_limit_bytes: int = 7 * 1024 * 1024
    """The API server takes 3 MiB a request, and a review holds two objects. Source: controller-runtime ``http.go``."""
    in_flight_limit: int = 256
    """More at once are answered 503, before their deadline rather than after it."""
    keep_alive_seconds: int = 120
    """Longer than the API server keeps a connection of its pool (90 s), so that it never uses one we just closed."""
    drain_seconds: float = 5.0
    """Not ready, and still serving, before the port closes: a Service needs a moment to send calls elsewhere."""
    staleness_limit_seconds: float = 180.0
    """Not ready beyond it: bookmarks come every minute, so three of them are missing."""

    @property
    def problems(self) -> tuple[str, ...]:
        """One line per setting that is wrong: its name, its value, what it must be, an example."""
        return tuple(_problems(self))


def _problems(settings: WebhookSettings) -> Iterator[str]:
    for name, port in (("port", settings.port), ("health_port", settings.health_port)):
        if not 0 <= port <= _LAST_PORT:
            yield f"{name}: {port} must be 0 to {_LAST_PORT}; for example 9443"
    if settings.port and settings.port == settings.health_port:
        yield f"health_port: {settings.health_port} must not be that of the webhook; for example 8080"
    if settings.body_limit_bytes < 1:
        yield f"body_limit_bytes: {settings.body_limit_bytes} must be at least 1; for example 7340032"
    if settings.in_flight_limit < 1:
        yield f"in_flight_limit: {settings.in_flight_limit} must be at least 1; for example 256"
    if settings.drain_seconds < 0:
        yield f"drain_seconds: {settings.drain_seconds} must not be negative; for example 5"
