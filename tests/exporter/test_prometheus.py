"""A real Prometheus scrapes the exporter: metrics, rules, and every query of the dashboard."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from cachetune.exporter.dashboard import HOSTS
from cachetune.exporter.fleet_dashboard import FLEET
from cachetune.exporter.metrics import BY_NAME, METRICS
from cachetune.host.read import read_host
from cachetune.service.connection import Location, open_resctrl
from tests import waiting
from tests.exporter.cardinality import shape_of
from tests.exporter.conftest import FLEET_RULES, PROFILES, Alertmanager, Prometheus, Watched, need
from tests.exporter.scrape import get
from tests.exporter.test_cardinality import CODE

# The exporter compares guests every 15 s: the change by hand is made first, and looked for in the last test.
_DRIFT = pytest.mark.usefixtures("drifted_by_hand")
pytestmark = [pytest.mark.xdist_group("prometheus"), pytest.mark.slow, _DRIFT]
# What this host has not: other processors, and problems.
_ABSENT = {
    *("cachetune_group_bandwidth_limit_bytes_per_second", "cachetune_bandwidth_counters_limit"),
    *("cachetune_bandwidth_counters_free", "cachetune_group_events_total", "cachetune_monitor_events_total"),
    *(metric.name for metric in METRICS if "_core_" in metric.name),
}


def test_it_scrapes_the_exporter_and_has_every_metric(prometheus: Prometheus) -> None:
    assert prometheus.until("up == 1")
    names = {row["metric"]["__name__"] for row in prometheus.until('{instance="node-1", __name__=~"cachetune_.*"}')}
    assert names == set(BY_NAME) - _ABSENT


def test_promtool_finds_nothing_to_criticize_in_the_metrics(exporter: str) -> None:
    _, text = get(f"http://{exporter}/metrics")
    found = waiting.run([need("promtool"), "check", "metrics"], input=text, capture_output=True, text=True)
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


def test_promtool_criticizes_a_metric_that_breaks_the_conventions() -> None:
    text = "# TYPE bad_total gauge\nbad_total 1\n"
    found = waiting.run([need("promtool"), "check", "metrics"], input=text, capture_output=True, text=True)
    assert found.returncode != 0


def test_a_guest_that_drifted_is_seen_and_one_that_is_placed(prometheus: Prometheus, watched: Watched) -> None:
    for name, drifted in ((watched.placed, "0"), (watched.drifted, "1")):
        (row,) = prometheus.until(f'cachetune_guest_drifted{{guest="{name}"}}')
        assert row["value"][1] == drifted
        (row,) = prometheus.until(f'cachetune_group_ways{{guest="{name}", cache_id="0"}}')
        assert row["value"][1] == "2"
        (row,) = prometheus.until(f'cachetune_monitor_llc_occupancy_bytes{{guest="{name}", vcpus="0", cache_id="0"}}')
        assert row["metric"]["monitor"] == f"cachetune-{name}-vcpus_0"


def test_every_host_is_scraped_under_its_own_name_and_has_its_own_guests(
    prometheus: Prometheus, fleet: Mapping[str, Watched]
) -> None:
    for name, number in zip(fleet, (3, 1, 1), strict=True):
        assert prometheus.until(f'count(cachetune_guest_state{{instance="{name}"}}) == {number}')
        (row,) = prometheus.until(f'cachetune_guest_state{{guest="{fleet[name].placed}"}}')
        assert row["metric"]["instance"] == name


def test_the_playbook_has_written_the_targets(prometheus: Prometheus, exporters: Mapping[str, str]) -> None:
    document = json.loads((prometheus.directory / "targets" / "cachetune.json").read_text())
    assert document == [{"targets": [exporters[name]], "labels": {"instance": name}} for name in sorted(exporters)]


def test_the_rules_of_the_fleet_add_up_what_the_hosts_export(prometheus: Prometheus) -> None:
    for whole, parts in (
        ("sum by (instance) (cachetune:host_ways:sum)", "sum by (instance) (cachetune_cache_ways)"),
        ("cachetune:host_guests:count", "count by (instance) (cachetune_guest_state)"),
        ("cachetune:host_closids_left", "cachetune_closids_limit - cachetune_closids_used"),
    ):
        assert prometheus.until(f"count(({whole}) == on (instance) ({parts})) == {len(PROFILES)}")
    # node-1 has 11 ways in each of two caches, of which two guests have two each in one
    free, default = (f'sum(cachetune:host_{what}_ways:sum{{instance="node-1"}})' for what in ("free", "default"))
    assert prometheus.until(f"{free} + {default} == 18")
    (row,) = prometheus.until('cachetune:host_refused_guests:count{lacks="ways"}')
    assert (row["metric"]["instance"], row["value"][1]) == ("node-1", "1")


def test_each_host_has_the_series_that_the_page_computes(prometheus: Prometheus, fleet: Mapping[str, Watched]) -> None:
    fleet_rules = "|".join(rule["record"] for rule in records(FLEET_RULES))
    for name, host in fleet.items():
        guests = int(prometheus.until(f'count(cachetune_guest_state{{instance="{name}"}})')[0]["value"][1])
        managed = len(host.scene.status()["guests"])
        read = read_host(open_resctrl(Location(resctrl=host.scene.mount.root)))
        shape = shape_of(read, guests, len(host.scene.groups()), managed, refused=int(host.refused != ""))
        for series, expected in (
            (f'scrape_samples_scraped{{instance="{name}"}}', shape.exported),
            (f'count({{instance="{name}", __name__=~"{fleet_rules}"}})', shape.recorded_by_host),
            (
                f'count({{instance="{name}", __name__=~"cachetune:.+", __name__!~"{fleet_rules}"}})',
                shape.recorded_by_group,
            ),
        ):
            assert prometheus.until(f"{series} == {expected}"), series
        assert_eventually_federated(prometheus, name, shape.federated)


def assert_eventually_federated(prometheus: Prometheus, host: str, number: int) -> None:
    """That a central Prometheus gets this many series of a host, alerts not counted."""
    selectors = CODE["scrape_configs"]["scrape_configs"][0]["params"]["match[]"]

    def of_host() -> list[str]:
        lines = prometheus.federated(*selectors)
        return [line for line in lines if f'instance="{host}"' in line and not line.startswith("ALERTS")]

    prometheus.eventually(lambda: len(of_host()) == number, f"{number} series of {host}")


def records(path: Path) -> list[dict[str, str]]:
    """The recording rules of a file."""
    return [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"] if "record" in rule]


def test_counters_have_rates(prometheus: Prometheus) -> None:
    assert prometheus.until("sum(rate(cachetune_group_memory_bytes_total[10s])) > 0")


def test_all_rules_are_evaluated_and_each_recording_rule_has_series(prometheus: Prometheus) -> None:
    rules = prometheus.rules()
    for rule in rules:
        if rule["type"] == "recording":
            assert prometheus.until(rule["name"])
    assert {rule["name"]: rule.get("lastError", "") for rule in prometheus.rules()} == {r["name"]: "" for r in rules}
    assert {rule["health"] for rule in prometheus.rules()} == {"ok"}


def test_the_alert_for_the_guest_that_drifted_fires(prometheus: Prometheus, watched: Watched) -> None:
    alert = f'ALERTS{{alertname="CachetuneDrift", guest="{watched.drifted}", alertstate="firing"}}'
    assert prometheus.until(alert)
    assert not prometheus.query(f'ALERTS{{guest="{watched.placed}"}}')


def test_a_guest_without_room_is_distinguished_by_rule_from_other_refusals(
    prometheus: Prometheus, watched: Watched
) -> None:
    (row,) = prometheus.until(f'cachetune_guest_refused{{guest="{watched.refused}"}}')
    assert (row["metric"]["rule"], row["metric"]["lacks"]) == ("CT207", "ways")
    assert prometheus.until(f'ALERTS{{alertname="CachetuneNoRoom", guest="{watched.refused}"}}')
    assert not prometheus.query('ALERTS{alertname="CachetuneRefused"}')


@pytest.mark.parametrize("query", list(dict.fromkeys((*HOSTS.queries(), *FLEET.queries()))))
def test_every_query_of_the_dashboard_returns_series(prometheus: Prometheus, query: str) -> None:
    assert prometheus.until(_chosen(query))


def _chosen(query: str) -> str:
    """The query as Grafana sends it with everything chosen."""
    for variable in HOSTS.variables:
        query = query.replace(f"${variable}", ".*")
    return query.replace("$__rate_interval", "10s")


@pytest.mark.parametrize("variable", HOSTS.variables)
def test_what_can_be_chosen_in_the_dashboard_is_found(prometheus: Prometheus, variable: str) -> None:
    metric, label = HOSTS.variables[variable].removeprefix("label_values(").removesuffix(")").split(", ")
    assert prometheus.until(f'count by ({label}) ({metric}{{{label}!=""}})')


@pytest.mark.parametrize(
    ("cause", "consequence", "unrelated"),
    [
        (
            {"alertname": "CachetuneInterruptedRun", "instance": "a"},
            {"alertname": "CachetuneDrift", "instance": "a"},
            {"alertname": "CachetuneDrift", "instance": "b"},
        ),
        (
            {"alertname": "CachetuneNoRoom", "instance": "c", "lacks": "closids"},
            {"alertname": "CachetuneOutOfClosids", "instance": "c"},
            {"alertname": "CachetuneOutOfClosids", "instance": "d"},
        ),
        (
            {"alertname": "CachetuneFleetDrift", "severity": "critical"},
            {"alertname": "CachetuneDrift", "instance": "e"},
            {"alertname": "CachetuneNoRoom", "instance": "e"},
        ),
    ],
    ids=lambda labels: labels["alertname"],
)
def test_a_cause_inhibits_its_consequence_on_the_same_host(
    alertmanager: Alertmanager, cause: dict[str, str], consequence: dict[str, str], unrelated: dict[str, str]
) -> None:
    job = {"job": cause["alertname"]}  # of this test alone
    alertmanager.add(*(labels | job for labels in (cause, consequence, unrelated)))

    def inhibited() -> list[dict[str, str]]:
        return [alert["labels"] for alert in alertmanager.alerts() if alert["status"]["inhibitedBy"]]

    waiting.until(lambda: consequence | job in inhibited(), "the alert is inhibited")
    assert [labels for labels in inhibited() if labels["job"] == job["job"]] == [consequence | job]


def test_a_drift_made_by_hand_becomes_one_notification_for_its_host(
    prometheus: Prometheus, alertmanager: Alertmanager, drifted_by_hand: str
) -> None:
    def about_drift() -> list[tuple[str, dict[str, Any]]]:
        return [
            (path, document)
            for path, document in list(alertmanager.sent)
            if any(alert["labels"].get("guest") == drifted_by_hand for alert in document["alerts"])
        ]

    prometheus.eventually(about_drift, "a notification")
    path, document = about_drift()[0]
    assert (path, document["status"]) == ("/operators", "firing")
    assert document["groupLabels"] == {"job": "cachetune", "instance": "node-2"}
    assert {alert["labels"]["instance"] for alert in document["alerts"]} == {"node-2"}
    (drift,) = [a for a in document["alerts"] if a["labels"]["alertname"] == "CachetuneDrift"]
    assert drift["annotations"]["summary"].startswith(f"Guest {drifted_by_hand} on node-2 does not have")
