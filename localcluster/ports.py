"""Free ports on loopback; it never promises that a port stays free."""

import contextlib
import random
import socket
from typing import Final

LOOPBACK: Final = "127.0.0.1"
# Below the range that Linux (32768) and macOS (49152) give to outgoing connections: those would take a port between
# our look and the server's start, or while a server is restarted.
_CANDIDATES: Final = range(20_000, 32_000)
_TRIES: Final = 200


class NoFreePort(Exception):  # noqa: N818 - says what happened
    """Not enough ports between 20000 and 32000 can be bound."""


def free_ports(count: int) -> tuple[int, ...]:
    """Ports that could be bound just now, all different.

    Raises:
        NoFreePort: 200 random ones held fewer than asked for.
    """
    found: list[int] = []
    with contextlib.ExitStack() as held:
        for port in random.sample(_CANDIDATES, _TRIES):
            if len(found) == count:
                break
            listening = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                listening.bind((LOOPBACK, port))
                found.append(port)
    if len(found) < count:
        raise NoFreePort(f"fewer than {count} of {_TRIES} ports tried on {LOOPBACK} are free")
    return tuple(found)
