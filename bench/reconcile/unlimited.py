"""The reconciler without its limit of calls per second, to see what it could do; never to be installed.

A Controller throttles at about 32 requests a second, so the command refuses a higher setting.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from cli.logs import LogFormat, configure
from reconciler.run import reconcile
from reconciler.settings import ReconcilerSettings, VipNetwork


async def run(settings: ReconcilerSettings, *, kubeconfig: Path) -> int:
    """Reconcile until SIGTERM; the exit code."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    return await reconcile(settings, kubeconfig=kubeconfig, stop=stop)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the words of ``sharedvip reconciler`` that the benchmark uses, and run."""
    parser = argparse.ArgumentParser(prog="bench.reconcile.unlimited")
    parser.add_argument("--cluster-name", required=True)
    parser.add_argument("--avi-controller", required=True)
    parser.add_argument("--avi-credentials-directory", type=Path, required=True)
    parser.add_argument("--avi-vip-network", required=True)
    parser.add_argument("--health-port", type=int, required=True)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    given = parser.parse_args(argv)
    configure(LogFormat.JSON)
    settings = ReconcilerSettings(
        cluster_name=given.cluster_name,
        avi_controller=given.avi_controller,
        avi_credentials_directory=given.avi_credentials_directory,
        avi_vip_networks=(VipNetwork(given.avi_vip_network),),
        avi_requests_per_second=1e6,
        health_port=given.health_port,
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.exit(runner.run(run(settings, kubeconfig=given.kubeconfig)))


if __name__ == "__main__":
    main()
