"""One connection to the API server: bytes out, bytes or our own errors in; it never retries and knows no kind.

It takes from ``kubernetes.aio`` (the asyncio half of the official client) how to find the API server, to trust it and
to say who we are, with tokens that are read again every minute, and its aiohttp session. It goes round the generated
methods and models, because they

- need 107 us and 16 KB for a Service (measured, ``shared/design/kubernetes.md`` 3.3), which we decode in 5 us;
- return None for a server-side apply that creates;
- retry by themselves, while admission has a deadline and the reconciler a queue.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final, Self, cast

import aiohttp

from cluster import metrics
from cluster.asyncio_client import ConfigException, Configuration, RESTClientObject, config
from cluster.errors import ClusterError, Unreachable, parse_error

CONNECT_SECONDS = 5.0
APPLY = "application/apply-patch+yaml"
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
_FIRST_ERROR_STATUS = 400


CONNECTIONS: Final = 64
"""At once; further requests wait for one. aiohttp takes the one that has rested longest, so that a pool stays as large
as it ever was while anything is asked: each is a quarter of a MiB, and 256 of them a quarter of a webhook pod's memory.
Sixty-four at 5 ms a call are 12,800 calls a second."""


class _Transport(RESTClientObject):
    """The official client's TLS and pool settings, for bodies that are bytes already."""

    def session(self) -> aiohttp.ClientSession:
        """Its aiohttp session; to be closed by whoever asked."""
        return self._create_pool_manager()


class NoClusterError(ClusterError):
    """No API server is named, neither by a kubeconfig nor by the pod's service account; or none can be called so."""


class KubernetesApi:
    """A connection, with its pool; made by ``connect``, to be closed."""

    def __init__(self, configuration: Configuration, *, user_agent: str) -> None:
        """Connect lazily; must be called where an event loop runs."""
        self._configuration = configuration
        self._user_agent = user_agent
        self._host = str(cast("Any", configuration).host).rstrip("/")
        self._session = _Transport(configuration).session()

    @classmethod
    async def connect(cls, kubeconfig: Path | None = None, *, user_agent: str) -> Self:
        """By a kubeconfig file; without one by the pod's service account.

        Raises:
            NoClusterError: The file, or a certificate or key of it, cannot be used, or this is no pod.
        """
        configuration = Configuration()
        try:
            await _load(configuration, kubeconfig)
        except (config.ConfigException, OSError) as error:
            raise NoClusterError(f"cannot tell where the API server is: {error}") from error
        except Exception as error:  # the loader checks little (an empty file is a TypeError), and so do its plugins
            what = " ".join(f"{kubeconfig} cannot be used: {error}".split())
            raise NoClusterError(f"cannot tell where the API server is: {what}") from error
        configuration.connection_pool_maxsize = CONNECTIONS
        return cls._with_tls(configuration, kubeconfig, user_agent=user_agent)

    @classmethod
    def _with_tls(cls, configuration: Configuration, kubeconfig: Path | None, *, user_agent: str) -> Self:
        try:
            return cls(configuration, user_agent=user_agent)
        except OSError as error:
            place = kubeconfig or "the pod's service account"
            raise NoClusterError(f"a certificate or key of {place} cannot be used: {error}") from error

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
        content_type: str = "application/json",
        timeout_seconds: float = 10.0,
    ) -> bytes:
        """The body of the answer.

        Args:
            method: ``GET``, ``POST``, ``PUT``, ``PATCH`` or ``DELETE``.
            path: ``/api/v1/…``, its parts already quoted.
            query: Not yet quoted.
            body: JSON.
            content_type: Of the body; ``APPLY``, ``MERGE_PATCH``, ``JSON_PATCH``.
            timeout_seconds: For the whole exchange, connecting included.

        Raises:
            ClusterError: As the module ``cluster.errors`` tells.
        """
        begun = time.monotonic()
        code = "<error>"
        try:
            async with await self._send(
                method, path, query=query, body=body, content_type=content_type, timeout=_whole(timeout_seconds)
            ) as reply:
                content = await reply.read()
                code = str(reply.status)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unreachable(error, timeout_seconds) from error
        finally:
            metrics.REQUESTS.labels(method, code).inc()
        metrics.REQUEST_SECONDS.labels(method).observe(time.monotonic() - begun)
        if reply.status >= _FIRST_ERROR_STATUS:
            raise parse_error(reply.status, content, retry_after=reply.headers.get("Retry-After", ""))
        return content

    async def lines(self, path: str, *, query: Mapping[str, str], idle_seconds: float) -> AsyncGenerator[bytes]:
        """The lines of a watch, as they come; ends when the API server ends it.

        Raises:
            Unreachable: The line broke, or was silent for ``idle_seconds``.
            ApiError: The API server refused to begin.
        """
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS, sock_read=idle_seconds)
        try:
            async with await self._send("GET", path, query=query, timeout=timeout) as reply:
                metrics.REQUESTS.labels("WATCH", str(reply.status)).inc()
                if reply.status >= _FIRST_ERROR_STATUS:
                    raise parse_error(reply.status, await reply.read())
                try:
                    async for line in _split(reply.content.iter_any()):
                        yield line
                finally:
                    _hang_up(reply)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unreachable(error, idle_seconds) from error

    async def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's own deadline, which also closes the connection
        body: bytes = b"",
        content_type: str = "application/json",
    ) -> aiohttp.ClientResponse:
        headers = {
            "Accept": "application/json",
            # Packing costs the API server more than the cluster's network saves (client-go's components do likewise).
            "Accept-Encoding": "identity",
            "User-Agent": self._user_agent,
            **await self._credentials(),
        }
        if body:
            headers["Content-Type"] = content_type
        return await self._session.request(
            method,
            f"{self._host}{path}",
            params=query,
            data=body or None,
            headers=headers,
            timeout=timeout,
            server_hostname=cast("Any", self._configuration).tls_server_name or None,
        )

    async def _credentials(self) -> dict[str, str]:
        try:
            settings = cast("dict[str, dict[str, Any]]", await self._configuration.auth_settings())
        except ConfigException as error:
            # The token's file is empty for a moment, or for good: whoever asked comes again.
            raise Unreachable(str(error)) from error
        return {str(s["key"]): str(s["value"]) for s in settings.values() if s["in"] == "header" and s["value"]}


async def _load(configuration: Configuration, kubeconfig: Path | None) -> None:
    if kubeconfig is not None:
        await config.load_kube_config(  # pyright: ignore[reportUnknownMemberType] - the client has no types here
            str(kubeconfig), client_configuration=configuration, persist_config=False
        )
    else:
        config.load_incluster_config(configuration)  # pyright: ignore[reportUnknownMemberType] - likewise


def _hang_up(reply: aiohttp.ClientResponse) -> None:
    """Leave a watch in the middle at once: a TLS goodbye would be waited for by nobody, and keep the socket open."""
    connection = reply.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()


def _whole(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds, connect=min(CONNECT_SECONDS, seconds))


def _unreachable(error: Exception, seconds: float) -> Unreachable:
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return Unreachable(f"the API server did not answer within {seconds:g} s")
    return Unreachable(f"the API server cannot be reached: {error or type(error).__name__}")


async def _split(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Lines of any length: aiohttp's own ``readline`` gives up on long ones."""
    rest = bytearray()
    async for chunk in chunks:
        rest += chunk
        if b"\n" in chunk:
            *lines, last = rest.split(b"\n")
            rest = last
            for line in lines:
                if line:
                    yield bytes(line)
