"""The door to avisdk: logins, credentials, and what of the environment must have no word."""

import asyncio
from dataclasses import replace

import pytest

from reconciler.avi_client import AviRequest
from reconciler.avi_errors import AviCredentialsRefused, AviUnreachable
from tests.builders import service
from tests.reconciler.controller import Avi, Stack, tell

LB1 = service("sharedvip-avisvc-lb1", "80/TCP")


def test_an_expired_session_is_one_login_whoever_notices(avi: Avi, cluster_name: str) -> None:
    """Eight calls at once meet 401: one logs in, all are answered (``avi.md`` 1.6 measured 113 logins)."""

    async def story(reconciler: Stack) -> None:
        avi.running.controller.sessions.expire_all()
        get = AviRequest("GET", "pool", {"page_size": "1"})
        replies = await asyncio.gather(*(reconciler.client.request(get) for _ in range(8)))
        assert [reply.status for reply in replies] == [200] * 8
        assert avi.calls().count("POST login") == 1

    tell(avi, cluster_name, story, LB1)


def test_wrong_credentials_are_tried_once(avi: Avi, cluster_name: str) -> None:
    """More would lock the account (``avi.md`` 1.8); a file that changed is a reason to try again."""

    async def story(reconciler: Stack) -> None:
        directory = reconciler.settings.avi_credentials_directory
        assert directory is not None
        password = directory / "password"
        right = password.read_text()
        try:
            password.write_text("wrong")
            for _ in range(5):
                with pytest.raises(AviCredentialsRefused):
                    await reconciler.side.read()
                await reconciler.look()
            assert avi.calls() == ["POST login"]
            verdict = reconciler.kubernetes.verdicts[LB1.name]
            assert (verdict.is_ready, verdict.reason) == (False, "CredentialsRefused")
            assert "wrong" not in verdict.message
        finally:
            password.write_text(right)
        await reconciler.side.read()
        await reconciler.look()
        assert reconciler.kubernetes.verdicts[LB1.name].reason == "Programmed"

    tell(avi, cluster_name, story, LB1, is_read=False)


def test_nobody_at_the_address_is_unreachable(avi: Avi, cluster_name: str) -> None:
    """And the next login waits, so that a dead Controller is not hammered."""
    refused = replace(avi, running=replace(avi.running, access=replace(avi.running.access, url="https://127.0.0.1:1")))

    async def story(reconciler: Stack) -> None:
        with pytest.raises(AviUnreachable):
            await reconciler.side.read()
        with pytest.raises(AviUnreachable, match="tried again within a minute"):
            await reconciler.side.read()

    tell(refused, cluster_name, story, LB1, is_read=False)


def test_the_proxy_and_the_netrc_of_the_environment_have_no_word(
    avi: Avi, cluster_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Source: ``avi.md`` 1.5: both would be used for API calls by avisdk as it comes."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere.pem")

    async def story(reconciler: Stack) -> None:
        await reconciler.look()

    tell(avi, cluster_name, story, LB1)
    assert len(avi.names(cluster_name)) == 4
