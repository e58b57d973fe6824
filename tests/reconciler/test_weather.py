"""What the outside does to a reconciler at work: it says so, it does not storm, and it goes on by itself."""

import asyncio
import urllib.request
from collections.abc import Generator
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from reconciler.avi_errors import AviCredentialsRefused, AviUnreachable
from reconciler.loop import Loop, NotLeaderError
from reconciler.metrics import ReconcilerMetrics
from sharedvip.model import GroupName
from simulator.faults import Fault
from simulator.serve import running
from simulator.settings import Settings
from tests.builders import GROUP, service
from tests.reconciler.controller import START, Avi, Stack, admitted, stack
from tests.reconciler.fake_kubernetes import FakeKubernetes
from tests.reconciler.world import Endpoint, Slice

LB1 = service("lb1", "80/TCP")
LB2 = service("lb2", "80/UDP")
PER_SECOND = 25
_MANY = [service(f"s{number}", "80/TCP", key=f"key-{number}") for number in range(16)]
_MANY_GROUPS = [each.group for each in _MANY if each.group is not None]
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture
def own_avi(tmp_path: Path) -> Generator[Avi]:
    """A Controller of the test's own: three wrong passwords lock the account."""
    with running(Settings(login_failures_allowed=3), directory=tmp_path / "avi") as simulated:
        yield Avi(simulated, tmp_path)


def _post(avi: Avi, path: str, body: bytes = b"{}") -> None:
    request = urllib.request.Request(f"{avi.running.access.control}/{path}", data=body, method="POST")  # noqa: S310 - our own simulator
    with _DIRECT.open(request):
        pass


def _copy_ca(avi: Avi, directory: Path) -> None:
    (directory / "ca.crt").write_bytes(Path(avi.running.access.ca).read_bytes())


async def _refused(reconciler: Stack, groups: list[GroupName]) -> None:
    for group in groups:
        with pytest.raises(AviCredentialsRefused):
            await reconciler.look(group)


def _change(kubernetes: FakeKubernetes) -> None:
    for each in _MANY:
        kubernetes.endpoint_slices[each.name] = (Slice((Endpoint(("10.9.9.9",)),)),)


class _Never:
    pause_seconds = 600.0

    async def read(self) -> tuple[GroupName, ...]:
        """As ``Resync``."""
        return ()


def test_a_controller_that_was_away_is_not_stormed_when_it_returns(avi: Avi, cluster_name: str) -> None:
    """All groups changed meanwhile and all said so; then no second sees more than the Controller takes."""

    async def told() -> None:
        kubernetes = admitted(*_MANY)
        async with stack(avi, kubernetes, cluster=cluster_name, requests_per_second=PER_SECOND) as reconciler:
            for group in _MANY_GROUPS:
                await reconciler.look(group)
            before = kubernetes.vips(*_MANY)
            avi.running.faults.set(Fault(action="drop", path="^/api/", times=0))
            metrics = ReconcilerMetrics(CollectorRegistry())
            loop = Loop(kubernetes, worker=reconciler.worker, statuses=reconciler.statuses, metrics=metrics)
            stop = asyncio.Event()
            task = asyncio.create_task(loop.run(workers=8, resync=_Never(), stop=stop))
            _change(kubernetes)
            loop.everything(_MANY_GROUPS)
            async with asyncio.timeout(30):
                while {v.reason for v in kubernetes.verdicts.values()} != {"ControllerUnreachable"}:  # noqa: ASYNC110 - nothing tells
                    await asyncio.sleep(0.02)
                # Admission, and the ledger, go on without it.
                kubernetes.admit(service("new", "81/TCP", key="key-0"), at=START)
                assert kubernetes.vips(*_MANY) == before
                avi.running.faults.clear()
                loop.everything(_MANY_GROUPS)
                while {v.reason for v in kubernetes.verdicts.values()} != {"Programmed"}:  # noqa: ASYNC110 - likewise
                    await asyncio.sleep(0.02)
            stop.set()
            await task
            assert kubernetes.vips(*_MANY) == before
            kubernetes.delete(*list(kubernetes.stored))
        times = sorted(datetime.fromisoformat(entry.started) for entry in avi.running.journal.entries())
        second = timedelta(seconds=1)
        most = max(sum(begin <= at < begin + second for at in times) for begin in times)
        assert most <= 32 + 8  # the limit, and those that eight threads had on their way

    asyncio.run(told())


