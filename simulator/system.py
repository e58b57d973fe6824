"""The endpoints about the Controller itself: version, cluster, configuration, tokens; never about objects."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, TypeAlias

from simulator.calls import Call, Reply
from simulator.controller import Controller
from simulator.documents import Document
from simulator.gate import version_of
from simulator.refusals import RefusedError
from simulator.sessions import TOKEN_HOURS_LIMIT, Token
from simulator.writes import Caller

Answer: TypeAlias = Callable[[Controller, Call, Caller], Reply]

DOMAINS: Final = ("avi.internal",)
"""Source: ako.md 6.1 no. 11."""


def _initial_data(controller: Controller, _call: Call, _caller: Caller) -> Reply:
    """Source: avi.md 2.1 [AKO]."""
    return Reply(200, {"version": version_of(controller)})


def _cluster(controller: Controller, call: Call, _caller: Caller) -> Reply:
    """Source: avi.md 2.1: an object, no ``results``."""
    address: Document = {"addr": "127.0.0.1", "type": "V4"}
    nodes: list[Document] = [
        {"name": node.name, "ip": {"addr": node.name, "type": "V4"}, "vm_hostname": f"node{number}"}
        for number, node in enumerate(controller.life.nodes(), start=1)
    ]
    shown: Document = {
        "uuid": controller.cluster_uuid,
        "name": "cluster-0-1",
        "nodes": nodes,
        "virtual_ip": address,
        "tenant_ref": f"{call.origin}/api/tenant/admin",
        "url": f"{call.origin}/api/cluster/{controller.cluster_uuid}",
    }
    return Reply(200, shown)


def _cluster_runtime(controller: Controller, _call: Call, _caller: Caller) -> Reply:
    """Source: avi.md 2.1 [DOC], ako.md 6.1 no. 3; the word for a node that does not lead is assumed."""
    nodes: list[Document] = [
        {
            "name": node.name,
            "role": "CLUSTER_LEADER" if node.is_leader else "CLUSTER_FOLLOWER",
            "state": "CLUSTER_ACTIVE",
            "up_since": node.up_since,
        }
        for node in controller.life.nodes()
    ]
    return Reply(200, {"node_states": nodes, "cluster_state": _up(controller)})


def _cluster_status(controller: Controller, _call: Call, _caller: Caller) -> Reply:
    """Source: avi.md 2.1 [Go SDK health probe]; the body is assumed to be the runtime's cluster state."""
    return Reply(200, {"cluster_state": _up(controller)})


def _up(controller: Controller) -> Document:
    """Source: avi.md 2.1 [DOC] for the words."""
    nodes = controller.life.nodes()
    since = next(node.up_since for node in nodes if node.is_leader)
    return {
        "state": "CLUSTER_UP_NO_HA" if len(nodes) == 1 else "CLUSTER_UP_HA_ACTIVE",
        "progress": 100,
        "up_since": since,
    }


def _properties(controller: Controller, call: Call, _caller: Caller) -> Reply:
    """Source: avi.md 2.2, 2.9 [KB 372209] for path and fields; the rest of the object is not simulated."""
    limit = controller.rate_limit
    shown: Document = {
        "uuid": "global",
        "url": f"{call.origin}/api/controllerproperties",
        "api_idle_timeout": controller.settings.idle_timeout_minutes,
        "portal_request_rate_limit": limit.per_second,
        "portal_request_burst_limit": limit.burst,
    }
    return Reply(200, shown)


def _set_properties(controller: Controller, call: Call, caller: Caller) -> Reply:
    """PUT: the two limits, at once in force; one that is absent stays (assumed)."""
    body, limit = call.document(), controller.rate_limit
    given = (
        body.get("portal_request_rate_limit", limit.per_second),
        body.get("portal_request_burst_limit", limit.burst),
    )
    per_second, burst = (float(one) if isinstance(one, int | float) else -1.0 for one in given)
    if per_second < 0 or burst < 0:
        raise RefusedError(400, f"portal_request_rate_limit and _burst_limit must be numbers from 0, not {given!r}")
    limit.per_second, limit.burst = per_second, int(burst)
    return _properties(controller, call, caller)


def _cluster_version(controller: Controller, _call: Call, _caller: Caller) -> Reply:
    """Source: avi.md 2.1."""
    return Reply(200, version_of(controller))


def _system_configuration(controller: Controller, call: Call, _caller: Caller) -> Reply:
    """Source: ako.md 6.1 no. 4; avi.md 2.1 for the portal's fields."""
    settings = controller.settings
    portal: Document = {
        "allow_basic_authentication": settings.allows_basic_authentication,
        "api_force_timeout": settings.force_timeout_hours,
    }
    shown: Document = {
        "uuid": "default",
        "url": f"{call.origin}/api/systemconfiguration",
        "default_license_tier": settings.licence_tier,
        "portal_configuration": portal,
    }
    return Reply(200, shown)


def _domains(_controller: Controller, _call: Call, _caller: Caller) -> Reply:
    """Source: ako.md 6.1 no. 11."""
    return Reply(200, {"domains": list(DOMAINS)})


def _tokens(controller: Controller, _call: Call, _caller: Caller) -> Reply:
    """Source: avi.md 2.1 [AKO]; assumed: the list does not show the secrets."""
    shown = [{**_token(token), "token": None} for token in controller.sessions.tokens()]
    return Reply(200, {"count": len(shown), "results": shown})


def _new_token(controller: Controller, call: Call, caller: Caller) -> Reply:
    """Source: avi.md 2.1 [AKO] [DOC]: hours as a string, 0 to 87600. Status 200 assumed."""
    given = call.document().get("hours", "24")
    try:
        hours = float(given) if isinstance(given, int | float | str) else -1.0
    except ValueError:
        hours = -1.0
    if not 0 <= hours <= TOKEN_HOURS_LIMIT:
        raise RefusedError(400, f"hours must be a number from 0 to {TOKEN_HOURS_LIMIT:.0f}, not {given!r}")
    return Reply(200, _token(controller.sessions.new_token(caller.username, hours=hours)))


def _token(token: Token) -> Document:
    expires = datetime.fromtimestamp(token.expires_at, UTC).isoformat()
    return {"uuid": token.uuid, "token": token.value, "expires_at": expires, "username": token.username}


SYSTEM: Final[Mapping[str, Mapping[str, Answer]]] = {
    "initial-data": {"GET": _initial_data},
    "cluster": {"GET": _cluster},
    "cluster/runtime": {"GET": _cluster_runtime},
    "cluster/status": {"GET": _cluster_status},
    "cluster/version": {"GET": _cluster_version},
    "controllerproperties": {"GET": _properties, "PUT": _set_properties},
    "systemconfiguration": {"GET": _system_configuration},
    "ipamdnsproviderprofiledomainlist": {"GET": _domains},
    "user-token": {"GET": _tokens, "POST": _new_token},
}
"""Path below ``/api/``, then method."""


def revoke_token(controller: Controller, uuid: str) -> Reply:
    """DELETE /api/user-token/<uuid>: 204. Source: avi.md 2.1 [AKO]."""
    if not controller.sessions.revoke(uuid):
        raise RefusedError(404, "UserToken object not found!")
    return Reply(204)
