"""``sharedvip audit`` over a real API server: what it prints, its exit codes, and whom it needs to ask."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from cli.audit import audit, list_all, read_world
from cli.main import app
from cluster.api import KubernetesApi
from cluster.ip_addresses import AddressLocks
from cluster.services import read_service
from cluster.shared_vips import SharedVipStore
from localcluster.ports import LOOPBACK, free_ports
from sharedvip.annotations import SHARED_VIP
from sharedvip.ledger import GRACE, Claim, Member
from sharedvip.model import GroupName, ServiceName, SharedValues
from sharedvip.parse import ServiceObject
from tests.builders import KEY, listener, service_object
from tests.cluster.connection import Connection
from tests.webhook.replicas import some_address

RUNNER = CliRunner()
PAGE = Path(__file__).parents[2] / "docs/how-to/audit.md"


def run(connection: Connection, *words: str, kubeconfig: Path | None = None) -> Result:
    """``sharedvip audit``, as the administrator or another, of the test's own namespace."""
    known = kubeconfig or connection.cluster.kubeconfig
    return RUNNER.invoke(app, ["audit", "-n", connection.namespace, f"--kubeconfig={known}", *words])


def store(connection: Connection, *services: ServiceObject) -> None:
    """Past admission: the shared cluster has no webhook."""
    for service in services:
        made = {**service, "metadata": {**service["metadata"], "namespace": connection.namespace}}  # pyright: ignore[reportTypedDictNotRequiredAccess] - builders always set it
        connection.kubectl("create", "-f", "-", input=json.dumps(made))


def tell(connection: Connection, story: Callable[["Planter"], Awaitable[None]]) -> None:
    """Write ledgers and locks by hand."""

    async def whole(api: KubernetesApi) -> None:
        await story(Planter(api, GroupName(connection.namespace, KEY)))

    connection.tell(whole)


class Planter:
    """Writes into the ledger of the test's group what may, or must not, be there."""

    def __init__(self, api: KubernetesApi, group: GroupName) -> None:
        self.api = api
        self.group = group

    async def claim(self, service: str, port: str, *, uid: str = "", address: str = "", is_old: bool = True) -> None:
        """As admission would; without a uid for the Service that is stored."""
        at = datetime.now(UTC) - (GRACE + timedelta(minutes=1) if is_old else timedelta())
        found = await read_service(self.api, ServiceName(self.group.namespace, service))
        member = Member(service, uid or (found.uid if found else ""))
        await SharedVipStore(self.api).claim(
            self.group, member, shared=SharedValues(static_address=address), claims=[Claim(listener(port), *member, at)]
        )

    async def lock(self, address: str, *, key: str = KEY) -> None:
        """Hold an address."""
        assert await AddressLocks(self.api).take(address, GroupName(self.group.namespace, key)) is None


def differs(mine: str, other: str, service: str) -> str:
    """What the rule says of two addresses."""
    return f"{mine} differs from the {other} that Service '{service}' shares under 'fixed'; set {other}"


@pytest.mark.e2e
def test_conflicts_past_admission_are_told_word_for_word(connection: Connection) -> None:
    """A port twice, another static address, the annotation on another type; exit code 1."""
    store(
        connection,
        service_object("one", "80"),
        service_object("two", "80", "443"),
        service_object("fixed-1", "80", key="fixed", spec={"loadBalancerIP": (mine := some_address())}),
        service_object("fixed-2", "443", key="fixed", spec={"loadBalancerIP": (other := some_address())}),
        service_object("plain", "80", spec={"type": "ClusterIP"}),
        service_object("good", "80", key="good"),
    )

    done = run(connection)

    place, served = f"Service {connection.namespace}", f"is already served on shared VIP '{KEY}' by Service"
    taken, inherit = "choose another port, or another protocol [duplicate-port]", "or leave it out to inherit it"
    asks = "asks for it; set 'LoadBalancer', or remove the annotation [not-load-balancer]"
    assert done.stdout.splitlines() == [
        f"{place}/fixed-1: spec.loadBalancerIP: {differs(mine, other, 'fixed-2')}, {inherit} [static-address-mismatch]",
        f"{place}/fixed-2: spec.loadBalancerIP: {differs(other, mine, 'fixed-1')}, {inherit} [static-address-mismatch]",
        f"{place}/one: spec.ports[0]: 80/TCP {served} 'two'; {taken}",
        f"{place}/plain: spec.type: 'ClusterIP' may not share a VIP, but annotation '{SHARED_VIP}' {asks}",
        f"{place}/two: spec.ports[0]: 80/TCP {served} 'one'; {taken}",
        "6 Services in 3 groups: 5 findings",
    ]
    assert (done.exit_code, done.stderr) == (1, "")


