"""Assignable counters on the newest kernel, on an EPYC that has four for each cache: two are the default group's.

The guest's control group takes the other two when it is created, although both its vCPUs are in monitor groups.
"""

import dataclasses

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cachetune import documents
from cachetune.plan.steps import WriteFile
from cachetune.watch import Readings
from tests.kernel import vm
from tests.kernel.conftest import FileOf, Scenario
from tests.kernel.scenarios import counter_runs, counters

pytestmark = pytest.mark.kernel

TRAFFIC = "cachetune_monitor_memory_bytes_total"
CONTROL = "cachetune-web-vcpus_0-1"
MONITORS = [f"{CONTROL}/mon_groups/cachetune-web-vcpus_{n}" for n in (0, 1)]
DOMAIN = """\
<domain type='kvm'>
  <name>web</name>
  <vcpu>2</vcpu>
  <cputune>
    <cachetune vcpus='0-1'>
      <cache id='0' level='3' type='both' size='8' unit='MiB'/>
      <monitor level='3' vcpus='0'/>
      <monitor level='3' vcpus='1'/>
    </cachetune>
  </cputune>
</domain>
"""
_AMD = vm.MACHINES["amd"]
FOUR_COUNTERS = dataclasses.replace(
    _AMD, kernel="newest", rdt=dataclasses.replace(_AMD.rdt, amd=vm.Amd(counters=4, io_alloc=True))
)


@pytest.fixture(scope="module")
def runs(scenario: Scenario, file_of: FileOf) -> counter_runs.Outcome:
    machine = dataclasses.replace(FOUR_COUNTERS, registers=False)
    found: counter_runs.Outcome = scenario("counter_runs", counter_runs.Outcome, file_of(DOMAIN), machine=machine)[0]
    return found


@pytest.fixture(scope="module")
def commands(runs: counter_runs.Outcome) -> counter_runs.Commands:
    return runs.commands


def test_the_plan_says_who_has_the_counters_and_which_are_available(commands: counter_runs.Commands) -> None:
    assert commands.left[0] == "0=2;1=2"
    assert commands.plain.code == 0
    assert "will read 'Unassigned' for mbm_total_bytes and mbm_local_bytes: " in commands.plain.err
    assert "2 of 4 counters left on L3 caches 0-1, held by the default group [CT230]" in commands.plain.err
    assert f"hint: --assign-counters takes counters from {CONTROL}, whose vCPUs are all in" in commands.plain.err


def test_the_monitors_get_the_counters_that_the_control_group_does_not_need(commands: counter_runs.Commands) -> None:
    assert (commands.apply.code, commands.left[1]) == (0, "0=0;1=0"), commands.apply.err
    both, one, none = (f"mbm_total_bytes:0={a};1={a}\nmbm_local_bytes:0={b};1={b}\n" for a, b in ("ee", "e_", "__"))
    assert commands.counters == {".": both, CONTROL: none, **dict.fromkeys(MONITORS, one)}
    assert commands.diff.code == 0, commands.diff.out


@pytest.fixture(scope="module")
def found(scenario: Scenario, file_of: FileOf) -> counters.Outcome:
    read: counters.Outcome = scenario("counters", counters.Outcome, file_of(DOMAIN), machine=FOUR_COUNTERS)[0]
    return read


def test_a_sampler_has_rates_where_there_is_a_counter(found: counters.Outcome) -> None:
    for group in MONITORS:
        assert found.rates[group]["mbm_total_bytes 0"] > 0  # type: ignore[operator]
        assert found.rates[group]["mbm_local_bytes 0"] is None, "it has no counter"
        assert found.rates[group]["llc_occupancy 0"] is None, "it does not count"


def test_a_sampler_has_no_rate_for_a_group_that_replaces_another_of_its_name(found: counters.Outcome) -> None:
    assert found.gone
    assert set(found.replaced.values()) == {None}


