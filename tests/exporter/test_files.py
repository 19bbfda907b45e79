"""The files for Prometheus and Grafana, and their page: rules with unit tests, the dashboard, the tables."""

import json
import re
from pathlib import Path

import pytest
import yaml

from cachetune.exporter.dashboard import HOSTS
from cachetune.exporter.fleet_dashboard import FLEET
from cachetune.exporter.grafana import Dashboard
from cachetune.exporter.metrics import table
from tests import waiting
from tests.exporter.conftest import EXAMPLES, FLEET_RULES, RULES, need
from tests.sim.fuse.mounted import ROOT

HOW_TO = ROOT / "docs" / "how-to"
PAGE, FLEET_PAGE = ((HOW_TO / name).read_text() for name in ("prometheus.md", "prometheus-fleet.md"))

each_dashboard = pytest.mark.parametrize("dashboard", [HOSTS, FLEET], ids=lambda dashboard: dashboard.uid)
each_file_of_rules = pytest.mark.parametrize("rules", [RULES, FLEET_RULES], ids=lambda path: path.name)


@each_dashboard
def test_the_dashboard_in_examples_is_what_the_exporter_prints(dashboard: Dashboard) -> None:
    assert (ROOT / "examples" / "grafana" / f"{dashboard.uid}.json").read_bytes() == dashboard.json()


@each_dashboard
def test_the_panels_of_a_dashboard_do_not_overlap_and_fit_the_page(dashboard: Dashboard) -> None:
    taken: set[tuple[int, int]] = set()
    panels = json.loads(dashboard.json())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells


def test_a_click_in_the_dashboard_of_the_fleet_leads_to_the_dashboard_of_a_host() -> None:
    panels = json.loads(FLEET.json())["panels"]
    links = [link["url"] for p in panels for link in p.get("fieldConfig", {}).get("defaults", {}).get("links", ())]
    assert set(links) == {f"/d/{HOSTS.uid}?var-instance=${{__field.labels.instance}}"}
    assert "instance" in HOSTS.variables


def test_no_query_of_the_fleet_reads_a_series_for_each_group_or_cache() -> None:
    for query in FLEET.queries():
        assert not re.search(r"cachetune(_(group|monitor|cache|counters)_|:group|:cache)", query), query


@each_file_of_rules
def test_promtool_accepts_the_rules_and_every_unit_test_passes(rules: Path) -> None:
    for command in ("check", "test"):
        file = rules if command == "check" else rules.with_suffix(".test.yml")
        found = waiting.run([need("promtool"), command, "rules", file], capture_output=True, text=True)
        assert found.returncode == 0, found.stdout + found.stderr


@each_file_of_rules
def test_every_alert_has_a_unit_test_in_which_it_fires_and_one_in_which_it_does_not(rules: Path) -> None:
    alerts = _names(rules, "alert")
    tested = [
        case for test in _load(rules.with_suffix(".test.yml"))["tests"] for case in test.get("alert_rule_test", ())
    ]
    assert {case["alertname"] for case in tested if case.get("exp_alerts")} == alerts
    assert {case["alertname"] for case in tested if not case.get("exp_alerts")} == alerts


def test_the_page_has_the_table_of_metrics() -> None:
    assert f"\n{table()}" in PAGE


@pytest.mark.parametrize(("rules", "page"), [(RULES, PAGE), (FLEET_RULES, FLEET_PAGE)], ids=["host", "fleet"])
def test_the_page_has_a_row_for_every_alert(rules: Path, page: str) -> None:
    assert set(re.findall(r"^\| `(Cachetune\w+)` \|", page, re.MULTILINE)) == _names(rules, "alert")


def test_the_page_of_the_fleet_has_a_row_for_every_recording_rule() -> None:
    assert set(re.findall(r"^\| `(cachetune:\w+:?\w*)` \|", FLEET_PAGE, re.MULTILINE)) == _names(FLEET_RULES, "record")


def test_every_recording_rule_of_the_fleet_has_a_unit_test() -> None:
    tests = _load(FLEET_RULES.with_suffix(".test.yml"))["tests"]
    tested = {case["expr"] for test in tests for case in test.get("promql_expr_test", ())}
    assert {name for name in _names(FLEET_RULES, "record") if any(name in expr for expr in tested)} == _names(
        FLEET_RULES, "record"
    )


def test_amtool_accepts_the_example_for_alertmanager_and_each_alert_goes_where_the_page_says() -> None:
    config, amtool = EXAMPLES / "alertmanager.yml", need("amtool", "prometheus-alertmanager")
    checked = waiting.run([amtool, "check-config", config], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    for labels, receiver in (
        (("alertname=CachetuneDrift", "severity=warning"), "operators"),
        (("alertname=CachetuneFleetDrift", "severity=critical"), "on-call"),
        (("alertname=CachetuneOutOfClosids", "severity=info"), "operators"),
    ):
        words = [amtool, "config", "routes", "test", "--config.file", config, *labels]
        assert waiting.run(words, capture_output=True, text=True).stdout == f"{receiver}\n"


def test_promtool_accepts_the_example_for_prometheus() -> None:
    words = [need("promtool"), "check", "config", EXAMPLES / "prometheus.yml"]
    checked = waiting.run(words, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def _names(rules: Path, kind: str) -> set[str]:
    return {rule[kind] for group in _load(rules)["groups"] for rule in group["rules"] if kind in rule}


def _load(path: Path) -> dict[str, list[dict[str, list[dict[str, str]]]]]:
    loaded: dict[str, list[dict[str, list[dict[str, str]]]]] = yaml.safe_load(path.read_text())
    return loaded