@pytest.mark.e2e
def test_a_world_in_order(connection: Connection) -> None:
    """Exit code 0; a claim whose Service may come yet is in order too."""
    address = some_address()
    store(connection, service_object("web", "80", spec={"loadBalancerIP": address}))

    async def story(planter: Planter) -> None:
        await planter.claim("web", "80", address=address)
        await planter.claim("coming", "443", uid="1", address=address, is_old=False)
        await planter.lock(address)

    tell(connection, story)
    done = run(connection, "--ledger")

    assert (done.exit_code, done.output) == (0, "1 Service in 1 group: nothing wrong\n")


@pytest.mark.e2e
def test_every_untruth_of_a_ledger_is_told(connection: Connection) -> None:
    """Also as JSON; without ``--ledger`` nobody looks at it."""
    address, forgotten = some_address(), some_address()
    store(connection, service_object("web", "80", spec={"loadBalancerIP": address}), service_object("api", key="api"))

    async def story(planter: Planter) -> None:
        await planter.claim("web", "80", address=address)
        await planter.claim("gone", "443", uid="1", address=address)
        await planter.lock(forgotten, key="gone")

    tell(connection, story)
    silent, told = run(connection), run(connection, "--ledger", "-o", "json")

    assert (silent.exit_code, silent.stdout) == (0, "2 Services in 2 groups: nothing wrong\n")
    report = json.loads(told.stdout)
    assert (told.exit_code, report["services"], report["groups"]) == (1, 2, 2)
    assert [list(one) for one in report["findings"]] == [["kind", "namespace", "name", "rule", "message"]] * 4
    assert {(one["kind"], one["name"], one["rule"]) for one in report["findings"]} == {
        ("IPAddress", forgotten, "lock-without-group"),
        ("Service", "api", "service-without-claim"),
        ("SharedVIP", KEY, "address-without-lock"),
        ("SharedVIP", KEY, "claim-without-service"),
    }
    assert {one["namespace"] for one in report["findings"]} == {connection.namespace}
    assert all(one["message"].endswith(f" [{one['rule']}]") for one in report["findings"])


@pytest.mark.e2e
def test_the_page_tells_how_to_hold_an_address_again(connection: Connection) -> None:
    """``docs/how-to/audit.md``: the ``IPAddress`` that somebody deleted, made anew."""
    address = some_address()
    store(connection, service_object("web", "80", spec={"loadBalancerIP": address}))
    tell(connection, lambda planter: planter.claim("web", "80", address=address))
    assert "[address-without-lock]" in run(connection, "--ledger").stdout

    (made,) = [text for text in blocks("yaml") if "kind: IPAddress" in text]
    for word, meant in (("100.64.196.75", address), ("default", connection.namespace)):
        made = made.replace(word, meant)
    connection.kubectl("create", "-f", "-", input=made)

    assert run(connection, "--ledger").exit_code == 0


@pytest.mark.e2e
def test_what_is_put_right_meanwhile_is_not_told(connection: Connection) -> None:
    """The janitor needs a moment: told is what stands at every look."""
    store(connection, service_object("web", "80"))

    async def story(planter: Planter) -> None:
        here = connection.namespace
        at_once = await audit(planter.api, namespace=here, with_ledger=True, patience_seconds=0)
        looking = asyncio.create_task(audit(planter.api, namespace=here, with_ledger=True, patience_seconds=60))
        await planter.claim("web", "80")

        assert [one.rule for one in at_once.findings] == ["service-without-claim"]
        assert (await looking).findings == ()

    tell(connection, story)


