"""The control port: what tests and people ask about the simulator itself; never part of the Avi interface.

Plain HTTP on loopback, without login: it shows no password, no session and no token.
"""

from dataclasses import asdict

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
from simulator.render import Rendering, rendered


def create_control_app(controller: Controller, *, journal: Journal, faults: Faults) -> FastAPI:
    """The control port's application; unknown paths are 404, unknown methods 405.

    ``GET /journal``: the calls, as ``journal.Entry``; ``DELETE`` forgets them.
    ``GET /state``: every object by kind.
    ``DELETE /sessions``: ends every session, as a restart does.
    ``POST /faults``: one ``faults.Fault``, 422 if it is none; ``GET`` shows them and what they saw; ``DELETE``.
    """

    async def read_journal(_request: Request) -> Response:
        return JSONResponse([asdict(entry) for entry in journal.entries()])

    async def clear_journal(_request: Request) -> Response:
        journal.clear()
        return Response(status_code=204)

    async def read_faults(_request: Request) -> Response:
        return JSONResponse([{**msgspec.structs.asdict(fault), "seen": seen} for fault, seen in faults.lines()])

    async def set_fault(request: Request) -> Response:
        try:
            faults.set(msgspec.json.decode(await request.body(), type=Fault))
        except msgspec.DecodeError as error:
            return JSONResponse({"error": str(error)}, status_code=422)
        return Response(status_code=204)

    async def clear_faults(_request: Request) -> Response:
        faults.clear()
        return Response(status_code=204)

    async def end_sessions(_request: Request) -> Response:
        controller.sessions.expire_all()
        return Response(status_code=204)

    async def read_state(_request: Request) -> Response:
        return JSONResponse(state(controller))

    routes = [
        Route("/journal", read_journal, methods=["GET"]),
        Route("/journal", clear_journal, methods=["DELETE"]),
        Route("/faults", read_faults, methods=["GET"]),
        Route("/faults", set_fault, methods=["POST"]),
        Route("/faults", clear_faults, methods=["DELETE"]),
        Route("/sessions", end_sessions, methods=["DELETE"]),
        Route("/state", read_state, methods=["GET"]),
    ]
    app = FastAPI(title="Avi Controller simulator, control", openapi_url=None, docs_url=None, redoc_url=None)
    app.router.routes.extend(routes)
    return app


def state(controller: Controller) -> dict[str, list[Document]]:
    """Every object by kind, references named."""
    how = Rendering("", is_named=True)
    return {path: [rendered(controller.store, one, how) for one in controller.store.of_kind(path)] for path in KINDS}
