"""One connection to the real API server: what it says comes back as bytes, or as one of our errors."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Never
from urllib.parse import urlsplit

import msgspec
import pytest

from cluster.api import CONNECTIONS, KubernetesApi, NoClusterError
from cluster.asyncio_client import ConfigException, Configuration
from cluster.errors import AlreadyExists, Forbidden, Invalid, NotFound, Unreachable
from localcluster.ports import free_ports
from tests.builders import service_object
from tests.cluster.connection import Connection

pytestmark = pytest.mark.e2e

AGENT = "sharedvip-test/1"


def test_each_refusal_is_one_of_our_errors(connection: Connection) -> None:
    """404, 409 for a name that is there, 422 with its causes."""
    path = f"/api/v1/namespaces/{connection.namespace}/services"

    async def story(api: KubernetesApi) -> None:
        body = msgspec.json.encode(service_object("web", namespace=connection.namespace))
        with pytest.raises(NotFound):
            await api.request("GET", f"{path}/web")
        assert b'"name":"web"' in await api.request("POST", path, body=body)
        with pytest.raises(AlreadyExists, match="already exists"):
            await api.request("POST", path, body=body)
        bad = msgspec.json.encode(service_object("api", "0/TCP", namespace=connection.namespace))
        with pytest.raises(Invalid) as caught:
            await api.request("POST", path, body=bad)
        assert [cause.field for cause in caught.value.causes] == ["spec.ports[0].port"]

    connection.tell(story)


def test_a_service_account_is_known_by_its_token(connection: Connection) -> None:
    """It may do what its role says, and nothing else."""
    connection.kubectl("create", "configmap", "mine", "--from-literal=a=b")
    connection.kubectl("create", "serviceaccount", "robot")
    connection.kubectl("create", "role", "reader", "--verb=get", "--resource=configmaps")
    connection.kubectl(
        "create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={connection.namespace}:robot"
    )
    kubeconfig = connection.cluster.service_account_kubeconfig(connection.namespace, "robot")
    path = f"/api/v1/namespaces/{connection.namespace}"

    async def story() -> None:
        api = await KubernetesApi.connect(kubeconfig, user_agent=AGENT)
        try:
            assert b'"a":"b"' in await api.request("GET", f"{path}/configmaps/mine")
            with pytest.raises(Forbidden, match=f"system:serviceaccount:{connection.namespace}:robot"):
                await api.request("GET", f"{path}/secrets/x")
        finally:
            await api.close()

    asyncio.run(story())


def test_a_token_that_cannot_be_read_is_no_end(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file may be empty for a moment: a watch and the Lease try again, and the process lives."""

    async def no_token(_: Configuration) -> Never:
        raise ConfigException("Token file exists but empty.")

    async def story(api: KubernetesApi) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(Configuration, "auth_settings", no_token)
            with pytest.raises(Unreachable, match="Token file exists but empty"):
                await api.request("GET", "/readyz")

    connection.tell(story)


def elsewhere(connection: Connection, port: int, story: Callable[[KubernetesApi], Awaitable[None]]) -> None:
    """Run a story with another port than the API server's."""
    text = connection.cluster.kubeconfig.read_text().replace(connection.cluster.server, f"https://127.0.0.1:{port}")
    kubeconfig = connection.cluster.directory / f"{connection.namespace}.kubeconfig"
    kubeconfig.write_text(text)

    async def whole() -> None:
        api = await KubernetesApi.connect(kubeconfig, user_agent=AGENT)
        await story(api)
        await api.close()

    asyncio.run(whole())


def test_where_nobody_listens_nobody_is_reached(connection: Connection) -> None:
    """For a request and for a watch."""

    async def story(api: KubernetesApi) -> None:
        with pytest.raises(Unreachable, match="cannot be reached"):
            await api.request("GET", "/readyz")
        with pytest.raises(Unreachable, match="cannot be reached"):
            await anext(api.lines("/api/v1/services", query={"watch": "1"}, idle_seconds=1))

    elsewhere(connection, 1, story)


def test_who_never_answers_is_not_waited_for(connection: Connection) -> None:
    """The time is for the whole exchange."""
    with socket.create_server(("127.0.0.1", 0)) as mute:

        async def story(api: KubernetesApi) -> None:
            with pytest.raises(Unreachable, match=r"did not answer within 0\.2 s"):
                await api.request("GET", "/readyz", timeout_seconds=0.2)

        elsewhere(connection, mute.getsockname()[1], story)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
    writer.close()


def test_a_burst_leaves_no_crowd_of_connections(connection: Connection) -> None:
    """Each would be kept for as long as anything is asked, with a quarter of a MiB."""
    to = urlsplit(connection.cluster.server)
    opened: list[None] = []

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(None)
        api_reader, api_writer = await asyncio.open_connection(to.hostname, to.port)
        await asyncio.gather(_carry(reader, api_writer), _carry(api_reader, writer))

    (port,) = free_ports(1)

    async def burst(api: KubernetesApi) -> None:
        async with await asyncio.start_server(relay, "127.0.0.1", port):
            await asyncio.gather(*(api.request("GET", "/version") for _ in range(5 * CONNECTIONS)))
            await api.close()

    elsewhere(connection, port, burst)
    assert 1 <= len(opened) <= CONNECTIONS


def test_a_watch_that_is_silent_for_too_long_is_broken(connection: Connection) -> None:
    """And what it said before came line by line, of any length."""
    path = f"/api/v1/namespaces/{connection.namespace}/configmaps"
    big = "x" * 300_000

    async def story(api: KubernetesApi) -> None:
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "big"}, "data": {"text": big}}
        await api.request("POST", path, body=msgspec.json.encode(manifest))
        lines = api.lines(path, query={"watch": "1", "fieldSelector": "metadata.name=big"}, idle_seconds=0.3)
        first = msgspec.json.decode(await anext(lines))
        assert (first["type"], first["object"]["data"]["text"]) == ("ADDED", big)
        with pytest.raises(Unreachable, match=r"did not answer within 0\.3 s"):
            await anext(lines)

    connection.tell(story)


def test_a_watch_may_be_refused(connection: Connection) -> None:
    """Before its first line."""

    async def story(api: KubernetesApi) -> None:
        with pytest.raises(NotFound):
            await anext(api.lines("/api/v1/nothings", query={"watch": "1"}, idle_seconds=5))

    connection.tell(story)


def test_no_pod_and_no_file_is_no_cluster(tmp_path: Path) -> None:
    """Told at once, with the reason."""

    async def story() -> None:
        for kubeconfig in (None, tmp_path / "missing"):
            with pytest.raises(NoClusterError, match="cannot tell where"):
                await KubernetesApi.connect(kubeconfig, user_agent=AGENT)

    asyncio.run(story())
