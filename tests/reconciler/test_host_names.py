"""DNS names by AKO's rules for L4."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.host_names import MAX_LABEL, domain_of, host_names
from reconciler.settings import AutoFqdn
from sharedvip.model import ServiceName

LONG = "a" * 63


def _names(
    name: str, namespace: str = "shop", *, auto: AutoFqdn = "default", annotated: str = "", default: str = ""
) -> tuple[str, ...]:
    service = ServiceName(namespace, name)
    return host_names(service, annotated=annotated, domains=("b.test", "a.test"), default_domain=default, auto=auto)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param(_names("web"), ("web.shop.a.test",), id="the first domain by alphabet"),
        pytest.param(_names("web", default="b.test"), ("web.shop.b.test",), id="the default domain"),
        pytest.param(_names("web", default="c.test"), ("web.shop.a.test",), id="a default that the cloud has not"),
        pytest.param(_names("web", auto="flat"), ("web-shop.a.test",), id="flat"),
        pytest.param(_names("web", auto="disabled"), (), id="disabled"),
        pytest.param(_names("web", "9lives"), ("web.n9lives.a.test",), id="a label begins with a letter"),
        pytest.param(_names("web", annotated="x.a.test"), ("x.a.test",), id="an annotated name comes first"),
        pytest.param(_names("web", annotated="x.a.test", auto="disabled"), ("x.a.test",), id="even when disabled"),
        pytest.param(_names("web", annotated="x.c.test"), (), id="a name that no domain of the cloud can hold"),
        pytest.param(_names("web", annotated="*.a.test, x y.a.test"), (), id="no name at all"),
        pytest.param(_names(LONG, "n", auto="flat"), (f"{LONG[:61]}-n.a.test",), id="flat: the name is cut"),
        pytest.param(_names("w", LONG, auto="flat"), (f"w-{LONG[:61]}.a.test",), id="flat: a long namespace is cut"),
        pytest.param(_names(LONG, LONG, auto="flat"), (f"{LONG[:14]}-{LONG[:48]}.a.test",), id="flat: both are cut"),
    ],
)
def test_a_member_has_a_name(names: tuple[str, ...], expected: tuple[str, ...]) -> None:
    """Source: ``ako.md`` 1.4, AKO ``lib.CheckAndShortenLabelToFollowRFC1035``."""
    assert names == expected


def test_without_a_domain_there_is_no_name() -> None:
    """The cloud has no DNS profile."""
    service = ServiceName("shop", "web")

    assert host_names(service, annotated="x.a.test", domains=(), default_domain="a.test", auto="default") == ()
    assert domain_of((".z.test",), default="") == "z.test"


@given(
    st.from_regex(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True),
    st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True),
)
def test_a_flat_name_is_one_label(name: str, namespace: str) -> None:
    """Of at most 63 characters, with no hyphen at an end."""
    (made,) = _names(name, namespace, auto="flat")
    label = made.removesuffix(".a.test")

    assert len(label) <= MAX_LABEL
    assert not label.endswith("-")
