"""deploy/ holds together: with itself and with our code."""

import re
from pathlib import Path
from typing import Final

import pytest
from typer.main import get_group

from certs.command import CertsSettings
from cli.main import app
from sharedvip.annotations import SHARED_VIP
from sharedvip.rules.duplicate_port import MOST_LISTENERS
from tests.repo.manifests import (
    DEPLOY,
    FILES,
    MANIFESTS,
    PODS,
    README,
    SYSTEM,
    WEBHOOKS,
    Object,
    commands_of,
    of_kind,
    pod_of,
)
from webhook.serve import FINISH_SECONDS
from webhook.settings import WebhookSettings

COMMANDS: Final = get_group(app).commands
ROLES: Final = [path for path in FILES if "role" in path.stem and "binding" not in path.stem]


def test_a_shared_vip_holds_as_many_listeners_as_a_refusal_says() -> None:
    """Else a Service that passes the rule would be refused by the schema, in worse words."""
    (definition,) = of_kind("CustomResourceDefinition")
    claims = re.findall(r"'claims': .*?'maxItems': (\d+)", str(definition.content))
    assert claims == [str(MOST_LISTENERS)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_holds_one_kind_and_is_named_after_it(path: Path) -> None:
    """So that a person finds each object by its file's name."""
    kinds = {manifest.kind for manifest in MANIFESTS if manifest.file == path.name}

    assert len(kinds) == 1
    assert path.stem.split("-")[1] == kinds.pop().lower()


def test_no_object_is_there_twice() -> None:
    """The later file would win silently."""
    names = [(manifest.kind, manifest.name) for manifest in MANIFESTS]

    assert len(names) == len(set(names))


def test_every_object_belongs_to_us_by_label_and_namespace() -> None:
    """`kubectl get ... -l app.kubernetes.io/part-of=sharedvip` finds all of it."""
    for manifest in MANIFESTS:
        metadata = manifest.content["metadata"]
        assert metadata["labels"]["app.kubernetes.io/part-of"] == "sharedvip", manifest.file
        assert metadata.get("namespace", SYSTEM) == SYSTEM, manifest.file


@pytest.mark.parametrize("path", ROLES, ids=lambda path: path.name)
def test_each_rule_of_a_role_says_what_it_is_for(path: Path) -> None:
    """A right without a reason is one that nobody dares to take away."""
    lines = path.read_text(encoding="utf-8").splitlines()
    before = [lines[number - 1] for number, line in enumerate(lines) if line.startswith("  - apiGroups:")]

    assert before
    assert [line for line in before if not re.match(r"  # .{15,}", line)] == []


def test_no_role_grants_a_wildcard() -> None:
    """Least privilege is spelled out."""
    for role in of_kind("Role", "ClusterRole"):
        for rule in role.content["rules"]:
            assert "*" not in (*rule["apiGroups"], *rule["resources"], *rule["verbs"]), role.name


def test_secrets_are_readable_for_certs_only_and_by_name() -> None:
    """The authority's key is in one of them."""
    granted = [
        (role.name, tuple(rule["verbs"]), tuple(rule.get("resourceNames", ())))
        for role in of_kind("Role", "ClusterRole")
        for rule in role.content["rules"]
        if "secrets" in rule["resources"]
    ]
    settings = CertsSettings()

    assert granted == [
        ("sharedvip-certs", ("create",), ()),
        ("sharedvip-certs", ("get", "patch"), (settings.authority_secret, settings.serving_secret)),
    ]


def test_every_binding_binds_what_is_there() -> None:
    """A role or a ServiceAccount of another name would be granted to nobody, silently."""
    accounts = {account.name for account in of_kind("ServiceAccount")}
    roles = {(role.kind, role.name) for role in of_kind("Role", "ClusterRole")}
    bindings = of_kind("RoleBinding", "ClusterRoleBinding")

    assert {(b.content["roleRef"]["kind"], b.content["roleRef"]["name"]) for b in bindings} == roles
    assert {subject["name"] for b in bindings for subject in b.content["subjects"]} == accounts
    assert {pod["serviceAccountName"] for pod in PODS.values()} == accounts


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_pods_are_as_restricted_as_can_be(pod: Object) -> None:
    """Also where no policy would enforce it."""
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"requests", "limits"} == set(container["resources"])


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_service_links_cannot_pose_as_settings(pod: Object) -> None:
    """Kubernetes would set SHAREDVIP_WEBHOOK_PORT=tcp://10.0.0.1:443 for our Service; that is --port's variable."""
    assert pod["enableServiceLinks"] is False


def test_all_pods_run_the_same_image() -> None:
    """One version at a time."""
    assert len({container["image"] for pod in PODS.values() for container in pod["containers"]}) == 1


def test_the_job_and_the_cronjob_do_the_same_for_the_names_that_the_code_assumes() -> None:
    """The defaults of `sharedvip certs` are the manifests' names."""
    arguments = [PODS[pod]["containers"][0]["args"] for pod in ("Job/sharedvip-certs", "CronJob/sharedvip-certs")]
    settings = CertsSettings()

    assert arguments[0] == arguments[1]
    assert arguments[0] == ["certs", f"--namespace={settings.namespace}", f"--service={settings.service}"]
    assert PODS["Deployment/sharedvip-webhook"]["volumes"][0]["secret"]["secretName"] == settings.serving_secret
    assert {manifest.name for manifest in MANIFESTS if manifest.kind.endswith("WebhookConfiguration")} == {
        settings.configuration
    }


