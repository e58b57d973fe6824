"""A client that speaks to a Controller as AKO does, over any transport; it never retries and knows no simulator.

AKO's style (ako.md 6.1): JSON login, ``//api/`` with two slashes, bare ``include_name``.
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Protocol, TypeAlias

import requests

Document: TypeAlias = dict[str, Any]  # a JSON object as the Controller sent it; tests know what is in it

VERSION = "30.2.1"
TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; header names in lower case."""

    status: int
    text: str
    headers: Mapping[str, str]
    cookies: Mapping[str, str]

    @property
    def body(self) -> Document:
        """The JSON object."""
        return json.loads(self.text)

    @property
    def bodies(self) -> list[Document]:
        """The JSON list, as a macro answers."""
        return json.loads(self.text)

    @property
    def results(self) -> list[Document]:
        """The objects of a list."""
        return self.body["results"]

    @property
    def names(self) -> list[str]:
        """The names of a list's objects, in order."""
        return [entry["name"] for entry in self.results]

    @property
    def error(self) -> str:
        """The Controller's words of refusal."""
        return self.body["error"]


class Send(Protocol):
    """How a request gets to the Controller; ``target`` is the path with its query."""

    def __call__(self, method: str, target: str, *, headers: Mapping[str, str], body: bytes) -> Answer:
        """The answer."""
        ...


class Https:
    """Sends over HTTPS, keeping connections alive and no cookies."""

    def __init__(self, url: str, *, verify: str | bool) -> None:
        """Speak to ``url``, trusting the CA file ``verify``."""
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = verify
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def __call__(self, method: str, target: str, *, headers: Mapping[str, str], body: bytes) -> Answer:
        """The answer."""
        reply = self._session.request(
            method, self._url + target, headers=dict(headers), data=body, timeout=TIMEOUT_SECONDS
        )
        pairs = (line.split(";")[0].partition("=") for line in reply.raw.headers.getlist("set-cookie"))
        cookies = {name: value for name, _, value in pairs}
        return Answer(
            reply.status_code, reply.text, {name.lower(): value for name, value in reply.headers.items()}, cookies
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()


@dataclass(frozen=True, slots=True)
class Site:
    """A Controller under test.

    Attributes:
        send: How to reach it.
        url: ``https://host:port``.
        verify: The CA file, or whether to verify.
        username: Who logs in; may do everything.
        password: Its password.
        cloud: The cloud to use.
        network: A network of that cloud with free addresses for VIPs.
        subnet: Its subnet, ``100.64.196.0/24``.
    """

    send: Send
    url: str
    verify: str | bool
    username: str
    password: str = field(repr=False)  # a failing test prints its arguments
    cloud: str = "Default-Cloud"
    network: str = "net1"
    subnet: str = "100.64.196.0/24"


@dataclass(frozen=True, slots=True)
class Client:
    """Calls in one tenant and one API version; an empty tenant or version sends no such header."""

    send: Send
    origin: str = "https://controller"
    tenant: str = "admin"
    version: str = VERSION
    cookies: dict[str, str] = field(default_factory=dict[str, str], repr=False)

    def login(self, username: str, password: str) -> Answer:
        """Log in with JSON and keep the cookies."""
        body = json.dumps({"username": username, "password": password}).encode()
        answer = self.send("POST", "/login", headers={"Content-Type": "application/json"}, body=body)
        self.cookies.update(answer.cookies)
        return answer

    def within(self, tenant: str) -> "Client":
        """The same session in another tenant."""
        return replace(self, tenant=tenant)

    def speaking(self, version: str) -> "Client":
        """The same session in another API version."""
        return replace(self, version=version)

    def call(
        self, method: str, path: str, *, body: object = None, headers: Mapping[str, str | None] | None = None
    ) -> Answer:
        """One call below ``//api/``; a header that is None is left out."""
        given: dict[str, str | None] = {
            "Content-Type": "application/json",
            "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()),
            "Referer": self.origin,
            "X-CSRFToken": self.cookies.get("csrftoken"),
            "X-Avi-Tenant": self.tenant or None,
            "X-Avi-Version": self.version or None,
            **(headers or {}),
        }
        sent = {name: value for name, value in given.items() if value is not None}
        content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.send(method, f"//api/{path}", headers=sent, body=content)

    def get(self, path: str) -> Answer:
        """GET; ``path`` may have a query."""
        return self.call("GET", path)

    def post(self, path: str, body: object) -> Answer:
        """POST."""
        return self.call("POST", path, body=body)

    def put(self, path: str, body: object) -> Answer:
        """PUT."""
        return self.call("PUT", path, body=body)

    def patch(self, path: str, body: object) -> Answer:
        """PATCH."""
        return self.call("PATCH", path, body=body)

    def delete(self, path: str, body: object = None) -> Answer:
        """DELETE."""
        return self.call("DELETE", path, body=body)

    def made(self, kind: str, body: Document) -> Document:
        """The object that a POST makes; it must be made."""
        answer = self.post(kind, body)
        assert answer.status == 201, answer.text
        return answer.body

    def read(self, made: Document) -> Document:
        """The object as it is now; it must be there."""
        answer = self.get(path_of(made))
        assert answer.status == 200, answer.text
        return answer.body


def path_of(made: Document) -> str:
    """``pool/pool-1`` of an object that the Controller showed."""
    return made["url"].partition("/api/")[2].partition("#")[0]


def unique(word: str) -> str:
    """A name that nobody had before: a real Controller holds names for a while after a DELETE."""
    return f"{word}-{uuid.uuid4().hex[:12]}"
