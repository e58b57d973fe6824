"""The two endpoints answer in the right kind, and tell of it: in the audit log, and in one line of their own."""

import asyncio
import base64

import msgspec
import pytest
from structlog.testing import capture_logs

from sharedvip.annotations import SHARED_VIP
from sharedvip.inherit import Inheritance
from sharedvip.model import Denial, ServiceName
from tests.builders import service_object
from tests.webhook.reviews import Object, encoded, post, review
from tests.webhook.validate_endpoint import ask, deciding, endpoint, failing
from webhook import metrics
from webhook.answer import Answer, Verdict, already_exists, denied
from webhook.view import Asked

DENIAL = Denial("duplicate-port", "spec.ports[0]", "is wrong", "do right", "80/TCP", ("other",))


def without(whole: Object, field: str) -> Object:
    """The review without a field of its request."""
    return {**whole, "request": {k: v for k, v in whole["request"].items() if k != field}}


def test_a_yes_is_the_uid_and_nothing_else() -> None:
    """HTTP 200 and the request's uid."""
    reply = ask()

    assert (reply.status, reply.headers[b"content-type"]) == (200, b"application/json")
    assert reply.response == {"uid": "the-uid-of-the-request", "allowed": True}


def test_a_no_is_a_status_for_people_and_machines() -> None:
    """403 and Forbidden, one cause per violation, the rules in the audit log, and the warnings beside it."""
    reply = ask(decide=deciding(denied((DENIAL,), warnings=("mind this",))))

    assert reply.status == 200
    assert reply.response == {
        "uid": "the-uid-of-the-request",
        "allowed": False,
        "status": {
            "code": 403,
            "reason": "Forbidden",
            "message": "spec.ports[0]: is wrong; do right [duplicate-port]",
            "details": {
                "name": "web",
                "kind": "Service",
                "causes": [
                    {"reason": "duplicate-port", "message": "is wrong; do right", "field": "spec.ports[0]"},
                ],
            },
        },
        "warnings": ["mind this"],
        "auditAnnotations": {"rules": "duplicate-port"},
    }


def test_what_exists_is_the_api_servers_own_answer() -> None:
    """409, as it would give it after us."""
    status = ask(decide=deciding(already_exists(ServiceName("default", "web")))).response["status"]

    assert status == {"code": 409, "reason": "AlreadyExists", "message": 'services "web" already exists'}


def test_an_address_is_inherited_by_a_json_patch() -> None:
    """Base64, with its type, and in the audit log."""
    response = ask(decide=deciding(Answer(inheritance=Inheritance("spec.loadBalancerIP", "10.0.0.1")))).response

    patch = msgspec.json.decode(base64.b64decode(response["patch"]))
    assert response["patchType"] == "JSONPatch"
    assert patch == [{"op": "add", "path": "/spec/loadBalancerIP", "value": "10.0.0.1"}]
    assert response["auditAnnotations"] == {"inherited": "spec.loadBalancerIP=10.0.0.1"}


@pytest.mark.parametrize(
    ("whole", "said"),
    [
        pytest.param(review(operation="DELETE"), "operation DELETE", id="a deletion"),
        pytest.param(review(operation="CONNECT"), "operation CONNECT", id="a connection"),
        pytest.param(review(operation="DANCE"), "operation DANCE", id="an operation that does not exist"),
        pytest.param(review(kind={"group": "", "version": "v1", "kind": "Pod"}), "v1/Pod is not", id="a Pod"),
        pytest.param(
            review({"spec": 7}, kind={"group": "apps", "version": "v1", "kind": "Deployment"}),
            "apps/v1/Deployment is not",
            id="an object that is nothing like a Service",
        ),
        pytest.param(review(subResource="status"), "v1/Service/status is not", id="a subresource"),
        pytest.param(review(object=None), "holds no object", id="no object"),
        pytest.param(without(review(), "object"), "holds no object", id="not even a null"),
    ],
)
def test_what_is_none_of_our_business_is_allowed_with_a_word(whole: Object, said: str) -> None:
    """The rules of the webhook configuration are at fault, not the user."""
    response = ask(whole, failing(AssertionError("nobody should be asked"))).response

    assert response["allowed"]
    assert said in response["warnings"][0]


def test_a_service_without_a_name_is_nobody_yet() -> None:
    """``generateName``, when it is mutated: it is not taken for a stored Service that is called like the prefix."""
    asked: list[Asked] = []

    async def decide(one: Asked) -> Answer:
        asked.append(one)
        return Answer(Verdict.ALLOWED)

    nameless = {"metadata": {"generateName": "web", "annotations": {SHARED_VIP: "k"}}, "spec": {"type": "LoadBalancer"}}
    assert ask(review(nameless, name=""), decide).status == 200

    assert asked[0].candidate.name == ServiceName("default", "web-")


def test_what_was_claimed_is_in_the_audit_log() -> None:
    """Whoever asks later who took a port; a dry run has taken none."""
    decide = deciding(Answer(claimed="key: 80/TCP, 81/TCP"))

    assert ask(decide=decide).response["auditAnnotations"] == {"claimed": "key: 80/TCP, 81/TCP"}
    assert "auditAnnotations" not in ask(review(dryRun=True), decide).response


def test_one_line_per_decision_and_nothing_of_the_object() -> None:
    """Who, what and how it ended; neither the body nor a value of it."""
    secretive = service_object("web", annotations={"note": "hush"}, spec={"loadBalancerIP": "10.9.8.7"})
    metrics.catch_up()  # what other tests left untold
    with capture_logs() as lines:
        ask(review(secretive), deciding(denied((DENIAL,))))
        ask(review(secretive, name="web-2"), deciding(Answer(claimed="key: 80/TCP")))

    assert [(line["event"], line["name"], line["verdict"], line["rules"], line["claimed"]) for line in lines] == [
        ("admission.decided", "web", "denied", "duplicate-port", ""),
        ("admission.decided", "web-2", "allowed", "", "key: 80/TCP"),
    ]
    fields = {"event", "log_level", "webhook", "verdict", "operation", "namespace", "name", "rules", "claimed"}
    assert set(lines[0]) == fields | {"dry_run", "milliseconds", "timestamp", "uid"}
    assert not any(word in str(lines) for word in ("hush", "10.9.8.7", "avi-server"))


def test_who_leaves_sends_his_callers_elsewhere() -> None:
    """Each answer is its connection's last: the API server opens the next one to another replica."""
    one = endpoint()
    before = asyncio.run(post(one, encoded(review())))
    one.is_leaving = True
    after = asyncio.run(post(one, encoded(review())))

    assert before is not None
    assert after is not None
    assert b"connection" not in before.headers
    assert (after.status, after.headers[b"connection"]) == (200, b"close")
