"""How many series a fleet costs: the page's formulas and tables, against what is exported."""

import itertools
import re

import pytest
import yaml

from cachetune.exporter.fleet_dashboard import FLEET
from cachetune.exporter.samples import Labels, samples_of
from tests.exporter import cardinality
from tests.exporter.conftest import FLEET_RULES, RULES
from tests.sim.fuse.mounted import ROOT

PAGE = (ROOT / "docs" / "how-to" / "prometheus-fleet.md").read_text()
CODE = {block.partition(":")[0]: yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)}
NAME = re.compile(r"\b(?:cachetune[_:][\w:]+|scrape_\w+|up|ALERTS)\b(?=\{)")


@pytest.mark.parametrize("profile", [*cardinality.PROFILES, "granite-rapids-snc3", "sapphire-rapids-cdp"])
def test_the_formula_gives_the_series_of_a_scrape(profile: str) -> None:
    shape, seen = cardinality.full(profile)
    assert shape.exported == sum(map(len, samples_of(seen).values()))


def test_the_page_has_the_tables_that_follow() -> None:
    assert f"\n{cardinality.table()}" in PAGE
    assert f"\n{cardinality.fleet_table()}" in PAGE


def dropped(name: str, labels: Labels) -> bool:
    """Whether the page's relabeling drops a series, as Prometheus matches: the whole text."""
    values = {"__name__": name, **dict(labels)}
    return any(
        re.fullmatch(rule["regex"], ";".join(values.get(label, "") for label in rule["source_labels"]))
        for rule in CODE["metric_relabel_configs"]["metric_relabel_configs"]
    )


def test_the_page_says_what_relabeling_leaves() -> None:
    left = []
    for profile in ("milan", "sapphire-rapids"):
        rows = [(name, row) for name, rows in samples_of(cardinality.full(profile)[1]).items() for row in rows]
        left.append(f"{sum(not dropped(*row) for row in rows):,} of the {len(rows):,} series of `{profile}`")
    assert f"This leaves {' and '.join(left)};" in " ".join(PAGE.split())


def test_no_rule_and_no_panel_of_the_fleet_needs_a_dropped_metric() -> None:
    needed = {
        name
        for text in (RULES.read_text(), FLEET_RULES.read_text(), *FLEET.queries())
        for name in re.findall(r"cachetune_\w+", text)
    }
    rows = itertools.chain.from_iterable(samples_of(cardinality.full(each)[1]).items() for each in cardinality.PROFILES)
    gone = {name for name, labels in rows if all(dropped(name, row) for row in labels)}
    assert len(gone) == 4
    assert not gone & needed


def test_a_central_prometheus_has_all_that_the_dashboard_of_the_fleet_queries() -> None:
    (federate,) = CODE["scrape_configs"]["scrape_configs"]
    kept = [re.search(r'__name__=~"([^"]*)"', match)[1] for match in federate["params"]["match[]"]]  # type: ignore[index]
    names = {name for query in FLEET.queries() for name in NAME.findall(query)}
    assert {"cachetune:host_free_ways:sum", "up", "ALERTS", "scrape_samples_scraped"} <= names
    assert [name for name in names if not any(re.fullmatch(regex, name) for regex in kept)] == []
