"""A real Prometheus scrapes the exporter: metrics, rules, and every query of the dashboard."""

import pytest

from cachetune.exporter.dashboard import VARIABLES, queries
from cachetune.exporter.metrics import BY_NAME, METRICS
from tests import waiting
from tests.exporter.conftest import Prometheus, Watched, need
from tests.exporter.scrape import get

pytestmark = [pytest.mark.xdist_group("prometheus"), pytest.mark.slow]
# What this host has not: other processors, and problems.
_ABSENT = {
    *("cachetune_group_bandwidth_limit_bytes_per_second", "cachetune_bandwidth_counters_limit"),
    *("cachetune_bandwidth_counters_free", "cachetune_group_events_total", "cachetune_monitor_events_total"),
    *(metric.name for metric in METRICS if "_core_" in metric.name),
}


def test_it_scrapes_the_exporter_and_has_every_metric(prometheus: Prometheus) -> None:
    assert prometheus.until("up == 1")
    names = {row["metric"]["__name__"] for row in prometheus.until('{__name__=~"cachetune_.*"}')}
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


def test_counters_have_rates(prometheus: Prometheus) -> None:
    assert prometheus.until("sum(rate(cachetune_group_memory_bytes_total[10s])) > 0")


def test_all_rules_are_evaluated_and_each_recording_rule_has_series(prometheus: Prometheus) -> None:
    rules = prometheus.rules()
    for rule in rules:
        if rule["type"] == "recording":
            assert prometheus.until(rule["name"])
    assert {rule["name"]: rule.get("lastError", "") for rule in prometheus.rules()} == {r["name"]: "" for r in rules}
    assert {rule["health"] for rule in prometheus.rules()} == {"ok"}


def test_the_alert_for_the_guest_that_drifted_is_pending(prometheus: Prometheus, watched: Watched) -> None:
    alert = f'ALERTS{{alertname="CachetuneDrift", guest="{watched.drifted}", alertstate="pending"}}'
    assert prometheus.until(alert)
    assert not prometheus.query(f'ALERTS{{guest="{watched.placed}"}}')


def test_a_guest_without_room_is_distinguished_by_rule_from_other_refusals(
    prometheus: Prometheus, watched: Watched
) -> None:
    (row,) = prometheus.until(f'cachetune_guest_refused{{guest="{watched.refused}"}}')
    assert (row["metric"]["rule"], row["metric"]["lacks"]) == ("CT207", "ways")
    assert prometheus.until(f'ALERTS{{alertname="CachetuneNoRoom", guest="{watched.refused}"}}')
    assert not prometheus.query('ALERTS{alertname="CachetuneRefused"}')


@pytest.mark.parametrize("query", list(dict.fromkeys(queries())))
def test_every_query_of_the_dashboard_returns_series(prometheus: Prometheus, query: str) -> None:
    assert prometheus.until(_chosen(query))


def _chosen(query: str) -> str:
    """The query as Grafana sends it with everything chosen."""
    for variable in VARIABLES:
        query = query.replace(f"${variable}", ".*")
    return query.replace("$__rate_interval", "10s")


@pytest.mark.parametrize("variable", VARIABLES)
def test_what_can_be_chosen_in_the_dashboard_is_found(prometheus: Prometheus, variable: str) -> None:
    metric, label = VARIABLES[variable].removeprefix("label_values(").removesuffix(")").split(", ")
    assert prometheus.until(f'count by ({label}) ({metric}{{{label}!=""}})')
