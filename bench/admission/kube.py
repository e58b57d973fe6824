"""Plain keep-alive requests to the API server, so that its time is measured and not a client's; it never retries."""

import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

from bench.admission.population import JsonObject

_PATIENCE_SECONDS: Final = 60.0
JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"
WRITERS: Final = 8
"""More do not fill a cluster on two processors faster."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered, and after how long."""

    status: int
    body: bytes
    milliseconds: float

    def parse(self) -> JsonObject:
        """The object in it.

        Raises:
            RuntimeError: The API server refused.
        """
        if self.status >= HTTPStatus.BAD_REQUEST:
            raise RuntimeError(f"the API server answered {self.status}: {self.body.decode()[:500]}")
        return json.loads(self.body)


class Kube:
    """One connection for each thread that asks."""

    def __init__(self, kubeconfig: Path, *, ca: Path) -> None:
        """Read a kubeconfig of ``localcluster``, which is JSON with a token."""
        config = json.loads(kubeconfig.read_text())
        self._address = urlsplit(str(config["clusters"][0]["cluster"]["server"])).netloc
        self._headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}", "Accept": JSON}
        self._context = ssl.create_default_context(cafile=str(ca))
        self._local = threading.local()

    def request(self, method: str, path: str, *, body: JsonObject | None = None, content_type: str = JSON) -> Reply:
        """One exchange, timed from the first byte sent to the last received."""
        connection = self._connection()
        content = json.dumps(body).encode() if body is not None else None
        headers = {**self._headers, "Content-Type": content_type}
        begun = time.perf_counter()
        connection.request(method, path, body=content, headers=headers)
        answer = connection.getresponse()
        received = answer.read()
        return Reply(answer.status, received, (time.perf_counter() - begun) * 1000)

    def get(self, path: str) -> JsonObject:
        """An object, or a list."""
        return self.request("GET", path).parse()

    def post(self, path: str, body: JsonObject) -> JsonObject:
        """Create."""
        return self.request("POST", path, body=body).parse()

    def _connection(self) -> http.client.HTTPSConnection:
        found = getattr(self._local, "connection", None)
        if found is None:
            found = http.client.HTTPSConnection(self._address, context=self._context, timeout=_PATIENCE_SECONDS)
            self._local.connection = found
        return found


def in_parallel(work: Callable[[Item], Result], items: Iterable[Item], *, writers: int = WRITERS) -> list[Result]:
    """The results in the order of the items."""
    with ThreadPoolExecutor(writers) as pool:
        return list(pool.map(work, items))