@pytest.mark.e2e
def test_the_class_that_is_ours_is_the_platform_engineers(connection: Connection) -> None:
    """As for the webhook."""
    store(connection, service_object("web", "80", spec={"loadBalancerClass": "example.com/lb"}))

    assert "[class-mismatch]" in run(connection).stdout
    assert run(connection, "--load-balancer-class=example.com/lb").exit_code == 0
    assert run(connection, "--load-balancer-class=example.com/lb", "--no-default-class").exit_code == 0


@pytest.fixture
def guest(connection: Connection) -> Path:
    """The kubeconfig of somebody who may look at the test's namespace only."""
    rules = [
        {"apiGroups": [""], "resources": ["services"], "verbs": ["list"]},
        {"apiGroups": ["sharedvip.dev"], "resources": ["sharedvips"], "verbs": ["list"]},
    ]
    grant(connection, role("Role", "guest", rules), account="guest", binding="RoleBinding")
    return connection.cluster.service_account_kubeconfig(connection.namespace, "guest")


def role(kind: str, name: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    """A role of that name."""
    version = "rbac.authorization.k8s.io/v1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "rules": rules}


def grant(connection: Connection, told: dict[str, Any], *, account: str, binding: str) -> None:
    """A ServiceAccount with that role."""
    subject = {"kind": "ServiceAccount", "name": account, "namespace": connection.namespace}
    objects = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}},
        told,
        {
            "apiVersion": told["apiVersion"],
            "kind": binding,
            "metadata": {"name": told["metadata"]["name"]},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": told["kind"],
                "name": told["metadata"]["name"],
            },
            "subjects": [subject],
        },
    ]
    connection.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(objects))


@pytest.mark.e2e
def test_who_may_look_at_one_namespace_sees_that_one(connection: Connection, guest: Path) -> None:
    """And is told so; the whole cluster and its ledgers are not for them: exit code 2, and what to type."""
    store(connection, service_object("one"), service_object("two"))

    here = run(connection, kubeconfig=guest)
    ledger = run(connection, "--ledger", kubeconfig=guest)
    everywhere = RUNNER.invoke(app, ["audit", f"--kubeconfig={guest}"])

    assert (here.exit_code, here.stdout.count("[duplicate-port]")) == (1, 2)
    assert here.stderr.startswith(f"sharedvip audit: only '{connection.namespace}' is looked at: sharedvips")
    assert "is forbidden" in here.stderr
    assert len(here.stderr.splitlines()) == 1
    assert (ledger.exit_code, ledger.stdout) == (2, "")
    assert "ipaddresses" in ledger.stderr
    assert (everywhere.exit_code, everywhere.stdout) == (2, "")
    assert everywhere.stderr.endswith("who has rights in one namespace only names it with --namespace\n")


@pytest.mark.e2e
def test_the_rights_on_the_page_are_enough(connection: Connection) -> None:
    """The ClusterRole of ``docs/how-to/audit.md``, for everything that the command can be asked."""
    (told,) = [made for text in blocks("yaml") if (made := yaml.safe_load(text))["kind"] == "ClusterRole"]
    own = {**told, "metadata": {"name": connection.namespace}}
    grant(connection, own, account="auditor", binding="ClusterRoleBinding")
    auditor = connection.cluster.service_account_kubeconfig(connection.namespace, "auditor")
    store(connection, service_object("one"), service_object("two"))
    try:
        done = run(connection, "--ledger", kubeconfig=auditor)
    finally:
        connection.kubectl(
            "delete", f"clusterrole/{connection.namespace}", f"clusterrolebinding/{connection.namespace}"
        )

    assert (done.exit_code, done.stderr) == (1, "")
    assert done.stdout.endswith("2 Services in 1 group: 2 findings\n")


@pytest.mark.e2e
def test_long_lists_come_in_pages(connection: Connection) -> None:
    """More than 500 objects in the same way: every page, each object once."""
    store(
        connection,
        *(service_object(f"web-{number}", spec={"clusterIP": "None", "type": "ClusterIP"}) for number in range(5)),
    )
    path = f"/api/v1/namespaces/{connection.namespace}/services"

    async def story(api: KubernetesApi) -> list[dict[str, Any]]:
        return await list_all(api, path, dict[str, Any], page_size=2)

    assert [one["metadata"]["name"] for one in connection.tell(story)] == [f"web-{number}" for number in range(5)]


