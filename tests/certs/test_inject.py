"""What is patched in a webhook configuration: caBundle where it differs, and nothing else."""

import json
from typing import Final

import pytest

from certs.inject import render_patch

BUNDLE: Final = "bmV3"


def configuration(*bundles: str | None) -> bytes:
    """One with a webhook per bundle; None has none yet."""
    webhooks = [
        {
            "name": f"{number}.sharedvip.dev",
            "clientConfig": {"url": "https://127.0.0.1/"} | ({"caBundle": bundle} if bundle else {}),
        }
        for number, bundle in enumerate(bundles)
    ]
    return json.dumps({"metadata": {"name": "sharedvip.dev", "resourceVersion": "7"}, "webhooks": webhooks}).encode()


@pytest.mark.parametrize(
    ("bundles", "stale"),
    [
        pytest.param((None,), ["0.sharedvip.dev"], id="a webhook without a bundle gets it"),
        pytest.param(("b2xk", BUNDLE), ["0.sharedvip.dev"], id="a webhook with another bundle gets the new one"),
        pytest.param((BUNDLE, BUNDLE), [], id="webhooks that have it are not written"),
        pytest.param((), [], id="a configuration without webhooks is not written"),
    ],
)
def test_only_stale_webhooks_are_patched(bundles: tuple[str | None, ...], stale: list[str]) -> None:
    """By name, so that what others edit in the same list stays."""
    patch = render_patch(configuration(*bundles), bundle=BUNDLE)

    assert patch == (
        {
            "metadata": {"resourceVersion": "7"},
            "webhooks": [{"name": name, "clientConfig": {"caBundle": BUNDLE}} for name in stale],
        }
        if stale
        else {}
    )
