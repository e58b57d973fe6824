"""VIP addresses: which one a vsvip gets; what is taken is what the stored vsvips hold, so nothing is kept here."""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from simulator.documents import Document, message, messages, text
from simulator.references import uuid_of
from simulator.refusals import RefusedError, field_check
from simulator.store import Record, Span, Store

FAMILIES: Final = {"V4_ONLY": (4,), "V6_ONLY": (6,), "V4_V6": (4, 6)}
FIELDS: Final = {4: "ip_address", 6: "ip6_address"}
SUBNET_FIELDS: Final = {4: "subnet", 6: "subnet6"}
VIP_RANGES: Final = frozenset({"STATIC_IPS_FOR_VIP", "STATIC_IPS_FOR_VIP_AND_SE"})
"""Range types a VIP may come from. Source: avi.md 2.8."""


@dataclass(frozen=True, slots=True)
class Ipam:
    """Allocates for one cloud.

    Attributes:
        store: Where networks and vsvips are.
        cloud: The cloud's uuid.
        preferred_status: The status for a preferred address out of range or taken [INF].
    """

    store: Store
    cloud: str
    preferred_status: int

    def completed(self, document: Document, *, old: Record | None) -> Document:
        """The vsvip with every address that IPAM owes it.

        Source: avi.md 2.8: synchronous on POST; a PUT keeps the address and may not change address or vip_id.

        Raises:
            RefusedError: 400, no free address, a preferred one that cannot be had, or a change that PUT may not make.
        """
        vips = messages(document.get("vip"))
        before = {text(vip.get("vip_id")): vip for vip in messages(old.document.get("vip"))} if old else {}
        if old is not None:
            _check_ids(vips, before)
        taken: set[str] = set()
        done: list[object] = []
        for vip in vips:
            kept = _kept(vip, before.get(text(vip.get("vip_id")), {}))
            done.append(self._allocated(kept, holder=old.uuid if old else "", taken=taken))
        return {**document, "vip": done} if "vip" in document else document

    def _allocated(self, vip: Document, *, holder: str, taken: set[str]) -> Document:
        if vip.get("auto_allocate_ip") is not True:
            # Source: avi.md 2.8 [CAS]: without auto-allocation any address is accepted unchecked.
            return {**vip, **_canonical(vip)}
        for family in FAMILIES[text(vip.get("auto_allocate_ip_type"))]:
            vip = self._with_address(vip, family, holder=holder, taken=taken)
        return {**vip, "avi_allocated_vip": True}

    def _with_address(self, vip: Document, family: int, *, holder: str, taken: set[str]) -> Document:
        field = FIELDS[family]
        preferred = _numeric(message(vip.get(field)), field)
        if preferred and self._holds(holder, preferred):
            return vip
        network, spans = self._spans(vip, family)
        address = self._preferred(preferred, spans, taken) if preferred else self._first_free(family, spans, taken)
        if not address:
            raise RefusedError(400, f"No available free IPs in network {network.name}")
        taken.add(address)
        # Assumed: the reply names the network that IPAM chose.
        origin = {"network_ref": f"/api/network/{network.uuid}", **message(vip.get("ipam_network_subnet"))}
        return {**vip, field: {"addr": address, "type": f"V{family}"}, "ipam_network_subnet": origin}

    def _holds(self, holder: str, address: str) -> bool:
        return holder in self.store.holders(self.cloud, str(ipaddress.ip_address(address)))

    def _preferred(self, address: str, spans: list[Span], taken: set[str]) -> str:
        """The address asked for, or the refusal. Source: avi.md 2.8: status and texts [INF]."""
        wanted = ipaddress.ip_address(address)
        if not any(first <= int(wanted) <= last for first, last in spans):
            raise RefusedError(self.preferred_status, f"Preferred IP {wanted} is not in the network's ranges")
        if str(wanted) in taken or self.store.holders(self.cloud, str(wanted)):
            raise RefusedError(self.preferred_status, f"Preferred IP {wanted} is already in use")
        return str(wanted)

    def _first_free(self, family: int, spans: list[Span], taken: set[str]) -> str:
        # Assumed: the first free address of the first range that has one. A real Controller promises no order.
        found = (self.store.first_free(self.cloud, span, family=family, taken=taken) for span in spans)
        return next((address for address in found if address), "")

    def _spans(self, vip: Document, family: int) -> tuple[Record, list[Span]]:
        """The network to use and its ranges for VIPs of that family, in the order configured.

        Source: avi.md 2.8: the network named, else the first usable one of the cloud's IPAM profile.
        """
        named = message(vip.get("ipam_network_subnet"))
        wanted = _prefix(message(named.get(SUBNET_FIELDS[family])))
        for network in self._networks(uuid_of(named.get("network_ref"))):
            spans = list(_spans_of(network.document, family, wanted))
            if spans:
                return network, spans
        raise RefusedError(400, "No available free IPs: no usable network has a subnet for this VIP")

    def _networks(self, named: str) -> Iterator[Record]:
        cloud = self.store.get(self.cloud)
        profile = self.store.get(uuid_of(cloud.document.get("ipam_provider_ref"))) if cloud else None
        usable = messages(message(profile.document.get("internal_profile")).get("usable_networks")) if profile else []
        for uuid in [named] if named else [uuid_of(entry.get("nw_ref")) for entry in usable]:
            if (network := self.store.get(uuid)) is not None:
                yield network


