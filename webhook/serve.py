"""Runs the webhook: caches, two servers, an orderly end (``ending.py``); it never decides."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncGenerator, Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Never

import structlog
import uvicorn
from fastapi import FastAPI

from cluster.api import KubernetesApi
from cluster.services import ServiceCache
from cluster.shared_vip_cache import SharedVipCache
from cluster.shared_vips import SharedVipStore
from webhook import metrics
from webhook.admission import Admission
from webhook.app import create_admission_app, create_health_app
from webhook.claim_ages import ClaimAges
from webhook.claiming import Claiming
from webhook.clients import Certificate, protocol
from webhook.connections import PromptProtocol
from webhook.ending import Ending
from webhook.memory import keep_trimmed, return_large_blocks, settle
from webhook.readiness import Readiness
from webhook.settings import WebhookSettings
from webhook.world import World

USER_AGENT: Final = "sharedvip-webhook"
BACKLOG: Final = 2048
FINISH_SECONDS: Final = 35
"""For what is in flight at the end: the API server's longest webhook timeout is 30 s."""

_log = structlog.get_logger()


class _Server(uvicorn.Server):
    """Leaves signals alone: the process decides when it ends."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Captures none."""
        yield

    def cut_short(self) -> None:
        """Finish nothing that is in flight."""
        self.force_exit = True


async def serve(settings: WebhookSettings, certificate: Certificate, *, kubeconfig: Path | None) -> int:
    """Serve until SIGTERM or SIGINT; the exit code.

    Raises:
        NoClusterError: No API server is named.
        OSError: A port cannot be had.
    """
    return_large_blocks()
    ending = Ending()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.ask)
    api = await KubernetesApi.connect(kubeconfig, user_agent=USER_AGENT)
    try:
        services, ledgers = ServiceCache(api), SharedVipCache(api)
        world = World(api, services=services, ledgers=ledgers, policy=settings.policy, now=_now)
        ages = ClaimAges(services, ledgers, now=_now)
        ages.show()
        claiming = Claiming(world, store=SharedVipStore(api), locks=world.held.locks, now=_now)
        admission = Admission(world, claiming)
        async with asyncio.TaskGroup() as tasks:
            watches = [tasks.create_task(services.run()), tasks.create_task(ledgers.run())]
            watches.append(tasks.create_task(_settle(services, ledgers)))
            problems = Readiness(world, certificate, settings=settings, ending=ending)
            await _serve_both(admission, settings, certificate, problems=problems, ending=ending)
            for watch in watches:
                watch.cancel()
    finally:
        metrics.catch_up()
        await api.close()
    return 0


async def _settle(services: ServiceCache, ledgers: SharedVipCache) -> Never:
    await services.reflector.synced()
    await ledgers.reflector.synced()
    settle()
    await keep_trimmed()


async def _serve_both(
    admission: Admission,
    settings: WebhookSettings,
    certificate: Certificate,
    *,
    problems: Readiness,
    ending: Ending,
) -> None:
    health = create_health_app(problems, warnings=certificate.warnings)
    async with _listening(health, settings, port=settings.health_port, name="health", ending=ending):
        app = create_admission_app(admission, settings)
        async with _listening(
            app, settings, port=settings.port, name="admission", certificate=certificate, ending=ending
        ) as server:
            await ending.begun()
            app.leave()
            _log.info("webhook.draining", seconds=settings.drain_seconds)
            await ending.serve_on(settings.drain_seconds)
            connections = server.server_state.connections
            _log.info("webhook.lingering", seconds=settings.linger_seconds, connections=len(connections))
            await ending.outlive(connections, seconds=settings.linger_seconds)


@contextlib.asynccontextmanager
async def _listening(
    app: FastAPI,
    settings: WebhookSettings,
    *,
    port: int,
    name: str,
    ending: Ending,
    certificate: Certificate | None = None,
) -> AsyncGenerator[uvicorn.Server]:
    """Serve while the block runs, then finish what is in flight."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.create_server((settings.host, port), family=family, backlog=BACKLOG)
    config = uvicorn.Config(
        app,
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,  # the API server is asked by nobody else, and nobody is to be believed who says otherwise
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=FINISH_SECONDS,
        ssl_context_factory=certificate.serve if certificate else None,
        http=protocol(certificate, names=settings.client_names) if certificate else PromptProtocol,
    )
    server = _Server(config)
    ending.cut_short(server.cut_short)
    task = asyncio.create_task(server.serve(sockets=[listener]), name=name)
    _log.info("webhook.listening", server=name, host=settings.host, port=listener.getsockname()[1])
    try:
        yield server
    finally:
        server.should_exit = True
        await task
        listener.close()


def _now() -> datetime:
    return datetime.now(UTC)
