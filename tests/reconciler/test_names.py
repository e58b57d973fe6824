"""Names of Avi objects: unambiguous, within the Controller's bounds, and never AKO's."""

import hashlib
import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.names import MAX_LENGTH, ObjectName, parse_name
from sharedvip.keys import is_valid_key
from sharedvip.model import GroupName, Listener

_DASHED = "ab-"
_names = st.text(_DASHED, min_size=1, max_size=6).filter(lambda text: text[0] != "-" != text[-1])
_keys = st.text("aB-_.9", min_size=1, max_size=6).filter(is_valid_key)
_clusters = st.text("aB-_", min_size=1, max_size=6).filter(lambda text: not text.endswith("-"))
_listeners = st.builds(Listener, st.integers(1, 65535), st.sampled_from(["TCP", "UDP", "SCTP"]))
_object_names = st.builds(ObjectName, _clusters, st.builds(GroupName, _names, _keys), st.none() | _listeners)


@st.composite
def _akos_names(draw: st.DrawFn) -> str:
    """Any name AKO gives (``ako.md`` 2.1), for clusters, namespaces, Services and annotation values of all kinds."""
    text = st.text(string.ascii_letters + string.digits + "-_.~/ ", max_size=40)
    prefix = f"{draw(st.text(string.ascii_letters + string.digits + '-_', max_size=40))}--"
    full = prefix + "-".join(draw(st.lists(text, min_size=1, max_size=5)))
    is_evh = draw(st.booleans())
    return prefix + hashlib.sha1(full.encode(), usedforsecurity=False).hexdigest() if is_evh else full


@given(_object_names, _object_names)
def test_two_objects_share_a_name_only_if_they_are_the_same(one: ObjectName, other: ObjectName) -> None:
    """Small alphabets with many dashes: AKO's names clash there (``ako.md`` 1.1)."""
    assert (str(one) == str(other)) == (one == other)


@given(_object_names, _akos_names())
def test_no_name_of_ours_is_ever_one_of_akos(ours: ObjectName, theirs: str) -> None:
    """A running AKO deletes what it takes for its own."""
    assert str(ours) != theirs
    assert parse_name(theirs) is None


@given(_object_names, st.text("ab-_", min_size=1, max_size=3))
def test_ako_never_takes_a_vip_of_ours_for_its_own(ours: ObjectName, akos_cluster: str) -> None:
    """It asks for all VsVips whose name *contains* ``<its cluster>--``, and deletes those it does not want."""
    assert f"{akos_cluster}--" not in str(ours)


def test_two_dashes_are_written_so_that_a_person_can_read_them() -> None:
    """The second is a tilde."""
    name = ObjectName("prod--1", GroupName("a---b", "x--y"), Listener(80, "TCP"))

    assert str(name) == "sharedvip~prod-~1~a-~-b~x-~y~TCP~80"
    assert parse_name(str(name)) == name


@given(_object_names)
def test_a_name_is_read_back_as_it_was_written(name: ObjectName) -> None:
    """What is ours is known by its name."""
    assert parse_name(str(name)) == name


@given(_object_names)
def test_a_name_needs_no_escape_in_a_url(name: ObjectName) -> None:
    """References carry names in queries."""
    assert quote(str(name), safe="") == str(name)


def test_the_longest_name_is_within_the_controllers_bound() -> None:
    """Every part at its own longest."""
    longest = ObjectName("c" * 63, GroupName("n" * 63, "k" * 63), Listener(65535, "SCTP"))

    assert len(str(longest)) <= MAX_LENGTH
    assert parse_name(str(longest)) == longest


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing at all"),
        pytest.param("sharedvip", id="only the prefix"),
        pytest.param("sharedvip~c~ns", id="a part is missing"),
        pytest.param("sharedvip~c~ns~key~TCP", id="a protocol without a port"),
        pytest.param("sharedvip~c~ns~key~TCP~080", id="a port with a leading zero"),
        pytest.param("sharedvip~c~ns~key~TCP~65536", id="a port that does not exist"),
        pytest.param("sharedvip~c~ns~key~ICMP~80", id="a protocol without ports"),
        pytest.param("sharedvip~c~ns~key~TCP~80~x", id="a part too many"),
        pytest.param("sharedvip~c~Ns~key", id="a namespace that cannot be"),
        pytest.param("sharedvip~c.d~ns~key", id="a cluster name that cannot be"),
        pytest.param("sharedvip~c-~ns~key", id="a cluster name with a dash at its end"),
        pytest.param("sharedvip~c~a--b~key", id="two dashes in a row"),
        pytest.param("sharedvip~c~ns~-key", id="a key that cannot be"),
        pytest.param("Sharedvip~c~ns~key", id="another prefix"),
    ],
)
def test_what_we_would_not_write_is_no_name_of_ours(text: str) -> None:
    """A hand's object with a name like ours stays a hand's object."""
    assert parse_name(text) is None
