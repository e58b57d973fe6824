"""What the Controller says about the state of objects: computed from their configuration when asked, never stored.

Source: avi.md 2.10 [DOC][SW]; DOWN without an enabled server is the issue's rule. Placement is immediate unless
``Knobs.placement_seconds`` says otherwise. No traffic, no health check and no metrics are simulated.
"""

from dataclasses import dataclass

from simulator.documents import Document, message, messages, text
from simulator.references import uuid_of
from simulator.render import Rendering, rendered
from simulator.store import Record, Store, references

MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Runtime:
    """Computes states.

    Attributes:
        store: The objects.
        now: Seconds since the epoch.
        placement_seconds: How long a virtual service is being created.
    """

    store: Store
    now: float
    placement_seconds: float

    def of(self, record: Record) -> Document:
        """The runtime of a virtual service, vsvip or pool."""
        if record.kind.path == "pool":
            return self._pool(record)
        users = [user for user in self.store.referrers(record.uuid) if user.kind.path == "virtualservice"]
        shown: Document = {"oper_status": _status(self._state(record, users), record)}
        if record.kind.path == "vsvip":
            vips = [text(vip.get("vip_id")) for vip in messages(record.document.get("vip"))]
            return {**shown, "vip_id": vips[0] if vips else "0", "num_se_assigned": 1 if users else 0}
        return {**shown, "percent_ses_up": 100, "vip_summary": self._summary(record), "type": "VS_TYPE_NORMAL"}

    def inventory(self, record: Record, how: Rendering) -> Document:
        """One item of an inventory list."""
        config = rendered(self.store, record, how)
        shown: Document = {"uuid": record.uuid, "config": config, "runtime": self.of(record)}
        if record.kind.path == "virtualservice":
            vsvip = self.store.get(uuid_of(record.document.get("vsvip_ref")))
            config["vip"] = rendered(self.store, vsvip, how).get("vip", []) if vsvip else []
            pools = [f"{how.origin}/api/pool/{pool.uuid}#{pool.name}" for pool in self._pools(record)]
            shown |= {"health_score": {"health_score": 100}, "alert": {}, "metrics": {}, "pools": pools}
        return shown

    def _state(self, record: Record, users: list[Record]) -> str:
        if record.kind.path == "vsvip":
            return "OPER_UP" if users else "OPER_UNUSED"
        if record.document.get("enabled") is False:
            return "OPER_DISABLED"
        if self.now - record.created_us / MICROSECONDS < self.placement_seconds:
            return "OPER_CREATING"
        return "OPER_UP" if any(_enabled_servers(pool) for pool in self._pools(record)) else "OPER_DOWN"

    def _pool(self, record: Record) -> Document:
        servers, up = len(messages(record.document.get("servers"))), _enabled_servers(record)
        state = "OPER_UP" if up else "OPER_DOWN"
        if record.document.get("enabled") is False:
            state = "OPER_DISABLED"
        elif not self.store.referrers(record.uuid):
            state = "OPER_UNUSED"
        percent = 100 * up // servers if servers else 0
        counts: Document = {"num_servers": servers, "num_servers_enabled": up, "num_servers_up": up}
        return {**counts, "oper_status": _status(state, record), "percent_servers_up_total": percent}

    def _pools(self, record: Record) -> list[Record]:
        """The pools of a virtual service, its own and those of its L4 policies, each once."""
        targets = [self.store.get(uuid) for uuid in references(record.document)]
        policies = [target for target in targets if target is not None and target.kind.path == "l4policyset"]
        below = [self.store.get(uuid) for policy in policies for uuid in references(policy.document)]
        pools = [target for target in (*targets, *below) if target is not None and target.kind.path == "pool"]
        return list({pool.uuid: pool for pool in pools}.values())

    def _summary(self, record: Record) -> list[Document]:
        vsvip = self.store.get(uuid_of(record.document.get("vsvip_ref")))
        vips = messages(vsvip.document.get("vip")) if vsvip else []
        return [
            {
                "vip_id": vip.get("vip_id"),
                "oper_status": _status(self._state(record, []), record),
                "percent_ses_up": 100,
            }
            for vip in vips
        ]


def _enabled_servers(pool: Record) -> int:
    if pool.document.get("enabled") is False:
        return 0
    return sum(message(server).get("enabled") is not False for server in messages(pool.document.get("servers")))


def _status(state: str, record: Record) -> Document:
    secs, usecs = divmod(record.modified_us, MICROSECONDS)
    return {"state": state, "reason": [], "reason_code": 0, "last_changed_time": {"secs": secs, "usecs": usecs}}
