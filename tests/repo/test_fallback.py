"""``deploy/fallback/`` is in force where the webhook is, for what the webhook is asked, and spells as the code does."""

import re
from typing import Final

import pytest
import yaml

from sharedvip.annotations import LOAD_BALANCER_IP, SHARED_VIP
from tests.repo.manifests import DEPLOY, WEBHOOKS, Object

MANIFESTS: Final[list[Object]] = [
    one for file in sorted((DEPLOY / "fallback").glob("*.yaml")) for one in yaml.safe_load_all(file.read_text())
]
POLICIES: Final = [one for one in MANIFESTS if one["kind"] == "ValidatingAdmissionPolicy"]
BINDINGS: Final = [one for one in MANIFESTS if one["kind"] == "ValidatingAdmissionPolicyBinding"]
VALIDATE: Final = WEBHOOKS["validate.sharedvip.dev"]
PAGE: Final = (DEPLOY.parent / "docs/how-to/fallback.md").read_text()


def name_of(manifest: Object) -> str:
    """As kubectl shows it."""
    return manifest["metadata"]["name"]


@pytest.mark.parametrize("binding", BINDINGS, ids=name_of)
def test_a_policy_is_in_force_where_the_webhook_is(binding: Object) -> None:
    """The same namespaces are exempt, and it denies."""
    assert binding["spec"]["matchResources"] == {"namespaceSelector": VALIDATE["namespaceSelector"]}
    assert binding["spec"]["validationActions"] == ["Deny"]


def test_every_policy_has_its_binding() -> None:
    """Of the same name."""
    assert [one["spec"]["policyName"] for one in BINDINGS] == [name_of(one) for one in POLICIES]
    assert [name_of(one) for one in BINDINGS] == [name_of(one) for one in POLICIES]


@pytest.mark.parametrize("policy", POLICIES, ids=name_of)
def test_a_policy_is_asked_what_the_webhook_is_asked(policy: Object) -> None:
    """Creates and updates of Services, never their status."""
    (rule,), (asked,) = policy["spec"]["matchConstraints"]["resourceRules"], VALIDATE["rules"]

    assert {**rule, "scope": "Namespaced"} == asked
    assert policy["spec"]["failurePolicy"] == "Fail"


@pytest.mark.parametrize("policy", POLICIES, ids=name_of)
def test_annotations_are_spelled_as_in_the_code(policy: Object) -> None:
    """Every one that an expression names."""
    spelled = set(re.findall(r"ako\.vmware\.com/[\w-]+", yaml.safe_dump(policy, width=1_000_000)))

    assert SHARED_VIP in spelled
    assert spelled <= {SHARED_VIP, LOAD_BALANCER_IP}


def test_the_page_names_the_rules_that_are_repeated() -> None:
    """Those of the seed."""
    told = set(re.findall(r"\[([a-z]+-[a-z-]+)\]", "".join(map(yaml.safe_dump, POLICIES))))
    table = PAGE.partition("## What it refuses")[2].partition("\n\n## ")[0].partition("In the words")[0]

    assert told == {"not-load-balancer", "duplicate-port", "static-address-mismatch"}
    assert told == set(re.findall(r"`([a-z-]+)`", table)) - {name_of(one) for one in POLICIES}
