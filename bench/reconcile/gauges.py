"""What is read off the measured processes: time, memory, metrics, the simulator's journal; it judges nothing."""

import json
import os
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_MEBI: Final = 1024
_STAT_TIMES: Final = slice(11, 13)
"""utime and stime among the fields of ``/proc/<pid>/stat`` that follow the name. Source: proc(5)."""

PASSES: Final = "sharedvip_reconciler_reconcile_seconds_count"
GROUPS: Final = "sharedvip_reconciler_groups"
LEADER: Final = "sharedvip_reconciler_leader"
REQUESTS: Final = "rest_client_requests_total"


@dataclass(frozen=True, slots=True)
class Call:
    """A call that the simulated Controller answered; times in seconds since the epoch."""

    method: str
    path: str
    status: int
    begun: float
    ended: float

    @property
    def is_session(self) -> bool:
        """Whether it is login or logout."""
        return self.path in {"/login", "/logout"}

    @property
    def is_write(self) -> bool:
        """Whether it changes anything."""
        return self.method != "GET" and not self.is_session

    @property
    def is_read(self) -> bool:
        """Whether it only asks."""
        return self.method == "GET"


@dataclass(frozen=True, slots=True)
class Metrics:
    """All samples of a ``/metrics`` page, by name and labels as they are written there."""

    samples: Mapping[str, float]

    def total(self, name: str, *words: str) -> float:
        """The sum over all labels that hold one of these words; over all where none is given."""
        return sum(
            value
            for key, value in self.samples.items()
            if key.partition("{")[0] == name and (not words or any(word in key for word in words))
        )

    @property
    def kube_reads(self) -> int:
        """Requests to the API server that only ask, beginnings of watches included."""
        return int(self.total(REQUESTS, 'method="GET"', 'method="WATCH"'))

    @property
    def kube_writes(self) -> int:
        """Requests to the API server that change something, and renewals of the Lease."""
        return int(self.total(REQUESTS)) - self.kube_reads


def parse_metrics(page: str) -> Metrics:
    """A page in the format of Prometheus."""
    lines = (line.rpartition(" ") for line in page.splitlines() if line and not line.startswith("#"))
    return Metrics({key: float(value) for key, _, value in lines})


def parse_journal(entries: Iterable[Mapping[str, Any]]) -> tuple[Call, ...]:
    """The journal of the simulator's control port, oldest answer first."""
    return tuple(_call(entry) for entry in entries)


def fetch(url: str) -> bytes:
    """What a plain URL on loopback answers."""
    with _DIRECT.open(url, timeout=60) as reply:
        return reply.read()


def fetch_metrics(health_port: int) -> Metrics:
    """The reconciler's metrics now."""
    return parse_metrics(fetch(f"http://127.0.0.1:{health_port}/metrics").decode())


def fetch_journal(control: str) -> tuple[Call, ...]:
    """The simulator's journal now."""
    return parse_journal(json.loads(fetch(f"{control}/journal")))


def clear_journal(control: str) -> None:
    """Have the simulator forget its calls."""
    with _DIRECT.open(urllib.request.Request(f"{control}/journal", method="DELETE"), timeout=10):  # noqa: S310 - our own control port
        return


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used; 0 where the system does not tell (not Linux)."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    # The name, in brackets, may hold spaces.
    fields = stat.read_text().rpartition(")")[2].split()
    return sum(map(int, fields[_STAT_TIMES])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int, *, is_peak: bool = False) -> float:
    """Resident memory of a process, now or at its highest, in MiB; 0 where the system does not tell."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return 0.0
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines["VmHWM" if is_peak else "VmRSS"].split()[0]) / _MEBI


def _call(entry: Mapping[str, Any]) -> Call:
    begun = datetime.fromisoformat(entry["started"]).timestamp()
    ended = begun + entry["milliseconds"] / 1000
    return Call(entry["method"], entry["path"], entry["status"], begun, ended)