@pytest.mark.e2e
def test_without_sharedvip_the_rules_hold_all_the_same(connection: Connection) -> None:
    """Before it is installed: what there is to clean up first."""

    class Stranger:
        """The API server of a cluster that has no ``SharedVIP``."""

        def __init__(self, api: KubernetesApi) -> None:
            self._api = api

        async def request(self, method: str, path: str, **words: Any) -> bytes:  # noqa: ANN401 - handed on
            """Another group in its place."""
            return await self._api.request(method, path.replace("sharedvip.dev", "nowhere.dev"), **words)

    async def story(api: KubernetesApi) -> None:
        world = await read_world(Stranger(api), namespace=connection.namespace)  # pyright: ignore[reportArgumentType] - as far as it is asked
        assert (len(world.services), world.ledgers) == (1, ())

    store(connection, service_object("web"))
    connection.tell(story)


def unreachable(folder: Path, **trust: str) -> Path:
    """A kubeconfig for an API server that is not there."""
    server = f"https://{LOOPBACK}:{free_ports(1)[0]}"
    made = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "a", "cluster": {"server": server, **trust}}],
        "users": [{"name": "a", "user": {"token": "none"}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "current-context": "a",
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(made))
    return folder / "kubeconfig"


@pytest.mark.parametrize("flags", [[], ["--ledger", "-o", "json"]], ids=["conflicts", "ledgers"])
def test_nobody_to_ask_is_a_sentence(tmp_path: Path, flags: list[str]) -> None:
    """Exit code 2, not 1: a cron job must not take silence for a finding, nor for peace."""
    done = RUNNER.invoke(app, ["audit", f"--kubeconfig={unreachable(tmp_path)}", *flags])

    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("sharedvip audit: the API server cannot be reached: ")
    assert len(done.stderr.splitlines()) == 1


def test_no_kubeconfig_is_a_sentence(tmp_path: Path) -> None:
    """Exit code 2."""
    done = RUNNER.invoke(app, ["audit", f"--kubeconfig={tmp_path / 'none'}"])

    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("sharedvip audit: cannot tell where the API server is")


@pytest.mark.parametrize("text", ["", "a: [b", "- a", "clusters: 5"], ids=["empty", "no YAML", "a list", "odd"])
def test_a_kubeconfig_that_is_none_is_a_sentence(tmp_path: Path, text: str) -> None:
    """Exit code 2: a traceback ends with 1, which a cron job took for a finding."""
    (tmp_path / "kubeconfig").write_text(text)

    done = RUNNER.invoke(app, ["audit", f"--kubeconfig={tmp_path / 'kubeconfig'}"])

    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("sharedvip audit: cannot tell where the API server is: ")
    assert len(done.stderr.splitlines()) == 1


def test_an_authority_that_is_no_pem_is_a_sentence(tmp_path: Path) -> None:
    """Exit code 2, and the file to look at."""
    (tmp_path / "ca.crt").write_text("none")
    kubeconfig = unreachable(tmp_path, **{"certificate-authority": "ca.crt"})

    done = RUNNER.invoke(app, ["audit", f"--kubeconfig={kubeconfig}"])

    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"sharedvip audit: a certificate or key of {kubeconfig} cannot be used: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_home_that_may_not_be_read_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2: nobody told where to look, and where kubectl looks is closed."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", "/" + "x" * 300)

    done = RUNNER.invoke(app, ["audit"])

    assert (done.exit_code, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


def test_another_output_is_refused() -> None:
    """With the words that are possible."""
    done = RUNNER.invoke(app, ["audit", "--output=yaml"])

    assert done.exit_code == 2
    assert "text, json" in done.output


def blocks(language: str) -> list[str]:
    """The page's blocks in a language."""
    return [text.partition("```")[0] for text in PAGE.read_text().split(f"```{language}\n")[1:]]
