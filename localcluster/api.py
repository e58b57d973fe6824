"""A few questions to the API server as its administrator; it never retries and keeps no connection."""

import functools
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

TIMEOUT_SECONDS: Final = 10.0

JsonObject = dict[str, Any]


class ApiUnreachable(Exception):  # noqa: N818 - says what happened
    """The API server did not answer, or not in words."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP status code and the text that came with it."""

    code: int
    text: str

    def parse_object(self) -> JsonObject:
        """The object in the text."""
        return json.loads(self.text)


@dataclass(frozen=True)
class AdminClient:
    """The API server's address, its authority, and a token that may do everything."""

    server: str
    ca: Path
    token: str

    @functools.cached_property
    def _opener(self) -> urllib.request.OpenerDirector:
        # An empty ProxyHandler: a proxy named in the environment must not see loopback.
        tls = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(self.ca)))
        return urllib.request.build_opener(urllib.request.ProxyHandler({}), tls)

    def get(self, path: str) -> Answer:
        """The answer to GET, whatever its code.

        Raises:
            ApiUnreachable: There was none.
        """
        return self._ask(path, body=None)

    def post(self, path: str, body: Mapping[str, Any]) -> Answer:
        """The answer to POST of an object, whatever its code.

        Raises:
            ApiUnreachable: There was none.
        """
        return self._ask(path, body=json.dumps(body).encode())

    def _ask(self, path: str, *, body: bytes | None) -> Answer:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.server}{path}", data=body, headers=headers)  # noqa: S310 - our own https
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as reply:
                return Answer(reply.status, reply.read().decode())
        except urllib.error.HTTPError as refusal:
            with refusal:
                return Answer(refusal.code, refusal.read().decode())
        except OSError as error:
            raise ApiUnreachable(f"{self.server}{path}: {error}") from error