def test_sessions_that_expire_under_load_cost_one_login(avi: Avi, cluster_name: str) -> None:
    """Sixteen groups at once; an election of the Controller's leader ends all sessions."""

    async def told() -> None:
        kubernetes = admitted(*_MANY)
        async with stack(avi, kubernetes, cluster=cluster_name) as reconciler:
            for group in _MANY_GROUPS:
                await reconciler.look(group)
            for _ in range(3):
                avi.running.controller.sessions.expire_all()
                avi.forget()
                _change(kubernetes)
                await asyncio.gather(*(reconciler.look(group) for group in _MANY_GROUPS))
                assert avi.calls().count("POST login") == 1
                for each in _MANY:
                    kubernetes.endpoint_slices[each.name] = ()
                await asyncio.gather(*(reconciler.look(group) for group in _MANY_GROUPS))

    asyncio.run(told())


def test_a_locked_account_is_asked_once_in_an_hour(own_avi: Avi) -> None:
    """Somebody else locked it: everybody is told, no login of ours keeps it locked, and it is found open again."""
    now = 0.0

    async def told() -> None:
        nonlocal now
        kubernetes, sessions = admitted(*_MANY), own_avi.running.controller.sessions
        async with stack(own_avi, kubernetes, cluster="c", clock=lambda: now) as reconciler:
            for group in _MANY_GROUPS:
                await reconciler.look(group)
            for _ in range(3):
                sessions.login("admin", "somebody's guess")
            sessions.expire_all()
            own_avi.forget()
            _change(kubernetes)
            await _refused(reconciler, _MANY_GROUPS)
            now = 3599.0
            await _refused(reconciler, _MANY_GROUPS)
            assert own_avi.calls().count("POST login") == 1
            assert "locked" in kubernetes.verdicts[_MANY[0].name].message
            own_avi.running.controller.clock.jump(3600)
            now = 3601.0
            for group in _MANY_GROUPS:
                await reconciler.look(group)
            assert {verdict.reason for verdict in kubernetes.verdicts.values()} == {"Programmed"}

    asyncio.run(told())


def test_a_password_that_changes_in_the_directory_needs_no_restart(own_avi: Avi) -> None:
    """First on the Controller, and then, some passes later, in the mounted Secret."""
    directory = own_avi.credentials()

    async def told() -> None:
        kubernetes, sessions = admitted(LB1), own_avi.running.controller.sessions
        async with stack(own_avi, kubernetes, cluster="c", credentials=directory) as reconciler:
            await reconciler.look()
            sessions.set_password("another")
            sessions.expire_all()
            kubernetes.endpoint_slices[LB1.name] = ()
            await _refused(reconciler, [GROUP] * 3)
            assert kubernetes.verdicts[LB1.name].reason == "CredentialsRefused"
            (directory / "password").write_text("another")
            await reconciler.look()
            assert kubernetes.verdicts[LB1.name].reason == "Programmed"

    asyncio.run(told())


def test_a_ca_that_changes_in_the_directory_needs_no_restart(own_avi: Avi) -> None:
    """The Controller gets a new certificate and drops its connections; nobody is trusted until the file says so."""
    directory = own_avi.credentials()

    async def told() -> None:
        kubernetes = admitted(LB1)
        async with stack(own_avi, kubernetes, cluster="c", credentials=directory) as reconciler:
            await reconciler.look()
            _post(own_avi, "certificates")
            _post(own_avi, "leader", b'{"ends_sessions": false}')
            kubernetes.endpoint_slices[LB1.name] = ()
            with pytest.raises(AviUnreachable):
                await reconciler.look()
            _copy_ca(own_avi, directory)
            await reconciler.look()
            assert kubernetes.verdicts[LB1.name].reason == "Programmed"

    asyncio.run(told())


