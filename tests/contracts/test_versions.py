"""What X-Avi-Version does."""

from tests.contracts.bodies import pool
from tests.contracts.client import Client, Site


def test_a_request_is_answered_in_the_version_it_asks_for(client: Client) -> None:
    """The answer says so."""
    assert client.get("pool").headers["avi_api_version"] == "30_2_1"


def test_a_request_without_a_version_is_answered_as_an_old_one(client: Client) -> None:
    """Which is why a client must send one."""
    assert client.speaking("").get("pool").headers["avi_api_version"].startswith("16_4")


def test_a_version_above_the_controllers_is_refused(client: Client) -> None:
    """The SDK looks for these two words."""
    answer = client.speaking("99.1.1").get("pool")

    assert answer.status == 400
    assert "Invalid version" in answer.error


def test_a_field_newer_than_the_version_is_refused_by_name(client: Client, controller: Site) -> None:
    """Whole words, as users of Terraform see them."""
    body = pool(controller, graceful_hm_down_disable_timeout=5)
    answer = client.speaking("22.1.3").post("pool", body)

    assert answer.status == 400
    assert answer.error == (
        "Incoming request (v22_1_3) has field (graceful_hm_down_disable_timeout) introduced in later versions(v30_2_1)."
    )
    assert client.post("pool", body).status == 201


def test_a_newer_field_is_found_wherever_it_stands(client: Client, controller: Site) -> None:
    """Also below lists."""
    services = [{"port": 80, "enable_http2": False}]
    body = {"name": "never-made", "cloud_ref": f"/api/cloud?name={controller.cloud}", "services": services}

    assert "(enable_http2)" in client.speaking("18.2.8").post("virtualservice", body).error
