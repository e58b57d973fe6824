"""The same Controller through avisdk, whose form login, doubled cookies and headers differ from AKO's."""

from collections.abc import Iterator

import pytest

from tests.contracts.bodies import macro, pool, server, tree, vsvip
from tests.contracts.client import Client, Site, path_of, unique
from tests.contracts.sdk import NOT_FOUND, Session, session


@pytest.fixture
def sdk(client: Client, controller: Site) -> Iterator[Session]:
    """A session of avisdk in the suite's tenant; ``client`` cleans up."""
    with session(controller, tenant=client.tenant) as opened:
        yield opened


def test_avisdk_logs_in_and_reads(sdk: Session) -> None:
    """Lazily: the first call logs in."""
    assert sdk.get("pool", params={"page_size": "200"}).json() == {"count": 0, "results": []}


def test_avisdk_writes_with_every_method(sdk: Session, controller: Site) -> None:
    """Its CSRF token and Referer are taken."""
    made = sdk.post("pool", data=pool(controller)).json()
    path = f"pool/{made['uuid']}"
    moved = sdk.patch(path, data={"replace": {"servers": [server("10.0.0.7")]}}).json()
    renewed = sdk.put(path, data={**moved, "description": "x"}).json()

    assert [entry["ip"]["addr"] for entry in renewed["servers"]] == ["10.0.0.7"]
    assert sdk.delete(path).status_code == 204
    assert sdk.get(path).status_code == 404


def test_avisdk_tells_not_found_apart(sdk: Session) -> None:
    """404 is its own error there."""
    with pytest.raises(NOT_FOUND):
        sdk.get("pool/pool-none").json()


def test_avisdk_finds_by_name(sdk: Session, controller: Site) -> None:
    """The first of the results."""
    made = sdk.post("pool", data=pool(controller)).json()
    found = sdk.get_object_by_name("pool", made["name"])

    assert found is not None
    assert found["uuid"] == made["uuid"]
    assert sdk.get_object_by_name("pool", "nowhere") is None


def test_avisdk_walks_the_pages(sdk: Session, controller: Site) -> None:
    """By ``next``."""
    owner = unique("owner")
    names = {sdk.post("pool", data=pool(controller, created_by=owner)).json()["name"] for _ in range(5)}
    walked = sdk.get_objects_iter("pool", params={"created_by": owner, "page_size": 2})

    assert {entry["name"] for entry in walked} == names


def test_avisdk_forces_a_uuid(sdk: Session, controller: Site) -> None:
    """By the ``Slug`` header."""
    uuid = unique("pool")

    assert sdk.post("pool", data=pool(controller), force_uuid=uuid).json()["uuid"] == uuid


def test_avisdk_makes_and_deletes_a_tree(sdk: Session, client: Client, controller: Site) -> None:
    """Two calls for a group's whole life: a DELETE with a body, too."""
    made = sdk.post("macro", data=macro(tree(controller)))
    vs = client.get("virtualservice").results[0]
    deleted = sdk.delete("macro", data=macro({"uuid": vs["uuid"]}))

    assert (made.status_code, deleted.status_code < 300) == (201, True)
    assert client.get("vsvip").body["count"] == 0


def test_avisdk_sees_another_tenant_by_the_call(sdk: Session, client: Client, controller: Site) -> None:
    """Its ``tenant`` argument."""
    made = client.made("vsvip", vsvip(controller))

    assert sdk.get(path_of(made), tenant="admin").status_code == 404
    assert sdk.get(path_of(made)).status_code == 200
