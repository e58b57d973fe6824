"""What Prometheus sees of our talk with the API server; it never decides anything."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

REQUESTS: Final = Counter(
    "rest_client_requests_total",  # client-go's name, so that the dashboards of other components fit
    "Requests to the API server, by method and HTTP status; code '<error>' is no answer.",
    ("method", "code"),
)
REQUEST_SECONDS: Final = Histogram(
    "rest_client_request_duration_seconds",
    "How long the API server took to answer, watches left out.",
    ("method",),
    buckets=(0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
CACHE_OBJECTS: Final = Gauge("sharedvip_cache_objects", "Objects kept in a cache.", ("resource",))
CACHE_STALENESS: Final = Gauge(
    "sharedvip_cache_staleness_seconds",
    "Seconds since the API server last told anything about a resource, bookmarks included.",
    ("resource",),
)
CACHE_AGE: Final = Gauge(
    "sharedvip_cache_age_seconds",
    "Seconds since a moment of which a cache is at least: that of a bookmark, or of the beginning of a list.",
    ("resource",),
)
CACHE_LISTS: Final = Counter("sharedvip_cache_lists_total", "Complete lists read to fill a cache.", ("resource",))
CACHE_WATCH_ENDS: Final = Counter(
    "sharedvip_cache_watch_ends_total", "Watches that ended, by reason.", ("resource", "reason")
)
CACHE_UNREADABLE: Final = Counter(
    "sharedvip_cache_unreadable_total", "Objects left out of a cache because they could not be read.", ("resource",)
)
