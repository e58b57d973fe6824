"""Hypothesis strategies with small alphabets, so that Services clash often; ``builders`` for one, this for many."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from sharedvip.ledger import Claim, Ledger, Member
from sharedvip.model import (
    AddressHolder,
    Group,
    GroupName,
    Listener,
    Peer,
    Policy,
    ServiceView,
    SharedValues,
    Situation,
)
from tests.builders import GROUP, NAMESPACE, service

START = datetime(2026, 11, 23, tzinfo=UTC)

NAMES = ("a", "b", "c", "d")
PORTS = ("80/TCP", "80/UDP", "443/TCP", "53/UDP", "53/SCTP")
ADDRESSES = ("", "10.0.0.1", "10.0.0.2", "2001:db8::1")
SPELLINGS = (*ADDRESSES, "2001:DB8:0::1", "foo")
KEYS = ("k1", "k2", "a/b", "")
TYPES = ("LoadBalancer", "LoadBalancer", "LoadBalancer", "ClusterIP")

names = st.sampled_from(NAMES)
port_texts = st.sampled_from(PORTS)
several_ports = st.lists(port_texts, min_size=1, max_size=3)
distinct_ports = st.lists(port_texts, min_size=1, max_size=3, unique=True)
addresses = st.sampled_from(ADDRESSES)
classes = st.sampled_from(("", "ako.vmware.com/avi-lb", "example.com/lb"))
settings_names = st.sampled_from(("", "gold"))
label_values = st.from_regex(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", fullmatch=True)
instants = st.integers(0, 200).map(lambda seconds: START + timedelta(seconds=seconds))


@st.composite
def services(draw: st.DrawFn, *, with_name: st.SearchStrategy[str] = names) -> ServiceView:
    """Any Service: in a group or not, right or wrong."""
    view = service(draw(with_name), *draw(several_ports), key=draw(st.none() | st.sampled_from(KEYS)))
    return replace(
        view,
        type=draw(st.sampled_from(TYPES)),
        load_balancer_ip=draw(st.sampled_from(SPELLINGS)),
        address_annotation=draw(st.sampled_from(SPELLINGS)),
        load_balancer_class=draw(classes),
        infra_setting=draw(settings_names),
        l4_rule=draw(settings_names),
        ip_families=draw(st.sampled_from(((), ("IPv4",), ("IPv4", "IPv6")))),
        is_deleting=draw(st.sampled_from((False, False, False, True))),
    )


@st.composite
def members(draw: st.DrawFn, *, with_name: st.SearchStrategy[str] = names) -> ServiceView:
    """A member of the seed's group that is right in itself."""
    view = service(draw(with_name), *draw(distinct_ports))
    return replace(view, load_balancer_ip=draw(addresses), infra_setting=draw(settings_names))


shared_values = st.builds(
    SharedValues,
    static_address=st.sampled_from(ADDRESSES),
    load_balancer_class=classes,
    infra_setting=settings_names,
    l4_rule=settings_names,
)

listeners = port_texts.map(lambda text: Listener(int(text.split("/")[0]), text.split("/")[1]))

peers = st.builds(
    Peer,
    service=st.sampled_from(("p", "q", "r")),
    uid=st.sampled_from(("1", "2")),
    listeners=st.lists(listeners, min_size=1, max_size=2, unique=True).map(tuple),
    shared=shared_values,
    is_pending=st.booleans(),
)

holders = st.builds(
    AddressHolder,
    namespace=st.sampled_from((NAMESPACE, "secret-team")),
    service=st.just("other-service"),
    key=st.sampled_from(("", "other-key")),
)

situations = st.builds(
    Situation,
    group=st.builds(
        Group,
        name=st.just(GroupName(NAMESPACE, "k1")),
        peers=st.lists(peers, max_size=3).map(tuple),
        vip=st.sampled_from(ADDRESSES),
    ),
    address_holders=st.lists(holders, max_size=2).map(tuple),
    policy=st.builds(Policy, is_default_class=st.booleans()),
)


@st.composite
def ledgers(draw: st.DrawFn) -> Ledger:
    """A ledger of the seed's group: each listener claimed at most once, by one of two incarnations of a few names."""
    claimants = st.builds(Member, service=names, uid=names.map(lambda name: f"uid-of-{name}"))
    claimed = draw(st.lists(listeners, unique=True))
    claims = tuple(Claim(one, *draw(claimants), draw(instants)) for one in sorted(claimed))
    return Ledger(GROUP, draw(shared_values), claims)
