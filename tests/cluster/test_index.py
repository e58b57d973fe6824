"""Records by what they share."""

from cluster.index import Index


def test_records_are_found_by_what_they_share_in_the_order_of_their_names() -> None:
    """A record is replaced by one of the same name; nothing is under what nobody shares."""
    index: Index[str, str, int] = Index()
    index.put("x", "b", 1)
    index.put("x", "a", 2)
    index.put("y", "a", 3)
    index.put("x", "b", 4)

    assert sorted(index.get("x")) == [2, 4]
    assert (index.sorted("x"), index.sorted("y"), index.sorted("z")) == ((2, 4), (3,), ())
    assert index.sorted("x") is index.sorted("x")


def test_what_is_changed_is_sorted_anew() -> None:
    """Whatever was asked for before."""
    index: Index[str, str, int] = Index()
    for change in (lambda: index.put("x", "b", 1), lambda: index.put("x", "a", 2), lambda: index.drop("x", "b")):
        before = index.sorted("x")
        change()
        assert index.sorted("x") != before

    assert index.sorted("x") == (2,)


def test_an_empty_bucket_goes() -> None:
    """Dropping what is not there changes nothing."""
    index: Index[str, str, int] = Index()
    index.put("x", "a", 1)
    index.drop("x", "b")
    index.drop("y", "a")
    assert list(index) == ["x"]

    index.drop("x", "a")

    assert (list(index), index.sorted("x"), list(index.get("x"))) == ([], (), [])
