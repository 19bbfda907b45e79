"""MB on Arm MPAM, which keeps percentages in a few bits: planned, applied, compared and undone by what it shows."""

import errno
from pathlib import Path

import msgspec
import pytest

from cachetune.apply.recover import recover
from cachetune.apply.run import Connection, apply
from cachetune.apply.state import journal
from cachetune.apply.state.ledger import load_ledger
from cachetune.apply.steps import StepRunner
from cachetune.domain.model import BandwidthRequest, Domain
from cachetune.errors import StepError
from cachetune.host.bandwidth import kept
from cachetune.host.read import read_host
from cachetune.host.resctrl.schemata import parse
from cachetune.plan import PlanRefusedError, plan_removal
from cachetune.plan.model import PlanGuest
from cachetune.plan.render import render
from cachetune.plan.steps import WriteSchemata
from cachetune.sim import SimulatedResctrl
from cachetune.units import Rate
from tests.mpam import mpam_host
from tests.samples import HERE, cache_request, domain, group, plan_for

WEB = "cachetune-web-vcpus_0-1"
NODE = 1
EACH_WIDTH = pytest.mark.parametrize("bits", [3, 4, 5, 6, 7])


def prepared(bits: int, run: Path) -> tuple[SimulatedResctrl, Connection]:
    sim = mpam_host(bits)
    return sim, Connection(sim, run)


def wanting(sim: SimulatedResctrl, percent: int) -> Domain:
    cache = read_host(sim).caches[0]
    return domain(group({0, 1}, (cache_request(cache, NODE, 2),), (BandwidthRequest(NODE, Rate(percent), HERE),), []))


def some_steps(sim: SimulatedResctrl) -> list[int]:
    """About ten of the percentages that can be requested; tests/host/test_bandwidth.py has all."""
    step = read_host(sim).bandwidths[0].bandwidth_gran
    steps = range(step, 101, step)
    return [*steps[:: max(1, len(steps) // 10)]]


def shown(sim: SimulatedResctrl) -> int | None:
    return parse(sim.read(f"{WEB}/schemata")).bandwidth.at("MB", NODE)


def test_the_host_is_recognized_by_its_step() -> None:
    control = read_host(mpam_host(6)).bandwidths[0]
    assert (control.min_bandwidth, control.bandwidth_gran, control.fraction_bits) == (2, 2, 6)


@EACH_WIDTH
def test_a_percentage_is_applied_and_then_matches(bits: int, tmp_path: Path) -> None:
    sim, connection = prepared(bits, tmp_path)
    control = read_host(sim).bandwidths[0]
    for percent in {*some_steps(sim), 100}:
        report = apply(plan_for(wanting(sim, percent), connection), connection)
        assert report.outcome in {"done", "nothing to do"}, (percent, report)
        assert shown(sim) == kept(control, percent)
        assert plan_for(wanting(sim, percent), connection).steps == ()


@EACH_WIDTH
def test_a_change_that_fails_later_is_rolled_back_to_what_was_shown(bits: int, tmp_path: Path) -> None:
    sim, connection = prepared(bits, tmp_path)
    step = read_host(sim).bandwidths[0].bandwidth_gran
    for percent in some_steps(sim)[:-1]:
        assert apply(plan_for(wanting(sim, percent), connection), connection).exit_code == 0
        before = shown(sim)
        plan = plan_for(wanting(sim, percent + step), connection)
        if not plan.steps:
            continue  # two steps that the host cannot distinguish
        sim.fail(errno.EIO, operation="write", after=True)
        report = apply(plan, connection)
        assert (report.outcome, report.undo_errors) == ("rolled back", ())
        assert shown(sim) == before


@EACH_WIDTH
def test_a_removed_group_is_made_again_with_what_it_showed(bits: int, tmp_path: Path) -> None:
    sim, connection = prepared(bits, tmp_path)
    for percent in some_steps(sim):
        assert apply(plan_for(wanting(sim, percent), connection), connection).exit_code == 0
        before = shown(sim)
        ledger = load_ledger(tmp_path)
        removal = plan_removal(
            connection.look(ledger), [PlanGuest("web", "cachetune-web")], ledger.owned, ledger.shrunk
        )
        log = journal.Journal.begin(tmp_path, removal, sim.source)
        for each in removal.steps:
            log.taking(each)
            StepRunner(sim, None).take(each)
        log.keep()
        assert not sim.exists(WEB)
        assert recover(connection).exit_code == 0
        assert shown(sim) == before


def test_a_run_killed_after_the_write_is_recovered_to_what_was_shown(tmp_path: Path) -> None:
    sim, connection = prepared(5, tmp_path)
    assert apply(plan_for(wanting(sim, 12), connection), connection).exit_code == 0
    assert shown(sim) == 13
    plan = plan_for(wanting(sim, 40), connection)
    (write,) = plan.steps
    assert isinstance(write, WriteSchemata)
    log = journal.Journal.begin(tmp_path, plan, sim.source)
    log.taking(write)
    sim.write(f"{WEB}/schemata", write.after)
    log.keep()
    assert recover(connection).exit_code == 0
    assert shown(sim) == 13


def test_a_plan_says_what_the_host_keeps(tmp_path: Path) -> None:
    sim, connection = prepared(6, tmp_path)
    plan = plan_for(wanting(sim, 10), connection)
    assert "MB 1 10 percent (the host keeps 9)" in [" ".join(line.text.split()) for line in render(plan)]
    assert any(isinstance(step, WriteSchemata) and "MB:1=10\n" in step.after for step in plan.steps)
    apply(plan, connection)
    changed = plan_for(wanting(sim, 50), connection)
    assert "MB 1 9 -> 50 percent" in [" ".join(line.text.split()) for line in render(changed)]


def test_libvirts_group_with_the_requested_percentage_has_not_drifted(tmp_path: Path) -> None:
    sim, connection = prepared(6, tmp_path)
    sim.mkdir("qemu-7-web-vcpus_0-1")
    sim.write("schemata", "L3:1=ffffffc\n")
    sim.write("qemu-7-web-vcpus_0-1/schemata", "MB:1=10\nL3:1=0000003\n")
    sim.write("qemu-7-web-vcpus_0-1/tasks", "4711,4712\n")
    wanted = wanting(sim, 10)
    plan = plan_for(msgspec.structs.replace(wanted, id=7), connection)
    assert [path.path for path in plan.groups] == ["qemu-7-web-vcpus_0-1"]
    assert plan.steps == ()


@pytest.mark.parametrize("theirs", [8, 12, 50])
def test_another_programs_value_is_not_taken_for_rounding(theirs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sim = mpam_host(6)
    runner = StepRunner(sim, None, (), read_host(sim).bandwidths)
    sim.mkdir(WEB)
    write = sim.write

    def overtaken(path: str, text: str) -> None:
        write(path, text)
        write(path, f"MB:1={theirs}\n")

    monkeypatch.setattr(sim, "write", overtaken)
    with pytest.raises(StepError, match="wrote 'MB:1=10"):
        runner.take(WriteSchemata(WEB, "", "MB:1=10\n"))


def test_a_percentage_between_the_steps_is_refused_with_the_nearest(tmp_path: Path) -> None:
    sim, connection = prepared(4, tmp_path)
    with pytest.raises(PlanRefusedError) as caught:
        plan_for(wanting(sim, 50), connection)
    assert [finding.hint for finding in caught.value.findings if finding.rule == "CT210"] == [
        "nearest valid: 49 or 56; or plan with --round"
    ]
