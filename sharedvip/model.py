"""The small frozen values that everything else speaks in; it never parses, decides or renders documents."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from sharedvip.annotations import AVI_CLASS


class ServiceName(NamedTuple):
    """A Service, by namespace and name."""

    namespace: str
    name: str


class GroupName(NamedTuple):
    """A group, by namespace and sharing key: AKO's grouping."""

    namespace: str
    key: str


class Listener(NamedTuple):
    """What one VIP can offer only once: a port (1-65535) with its protocol (``TCP``, ``UDP`` or ``SCTP``)."""

    port: int
    protocol: str

    def __str__(self) -> str:
        """As Kubernetes prints it: ``80/TCP``."""
        return f"{self.port}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One entry of ``spec.ports``, with its place in the list."""

    index: int
    listener: Listener
    name: str = ""
    target_port: int | str = 0


@dataclass(frozen=True, slots=True)
class ServiceView:
    """What we read of a Service; absent texts are empty, except the sharing key, where empty is an answer too."""

    name: ServiceName
    uid: str = ""
    type: str = "ClusterIP"
    sharing_key: str | None = None
    sharing_label: str | None = None
    ports: tuple[ServicePort, ...] = ()
    load_balancer_ip: str = ""
    address_annotation: str = ""
    intended_address: str = ""
    load_balancer_class: str = ""
    infra_setting: str = ""
    l4_rule: str = ""
    ip_families: tuple[str, ...] = ()
    session_affinity: str = ""
    has_source_ranges: bool = False
    external_traffic_policy: str = ""
    is_deleting: bool = False
    vips: tuple[str, ...] = ()
    """Addresses in ``status.loadBalancer.ingress``, as written there."""
    has_ready_condition: bool = False
    """Whether our condition is in its status: it is, or was, a member."""
    resource_version: str = field(default="", compare=False)
    """Only of one that was read live, or that an update is to replace; no cache keeps it, no rule looks at it."""

    @property
    def group(self) -> GroupName | None:
        """The group it asks for, whether or not it may join; None without the annotation."""
        return None if self.sharing_key is None else GroupName(self.name.namespace, self.sharing_key)

    @property
    def is_member(self) -> bool:
        """Whether it carries the annotation and is of the type that may."""
        return self.sharing_key is not None and self.type == "LoadBalancer"

    def is_in(self, group: GroupName | None) -> bool:
        """Whether it is a member of that group; nobody is of none."""
        return self.is_member and self.group == group

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """Its listeners in the order of its ports, twice where it names one twice."""
        return tuple(port.listener for port in self.ports)


@dataclass(frozen=True, slots=True)
class SharedValues:
    """What all members of a group have in common; the address in canonical spelling, "" where there is none."""

    static_address: str = ""
    load_balancer_class: str = ""
    infra_setting: str = ""
    l4_rule: str = ""
    intended_address: str = ""
    """Where the group moves to, or a Service wants it to move; "" as a rule. Only who says so claims it."""

    @property
    def at_rest(self) -> "SharedValues":
        """Without where it is to go."""
        return replace(self, intended_address="") if self.intended_address else self

    @property
    def addresses(self) -> frozenset[str]:
        """The static address and the one to move to, those that there are."""
        return frozenset({self.static_address, self.intended_address} - {""})


@dataclass(frozen=True, slots=True)
class Peer:
    """Another member of the candidate's group, as the ledger or the cluster knows it."""

    service: str
    uid: str
    listeners: tuple[Listener, ...]
    shared: SharedValues = SharedValues()
    is_pending: bool = False
    """These listeners are claimed but not stored yet: admitted a moment ago, or refused by somebody after us.

    A stored Service with claims beyond what is stored is two peers: what it has, and what it is being changed to.
    """


@dataclass(frozen=True, slots=True)
class Group:
    """A group as its candidate meets it."""

    name: GroupName
    peers: tuple[Peer, ...] = ()
    """Without the candidate, sorted by Service name."""
    vip: str = ""
    """The canonical address it lives on at Avi, "" before there is one."""
    static_address: str = ""
    """What the others have claimed, "" where there are no others or they claim none."""
    intended_address: str = ""
    """Where it moves to, "" as a rule. Peers that carry it already are shown with the one that they are served on."""
    is_built: bool = False
    """Whether our own reconciler builds it."""


@dataclass(frozen=True, slots=True)
class AddressHolder:
    """Who holds an address outside the candidate's group: another group, or an ordinary LoadBalancer Service."""

    namespace: str
    service: str = ""
    key: str = ""
    is_pending: bool = False
    """Whether it is a group that claims it, and no stored Service of it asks for it yet; or a Service that is about to
    leave its group with it, or to join one."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What the platform engineer decided. Source: AKO ``L4Settings.defaultLBController``."""

    load_balancer_class: str = AVI_CLASS
    is_default_class: bool = True
    """Whether Services that name no class are ours."""


@dataclass(frozen=True, slots=True)
class Situation:
    """All a rule may look at besides the candidate."""

    group: Group
    address_holders: tuple[AddressHolder, ...] = ()
    """Who else holds the candidate's static address, sorted."""
    policy: Policy = field(default_factory=Policy)
    intended_holders: tuple[AddressHolder, ...] = ()
    """Who else holds the address that the candidate intends, sorted."""
    is_member: bool = False
    """Whether this is an update of an accepted member."""


@dataclass(frozen=True, slots=True)
class Denial:
    """One reason to say no: a value, never an exception."""

    rule: str
    field: str
    """Path of the field at fault, as Kubernetes writes it: ``spec.ports[0]``."""
    problem: str
    """What is wrong, with the value and the other Services."""
    remedy: str
    """What to type instead."""
    subject: str
    """What the violation is about, so that an update can tell an old one from a new one: ``80/TCP``."""
    peers: tuple[str, ...] = ()
    """Names of the Services of the same namespace that are in the way: where to look before refusing."""

    def __str__(self) -> str:
        """One line in the grammar of ``rules.md``."""
        return f"{self.field}: {self.problem}; {self.remedy} [{self.rule}]"
