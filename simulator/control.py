"""The control port: what tests and people ask about the simulator itself; never part of the Avi interface.

Plain HTTP on loopback, without login: it shows no password, no session and no token.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import TypeVar

import msgspec
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulator.controller import Controller
from simulator.documents import Document
from simulator.faults import Fault, Faults
from simulator.journal import Journal
from simulator.kinds import KINDS
from simulator.life import Condition
from simulator.render import Rendering, rendered


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a POST or PUT to the control port tells; a field that is not known is refused."""


class Restart(Order, frozen=True):
    """``keeps_state``: whether the objects are there afterwards. ``seconds``: how long every call is answered 503."""

    keeps_state: bool = True
    seconds: float = 0.0


class Election(Order, frozen=True):
    """``seconds``: how long every call is answered 503. ``ends_sessions``: whether logins are lost."""

    seconds: float = 0.0
    ends_sessions: bool = True


class Being(Order, frozen=True):
    """``seconds``: how long the condition lasts; null is until told otherwise."""

    condition: Condition
    seconds: float | None = None


class Jump(Order, frozen=True):
    """``seconds``: how far the Controller's clock jumps ahead; negative is back."""

    seconds: float


class Password(Order, frozen=True):
    """``password``: the new one."""

    password: str


Asked = TypeVar("Asked", Restart, Election, Being, Jump, Password, Fault)


def _nothing() -> None:
    """For a Controller that has no connections."""


def create_control_app(
    controller: Controller,
    *,
    journal: Journal,
    faults: Faults,
    hang_up: Callable[[], object] = _nothing,
    renew_certificates: Callable[[], object] = _nothing,
) -> FastAPI:
    """The control port's application; unknown paths are 404, unknown methods 405, bodies that are none 422.

    ``GET /journal``: the calls, as ``journal.Entry``, with ``?after=<number>`` the later ones; ``DELETE`` forgets them.
    ``GET /state``: every object by kind.
    ``DELETE /sessions``: ends every session. ``DELETE /lockouts``: unlocks every account.
    ``POST /faults``: one ``faults.Fault``; ``GET`` shows them and what they saw; ``DELETE``.
    ``POST /restart``, ``POST /leader``, ``PUT /condition``, ``POST /clock``, ``PUT /password``: see the orders above.
    ``POST /certificates``: a new CA and certificate, for connections made from then on.

    Args:
        controller: What is controlled.
        journal: Its calls.
        faults: Its script.
        hang_up: Resets every connection to it.
        renew_certificates: Issues new ones and serves with them.
    """
    port = _Port(controller, journal, faults, hang_up, renew_certificates)
    routes = [
        Route("/journal", port.read_journal, methods=["GET"]),
        Route("/journal", port.clear_journal, methods=["DELETE"]),
        Route("/faults", port.read_faults, methods=["GET"]),
        Route("/faults", port.set_fault, methods=["POST"]),
        Route("/faults", port.clear_faults, methods=["DELETE"]),
        Route("/sessions", port.end_sessions, methods=["DELETE"]),
        Route("/lockouts", port.unlock, methods=["DELETE"]),
        Route("/state", port.read_state, methods=["GET"]),
        Route("/restart", port.restart, methods=["POST"]),
        Route("/leader", port.elect, methods=["POST"]),
        Route("/condition", port.enter, methods=["PUT"]),
        Route("/clock", port.jump, methods=["POST"]),
        Route("/password", port.set_password, methods=["PUT"]),
        Route("/certificates", port.renew, methods=["POST"]),
    ]
    refused = {msgspec.DecodeError: _not_understood, ValueError: _not_understood}
    app = FastAPI(
        title="Avi Controller simulator, control",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        exception_handlers={**refused},
    )
    app.router.routes.extend(routes)
    return app


class _Port:
    """The answers."""

    def __init__(
        self,
        controller: Controller,
        journal: Journal,
        faults: Faults,
        hang_up: Callable[[], object],
        renew_certificates: Callable[[], object],
    ) -> None:
        self._controller = controller
        self._journal = journal
        self._faults = faults
        self._hang_up = hang_up
        self._renew_certificates = renew_certificates

    async def read_journal(self, request: Request) -> Response:
        after = int(request.query_params.get("after", "0"))
        return JSONResponse([asdict(entry) for entry in self._journal.entries(after=after)])

    async def clear_journal(self, _request: Request) -> Response:
        self._journal.clear()
        return _done()

    async def read_faults(self, _request: Request) -> Response:
        lines = self._faults.lines()
        return JSONResponse([{**msgspec.structs.asdict(fault), "seen": seen} for fault, seen in lines])

    async def set_fault(self, request: Request) -> Response:
        self._faults.set(await _asked(request, Fault))
        return _done()

    async def clear_faults(self, _request: Request) -> Response:
        self._faults.clear()
        return _done()

    async def end_sessions(self, _request: Request) -> Response:
        self._controller.sessions.expire_all()
        return _done()

    async def unlock(self, _request: Request) -> Response:
        self._controller.sessions.unlock_all()
        return _done()

    async def read_state(self, _request: Request) -> Response:
        return JSONResponse(state(self._controller))

    async def restart(self, request: Request) -> Response:
        asked = await _asked(request, Restart)
        self._controller.restart(keeps_state=asked.keeps_state, seconds=asked.seconds)
        self._hang_up()
        return _done()

    async def elect(self, request: Request) -> Response:
        asked = await _asked(request, Election)
        self._controller.life.elect(seconds=asked.seconds)
        if asked.ends_sessions:
            self._controller.sessions.expire_all()
        self._hang_up()
        return _done()

    async def enter(self, request: Request) -> Response:
        asked = await _asked(request, Being)
        self._controller.life.enter(asked.condition, seconds=asked.seconds)
        return _done()

    async def jump(self, request: Request) -> Response:
        self._controller.clock.jump((await _asked(request, Jump)).seconds)
        return _done()

    async def set_password(self, request: Request) -> Response:
        self._controller.sessions.set_password((await _asked(request, Password)).password)
        return _done()

    async def renew(self, _request: Request) -> Response:
        self._renew_certificates()
        return _done()


async def _asked(request: Request, kind: type[Asked]) -> Asked:
    return msgspec.json.decode(await request.body() or b"{}", type=kind)


async def _not_understood(_request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=422)


def _done() -> Response:
    return Response(status_code=204)


def state(controller: Controller) -> dict[str, list[Document]]:
    """Every object by kind, references named."""
    how = Rendering("", is_named=True)
    return {path: [rendered(controller.store, one, how) for one in controller.store.of_kind(path)] for path in KINDS}
