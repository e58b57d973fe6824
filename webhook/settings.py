"""What a platform engineer decides about the webhook; it reads no flag, file or variable."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sharedvip.model import Policy

_LAST_PORT: Final = 65535

POOL_SECONDS: Final = 90
"""How long the API server keeps an unused connection. Source: apimachinery ``net/http.go``, ``IdleConnTimeout``."""


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
    client_ca: Path | None = None
    """PEM, watched: only callers with a certificate of these authorities are served. None: every caller is."""
    client_names: tuple[str, ...] = ()
    """And only those: common or DNS names. Empty: every certificate of the authorities."""
    certificate_poll_seconds: float = 10.0
    """How often the mounted files are looked at."""
    drain_seconds: float = 5.0
    """At the end: not ready, and still serving; a Service needs a moment to send calls elsewhere."""
    linger_seconds: float = 95.0
    """After that: at most, until the API server has closed the connections that it does not use. Only it can do so
    without losing a call that is just being sent."""
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
    if settings.client_names and settings.client_ca is None:
        yield "client_names: nothing is compared without client_ca; for example /etc/sharedvip/client-ca/ca.crt"
    yield from _times(settings)


def _times(settings: WebhookSettings) -> Iterator[str]:
    if settings.keep_alive_seconds <= POOL_SECONDS:
        value = settings.keep_alive_seconds
        yield f"keep_alive_seconds: {value} must be more than the API server's {POOL_SECONDS}; for example 120"
    if settings.certificate_poll_seconds <= 0:
        yield f"certificate_poll_seconds: {settings.certificate_poll_seconds} must be more than 0; for example 10"
    if settings.drain_seconds < 0:
        yield f"drain_seconds: {settings.drain_seconds} must not be negative; for example 5"
    if settings.linger_seconds < 0:
        yield f"linger_seconds: {settings.linger_seconds} must not be negative; for example 95"