def test_the_command_shows_the_same_rates_in_each_line(found: counters.Outcome) -> None:
    assert (found.watched.code, found.watched.err) == (0, "")
    lines = found.watched.out.splitlines()
    assert len(lines) == 2
    for line in lines:
        monitors = documents.decode(line.encode(), Readings, "line").monitors
        assert [monitor.path for monitor in monitors] == [CONTROL, *MONITORS]
        for monitor in monitors[1:]:
            known = {f"{c.event} {c.id}": (c.per_second, c.state) for c in monitor.counters}
            assert known["mbm_total_bytes 0"][0] > 0  # type: ignore[operator]
            assert known["mbm_local_bytes 0"] == (None, "Unassigned")
            assert known["llc_occupancy 0"] == (None, "ok")


def test_an_exporter_without_root_exports_what_the_kernel_counts(found: counters.Outcome) -> None:
    first, second = (
        [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        for text in found.exported
    )
    before, after = (
        {(s.labels["vcpus"], s.labels["cache_id"]): s.value for s in samples if s.name == TRAFFIC}
        for samples in (first, second)
    )
    assert before.keys() == after.keys() == {(vcpu, cache) for vcpu in "01" for cache in "01"}
    for vcpu in "01":
        assert before[vcpu, "0"] < after[vcpu, "0"]
    assert {s.labels["guest"] for s in first if s.name == TRAFFIC} == {"web"}
    states = {(s.labels["event"], s.labels["state"]) for s in first if s.name == "cachetune_counters"}
    assert states >= {("mbm_local_bytes", "Unassigned"), ("llc_occupancy", "ok")}
    assert {s.value for s in second if s.name == "cachetune_scrape_errors_total"} == {0}


def test_a_history_has_what_the_kernel_counted(found: counters.Outcome) -> None:
    assert len(found.recorded) == 3
    for moment in found.recorded:
        known = {usage.path: usage for usage in moment.usages if usage.cache_id == 0}
        assert {"."} | {CONTROL, *MONITORS} <= set(known)
        assert {known[path].guest for path in (CONTROL, *MONITORS)} == {"web"}
        assert known[CONTROL].mask
        assert known[CONTROL].mask == known[MONITORS[0]].mask
        assert all(usage.occupancy_bytes is not None for usage in known.values())
    first, *rated = ([u for u in moment.usages if u.path in MONITORS] for moment in found.recorded)
    assert {usage.total_bytes_per_second for usage in first} == {None}
    for usages in rated:
        rates = {(usage.path, usage.cache_id): usage.total_bytes_per_second for usage in usages}
        assert None not in rates.values()
        assert all(rates[path, 0] > 0 for path in MONITORS)  # type: ignore[operator]
    assert (found.reported.code, found.reported.err) == (0, "")
    assert "web" in {line.partition(" ")[0] for line in found.reported.out.splitlines()}


def test_the_monitors_read_numbers_that_grow_and_the_control_group_their_sum(found: counters.Outcome) -> None:
    assert [reading.path for reading in found.first] == [CONTROL, *MONITORS]
    totals = [
        next(c for c in reading.counters if (c.id, c.event) == (0, "mbm_total_bytes"))
        for reading in (*found.first, *found.second)
    ]
    assert {(c.state, c.partial) for c in totals} == {("ok", False)}
    for first, second in zip(totals[:3], totals[3:], strict=True):
        assert first.value < second.value
    local = {c.state for reading in found.second for c in reading.counters if c.event == "mbm_local_bytes"}
    assert local == {"Unassigned"}


def test_a_failed_last_step_gives_every_counter_back(runs: counter_runs.Outcome) -> None:
    assert isinstance(runs.plan.steps[-1], WriteFile)
    assert (runs.failed.outcome, runs.differs) == ("rolled back", ())


def test_a_run_killed_while_it_assigns_counters_is_recovered_to_before_or_after(runs: counter_runs.Outcome) -> None:
    assert runs.changes.count("write mbm_L3_assignments") == len(MONITORS) + 1
    assert [death for death in runs.deaths.values() if all(death)] == []
    ended = ["before" if not before else "after" for before, _ in runs.deaths.values()]
    assert ended == sorted(ended, reverse=True)
    assert set(ended) == {"before", "after"}


def test_removing_the_guest_leaves_the_tree_as_found(runs: counter_runs.Outcome) -> None:
    assert runs.commands.remove.code == 0
    assert runs.left == ()
