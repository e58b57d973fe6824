"""``python -m simulator``: one simulated Avi Controller on loopback until SIGTERM or Ctrl-C."""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from simulator.serve import ACCESS_FILE, serve
from simulator.settings import DEFAULT_SUBNETS, Settings, Subnet

PASSWORD_VARIABLE = "AVI_SIMULATOR_PASSWORD"  # noqa: S105 - the variable's name, not a password


def main(arguments: list[str] | None = None) -> int:
    """Parse, serve; 2 for wrong arguments, 1 if it cannot listen."""
    given = _parser().parse_args(arguments)
    settings = Settings(
        username=given.username,
        subnets=tuple(given.subnet) or DEFAULT_SUBNETS,
        licence_tier=given.licence_tier,
        version=given.version,
        read_seconds=given.read_milliseconds / 1000,
        write_seconds=given.write_milliseconds / 1000,
        seed=given.seed,
    )
    if password := os.environ.get(PASSWORD_VARIABLE):
        settings = replace(settings, password=password)
    try:
        serve(
            settings,
            directory=given.directory,
            port=given.port,
            control_port=given.control_port,
            announce=lambda access: _say(
                f"simulator: Avi Controller {access.url}, control {access.control}; see {given.directory / ACCESS_FILE}"
            ),
        )
    except (OSError, ValueError) as error:
        _say(f"simulator: {error}", file=sys.stderr)
        return 1
    return 0


def _say(line: str, *, file: TextIO = sys.stdout) -> None:
    print(line, file=file, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m simulator", description=__doc__, epilog=f"{PASSWORD_VARIABLE}: the password; random if unset."
    )
    add = parser.add_argument
    add("--directory", type=Path, required=True, help="gets ca.crt and, once it listens, avi.json")
    add("--port", type=int, default=0, help="of the REST interface; 0 is any free one")
    add("--control-port", type=int, default=0, help="of the control port; 0 is any free one")
    add("--username", default="admin")
    add(
        "--subnet",
        type=_subnet,
        action="append",
        default=[],
        metavar="NETWORK=CIDR[,FIRST-LAST...]",
        help="where VIPs come from; repeatable",
    )
    add("--read-milliseconds", type=float, default=0.0, help="latency of a GET")
    add("--write-milliseconds", type=float, default=0.0, help="latency of any other method")
    add("--licence-tier", default="ENTERPRISE")
    add("--version", default="30.2.1", help="the Controller's version")
    add("--seed", type=int, default=None, help="makes uuids repeatable")
    return parser


def _subnet(words: str) -> Subnet:
    network, _, rest = words.partition("=")
    cidr, *ranges = rest.split(",")
    ends = [tuple(part.split("-")) for part in ranges]
    if not network or not cidr or any(len(pair) != 2 for pair in ends):  # noqa: PLR2004 - first and last
        raise argparse.ArgumentTypeError(f"{words!r} is not NETWORK=CIDR[,FIRST-LAST...]")
    return Subnet(network, cidr, tuple((first, last) for first, last in ends))


if __name__ == "__main__":
    sys.exit(main())
