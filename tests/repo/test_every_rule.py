"""Rule, file, test, reference heading: each rule has all four, and nothing of the kind is left over."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from sharedvip.rules import RULES, Rule

ROOT = Path(__file__).parents[2]
RULE_FILES = {path.stem for path in (ROOT / "sharedvip/rules").glob("*.py")} - {"__init__"}
TEST_FILES = {path.stem for path in (ROOT / "tests/sharedvip/rules").glob("test_*.py")}
PAGE = (ROOT / "docs/reference/rules.md").read_text(encoding="utf-8")
IDS = [rule.ID for rule in RULES]


def module_of(rule_id: str) -> ModuleType:
    """The module that its ID names."""
    return importlib.import_module(f"sharedvip.rules.{snake(rule_id)}")


def snake(rule_id: str) -> str:
    """As files are named."""
    return rule_id.replace("-", "_")


def sections() -> Iterator[tuple[str, str]]:
    """The page's second-level headings with what stands under them."""
    for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        heading, _, text = part.partition("\n")
        yield heading, text


SECTIONS = dict(sections())
RULE_SECTIONS = [heading.strip("`") for heading in SECTIONS if heading.startswith("`")]


def test_rules_lists_every_rule_file_and_no_other() -> None:
    """A rule that is written and not listed would never refuse anything."""
    assert {snake(rule_id) for rule_id in IDS} == RULE_FILES
    assert len(IDS) == len(set(IDS))


def test_the_rules_are_those_of_the_law() -> None:
    """An ID is never renamed and never reused; a new one is added here on purpose."""
    assert IDS == [
        "not-load-balancer",
        "invalid-key",
        "duplicate-port",
        "static-address-invalid",
        "static-address-mismatch",
        "vip-in-use-elsewhere",
        "intended-address-unfit",
        "static-address-taken",
        "class-mismatch",
        "infra-mismatch",
    ]


@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_a_rule_lives_in_the_file_that_its_id_names(rule: Rule) -> None:
    """Found by name alone, in under a minute."""
    assert rule is module_of(rule.ID)


@pytest.mark.parametrize("rule_id", IDS)
def test_a_rule_tells_its_sentence_its_field_and_its_source(rule_id: str) -> None:
    """The first line is the rule; then where it looks, and who says so."""
    doc = module_of(rule_id).__doc__ or ""
    sentence, _, rest = doc.partition("\n")

    assert re.fullmatch(r"[A-Z].{20,}\.", sentence)
    assert re.search(r"^Field: +``.+``", rest, flags=re.MULTILINE)
    assert re.search(r"^Source: +\S.+", rest, flags=re.MULTILINE)


@pytest.mark.parametrize("rule_id", IDS)
def test_a_rule_has_its_test_file_with_both_twins_and_a_whole_message(rule_id: str) -> None:
    """Each table has a Service that is allowed and one that is refused, and asserts what users read."""
    text = (ROOT / f"tests/sharedvip/rules/test_{snake(rule_id)}.py").read_text(encoding="utf-8")

    assert "is allowed" in text
    assert "is refused" in text
    assert f"[{rule_id}]" in text


def test_no_rule_test_is_left_over() -> None:
    """A test file without a rule tests nothing."""
    assert {f"test_{snake(rule_id)}" for rule_id in IDS} == TEST_FILES


def test_the_reference_has_one_heading_per_rule_in_the_order_reported() -> None:
    """A refusal's ID in brackets is what its reader searches for."""
    assert RULE_SECTIONS == IDS


@pytest.mark.parametrize("rule_id", IDS)
def test_the_reference_tells_field_source_example_and_fix(rule_id: str) -> None:
    """With the message as printed, ending in the ID."""
    text = SECTIONS[f"`{rule_id}`"]

    assert [label for label in ("**Field**", "**Source**", "**Example**", "**Fix**") if label not in text] == []
    assert f"[{rule_id}]\n```" in text
