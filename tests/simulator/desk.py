"""A Controller without sockets: the contracts' client speaking straight to ``Api``, and a clock that tests turn."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from simulator.api import Api
from simulator.calls import Call, query_of
from simulator.controller import Controller
from simulator.settings import Knobs, Settings, Subnet
from tests.contracts.client import Answer, Client, Site

PASSWORD = "a password"  # noqa: S105 - of a Controller that nobody can reach
URL = "https://controller"


@dataclass(slots=True)
class Clock:
    """Seconds since the epoch; it moves when told."""

    seconds: float = 1_800_000_000.0

    def __call__(self) -> float:
        """Now."""
        return self.seconds

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds


class Wire:
    """A transport to a Controller in this process."""

    def __init__(self, controller: Controller) -> None:
        """Speak to ``controller``."""
        self._api = Api(controller)

    def __call__(self, method: str, target: str, *, headers: Mapping[str, str], body: bytes) -> Answer:
        """The answer."""
        path, _, query = target.partition("?")
        lowered = {name.lower(): value for name, value in headers.items()} | {"host": "controller"}
        reply = self._api.answer(Call(method, unquote(path), query_of(query), lowered, body))
        pairs = (line.split(";")[0].partition("=") for line in reply.cookies)
        shown = {name.lower(): value for name, value in reply.headers.items()}
        return Answer(reply.status, reply.body().decode(), shown, {name: value for name, _, value in pairs})


@dataclass(frozen=True, slots=True)
class Desk:
    """A Controller with a client that is logged in as admin.

    Attributes:
        client: In tenant admin.
        site: What the contracts' bodies refer to.
        controller: The simulated Controller.
        clock: Its clock.
    """

    client: Client
    site: Site
    controller: Controller
    clock: Clock

    def stranger(self) -> Client:
        """A client that is not logged in."""
        return Client(self.client.send, URL)


def desk(settings: Settings | None = None, *, knobs: Knobs | None = None, subnets: tuple[Subnet, ...] = ()) -> Desk:
    """A fresh Controller; give whole settings, or only its knobs or subnets."""
    base = Settings()
    chosen = settings or Settings(password=PASSWORD, knobs=knobs or base.knobs, subnets=subnets or base.subnets)
    clock = Clock()
    controller = Controller(chosen, clock=clock)
    wire = Wire(controller)
    client = Client(wire, URL)
    assert client.login(chosen.username, chosen.password).status == 200
    return Desk(client, Site(wire, URL, True, chosen.username, chosen.password), controller, clock)  # noqa: FBT003 - verify
