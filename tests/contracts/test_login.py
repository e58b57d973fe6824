"""Who may speak to a Controller: login, session, CSRF token, logout."""

from dataclasses import replace
from urllib.parse import urlencode

from tests.contracts.bodies import pool
from tests.contracts.client import Client, Site

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def logged_in(controller: Site) -> Client:
    """A client with a session of its own."""
    client = Client(controller.send, controller.url)
    client.login(controller.username, controller.password)
    return client


def test_a_json_login_gives_a_session_and_a_csrf_token(controller: Site) -> None:
    """AKO logs in with JSON and reads the version from the answer."""
    answer = Client(controller.send).login(controller.username, controller.password)

    assert answer.status == 200
    assert len(answer.cookies["csrftoken"]) == len(answer.cookies["sessionid"]) == 32
    assert answer.cookies[answer.body["session_cookie_name"]] == answer.cookies["sessionid"]
    assert answer.body["version"]["Version"]
    assert answer.body["user"]["username"] == controller.username


def test_a_form_login_is_as_good(controller: Site) -> None:
    """The SDK sends the credentials form encoded."""
    form = urlencode({"username": controller.username, "password": controller.password}).encode()
    answer = controller.send("POST", "/login", headers=FORM, body=form)

    assert (answer.status, "csrftoken" in answer.cookies) == (200, True)


def test_wrong_credentials_are_refused(controller: Site) -> None:
    """An unknown user, since a wrong password would lock a real account."""
    answer = Client(controller.send).login("sharedvip-nobody", "wrong")

    assert (answer.status, answer.error, dict(answer.cookies)) == (401, "Invalid credentials", {})


def test_a_call_without_a_session_is_refused(controller: Site) -> None:
    """401, so that a client logs in."""
    assert Client(controller.send).get("pool").status == 401


def test_an_unknown_session_is_refused(controller: Site) -> None:
    """Likewise when the Controller forgot it."""
    client = Client(controller.send, cookies={"sessionid": "x" * 32, "csrftoken": "y" * 32})

    assert client.get("pool").status == 401


def test_a_read_needs_no_csrf_token(client: Client) -> None:
    """Only writes do."""
    assert client.call("GET", "pool", headers={"X-CSRFToken": None, "Referer": None}).status == 200


def test_a_write_with_a_wrong_csrf_token_is_refused_in_plain_text(client: Client, controller: Site) -> None:
    """The one refusal that is no JSON, though its content type says so."""
    answer = client.call("POST", "pool", body=pool(controller), headers={"X-CSRFToken": "wrong"})

    assert (answer.status, answer.text) == (401, "CSRF token missing or incorrect.")
    assert answer.headers["content-type"] == "application/json"


def test_a_write_without_a_csrf_token_is_refused(client: Client, controller: Site) -> None:
    """As one with a wrong one."""
    assert client.call("POST", "pool", body=pool(controller), headers={"X-CSRFToken": None}).status == 401


def test_a_write_without_a_referer_is_refused(client: Client, controller: Site) -> None:
    """Django's second check of a write over HTTPS."""
    answer = client.call("POST", "pool", body=pool(controller), headers={"Referer": None})

    assert answer.status in {401, 403}


def test_of_a_repeated_cookie_the_last_counts(client: Client) -> None:
    """The SDK sends each cookie twice, the old one first."""
    cookie = "sessionid=old; avi-sessionid=old; " + "; ".join(f"{key}={value}" for key, value in client.cookies.items())

    assert client.call("GET", "pool", headers={"Cookie": cookie}).status == 200


def test_every_answer_renews_the_session_cookies_and_not_the_token(client: Client) -> None:
    """A client that kept the first token would otherwise fail its next write."""
    answer = client.get("pool")

    assert set(answer.cookies) == {"sessionid", "avi-sessionid"}


def test_a_session_ends_with_its_logout_and_no_other_does(controller: Site, client: Client) -> None:
    """Sessions are many at a time."""
    own = logged_in(controller)
    headers = {"Cookie": f"sessionid={own.cookies['sessionid']}", "X-CSRFToken": own.cookies["csrftoken"]}
    answer = controller.send("POST", "/logout", headers={**headers, "Referer": controller.url}, body=b"")

    assert answer.status == 200
    assert own.get("pool").status == 401
    assert client.get("pool").status == 200


def test_the_version_is_told_without_a_session_or_with(client: Client, controller: Site) -> None:
    """AKO asks for it before anything else."""
    with_session = client.get("initial-data")
    without = replace(client, cookies={}).get("initial-data")

    assert with_session.body["version"]["Version"] == without.body["version"]["Version"]
    assert controller.url
