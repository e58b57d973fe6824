"""What the Controller says about the state of objects: computed from their configuration when asked, never stored.

Source: avi.md 2.10 [DOC][SW]; DOWN without an enabled server is the issue's rule. A virtual service is placed in three
steps of equal length (assumed), together ``Knobs.placement_seconds``; then its servers say whether it is up. It is
placed anew when it is enabled (assumed). No traffic, no health check and no metrics are simulated.
"""

from dataclasses import dataclass
from typing import Final

from simulator.documents import Document, message, messages, text
from simulator.references import uuid_of
from simulator.render import Rendering, rendered
from simulator.store import Record, Store, references

MICROSECONDS: Final = 1_000_000

PLACEMENT: Final = ("OPER_CREATING", "OPER_RESOURCES", "OPER_PROCESSING")
"""The steps until a virtual service is placed. Source: avi.md 2.10; their order and length are assumed."""

REASONS: Final = {
    "OPER_CREATING": "Creating the virtual service",
    "OPER_RESOURCES": "Waiting for Service Engine resources",
    "OPER_PROCESSING": "Service Engine is processing the configuration",
    "OPER_DOWN": "No enabled server in any pool",
    "OPER_DISABLED": "Disabled by configuration",
    "OPER_UNUSED": "Not used by any virtual service",
}
"""Assumed: only that ``reason`` is a list of words is known."""


@dataclass(frozen=True, slots=True)
class State:
    """An ``oper_status``: its word and when it became true, microseconds since the epoch."""

    word: str
    since_us: int

    @property
    def is_placed(self) -> bool:
        """Whether a Service Engine serves it."""
        return self.word in {"OPER_UP", "OPER_DOWN"}


@dataclass(frozen=True, slots=True)
class Runtime:
    """Computes states.

    Attributes:
        store: The objects.
        now: Seconds since the epoch.
        placement_seconds: How long a virtual service is being placed.
    """

    store: Store
    now: float
    placement_seconds: float

    def of(self, record: Record) -> Document:
        """The runtime of a virtual service, vsvip or pool."""
        if record.kind.path == "pool":
            return self._pool(record)
        if record.kind.path == "vsvip":
            return self._vsvip(record)
        state = self._state(record)
        shown: Document = {"oper_status": _status(state), "percent_ses_up": _percent(state), "type": "VS_TYPE_NORMAL"}
        return {**shown, "vip_summary": self._summary(record, state)}

    def inventory(self, record: Record, how: Rendering) -> Document:
        """One item of an inventory list."""
        config = rendered(self.store, record, how)
        shown: Document = {"uuid": record.uuid, "config": config, "runtime": self.of(record)}
        if record.kind.path == "virtualservice":
            vsvip = self.store.get(uuid_of(record.document.get("vsvip_ref")))
            config["vip"] = rendered(self.store, vsvip, how).get("vip", []) if vsvip else []
            pools = [f"{how.origin}/api/pool/{pool.uuid}#{pool.name}" for pool in self._pools(record)]
            score = 100 if self._state(record).word == "OPER_UP" else 0
            shown |= {"health_score": {"health_score": score}, "alert": {}, "metrics": {}, "pools": pools}
            shown["app_profile_type"] = self._application_type(record)
        return shown

    def _state(self, record: Record) -> State:
        """Of a virtual service."""
        if record.document.get("enabled") is False:
            return State("OPER_DISABLED", record.modified_us)
        seconds = self.now - record.placing_since_us / MICROSECONDS
        if seconds < self.placement_seconds:
            step = max(0, int(len(PLACEMENT) * seconds / self.placement_seconds))
            begun = step * self.placement_seconds / len(PLACEMENT) * MICROSECONDS
            return State(PLACEMENT[step], record.placing_since_us + int(begun))
        placed_us = record.placing_since_us + int(self.placement_seconds * MICROSECONDS)
        pools = self._pools(record)
        since_us = max(placed_us, record.modified_us, *(pool.modified_us for pool in pools))
        return State("OPER_UP" if any(map(_enabled_servers, pools)) else "OPER_DOWN", since_us)

    def _vsvip(self, record: Record) -> Document:
        """Up as soon as one of its virtual services is placed, servers or not: assumed."""
        users = [user for user in self.store.referrers(record.uuid) if user.kind.path == "virtualservice"]
        states = [self._state(user) for user in users]
        placed = [State("OPER_UP", state.since_us) for state in states if state.is_placed]
        state = next(iter([*placed, *states]), State("OPER_UNUSED", record.modified_us))
        vips = [text(vip.get("vip_id")) for vip in messages(record.document.get("vip"))]
        engines = 1 if placed else 0
        return {"oper_status": _status(state), "vip_id": vips[0] if vips else "0", "num_se_assigned": engines}

    def _pool(self, record: Record) -> Document:
        servers, up = len(messages(record.document.get("servers"))), _enabled_servers(record)
        word = "OPER_UP" if up else "OPER_DOWN"
        if record.document.get("enabled") is False:
            word = "OPER_DISABLED"
        elif not self.store.referrers(record.uuid):
            word = "OPER_UNUSED"
        percent = 100 * up // servers if servers else 0
        counts: Document = {"num_servers": servers, "num_servers_enabled": up, "num_servers_up": up}
        shares: Document = {"percent_servers_up_total": percent, "percent_servers_up_enabled": 100 if up else 0}
        return {**counts, **shares, "oper_status": _status(State(word, record.modified_us))}

    def _pools(self, record: Record) -> list[Record]:
        """The pools of a virtual service, its own and those of its L4 policies, each once."""
        targets = [self.store.get(uuid) for uuid in references(record.document)]
        policies = [target for target in targets if target is not None and target.kind.path == "l4policyset"]
        below = [self.store.get(uuid) for policy in policies for uuid in references(policy.document)]
        pools = [target for target in (*targets, *below) if target is not None and target.kind.path == "pool"]
        return list({pool.uuid: pool for pool in pools}.values())

    def _summary(self, record: Record, state: State) -> list[Document]:
        vsvip = self.store.get(uuid_of(record.document.get("vsvip_ref")))
        vips = messages(vsvip.document.get("vip")) if vsvip else []
        status = _status(state)
        return [{"vip_id": vip.get("vip_id"), "oper_status": status, "percent_ses_up": _percent(state)} for vip in vips]

    def _application_type(self, record: Record) -> str:
        profile = self.store.get(uuid_of(record.document.get("application_profile_ref")))
        return text(profile.document.get("type")) if profile else ""


def _enabled_servers(pool: Record) -> int:
    if pool.document.get("enabled") is False:
        return 0
    return sum(message(server).get("enabled") is not False for server in messages(pool.document.get("servers")))


def _percent(state: State) -> int:
    return 100 if state.word == "OPER_UP" else 0


def _status(state: State) -> Document:
    secs, usecs = divmod(state.since_us, MICROSECONDS)
    reason = REASONS.get(state.word)
    changed: Document = {"secs": secs, "usecs": usecs}
    return {
        "state": state.word,
        "reason": [reason] if reason else [],
        "reason_code": 0,
        "last_changed_time": changed,
    }
