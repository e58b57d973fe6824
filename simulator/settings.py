"""What one simulated Controller is like: frozen values; it never reads files or the environment."""

import secrets
from dataclasses import dataclass, field

ENTERPRISE_TIERS = frozenset({"ENTERPRISE", "ENTERPRISE_WITH_CLOUD_SERVICES"})
"""Tiers with every feature. Source: ako.md 2.2 (``default_license_tier``)."""


TIERS = ("ENTERPRISE", "ENTERPRISE_WITH_CLOUD_SERVICES", "BASIC", "ESSENTIALS")


@dataclass(frozen=True, slots=True)
class Subnet:
    """One network the Controller's IPAM allocates VIPs from.

    Attributes:
        network: The network object's name.
        cidr: Its one subnet, such as ``100.64.196.0/24``.
        ranges: Inclusive (first, last) addresses for VIPs, given out in this order; empty means every host address of
            the subnet.
    """

    network: str
    cidr: str
    ranges: tuple[tuple[str, str], ...] = ()


DEFAULT_SUBNETS = (
    Subnet(
        "net1",
        "100.64.196.0/24",
        (
            ("100.64.196.61", "100.64.196.74"),
            ("100.64.196.76", "100.64.196.254"),
            ("100.64.196.75", "100.64.196.75"),
        ),
    ),
)
"""The network of the documentation's shared-VIP example: the first VIP is its 100.64.196.61, and its preferred
100.64.196.75 is the last that anybody gets who did not ask for it. Source: ako.md 2.3, 6.2."""


@dataclass(frozen=True, slots=True)
class Knobs:
    """Behaviour that avi.md tags [INF] or leaves open: nobody may depend on a value, so each can be turned.

    Attributes:
        default_page_size: Items per page when the request names none (documented for inventory only).
        page_overflow_status: Answer to a page past the last.
        page_size_status: Answer to a page size outside 1 to 200.
        system_object_status: Answer to deleting a system default object.
        referred_status: Answer to deleting an object that others refer to.
        preferred_address_status: Answer to a preferred address that is out of range or taken.
        invalid_version_status: Answer to an API version above the Controller's.
        missing_referer_status: Answer to a write without Referer.
        duplicate_listener_status: Answer to two listeners with the same port and protocol on one address.
        shares_port_between_protocols: Whether two virtual services of one vsvip may hold 80/TCP and 80/UDP.
        refuses_unserved_rule_protocol: Whether a virtual service whose L4 rules name a protocol that none of its
            services speaks is refused.
        macro_upserts: Whether POST macro changes a sub-object that exists by name, instead of answering 409.
        refuses_stale_cookie_on_login: Whether POST /login with an unknown session cookie is answered 401.
        placement_seconds: How long a virtual service is being placed before it can be up.
        request_burst: ``portal_request_burst_limit``: requests of one client that may be waiting before one is answered
            429.
        rate_limited_retry_after_seconds: What Retry-After says then; 0 leaves it out.
        locked_account_status: Answer to a login to an account that is locked.
        name_release_seconds: How long after a DELETE its name is still taken ("soft deletion").
    """

    default_page_size: int = 25
    page_overflow_status: int = 404
    page_size_status: int = 400
    system_object_status: int = 403
    referred_status: int = 403
    preferred_address_status: int = 400
    invalid_version_status: int = 400
    missing_referer_status: int = 403
    duplicate_listener_status: int = 400
    shares_port_between_protocols: bool = True
    refuses_unserved_rule_protocol: bool = True
    macro_upserts: bool = False
    refuses_stale_cookie_on_login: bool = True
    placement_seconds: float = 0.0
    request_burst: int = 100
    rate_limited_retry_after_seconds: int = 0
    locked_account_status: int = 401
    name_release_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Settings:
    """One simulated Controller.

    Attributes:
        username: Who may log in.
        password: Its password; random unless given.
        subnets: What the IPAM profile ``avi-ipam`` of the default cloud may allocate from, in this order.
        licence_tier: ``default_license_tier``: ENTERPRISE, ENTERPRISE_WITH_CLOUD_SERVICES, BASIC or ESSENTIALS.
        version: The Controller's version, the highest that a request may ask for.
        cloud: The default cloud's name; its type is CLOUD_NONE.
        idle_timeout_minutes: ``api_idle_timeout``; 0 is never. Source: avi.md 2.1 [SW].
        force_timeout_hours: ``api_force_timeout``: a session ends after it, used or not. Source: avi.md 2.1 [SW].
        allows_basic_authentication: ``allow_basic_authentication``. Source: avi.md 2.1, default false.
        read_seconds: How much later a GET is answered. A real Controller takes its time: avi.md 1.7.
        write_seconds: Likewise any other method, logins too.
        has_recorded_latency: Whether calls take as long as a real Controller's instead. Source: avi.md 1.7 [CAS].
        requests_per_second: ``portal_request_rate_limit`` of each client address; 0 is no limit. A real Controller
            has about 32 (``ratelimit.REAL_PER_SECOND``): avi.md 2.9 [KB].
        login_failures_allowed: ``max_login_failure_count``: as many wrong passwords lock the account; 0 is never. A
            real Controller has 20 as delivered, 3 by its model: avi.md 1.8 [SW][DOC].
        account_lock_minutes: ``account_lock_timeout``. Source: avi.md 1.8 [SW][DOC].
        nodes: How many nodes the cluster has, 1 or 3.
        body_limit_bytes: A larger body is answered 413. Assumed; a 5,000-server pool is about 1 MiB.
        seed: Makes uuids repeatable; None draws them afresh.
        knobs: What nobody knows for certain.
    """

    username: str = "admin"
    password: str = field(default_factory=lambda: secrets.token_urlsafe(18), repr=False)
    subnets: tuple[Subnet, ...] = DEFAULT_SUBNETS
    licence_tier: str = "ENTERPRISE"
    version: str = "30.2.1"
    cloud: str = "Default-Cloud"
    idle_timeout_minutes: float = 15
    force_timeout_hours: float = 24
    allows_basic_authentication: bool = False
    read_seconds: float = 0.0
    write_seconds: float = 0.0
    has_recorded_latency: bool = False
    requests_per_second: float = 0.0
    login_failures_allowed: int = 0
    account_lock_minutes: float = 30
    nodes: int = 1
    body_limit_bytes: int = 8 * 1024 * 1024
    seed: int | None = None
    knobs: Knobs = field(default_factory=Knobs)
