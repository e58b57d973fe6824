"""``simulator/COVERAGE.md`` tells the truth: its tests exist, and no endpoint and no contract is missing."""

import ast
import re
from pathlib import Path

from simulator.kinds import EMPTY_KINDS, KINDS
from simulator.objects import INVENTORIES
from simulator.system import SYSTEM

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "simulator/COVERAGE.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`((?:contracts|simulator)/test_\w+\.py)::(\w+)`", PAGE)


def names_in(path: str) -> set[str]:
    """The functions, classes and variables at a test file's top."""
    tree = ast.parse((ROOT / "tests" / path).read_text(encoding="utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assigned = {
        target for node in tree.body if isinstance(node, ast.Assign) for target in map(ast.unparse, node.targets)
    }
    return functions | assigned


def test_every_test_named_there_exists() -> None:
    """A renamed test takes its row along."""
    assert len(NAMED) > 80
    assert [f"{path}::{name}" for path, name in NAMED if name not in names_in(path)] == []


def test_every_endpoint_is_named_there() -> None:
    """With its whole path."""
    paths = {"login", "logout", *(f"api/{path}" for path in ("macro", *KINDS, *EMPTY_KINDS, *INVENTORIES, *SYSTEM))}

    assert {path for path in paths if not re.search(rf"/{path}`", PAGE)} == set()


def test_every_file_of_contracts_is_named_there() -> None:
    """A new file of contracts brings its rows."""
    files = {f"contracts/{path.name}" for path in (ROOT / "tests/contracts").glob("test_*.py")}

    assert files == {path for path, _ in NAMED if path.startswith("contracts/")}


def test_every_behaviour_has_a_source() -> None:
    """No cell of the tables is empty but the endpoint's, which then is the row above's."""
    rows = [line.split(" | ") for line in PAGE.splitlines() if line.startswith("| ") and "---" not in line]

    assert [row for row in rows if len(row) != 4 or not all(cell.strip(" |") for cell in row[1:])] == []
