"""The page of ``make soak``: what is tried again replaces its row, and nothing else."""

from soak.page import Machine, render_page
from soak.result import Result

ORDER = ["one", "two", "three"]


def page(*results: Result, before: str = "", date: str = "2026-01-01") -> str:
    """Of one run."""
    return render_page(results, rounds=1000, on=Machine(date, 2, "Linux", "3.11", "v1"), before=before, order=ORDER)


def kept(name: str, stored: int = 1) -> Result:
    """A guarantee that was kept."""
    result = Result(name, f"{name} is tried", rounds=1000)
    result.counts["holders stored"] = stored
    return result


def test_rows_stand_in_the_order_of_the_guarantees() -> None:
    """Whatever was tried first."""
    rows = [line for line in page(kept("two"), kept("one")).splitlines() if line.startswith("| `")]

    assert rows == [
        "| `one` | one is tried | 1,000 | 1 holders stored | 0 | 2026-01-01 | kept |",
        "| `two` | two is tried | 1,000 | 1 holders stored | 0 | 2026-01-01 | kept |",
    ]


def test_what_is_tried_again_replaces_its_row_alone() -> None:
    """The others keep what they say, and their day."""
    before = page(kept("one"), kept("three"))

    after = page(kept("three", stored=2), kept("two"), before=before, date="2026-02-02")

    assert [line.rpartition("20")[2] for line in after.splitlines() if line.startswith("| `")] == [
        "26-01-01 | kept |",
        "26-02-02 | kept |",
        "26-02-02 | kept |",
    ]
    assert "2 holders stored" in after


def test_what_is_broken_says_so() -> None:
    """With the first breach; a guarantee that was not tried at all is not kept either."""
    result = kept("one")
    result.expect(is_so=False, breach="two | have it")

    assert "**broken**: two / have it |" in page(result)
    assert "**broken**: not tried |" in page(Result("one", "nothing"))
