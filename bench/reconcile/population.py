"""The groups, Services and EndpointSlices of the benchmark, as plain documents; it never talks to a cluster.

No selector, so that no controller works on EndpointSlices meanwhile, and no node ports, of which a cluster has 2,768.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sharedvip.annotations import AVI_CLASS, SHARED_VIP
from sharedvip.model import GroupName

LABEL: Final = "app.kubernetes.io/part-of"
PART_OF: Final = "bench-reconcile"
NAMESPACE: Final = "bench"
ROLLING: Final = "bench-rolling"
"""The namespace of the Deployment that restarts."""
SLICE_SIZE: Final = 100
"""Endpoints of a slice, as the EndpointSlice controller makes them by default."""
STEPS: Final = ("new pods, not ready", "new pods ready", "old pods terminating", "old pods gone")
"""What the EndpointSlice controller writes while a few pods are replaced by as many new ones."""

_PORTS: Final = (80, 443)
_TARGET_PORT: Final = 8080

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Member:
    """A Service of a group, and its endpoints' addresses."""

    name: str
    port: int
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BenchGroup:
    """A group with its two members."""

    name: GroupName
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Rollout:
    """A Deployment behind many Services, of which a few pods at a time are replaced."""

    pods: int
    services: int
    waves: int

    @property
    def events(self) -> int:
        """How many times an EndpointSlice is written."""
        return self.waves * len(STEPS) * self.services

    @property
    def pods_per_wave(self) -> int:
        """How many pods are replaced at a time."""
        return self.pods // self.waves


def groups(count: int, *, endpoints: int = 10) -> Iterator[BenchGroup]:
    """Groups of two Services with one port and so many endpoints each."""
    for number in range(count):
        members = (
            Member(f"web-{number:05d}-{port}", port, _addresses(2 * number + index, endpoints))
            for index, port in enumerate(_PORTS)
        )
        yield BenchGroup(GroupName(NAMESPACE, f"vip-{number:05d}"), tuple(members))


def rolling_groups(rollout: Rollout) -> Iterator[BenchGroup]:
    """The Services before the Deployment, two to a group, all with the same endpoints."""
    pods = tuple(pod_address(number, is_new=False) for number in range(rollout.pods))
    for number in range(rollout.services // len(_PORTS)):
        members = tuple(Member(f"app-{number:02d}-{port}", port, pods) for port in _PORTS)
        yield BenchGroup(GroupName(ROLLING, f"app-{number:02d}"), members)


def pod_address(number: int, *, is_new: bool) -> str:
    """The address of a pod of the Deployment, before or after the restart."""
    return f"10.{201 if is_new else 200}.{number // 250}.{number % 250 + 1}"


def render_service(group: BenchGroup, member: Member) -> JsonObject:
    """A Service that asks for the group."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": member.name,
            "namespace": group.name.namespace,
            "labels": {LABEL: PART_OF},
            "annotations": {SHARED_VIP: group.name.key},
        },
        "spec": {
            "type": "LoadBalancer",
            "loadBalancerClass": AVI_CLASS,
            "allocateLoadBalancerNodePorts": False,
            "ports": [{"port": member.port, "protocol": "TCP", "targetPort": _TARGET_PORT}],
        },
    }


def render_slices(group: BenchGroup, member: Member) -> Iterator[JsonObject]:
    """The Service's EndpointSlices, every endpoint ready."""
    for number, begin in enumerate(range(0, len(member.addresses), SLICE_SIZE)):
        part = member.addresses[begin : begin + SLICE_SIZE]
        yield render_slice(group, member, number=number, endpoints=[_endpoint(address) for address in part])


def render_slice(group: BenchGroup, member: Member, *, number: int, endpoints: Sequence[JsonObject]) -> JsonObject:
    """One slice of a Service."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{member.name}-{number}",
            "namespace": group.name.namespace,
            "labels": {
                "kubernetes.io/service-name": member.name,
                "endpointslice.kubernetes.io/managed-by": "bench.sharedvip.dev",
                LABEL: PART_OF,
            },
        },
        "addressType": "IPv4",
        "ports": [{"name": "", "port": _TARGET_PORT, "protocol": "TCP"}],
        "endpoints": list(endpoints),
    }


def restart(rollout: Rollout, group: BenchGroup, member: Member) -> Iterator[JsonObject]:
    """The slices of one Service as they are written while the Deployment restarts, in order."""
    for wave in range(rollout.waves):
        first = wave * rollout.pods_per_wave
        number = first // SLICE_SIZE
        begin, end = number * SLICE_SIZE, min((number + 1) * SLICE_SIZE, rollout.pods)
        moving = range(first, first + rollout.pods_per_wave)
        for step in range(len(STEPS)):
            states = (_states(pod, moving, step) for pod in range(begin, end))
            yield render_slice(group, member, number=number, endpoints=[one for some in states for one in some])


def _states(pod: int, moving: range, step: int) -> list[JsonObject]:
    """The pod's endpoints, old and new, at one step of a wave."""
    old, new = pod_address(pod, is_new=False), pod_address(pod, is_new=True)
    if pod < moving.start:
        return [_endpoint(new)]
    if pod >= moving.stop:
        return [_endpoint(old)]
    after = [_endpoint(new, is_ready=step > 0)]
    before = [_endpoint(old, is_ready=step < 2, is_terminating=step == 2)]  # noqa: PLR2004 - the third of STEPS
    return after if step == len(STEPS) - 1 else [*before, *after]


def _endpoint(address: str, *, is_ready: bool = True, is_terminating: bool = False) -> JsonObject:
    conditions = {"ready": is_ready, "serving": is_ready or is_terminating, "terminating": is_terminating}
    return {"addresses": [address], "conditions": conditions, "nodeName": "kwok-0"}


def _addresses(service: int, count: int) -> tuple[str, ...]:
    first = service * count
    return tuple(f"10.{128 + n // 62500}.{n // 250 % 250}.{n % 250 + 1}" for n in range(first, first + count))