def test_services_and_budgets_select_the_pods_of_the_deployments() -> None:
    """A selector that matches nothing is valid YAML."""
    labels = {d.name: d.content["spec"]["template"]["metadata"]["labels"] for d in of_kind("Deployment")}

    for manifest in of_kind("Service"):
        assert manifest.content["spec"]["selector"] == labels[manifest.name]
    for manifest in of_kind("PodDisruptionBudget"):
        assert manifest.content["spec"]["selector"]["matchLabels"] == labels[manifest.name]


def test_the_ports_of_services_and_probes_exist() -> None:
    """By name, from the Service to the container to the flag."""
    for manifest in of_kind("Deployment"):
        container = pod_of(manifest)["containers"][0]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        service = next(service for service in of_kind("Service") if service.name == manifest.name)

        assert {port["targetPort"] for port in service.content["spec"]["ports"]} == set(ports)
        assert f"--health-port={ports['health']}" in container["args"]
        assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}
        assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "health"}


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_every_flag_is_one_of_our_command(pod: Object) -> None:
    """A flag that is none would be a pod that never starts."""
    command, *arguments = pod["containers"][0]["args"]
    known = {option for parameter in COMMANDS[command].params for option in parameter.opts}

    assert {argument.partition("=")[0] for argument in arguments} <= known


def test_flags_name_files_where_the_volumes_are_mounted() -> None:
    """A wrong path would be a pod that never becomes ready."""
    for name, flags in {
        "webhook": {"--certificate": "/tls.crt", "--key": "/tls.key"},
        "reconciler": {"--avi-credentials-directory": ""},
    }.items():
        container = PODS[f"Deployment/sharedvip-{name}"]["containers"][0]
        mount = container["volumeMounts"][0]["mountPath"]

        assert {f"{flag}={mount}{file}" for flag, file in flags.items()} <= set(container["args"])


def test_the_webhooks_call_our_service_at_the_paths_agreed() -> None:
    """And under the name that users read in a refusal."""
    called = {name: webhook["clientConfig"]["service"] for name, webhook in WEBHOOKS.items()}
    service = {"namespace": SYSTEM, "name": "sharedvip-webhook", "port": 443}

    assert called == {
        "validate.sharedvip.dev": {**service, "path": "/validate"},
        "mutate.sharedvip.dev": {**service, "path": "/mutate"},
    }


@pytest.mark.parametrize("webhook", WEBHOOKS.values(), ids=WEBHOOKS)
def test_a_webhook_is_asked_about_creates_and_updates_of_services_only(webhook: Object) -> None:
    """Never DELETE and never services/status: those must work while we are away."""
    assert webhook["rules"] == [
        {
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "operations": ["CREATE", "UPDATE"],
            "resources": ["services"],
            "scope": "Namespaced",
        }
    ]
    assert webhook["matchPolicy"] == "Equivalent"
    assert webhook["sideEffects"] == "NoneOnDryRun"
    assert webhook["namespaceSelector"]["matchExpressions"][0]["values"] == ["kube-system", SYSTEM]


def test_a_webhook_pod_has_the_time_that_its_orderly_end_may_take() -> None:
    """Or the kubelet kills it in the middle of an answer."""
    (webhook,) = (pod_of(m) for m in of_kind("Deployment") if m.name == "sharedvip-webhook")
    settings = WebhookSettings()

    assert webhook["terminationGracePeriodSeconds"] > (
        settings.drain_seconds + settings.linger_seconds + FINISH_SECONDS
    )


def test_without_us_nothing_is_admitted_unchecked_and_nobody_waits_long() -> None:
    """The law is /validate's alone; /mutate helps where it can. Together they stay under kubectl's patience."""
    policies = {name: (webhook["failurePolicy"], webhook["timeoutSeconds"]) for name, webhook in WEBHOOKS.items()}

    assert policies == {"validate.sharedvip.dev": ("Fail", 5), "mutate.sharedvip.dev": ("Ignore", 2)}


@pytest.mark.parametrize("webhook", WEBHOOKS.values(), ids=WEBHOOKS)
def test_the_annotation_is_spelled_as_in_the_code(webhook: Object) -> None:
    """With another spelling nothing would ever be checked, and nobody would notice."""
    expressions = " ".join(condition["expression"] for condition in webhook["matchConditions"])

    assert set(re.findall(r'"([^"]+)"', expressions)) - {"LoadBalancer"} == {SHARED_VIP}


def test_the_readme_speaks_of_objects_that_exist() -> None:
    """Its commands are typed in an emergency."""
    text = README.read_text(encoding="utf-8")
    files = set(re.findall(r"(?:deploy/)?(\d\d-[a-z-]+\.yaml)", text))
    secrets = {PODS[pod]["volumes"][0]["secret"]["secretName"] for pod in PODS if pod.startswith("Deployment")}

    assert {DEPLOY / name for name in files} <= set(FILES)
    assert all(name in text for name in secrets)
    assert SHARED_VIP in text


@pytest.mark.parametrize("page", ["install", "uninstall"])
def test_the_how_to_pages_type_what_the_readme_types(page: str) -> None:
    """The README's commands are tried on a real API server (test_installation.py); these are the same."""
    text = (DEPLOY.parent / "docs/how-to" / f"{page}.md").read_text(encoding="utf-8")
    commands = [line for line in commands_of(text) if "trial" not in line]

    assert len(commands) > 2
    assert set(commands) - set(commands_of(README.read_text(encoding="utf-8"))) == set()
