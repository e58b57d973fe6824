"""What Prometheus sees of the certificate; it never decides anything."""

from typing import Final

from prometheus_client import Counter, Gauge

EXPIRY: Final = Gauge(
    "sharedvip_certificate_expiry_timestamp_seconds",
    "When what is in use expires, in seconds since 1970: the serving certificate, and the last of the client "
    "authorities.",
    ("certificate",),
)
RELOADS: Final = Counter(
    "sharedvip_certificate_reloads_total",
    "Changes of the mounted files that were noticed, by outcome: loaded, or refused, and the old ones served on.",
    ("outcome",),
)
