"""Which call is answered by what; every refusal becomes its reply here, and nothing else escapes."""

import logging
from collections.abc import Mapping
from typing import Final

from simulator import versions
from simulator.calls import Call, Reply
from simulator.controller import Controller
from simulator.gate import Gate, session_cookies
from simulator.kinds import EMPTY_KINDS, KINDS
from simulator.objects import INVENTORIES, Objects
from simulator.refusals import RefusedError
from simulator.sessions import Session
from simulator.system import SYSTEM, revoke_token
from simulator.writes import Caller

LOG: Final = logging.getLogger(__name__)


class Api:
    """The whole REST interface of one Controller, as a function from call to reply."""

    def __init__(self, controller: Controller) -> None:
        """Serve ``controller``."""
        self._controller = controller
        self._gate = Gate(controller)
        self._objects = Objects(controller)

    def answer(self, call: Call) -> Reply:
        """The reply to a call; it raises nothing."""
        try:
            return self._answer(call)
        except RefusedError as refusal:
            return Reply(refusal.status, refusal.content, headers=_headers(call))
        except Exception:
            # A bug of ours: a stranger's client gets an answer, we get the traceback.
            LOG.exception("simulator bug in %s %s", call.method, call.path)
            return Reply(500, {"error": "Internal error of the simulator"})

    def _answer(self, call: Call) -> Reply:
        self._controller.life.check(call)
        match call.segments:
            case ["login" | "logout" as name]:
                _require_method(call, "POST")
                return self._gate.login(call) if name == "login" else self._gate.logout(call)
            case ["api", *rest] if rest:
                return self._admitted(call, rest)
            case _:
                raise _unknown(call)

    def _admitted(self, call: Call, rest: list[str]) -> Reply:
        """The reply, with what every reply carries. Source: avi.md 2.1 [CAS]: cookies again, AVI_API_VERSION, Vary."""
        caller, session = self._gate.admit(call)
        reply = self._attempted(call, rest, caller)
        return Reply(reply.status, reply.content, {**reply.headers, **_headers(call, caller)}, _cookies(session))

    def _attempted(self, call: Call, rest: list[str], caller: Caller) -> Reply:
        try:
            return self._routed(call, rest, caller)
        except RefusedError as refusal:
            return Reply(refusal.status, refusal.content)

    def _routed(self, call: Call, rest: list[str], caller: Caller) -> Reply:
        if (answers := SYSTEM.get("/".join(rest))) is not None:
            _require_method(call, *answers)
            return answers[call.method](self._controller, call, caller)
        match rest:
            case ["user-token", uuid]:
                _require_method(call, "DELETE")
                return revoke_token(self._controller, uuid)
            case ["macro"]:
                _require_method(call, "POST", "PUT", "DELETE")
                return self._objects.macro(call, caller)
            case [name, *below] if name in INVENTORIES and len(below) <= 1:
                _require_method(call, "GET")
                return self._inventory(INVENTORIES[name], below, call, caller)
            case [path] if path in EMPTY_KINDS:
                _require_method(call, "GET")
                return Reply(200, {"count": 0, "results": []})
            case [path, *below] if path in KINDS:
                return self._object(path, below, call, caller)
            case _:
                raise _unknown(call)

    def _inventory(self, path: str, below: list[str], call: Call, caller: Caller) -> Reply:
        if below:
            return self._objects.inventory_item(path, below[0], call, caller)
        return self._objects.inventory(path, call, caller)

    def _object(self, path: str, below: list[str], call: Call, caller: Caller) -> Reply:
        match below:
            case []:
                _require_method(call, "GET", "POST")
                return (self._objects.list if call.method == "GET" else self._objects.create)(path, call, caller)
            case [uuid]:
                return self._one(path, uuid, call, caller)
            case [uuid, "runtime", *detail] if detail in ([], ["detail"]):
                _require_method(call, "GET")
                return self._objects.runtime(path, uuid, caller, detail=bool(detail))
            case _:
                raise _unknown(call)

    def _one(self, path: str, uuid: str, call: Call, caller: Caller) -> Reply:
        _require_method(call, "GET", "PUT", "PATCH", "DELETE")
        if call.method == "DELETE":
            return self._objects.delete(path, uuid, caller)
        by_method = {"GET": self._objects.read, "PUT": self._objects.replace, "PATCH": self._objects.patch}
        return by_method[call.method](path, uuid, call, caller)


def _require_method(call: Call, *allowed: str) -> None:
    """Source: avi.md 2.5: 405 "Method 'DELETE' not allowed" [DOC][SDK]."""
    if call.method not in allowed:
        raise RefusedError(405, f"Method '{call.method}' not allowed")


def _unknown(call: Call) -> RefusedError:
    """Assumed text; 404 with ``error`` like every error."""
    return RefusedError(404, f"{call.path} not found")


def _headers(call: Call, caller: Caller | None = None) -> Mapping[str, str]:
    version = caller.version if caller else versions.OLDEST
    shown = {"Vary": "Accept, Cookie", "AVI_API_VERSION": versions.underscored(version)}
    return shown if call.segments[:1] == ["api"] else {}


def _cookies(session: Session | None) -> tuple[str, ...]:
    return session_cookies(session) if session else ()
