"""Settings: everything that is wrong is told at once, and an address may be written in many ways."""

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.settings import Endpoint, ReconcilerSettings, VipNetwork

GOOD = ReconcilerSettings(
    cluster_name="production-1", avi_controller="avi.example.com", avi_credentials_directory=Path("/avi")
)


def test_good_settings_have_no_problem() -> None:
    """In both modes; guard mode needs nothing of Avi."""
    assert GOOD.problems == ()
    assert ReconcilerSettings(cluster_name="c", mode="guard").problems == ()


def test_all_problems_are_told_at_once() -> None:
    """One line each, with the setting's name, its value and an example."""
    wrong = replace(
        GOOD,
        cluster_name="a.b",
        avi_controller="http://avi",
        avi_credentials_directory=None,
        avi_requests_per_second=33.0,
        avi_vip_networks=(VipNetwork("", cidr="10.0.0.1/33", cidr_v6="10.0.0.0/8"),),
        resync_seconds=0.0,
        workers=0,
    )

    names = [problem.partition(":")[0] for problem in wrong.problems]
    assert names == [
        "cluster_name",
        "resync_seconds",
        "workers",
        "avi_controller",
        "avi_credentials_directory",
        "avi_requests_per_second",
        *["avi_vip_networks"] * 3,
    ]
    assert wrong.problems[0].startswith("cluster_name: 'a.b' must be 1 to 63 letters")


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("avi.example.com", Endpoint("avi.example.com", 443)),
        ("10.0.0.1:8443", Endpoint("10.0.0.1", 8443)),
        ("https://avi.example.com:9443/", Endpoint("avi.example.com", 9443)),
        ("2001:db8::1", Endpoint("2001:db8::1", 443)),
        ("[2001:db8::1]:8443", Endpoint("2001:db8::1", 8443)),
        ("avi:port", Endpoint("", 443)),
    ],
)
def test_a_controller_may_be_written_in_many_ways(text: str, endpoint: Endpoint) -> None:
    """As people write them."""
    assert replace(GOOD, avi_controller=text).endpoint == endpoint
