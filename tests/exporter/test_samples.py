"""From a look to samples: names, labels, missing values, bounds."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from cachetune.agent.model import AgentStatus, GuestStatus
from cachetune.exporter.collector import text_of
from cachetune.exporter.metrics import BY_NAME, METRICS
from cachetune.exporter.model import REASONS, Seen
from cachetune.exporter.samples import Samples, label_value, samples_of
from cachetune.host.read import read_host
from cachetune.service.status import Tuning, TuningState
from cachetune.sim import SimulatedResctrl
from cachetune.testing import simulate
from cachetune.watch import Counter, Reading, read_counters
from cachetune.watch.counters import labels

WEB = "cachetune-web-vcpus_0-1"


def seen(sim: SimulatedResctrl, **fields: object) -> Seen:
    host = read_host(sim)
    paths = [group.path for group in host.groups]
    groups = read_counters(sim, host, paths, {}) if host.monitors else tuple(labels(host, paths, {}))
    return Seen(host=host, groups=groups, **fields)  # type: ignore[arg-type]


def tunings(**states: TuningState) -> dict[str, Tuning]:
    return {name: Tuning(state) for name, state in states.items()}


def one(samples: Samples, name: str, **labels: str) -> float:
    """The value of the only series of a metric that has these labels."""
    rows = [value for row, value in samples.get(name, {}).items() if labels.items() <= dict(row).items()]
    (value,) = rows
    return value


def series(samples: Samples, name: str) -> list[dict[str, str]]:
    return [dict(row) for row in samples.get(name, {})]


@pytest.fixture
def sim() -> SimulatedResctrl:
    sim = simulate("skylake-2s")
    sim.write("schemata", "L3:0=7f8\n")
    sim.mkdir(WEB)
    sim.mkdir(f"{WEB}/mon_groups/cachetune-web-vcpus_0")
    sim.write(f"{WEB}/schemata", "L3:0=00f\nMB:0=50\n")
    return sim


def test_counters_of_a_guests_group_have_the_labels_of_the_guest(sim: SimulatedResctrl) -> None:
    found = series(samples_of(seen(sim)), "cachetune_group_llc_occupancy_bytes")
    assert found[0] == {"group": ".", "resource": "L3", "cache_id": "0"}
    assert found[-1] == {"guest": "web", "group": WEB, "vcpus": "0-1", "resource": "L3", "cache_id": "1"}


def test_monitor_groups_have_separate_metrics_so_that_sums_count_nothing_twice(sim: SimulatedResctrl) -> None:
    samples = samples_of(seen(sim))
    monitor = {"guest": "web", "group": WEB, "monitor": "cachetune-web-vcpus_0", "vcpus": "0", "resource": "L3"}
    assert series(samples, "cachetune_monitor_memory_bytes_total")[0] == {**monitor, "cache_id": "0"}
    assert {row["group"] for row in series(samples, "cachetune_group_memory_bytes_total")} == {".", WEB}


def test_the_allocation_of_a_group_is_exported(sim: SimulatedResctrl) -> None:
    samples = samples_of(seen(sim))
    way = 25952256 // 11
    assert one(samples, "cachetune_group_ways", group=WEB, cache_id="0") == 4
    assert one(samples, "cachetune_group_size_bytes", group=WEB, cache_id="0") == 4 * way
    assert one(samples, "cachetune_group_reachable_bytes", group=WEB, cache_id="0") == 4 * way
    assert one(samples, "cachetune_group_shared_ways", group=WEB, cache_id="0") == 1
    assert one(samples, "cachetune_group_shared_ways", group=".", cache_id="1") == 11
    assert one(samples, "cachetune_group_bandwidth_limit_ratio", group=WEB, cache_id="0") == 0.5
    info = {"guest": "web", "group": WEB, "vcpus": "0-1", "owner": "cachetune", "mode": "shareable"}
    assert series(samples, "cachetune_group_info")[-1] == info


def test_what_is_left_on_the_host_is_exported(sim: SimulatedResctrl) -> None:
    sim.write(f"{WEB}/schemata", "L3:0=003\n")
    samples = samples_of(seen(sim, idle_ways={("L3", 0): 1}))
    assert one(samples, "cachetune_cache_free_ways", cache_id="0") == 1
    assert one(samples, "cachetune_cache_largest_hole_ways", cache_id="0") == 1
    assert one(samples, "cachetune_cache_idle_ways", cache_id="0") == 1
    assert one(samples, "cachetune_cache_idle_ways", cache_id="1") == 0
    assert one(samples, "cachetune_closids_used") == 2
    assert one(samples, "cachetune_closids_limit") == 8
    assert one(samples, "cachetune_rmids_used") == 3


def test_with_cdp_code_and_data_together_are_what_a_group_can_fill() -> None:
    sim = simulate("sapphire-rapids-cdp")
    sim.mkdir("web")
    sim.write("web/schemata", "L3CODE:0=003\nL3DATA:0=00e\n")
    samples = samples_of(seen(sim))
    way = one(samples, "cachetune_group_size_bytes", group="web", resource="L3CODE", cache_id="0") / 2
    assert one(samples, "cachetune_group_reachable_bytes", group="web", cache_id="0") == 4 * way


def test_with_numa_nodes_in_a_cache_the_nodes_are_exported_and_not_their_sum() -> None:
    samples = samples_of(seen(simulate("sapphire-rapids-snc2")))
    nodes = {(row["cache_id"], row["node"]) for row in series(samples, "cachetune_group_memory_bytes_total")}
    assert len(nodes) == len(series(samples, "cachetune_group_memory_bytes_total")) > 1


@pytest.mark.parametrize(
    ("profile", "line", "limit"),
    [("milan", "MB:0=16", 2_000_000_000), ("sapphire-rapids-mbps", "MB:0=1000", 1000 << 20)],
)
def test_an_absolute_limit_is_in_bytes_per_second_and_no_limit_is_absent(profile: str, line: str, limit: int) -> None:
    sim = simulate(profile)
    sim.mkdir("web")
    sim.write("web/schemata", f"{line}\n")
    samples = samples_of(seen(sim))
    name = "cachetune_group_bandwidth_limit_bytes_per_second"
    assert one(samples, name, group="web", cache_id="0", resource="MB") == limit
    assert [row for row in series(samples, name) if row["group"] == "."] == []


def test_energy_has_joules_and_events_without_a_metric_keep_the_kernels_name() -> None:
    samples = samples_of(seen(simulate("clearwater-forest")))
    assert {row["package"] for row in series(samples, "cachetune_group_core_energy_joules_total")} == {"0", "1"}
    assert "uops_retired" in {row["event"] for row in series(samples, "cachetune_group_events_total")}


def test_a_host_without_monitoring_exports_its_allocation() -> None:
    samples = samples_of(seen(simulate("allocation-only")))
    assert one(samples, "cachetune_up") == 1
    assert one(samples, "cachetune_group_ways", group=".") == 12
    assert "cachetune_group_llc_occupancy_bytes" not in samples


def test_assignable_counters_are_counted() -> None:
    samples = samples_of(seen(simulate("turin-few-counters")))
    assert one(samples, "cachetune_bandwidth_counters_limit", cache_id="0") == 4
    assert one(samples, "cachetune_bandwidth_counters_free", cache_id="0") == 2


def reading(*counters: Counter, path: str = "web", guest: str | None = "web") -> Reading:
    return Reading(path, path, "control", "cachetune", None, counters, guest=guest)


def test_a_counter_without_a_value_is_absent_and_counted_by_its_reason() -> None:
    counters = (
        Counter("L3", 0, "mbm_total_bytes", None, "Unavailable"),
        Counter("L3", 1, "mbm_total_bytes", None, "Unavailable"),
        Counter("L3", 2, "mbm_total_bytes", 0, "ok"),
        Counter("L3", 3, "mbm_total_bytes", 7, "ok", partial=True),
    )
    samples = samples_of(Seen(groups=(reading(*counters),)))
    values = samples["cachetune_group_memory_bytes_total"]
    assert {dict(row)["cache_id"]: value for row, value in values.items()} == {"2": 0, "3": 7}
    states = {dict(row)["state"]: value for row, value in samples["cachetune_counters"].items()}
    assert states == {"Unavailable": 2, "ok": 1, "partial": 1}


def test_of_a_host_that_cannot_be_read_only_that_is_exported() -> None:
    samples = samples_of(Seen(errors={"not_mounted": 3}))
    assert one(samples, "cachetune_up") == 0
    assert one(samples, "cachetune_scrape_errors_total", reason="not_mounted") == 3
    assert {row["reason"] for row in series(samples, "cachetune_scrape_errors_total")} == set(REASONS)
    assert not [name for name in samples if name.startswith(("cachetune_group", "cachetune_cache", "cachetune_agent"))]


def test_guests_and_the_agent_have_states() -> None:
    status = GuestStatus(name="web", machine_name="cachetune-web", requested_by="file", state="failed", since=1.0)
    agent = AgentStatus(pid=7, start_time=1, started=1.0, looked=9.0, period_seconds=5.0, problem="x", guests=(status,))
    samples = samples_of(Seen(guests=tunings(web="drifted", db="applied", new="none"), agent=agent, interrupted=True))
    drifted = samples["cachetune_guest_drifted"]
    assert {dict(row)["guest"]: value for row, value in drifted.items()} == {"web": 1, "db": 0}
    assert {"guest": "new", "state": "none"} in series(samples, "cachetune_guest_state")
    assert series(samples, "cachetune_agent_guest_state") == [{"guest": "web", "state": "failed"}]
    assert one(samples, "cachetune_agent_up") == 0
    assert one(samples, "cachetune_agent_problem") == 1
    assert one(samples, "cachetune_agent_last_round_timestamp_seconds") == 9.0
    assert one(samples, "cachetune_interrupted_run") == 1


def test_a_refusal_names_each_rule_and_what_the_host_lacks() -> None:
    guests = {
        "big": Tuning("refused", rules=("CT207", "CT213")),
        "odd": Tuning("refused", rules=("CT205",)),
        "twice": Tuning("refused", why=("two guests have this name",)),
        "broken": Tuning("invalid", rules=("CT003",)),
        "web": Tuning("applied"),
    }
    assert series(samples_of(Seen(guests=guests)), "cachetune_guest_refused") == [
        {"guest": "big", "rule": "CT207", "lacks": "ways"},
        {"guest": "big", "rule": "CT213", "lacks": "rmids"},
        {"guest": "broken", "rule": "CT003"},
        {"guest": "odd", "rule": "CT205"},
        {"guest": "twice"},
    ]


def test_the_number_of_groups_and_guests_is_bounded_and_what_is_left_out_is_counted() -> None:
    foreign = [reading(Counter("L3", 0, "llc_occupancy", 1, "ok"), path=f"pod{i}", guest=None) for i in range(5)]
    guests = [reading(Counter("L3", 0, "llc_occupancy", 1, "ok"), path=f"web{i}", guest=f"web{i}") for i in range(5)]
    monitor = replace(guests[0], path="web0/mon_groups/m", name="m", kind="monitor")
    default = replace(foreign[0], path=".", owner="default")
    found = Seen(groups=(*foreign, monitor, *guests, default), guests=tunings(**{f"g{i}": "none" for i in range(9)}))
    samples = samples_of(found, max_groups=4)
    rows = series(samples, "cachetune_group_llc_occupancy_bytes")
    assert [row["group"] for row in rows] == [".", "web0", "web1", "web2"]
    assert "cachetune_monitor_llc_occupancy_bytes" not in samples
    assert one(samples, "cachetune_left_out", what="groups") == 8
    assert len(series(samples, "cachetune_guest_state")) == 4
    assert one(samples, "cachetune_left_out", what="guests") == 5
    assert one(samples, "cachetune_counters", state="ok") == 12  # all are counted


# hostile names

HOSTILE = (
    "a\nb",
    'a"b',
    "a\\b",
    "a\\nb",
    "\x1b[31mred",
    "\udcff",
    "\x00",
    "a\u202eb",
    "\ufeff",
    "é",
    "#",
    '"} 1\nx{a="',
)


def test_hostile_names_stay_apart_and_are_printable() -> None:
    shown = [label_value(name) for name in HOSTILE]
    assert len(set(shown)) == len(HOSTILE)
    assert all(text.isprintable() for text in shown)


@given(st.lists(st.text(st.characters(codec=None, exclude_categories=()), max_size=400), max_size=6, unique=True))
def test_any_names_give_a_text_that_a_parser_reads_back(names: list[str]) -> None:
    counter = Counter("L3", 0, "llc_occupancy", 1, "ok")
    groups = tuple(reading(counter, path=f"g{i}", guest=name or None) for i, name in enumerate(names))
    text = text_of(samples_of(Seen(groups=groups, guests=dict.fromkeys(names, Tuning("none"))))).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    read = [s.labels.get("guest", "") for s in families["cachetune_group_llc_occupancy_bytes"].samples] if names else []
    assert sorted(read) == sorted(label_value(name) for name in names)
    assert len(set(read)) == len(names)
    assert all(len(name) <= 256 for name in read)


# the table


def test_every_sample_is_in_the_table_with_these_labels() -> None:
    profiles = ("skylake-2s", "clearwater-forest", "turin-few-counters", "sapphire-rapids-snc2", "milan")
    for name, rows in itertools.chain.from_iterable(samples_of(seen(simulate(each))).items() for each in profiles):
        for row in rows:
            assert set(dict(row)) <= set(BY_NAME[name].labels), name


def test_counters_end_in_total_and_only_they() -> None:
    assert {m.name for m in METRICS if m.kind == "counter"} == {m.name for m in METRICS if m.name.endswith("_total")}
    assert {m.name for m in METRICS if m.kind == "info"} == {m.name for m in METRICS if m.name.endswith("_info")}
    assert len(BY_NAME) == len(METRICS)
