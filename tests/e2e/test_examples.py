"""Every file of ``examples/`` gets the verdict that its first line promises."""

import re
from pathlib import Path

import pytest

from tests.e2e.scene import EXAMPLES, Scene

pytestmark = pytest.mark.e2e

FILES = sorted(EXAMPLES.rglob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(EXAMPLES)))
def test_an_example_gets_its_verdict(scene: Scene, file: Path) -> None:
    """``Refused … [rule]`` or admitted; what a refusal names as its company is applied before."""
    promise = file.read_text().partition("\n")[0]
    rule = re.search(r"\[([a-z-]+)\]", promise)
    if company := re.search(r"beside (\S+\.yaml)", promise):
        assert scene.apply_example(company[1]).returncode == 0

    done = scene.apply_example(str(file.relative_to(EXAMPLES)))

    assert (done.returncode == 0) is (rule is None), done.stderr
    assert rule is None or done.stderr.rstrip().endswith(rule[0])
