"""A damaged foreign group: every verb works, and shows each warning once, with the name of the file."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cachetune.agent.decide import AgentOptions
from cachetune.agent.reconcile import Clock, Inputs, Reconciler
from cachetune.apply.run import Connection
from cachetune.cli.main import command
from cachetune.hook import Call, operations
from cachetune.plan.request import GuestRequest, Options
from cachetune.service.changes import OnPlan, carry_out
from cachetune.service.plans import planner_of
from cachetune.sim import SimulatedResctrl, load_profile
from tests.agent.machine import wanted
from tests.host.trees import SKYLAKE, below, make
from tests.samples import GUEST, TIDS

DAMAGED = {"schemata": "L3:0=zz", "mode": "no-mode", "tasks": "no-thread", "cpus_list": "x-y"}
REASONS = {
    "schemata": "not understood: L3:0=zz",
    "mode": "not a mode: no-mode",
    "tasks": "not a thread id: no-thread",
    "cpus_list": "not a list of CPUs: x-y",
}
XML = """<domain type='kvm'><name>app</name><vcpu>2</vcpu>
<cputune><memorytune vcpus='0-1'><node id='0' bandwidth='50'/></memorytune></cputune></domain>"""


def warnings(source: object) -> list[str]:
    return sorted(f"{source}/other/{name}: {reason}" for name, reason in REASONS.items())


class Damaged(SimulatedResctrl):
    """A simulated host on which the files of the group "other" have no sense in them."""

    is_damaged = True

    def read(self, path: str) -> str:
        group, _, name = path.partition("/")
        return f"{DAMAGED[name]}\n" if self.is_damaged and group == "other" and name in DAMAGED else super().read(path)


@pytest.fixture
def damaged() -> Damaged:
    resctrl = Damaged(load_profile("skylake-2s"))
    resctrl.mkdir("other")
    for tid in (thread.tid for thread in GUEST.threads):
        resctrl.add_task(tid)
    return resctrl


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return make(tmp_path / "copy", {**SKYLAKE, **below("other", DAMAGED)})


def run(*words: object, **more: object) -> Result:
    result = CliRunner().invoke(command, [str(word) for word in words], **more)  # type: ignore[arg-type]
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def shown(result: Result, source: object) -> list[str]:
    """The warnings about files of the group, however they are introduced."""
    lines = (line.partition(": ")[2] for line in result.stderr.splitlines())
    return sorted(line for line in lines if line.startswith(f"{source}/other/"))


@pytest.mark.parametrize("verb", ["show", "snapshot", "monitor", "guests"])
def test_a_verb_that_reads_a_copy_shows_each_warning_once(verb: str, copy: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    where = ("--proc", nowhere, "--libvirt-run", nowhere, "--cgroup", nowhere) if verb == "guests" else ()
    result = run(verb, "--resctrl", copy, *where)
    assert result.exit_code == 0
    assert shown(result, copy) == warnings(copy)


@pytest.mark.parametrize(("verb", "code"), [("plan", 0), ("diff", 1)])
def test_a_verb_that_plans_shows_each_warning_once(verb: str, code: int, copy: Path) -> None:
    result = run(verb, "--resctrl", copy, "-", input=XML)
    assert result.exit_code == code
    assert shown(result, copy) == warnings(copy)


def test_a_snapshot_of_a_damaged_host_has_the_warnings_too(copy: Path, tmp_path: Path) -> None:
    saved = tmp_path / "host.json"
    run("snapshot", "--resctrl", copy, "-o", saved)
    assert shown(run("show", "--host", saved), copy) == warnings(copy)


def test_monitor_reads_the_other_groups(copy: Path) -> None:
    make(copy, {"mon_data/mon_L3_00/llc_occupancy": "1024"})
    assert ". (default group)  0              1 KiB\n" in run("monitor", "--resctrl", copy).stdout


@pytest.mark.parametrize("approve", [None, lambda _: None], ids=["at once", "after a prompt"])
def test_a_change_is_made_with_each_warning_once(approve: OnPlan | None, damaged: Damaged, tmp_path: Path) -> None:
    found: list[str] = []
    planner = planner_of([GuestRequest(wanted(), GUEST)], Options(shrink_default=True))
    report = carry_out(planner, Connection(damaged, tmp_path), warn=found.extend, approve=approve)
    assert (report.outcome, sorted(found)) == ("done", warnings(damaged.source))


def test_the_agent_logs_each_warning_once_until_it_ends(damaged: Damaged, tmp_path: Path) -> None:
    logged: list[tuple[str, str]] = []
    inputs = Inputs(connection=lambda: Connection(damaged, tmp_path), files=lambda _: {}, guests=lambda: ())
    clock = Clock(lambda: 0.0, lambda: 0.0)
    reconciler = Reconciler(inputs, AgentOptions(), clock, lambda level, text: logged.append((level, text)))
    for damaged.is_damaged in (True, True, False, True):
        reconciler.round()
    assert sorted(logged) == sorted(("warning", text) for text in 2 * warnings(damaged.source))


@pytest.mark.parametrize("operation", ["prepare", "started", "release"])
def test_the_hook_logs_each_warning_once_and_lets_the_guest_start(
    operation: str,
    damaged: Damaged,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "web.xml").write_text(
        "<cputune><memorytune vcpus='0-1'><node id='0' bandwidth='50'/></memorytune></cputune>"
    )
    monkeypatch.setattr(operations, "connect", lambda _: Connection(damaged, tmp_path))
    monkeypatch.setattr(operations, "guest_of_process", lambda *_: GUEST)
    (tmp_path / "web.pid").write_text(f"{TIDS[0]}")
    call = Call("web", operation)
    call.xml = b"<domain type='kvm' id='3'><name>web</name><vcpu>4</vcpu></domain>"
    call.values |= {"--guests-d": str(tmp_path), "--run": str(tmp_path), "--libvirt-run": str(tmp_path)}
    assert operations.handle(call) == 0
    lines = capsys.readouterr().err.splitlines()
    logged = sorted(line.partition("warning: ")[2] for line in lines if "warning: " in line)
    assert logged == warnings(damaged.source)
