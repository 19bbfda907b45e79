"""The files for Prometheus and Grafana, and their page: rules with unit tests, the dashboard, the tables."""

import json
import re
from pathlib import Path

import yaml

from cachetune.exporter.dashboard import dashboard
from cachetune.exporter.metrics import table
from tests import waiting
from tests.exporter.conftest import RULES, need
from tests.sim.fuse.mounted import ROOT

GRAFANA = ROOT / "examples" / "grafana" / "cachetune.json"


PAGE = (ROOT / "docs" / "how-to" / "prometheus.md").read_text()


def test_the_dashboard_in_examples_is_what_the_exporter_prints() -> None:
    assert GRAFANA.read_bytes() == dashboard()


def test_the_panels_of_the_dashboard_do_not_overlap_and_fit_the_page() -> None:
    taken: set[tuple[int, int]] = set()
    panels = json.loads(dashboard())["panels"]
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


def test_promtool_accepts_the_rules_and_every_unit_test_passes() -> None:
    for command in ("check", "test"):
        file = RULES if command == "check" else RULES.with_suffix(".test.yml")
        found = waiting.run([need("promtool"), command, "rules", file], capture_output=True, text=True)
        assert found.returncode == 0, found.stdout + found.stderr


def test_every_alert_has_a_unit_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    alerts = {rule["alert"] for group in _load(RULES)["groups"] for rule in group["rules"] if "alert" in rule}
    tested = [
        case for test in _load(RULES.with_suffix(".test.yml"))["tests"] for case in test.get("alert_rule_test", ())
    ]
    assert {case["alertname"] for case in tested if case.get("exp_alerts")} == alerts
    assert {case["alertname"] for case in tested if not case.get("exp_alerts")} == alerts


def test_the_page_has_the_table_of_metrics() -> None:
    assert f"\n{table()}" in PAGE


def test_the_page_has_a_row_for_every_alert() -> None:
    rules = {rule["alert"] for group in _load(RULES)["groups"] for rule in group["rules"] if "alert" in rule}
    assert set(re.findall(r"^\| `(Cachetune\w+)` \|", PAGE, re.MULTILINE)) == rules


def _load(path: Path) -> dict[str, list[dict[str, list[dict[str, str]]]]]:
    loaded: dict[str, list[dict[str, list[dict[str, str]]]]] = yaml.safe_load(path.read_text())
    return loaded
