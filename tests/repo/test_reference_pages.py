"""The reference pages and the code name the same flags, metrics and pages."""

import re
from collections.abc import Iterable
from pathlib import Path

import prometheus_client
import pytest
from typer.main import get_group

import certs.metrics
import cluster.metrics
import webhook.metrics
from cli.main import app
from reconciler.metrics import ReconcilerMetrics

ROOT = Path(__file__).parents[2]
COMMANDS_PAGE = (ROOT / "docs/reference/commands.md").read_text()
METRICS_PAGE = (ROOT / "docs/reference/metrics.md").read_text()
PAGES = sorted(
    [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "deploy/README.md"]
)


COMMANDS = get_group(app).commands


def flags(name: str) -> set[str]:
    """All spellings of a command's flags, without ``--help``."""
    return {
        spelling
        for parameter in COMMANDS[name].params
        for spelling in (*parameter.opts, *parameter.secondary_opts)
        if spelling.startswith("--") and spelling != "--help"
    }


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_flag_has_its_row(name: str) -> None:
    """And no row is without its flag."""
    section = COMMANDS_PAGE.partition(f"## `sharedvip {name}`")[2].partition("\n## ")[0]
    rows = {
        flag for row in re.findall(r"^\| (`--.*?) \|", section, re.MULTILINE) for flag in re.findall(r"--[\w-]+", row)
    }

    assert rows == flags(name)


def collected(registry: prometheus_client.CollectorRegistry) -> set[str]:
    """The names of a registry's metrics, as Prometheus shows them."""
    return {
        f"{metric.name}_total" if metric.type == "counter" else metric.name
        for metric in registry.collect()
        if not metric.name.startswith(("python_", "process_"))
    }


def test_every_metric_has_its_row() -> None:
    """And no row is without its metric."""
    assert certs.metrics.RELOADS
    assert cluster.metrics.REQUESTS
    assert webhook.metrics.REQUESTS
    own = prometheus_client.CollectorRegistry()
    ReconcilerMetrics(own)

    documented = set(re.findall(r"^\| `(\w+)`", METRICS_PAGE, re.MULTILINE))

    assert documented == collected(prometheus_client.REGISTRY) | collected(own)


def links(page: Path) -> Iterable[str]:
    """The page's relative links, without anchors."""
    found = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    return (link for link in found if "://" not in link)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """Relative to the page it stands on."""
    assert [link for link in links(page) if not (page.parent / link).exists()] == []


def test_the_readme_is_short() -> None:
    """At most 120 lines: a stranger reads it whole."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120
