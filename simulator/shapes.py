"""What the messages of a request look like: required fields, ranges, defaults, nested messages; only tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from simulator.documents import Document


@dataclass(frozen=True, slots=True)
class Range:
    """Whole numbers a field may hold: ``low`` to ``high`` inclusive, and the values of ``also``."""

    low: int
    high: int
    also: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """A field that holds a message, or a list of at most ``limit`` messages if ``limit`` is given."""

    shape: "Shape"
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """One message.

    Attributes:
        required: Fields that must be there and not empty.
        defaults: What an absent field becomes.
        ranges: Bounds of number fields.
        enums: Allowed words of enum fields.
        parts: Fields that hold messages.
    """

    required: tuple[str, ...] = ()
    defaults: Document = field(default_factory=dict[str, object])
    ranges: Mapping[str, Range] = field(default_factory=dict[str, Range])
    enums: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    parts: Mapping[str, Part] = field(default_factory=dict[str, Part])


MANY: Final = 1000
"""Assumed limit of lists for which avi.md 3 gives none."""

PORT: Final = Range(1, 65535)
MATCH: Final = {"match_criteria": ("IS_IN", "IS_NOT_IN")}

# ``type`` is required by the schema, yet AKO's NodePortLocal servers leave it out (ako.md 2.2): it is then derived.
IP_ADDRESS: Final = Shape(required=("addr",), enums={"type": ("V4", "V6", "DNS")})
PREFIX: Final = Shape(required=("ip_addr", "mask"), ranges={"mask": Range(0, 128)}, parts={"ip_addr": Part(IP_ADDRESS)})
KEY_VALUES: Final = Shape(required=("key",))

# Source: avi.md 3 Server, defaults 2.3 [CAS].
SERVER: Final = Shape(
    required=("ip",),
    defaults={
        "enabled": True,
        "ratio": 1,
        "verify_network": False,
        "resolve_server_by_dns": False,
        "static": False,
        "rewrite_host_header": False,
    },
    ranges={"port": Range(0, 65535), "ratio": Range(1, 20)},
    parts={"ip": Part(IP_ADDRESS)},
)

# Source: avi.md 3 Pool.
POOL: Final = Shape(
    required=("name",),
    defaults={
        "default_server_port": 80,
        "lb_algorithm": "LB_ALGORITHM_LEAST_CONNECTIONS",
        "inline_health_monitor": True,
        "enabled": True,
        "graceful_disable_timeout": 1,
        "connection_ramp_duration": 10,
        "max_concurrent_connections_per_server": 0,
        "request_queue_depth": 128,
        "sni_enabled": True,
        "append_port": "NON_DEFAULT_80_443",
        "fail_action": {"type": "FAIL_ACTION_CLOSE_CONN"},
    },
    ranges={
        "default_server_port": PORT,
        "graceful_disable_timeout": Range(1, 7200, also=(0, -1)),
        "graceful_disable_timeout_sec": Range(1, 432000),
        "connection_ramp_duration": Range(0, 300),
    },
    enums={
        "lb_algorithm": tuple(
            f"LB_ALGORITHM_{name}"
            for name in (
                *("LEAST_CONNECTIONS", "ROUND_ROBIN", "FASTEST_RESPONSE", "CONSISTENT_HASH", "LEAST_LOAD"),
                *("FEWEST_SERVERS", "RANDOM", "FEWEST_TASKS", "NEAREST_SERVER", "CORE_AFFINITY", "TOPOLOGY"),
            )
        )
    },
    parts={
        "servers": Part(SERVER, limit=5000),
        "markers": Part(KEY_VALUES, limit=MANY),
        "placement_networks": Part(
            Shape(required=("network_ref", "subnet"), parts={"subnet": Part(PREFIX)}), limit=MANY
        ),
    },
)

# Source: avi.md 3 Vip, defaults 2.3 [CAS].
VIP: Final = Shape(
    required=("vip_id",),
    defaults={
        "enabled": True,
        "auto_allocate_ip": False,
        "auto_allocate_floating_ip": False,
        "avi_allocated_vip": False,
        "avi_allocated_fip": False,
        "auto_allocate_ip_type": "V4_ONLY",
        "prefix_length": 32,
    },
    ranges={"prefix_length": Range(0, 32)},
    enums={"auto_allocate_ip_type": ("V4_ONLY", "V6_ONLY", "V4_V6")},
    parts={
        "ip_address": Part(IP_ADDRESS),
        "ip6_address": Part(IP_ADDRESS),
        "ipam_network_subnet": Part(Shape(parts={"subnet": Part(PREFIX), "subnet6": Part(PREFIX)})),
        "placement_networks": Part(Shape(), limit=10),
    },
)

VSVIP: Final = Shape(
    required=("name",),
    defaults={"east_west_placement": False},
    parts={
        "vip": Part(VIP, limit=MANY),
        "dns_info": Part(Shape(), limit=MANY),
        "markers": Part(KEY_VALUES, limit=MANY),
    },
)

# Source: avi.md 3 L4PolicySet, L4Rule, L4RuleMatchTarget, L4RuleAction.
L4_MATCH: Final = Shape(
    parts={
        "port": Part(
            Shape(
                required=("match_criteria",),
                enums=MATCH,
                ranges={"ports": PORT},
                parts={
                    "port_ranges": Part(
                        Shape(required=("start", "end"), ranges={"start": PORT, "end": PORT}), limit=MANY
                    )
                },
            )
        ),
        "protocol": Part(
            Shape(
                required=("match_criteria", "protocol"),
                enums={**MATCH, "protocol": ("PROTOCOL_TCP", "PROTOCOL_UDP", "PROTOCOL_SCTP", "PROTOCOL_ICMP")},
            )
        ),
    }
)
SELECT_POOL: Final = Shape(
    required=("action_type",),
    enums={"action_type": ("L4_RULE_ACTION_SELECT_POOL", "L4_RULE_ACTION_SELECT_POOLGROUP")},
)
L4_RULE: Final = Shape(
    required=("name", "index"),
    defaults={"enable": True},
    parts={"match": Part(L4_MATCH), "action": Part(Shape(parts={"select_pool": Part(SELECT_POOL)}))},
)
L4_POLICY_SET: Final = Shape(
    required=("name",),
    defaults={"is_internal_policy": False},
    parts={
        "l4_connection_policy": Part(Shape(parts={"rules": Part(L4_RULE, limit=MANY)})),
        "markers": Part(KEY_VALUES, limit=MANY),
    },
)

# Source: avi.md 3 Service, defaults 2.3 [CAS]; ``port_range_end`` becomes ``port``.
SERVICE: Final = Shape(
    required=("port",),
    defaults={"enable_ssl": False, "enable_http2": False},
    ranges={"port": Range(0, 65535), "port_range_end": Range(0, 65535)},
)

# Source: avi.md 3 VirtualService, defaults 2.3 [CAS].
VIRTUAL_SERVICE: Final = Shape(
    required=("name",),
    defaults={
        "enabled": True,
        "traffic_enabled": True,
        "type": "VS_TYPE_NORMAL",
        "weight": 1,
        "enable_autogw": True,
        "enable_rhi": False,
        "flow_dist": "LOAD_AWARE",
        "ssl_sess_cache_avg_size": 1024,
        "remove_listening_port_on_vs_down": False,
        "max_cps_per_client": 0,
    },
    ranges={
        "weight": Range(1, 128),
        "max_cps_per_client": Range(10, 1000, also=(0,)),
        "ssl_sess_cache_avg_size": Range(1024, 16383),
    },
    parts={
        "services": Part(SERVICE, limit=2048),
        "l4_policies": Part(Shape(required=("index", "l4_policy_set_ref")), limit=MANY),
        "service_pool_select": Part(
            Shape(required=("service_port", "service_pool_ref"), ranges={"service_port": PORT}), limit=MANY
        ),
        "dns_info": Part(Shape(), limit=1000),
        "markers": Part(KEY_VALUES, limit=MANY),
    },
)

# Source: avi.md 2.8 [SW]: configured subnets and their static ranges.
NETWORK: Final = Shape(
    required=("name",),
    parts={
        "configured_subnets": Part(
            Shape(
                required=("prefix",),
                parts={
                    "prefix": Part(PREFIX),
                    "static_ip_ranges": Part(
                        Shape(
                            required=("range",),
                            defaults={"type": "STATIC_IPS_FOR_VIP_AND_SE"},
                            enums={"type": ("STATIC_IPS_FOR_VIP", "STATIC_IPS_FOR_SE", "STATIC_IPS_FOR_VIP_AND_SE")},
                            parts={
                                "range": Part(
                                    Shape(
                                        required=("begin", "end"),
                                        parts={"begin": Part(IP_ADDRESS), "end": Part(IP_ADDRESS)},
                                    )
                                )
                            },
                        ),
                        limit=MANY,
                    ),
                },
            ),
            limit=MANY,
        )
    },
)

# Source: avi.md 3 NetworkProfile; ranges of the two fast paths.
NETWORK_PROFILE: Final = Shape(
    required=("name", "profile"),
    parts={
        "profile": Part(
            Shape(
                required=("type",),
                enums={
                    "type": tuple(
                        f"PROTOCOL_TYPE_{name}"
                        for name in (
                            *("TCP_PROXY", "TCP_FAST_PATH", "UDP_FAST_PATH", "UDP_PROXY"),
                            *("SCTP_PROXY", "SCTP_FAST_PATH"),
                        )
                    )
                },
                parts={
                    "tcp_fast_path_profile": Part(
                        Shape(
                            defaults={"session_idle_timeout": 300},
                            ranges={"session_idle_timeout": Range(5, 14400, also=(0,))},
                        )
                    ),
                    "udp_fast_path_profile": Part(
                        Shape(
                            defaults={"session_idle_timeout": 10, "snat": True, "per_pkt_loadbalance": False},
                            ranges={"session_idle_timeout": Range(2, 3600)},
                        )
                    ),
                },
            )
        )
    },
)

NAMED: Final = Shape(required=("name",))
"""A kind of which avi.md 3 gives no fields: only the name is checked."""

SHAPES: Final[dict[str, Shape]] = {
    "tenant": Shape(required=("name",), defaults={"local": True}),
    "cloud": Shape(required=("name",), defaults={"vtype": "CLOUD_NONE"}),
    "vrfcontext": Shape(required=("name",), defaults={"system_default": False}),
    "network": NETWORK,
    "networkprofile": NETWORK_PROFILE,
    "applicationprofile": Shape(required=("name", "type")),
    "healthmonitor": Shape(
        required=("name", "type"),
        defaults={"send_interval": 10, "receive_timeout": 4, "successful_checks": 2, "failed_checks": 2},
    ),
    "ipamdnsproviderprofile": Shape(required=("name", "type")),
    "pool": POOL,
    "vsvip": VSVIP,
    "l4policyset": L4_POLICY_SET,
    "virtualservice": VIRTUAL_SERVICE,
}
"""By kind; a kind without a shape is ``NAMED``."""