def _check_ids(vips: list[Document], before: dict[str, Document]) -> None:
    """PUT keeps the VIPs as they are. Source: avi.md 2.5, 2.8 [AKO, DOC]; the text for adding one is assumed."""
    ids = [text(vip.get("vip_id")) for vip in vips]
    allocated = any(vip.get("avi_allocated_vip") is True for vip in before.values())
    if set(ids) == set(before) or not before or not allocated:
        return
    if len(ids) != len(before):
        raise RefusedError(400, "Adding or removing VIPs of an existing VsVip is not supported")
    raise RefusedError(400, "Changing an existing VIP's vip_id is not supported")


def _kept(vip: Document, before: Document) -> Document:
    """The VIP with the addresses it has already. Source: avi.md 2.8 [AKO]."""
    if before.get("avi_allocated_vip") is not True:
        return vip
    kept = {**vip, "avi_allocated_vip": True}
    for field in (*FIELDS.values(), "ipam_network_subnet"):
        kept[field] = vip.get(field) or before.get(field)
        if field in FIELDS.values() and before.get(field) and _address(kept, field) != _address(before, field):
            raise RefusedError(
                400,
                f"Changing the IP of vip_id {vip.get('vip_id')} is not supported. "
                "If a new preferred IP is needed, please recreate the VIP",
            )
    return {key: value for key, value in kept.items() if value is not None}


def _address(vip: Document, field: str) -> str:
    return str(ipaddress.ip_address(_numeric(message(vip.get(field)), field)))


def _numeric(address: Document, field: str) -> str:
    """The address, empty if there is none. Assumed: IPAM allocates numbers, so one of type DNS is refused."""
    if address.get("type") == "DNS":
        raise field_check(("vip", field), "an allocated address cannot be of type DNS")
    return text(address.get("addr"))


def check_network(document: Document) -> None:
    """Refuse subnets that are none, and ranges outside of their subnet. Assumed: texts, and that it is checked."""
    for subnet in messages(document.get("configured_subnets")):
        prefix = ipaddress.ip_network(_prefix(message(subnet.get("prefix"))))
        for part in messages(subnet.get("static_ip_ranges")):
            first, last = (ipaddress.ip_address(end) for end in _written_ends(message(part.get("range"))))
            if first not in prefix or last not in prefix or int(first) > int(last):
                raise field_check(("configured_subnets", "range"), f"{first}-{last} is no range of {prefix}")


def _written_ends(part: Document) -> Iterator[str]:
    for end in ("begin", "end"):
        yield _numeric(message(part.get(end)), end)


def _canonical(vip: Document) -> Document:
    """Addresses given by hand, spelled one way, so that equal ones are known as equal."""
    given = {field: message(vip.get(field)) for field in FIELDS.values() if vip.get(field)}
    return {
        field: {**address, "addr": str(ipaddress.ip_address(text(address.get("addr"))))}
        for field, address in given.items()
        if address.get("type") != "DNS"
    }


def _prefix(subnet: Document) -> str:
    if not subnet:
        return ""
    try:
        return str(
            ipaddress.ip_network(f"{message(subnet.get('ip_addr')).get('addr')}/{subnet.get('mask')}", strict=False)
        )
    except ValueError:
        raise RefusedError(400, "The subnet's mask does not suit its address") from None


def _spans_of(network: Document, family: int, wanted: str) -> Iterator[Span]:
    for subnet in messages(network.get("configured_subnets")):
        prefix = _prefix(message(subnet.get("prefix")))
        whole = ipaddress.ip_network(prefix)
        if whole.version != family or wanted not in {"", prefix}:
            continue
        ranges = messages(subnet.get("static_ip_ranges"))
        yield from (_ends(message(part["range"])) for part in ranges if part.get("type") in VIP_RANGES)
        if not ranges:
            yield _hosts(whole)


def _ends(part: Document) -> Span:
    first, last = (int(ipaddress.ip_address(end)) for end in _written_ends(part))
    return first, last


def _hosts(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> Span:
    """Every address but the network's own and the last, unless there are only one or two."""
    first, last = int(network.network_address), int(network.broadcast_address)
    return (first + 1, last - 1) if last - first > 1 else (first, last)
