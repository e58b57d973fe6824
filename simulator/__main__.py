"""``python -m simulator``: one simulated Avi Controller on loopback until SIGTERM or Ctrl-C."""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from simulator.serve import ACCESS_FILE, serve
from simulator.settings import DEFAULT_SUBNETS, TIERS, Knobs, Settings, Subnet

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
        has_recorded_latency=given.recorded_latency,
        requests_per_second=given.requests_per_second,
        login_failures_allowed=given.login_failures,
        nodes=given.nodes,
        seed=given.seed,
        knobs=Knobs(
            request_burst=given.request_burst,
            placement_seconds=given.placement_seconds,
            name_release_seconds=given.name_release_seconds,
        ),
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
    add("--recorded-latency", action="store_true", help="take as long as a real Controller, instead of the two above")
    add(
        "--requests-per-second", type=float, default=0.0, help="of each client; a real Controller has 32; 0 is no limit"
    )
    add("--request-burst", type=int, default=Knobs().request_burst, help="requests that may wait before one gets a 429")
    add("--login-failures", type=int, default=0, help="that lock the account; a real Controller has 20; 0 is never")
    add("--placement-seconds", type=float, default=0.0, help="until a new virtual service can be up")
    add("--name-release-seconds", type=float, default=0.0, help="for which the name of what was deleted is still taken")
    add("--nodes", type=int, default=1, choices=(1, 3), help="of the cluster")
    add("--licence-tier", default="ENTERPRISE", choices=TIERS)
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