def test_a_controller_that_lost_its_state_gets_everything_again_at_the_next_resync(own_avi: Avi) -> None:
    """One call for each group; the statuses show the VIPs that there are now."""

    async def told() -> None:
        kubernetes = admitted(*_MANY)
        async with stack(own_avi, kubernetes, cluster="c") as reconciler:
            for group in _MANY_GROUPS:
                await reconciler.look(group)
            own_avi.running.controller.restart(keeps_state=False, seconds=0.0)
            own_avi.forget()
            await reconciler.look_at_all()
            assert own_avi.calls(writes_only=True) == ["POST macro"] * len(_MANY)
            assert len(own_avi.names("c")) == 4 * len(_MANY)
            for each in _MANY:
                assert each.group is not None
                assert kubernetes.vips(each) == [(reconciler.side.view.group(each.group).vip,)]

    asyncio.run(told())


def test_who_lost_the_lease_in_the_middle_of_a_group_writes_no_more_and_the_next_finishes(
    avi: Avi, cluster_name: str
) -> None:
    """One by one, so that there is a middle: the fence is asked before each write."""
    left = count(3, -1)

    def fence() -> None:
        if next(left) <= 0:
            raise NotLeaderError

    async def told() -> None:
        kubernetes = admitted(LB1, LB2)
        async with stack(avi, kubernetes, cluster=cluster_name, has_macro=False, fence=fence) as deposed:
            for _ in range(3):
                with pytest.raises(NotLeaderError):
                    await deposed.look()
            assert avi.calls(writes_only=True) == ["POST vsvip", "POST pool", "POST pool"]
            async with stack(avi, kubernetes, cluster=cluster_name, has_macro=False) as leader:
                await leader.look()
                assert avi.calls(writes_only=True) == ["POST l4policyset", "POST virtualservice"]
                assert await leader.look() == 0

    asyncio.run(told())


@pytest.mark.parametrize("has_macro", [True, False], ids=["macro", "one by one"])
def test_of_two_that_both_believe_to_lead_one_builds_and_nothing_is_there_twice(
    avi: Avi, cluster_name: str, *, has_macro: bool
) -> None:
    """The fence failed, say: names are unique on the Controller, and who comes second takes what is there."""

    async def told() -> None:
        kubernetes = admitted(LB1, LB2)
        async with (
            stack(avi, kubernetes, cluster=cluster_name, has_macro=has_macro) as one,
            stack(avi, kubernetes, cluster=cluster_name, has_macro=has_macro) as two,
        ):
            for change in (
                lambda: None,
                lambda: kubernetes.admit(service("lb1", "80/TCP", "443/TCP"), at=START),
                lambda: kubernetes.apply(LB1),
            ):
                change()
                for _ in range(3):
                    await asyncio.gather(one.look(), two.look(), return_exceptions=True)
                assert (await one.look(), await two.look()) == (0, 0)
            assert len(avi.names(cluster_name)) == 5
            assert one.side.view.group(GROUP).vip == two.side.view.group(GROUP).vip
            assert kubernetes.vips(LB1, LB2) == [(one.side.view.group(GROUP).vip,)] * 2

    asyncio.run(told())


@pytest.mark.parametrize("jump", [timedelta(days=1), timedelta(days=-1)], ids=["ahead", "back"])
def test_a_clock_that_jumps_takes_nothing_from_anybody(avi: Avi, cluster_name: str, jump: timedelta) -> None:
    """Claims have a time; a Service that was admitted and is about to be stored gets in all the same."""
    clock = START

    async def told() -> None:
        nonlocal clock
        kubernetes = admitted(LB1, LB2)
        late = service("late", "443/TCP")
        async with stack(avi, kubernetes, cluster=cluster_name, now=lambda: clock) as reconciler:
            await reconciler.look()
            before = kubernetes.vips(LB1, LB2)
            kubernetes.admit(late, at=START)
            kubernetes.delete(late.name)
            clock = START + jump
            avi.forget()
            await reconciler.look_at_all()
            assert avi.calls(writes_only=True) == []
            assert kubernetes.vips(LB1, LB2) == before
            kubernetes.apply(late)
            await reconciler.look()
            assert kubernetes.vips(late) == before[:1]

    asyncio.run(told())
