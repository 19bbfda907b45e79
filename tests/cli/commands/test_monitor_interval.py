"""``monitor --interval``: rates, in every format, until it is stopped, whatever happens to the groups."""

import csv
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cachetune import documents
from cachetune.cli.main import command
from cachetune.cli.until_stopped import UntilStopped
from cachetune.errors import HostError, InputError, ResctrlError
from cachetune.service import readings as service
from cachetune.sim.kernel.resctrl import SimulatedResctrl
from cachetune.testing import Clock, simulate
from cachetune.watch import Readings, sampler
from tests.host.trees import SKYLAKE, Tree, below, make

MIB = 1 << 20
WEB = "cachetune-web-vcpus_0-1"
EVENTS = ("llc_occupancy", "mbm_total_bytes", "mbm_local_bytes")


class Watched:
    """A host that is watched without waiting: at each wait the clock advances and the next of ``changes`` happens."""

    def __init__(self, clock: Clock, *words: object) -> None:
        self.clock, self.words = clock, words
        self.changes: list[Callable[[], object]] = []
        self.waits: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.clock.advance(seconds)
        if self.changes:
            self.changes.pop(0)()
        assert len(self.waits) < 50, "it does not end"
        return False

    def monitor(self, *words: str) -> Result:
        result = CliRunner().invoke(command, ["monitor", *map(str, self.words), *words], env={"COLUMNS": "120"})
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def documents(self, *words: str) -> list[Readings]:
        lines = self.monitor("--json", *words).stdout.splitlines(keepends=True)
        return [documents.decode(line.encode(), Readings, "line") for line in lines]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock(100.0)
    monkeypatch.setattr(sampler.time, "monotonic", clock)
    return clock


@pytest.fixture
def root(tmp_path: Path) -> Path:
    counters = below("mon_data/mon_L3_00", dict.fromkeys(EVENTS, "0"))
    return make(tmp_path / "resctrl", {**SKYLAKE, **counters, **below(WEB, counters)})


@pytest.fixture
def tree(root: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """A tree of files, whose counters tests write."""
    host = Watched(clock, "--resctrl", root, "--run", root.parent / "run")
    monkeypatch.setattr(UntilStopped, "wait", lambda _self, seconds: host.wait(seconds))
    return host


@pytest.fixture
def sim(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> SimulatedResctrl:
    sim = simulate("skylake-2s", clock=clock)
    monkeypatch.setattr(service, "open_resctrl", lambda _location: sim)
    return sim


@pytest.fixture
def simulated(sim: SimulatedResctrl, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Watched:  # noqa: ARG001
    """A simulated host, whose groups come and go as those of a kernel do."""
    host = Watched(clock)
    monkeypatch.setattr(UntilStopped, "wait", lambda _self, seconds: host.wait(seconds))
    return host


def counted(root: Path, **values: str) -> Callable[[], None]:
    """The counters of the guest have these values at the next reading."""

    def change() -> None:
        for event, value in values.items():
            (root / WEB / "mon_data/mon_L3_00" / event).write_text(f"{value}\n")

    return change


# -- formats


def test_each_value_has_its_rate_beside_it_below_the_time(tree: Watched, root: Path) -> None:
    tree.changes = [counted(root, llc_occupancy=f"{4 * MIB}", mbm_total_bytes=f"{3 * MIB}", mbm_local_bytes="Error")]
    shutil.rmtree(root / WEB / "mon_groups")
    output = tree.monitor("--interval", "2", "--count", "1", "--machine-name", "cachetune-web").stdout
    assert re.sub(r"\A[0-9]{4}(-[0-9]{2}){2} ([0-9]{2}:){2}[0-9]{2}\n", "TIME\n", output) == (
        "TIME\n"
        "GROUP                    CACHE  LLC_OCCUPANCY  MBM_TOTAL  MBM_TOTAL/s  MBM_LOCAL\n"
        "cachetune-web-vcpus_0-1  0              4 MiB      3 MiB    1.5 MiB/s      Error\n\n"
    )


def test_json_is_a_document_in_each_line(tree: Watched, root: Path) -> None:
    tree.changes = [counted(root, mbm_total_bytes="500"), counted(root, mbm_total_bytes="1500")]
    found = tree.documents("--interval", "0.5", "--count", "2")
    rates = [{c.event: c.per_second for c in document.monitors[1].counters} for document in found]
    assert rates == [
        {"llc_occupancy": None, "mbm_total_bytes": 1000.0, "mbm_local_bytes": 0.0},
        {"llc_occupancy": None, "mbm_total_bytes": 2000.0, "mbm_local_bytes": 0.0},
    ]


def test_csv_has_a_row_for_each_group_and_reading(tree: Watched, root: Path) -> None:
    tree.changes = [counted(root, mbm_total_bytes=f"{8 * MIB}", mbm_local_bytes=f"{2 * MIB}")] * 2
    output = tree.monitor("--interval", "1", "--count", "2", "--csv").stdout
    header, *rows = csv.reader(io.StringIO(output))
    assert header == ["Time", "Group", "LLC[KB]", "MBL[MB/s]", "MBR[MB/s]"]
    assert [row[1:] for row in rows] == [
        [".", "0.0", "0.0", "0.0"],
        [WEB, "0.0", "2.0", "6.0"],
        [".", "0.0", "0.0", "0.0"],
        [WEB, "0.0", "0.0", "0.0"],
    ]
    assert {re.sub("[0-9]", "0", row[0]) for row in rows} == {"0000-00-00 00:00:00"}


def test_times_have_milliseconds_if_the_interval_is_not_whole_seconds(tree: Watched) -> None:
    output = tree.monitor("--interval", "0.5", "--count", "1", "--csv").stdout
    assert re.search(r"^[-0-9]{10} [0-9:]{8}\.[0-9]{3},\.,", output, re.MULTILINE)


def test_the_first_reading_is_not_printed_as_it_has_no_rates(tree: Watched) -> None:
    assert len(tree.documents("--interval", "1", "--count", "3")) == 3
    assert tree.waits == pytest.approx([1.0, 1.0, 1.0])


def test_count_alone_reads_every_second(tree: Watched) -> None:
    assert len(tree.documents("--count", "2")) == 2
    assert tree.waits == pytest.approx([1.0, 1.0])


def test_only_the_requested_events_are_read(tree: Watched) -> None:
    (found,) = tree.documents("--count", "1", "--event", "mbm_local_bytes", "--event", "llc_occupancy")
    assert {c.event for monitor in found.monitors for c in monitor.counters} == {"mbm_local_bytes", "llc_occupancy"}
    once = json.loads(tree.monitor("--event", "mbm_local_bytes", "--json").stdout)
    assert {c["event"] for monitor in once["monitors"] for c in monitor["counters"]} == {"mbm_local_bytes"}


@pytest.mark.parametrize("words", [(), ("--count", "1")])
def test_an_event_that_the_host_does_not_count_is_an_error_that_names_those_it_does(
    words: tuple[str, ...], tree: Watched
) -> None:
    with pytest.raises(InputError, match="does not count 'mbm_totl_bytes'") as caught:
        tree.monitor("--event", "mbm_totl_bytes", *words)
    assert caught.value.hint == "its events: llc_occupancy, mbm_total_bytes, mbm_local_bytes"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--csv",), "pass --interval SECONDS"),
        (("--csv", "--json", "--interval", "1"), "pass only one of --json, --csv and --prometheus"),
        (("--prometheus", "--json"), "pass only one of --json, --csv and --prometheus"),
        (("--prometheus", "--interval", "1"), "to export every interval, run 'cachetune exporter'"),
        (("--prometheus", "--count", "2"), "--prometheus prints one reading"),
        (("--interval", "1", "--count", "0"), "--count"),
        (("--interval", "1", "--count", "-1"), "--count"),
        (("--interval", "1", "--interval", "2"), "given 2 times"),
    ],
)
def test_options_that_contradict_each_other_are_usage_errors(
    words: tuple[str, ...], message: str, tree: Watched
) -> None:
    refused = tree.monitor(*words)
    assert refused.exit_code == 2
    assert message in refused.stderr


def test_an_interval_under_a_tenth_of_a_second_is_refused_without_force(tree: Watched) -> None:
    with pytest.raises(InputError, match="each read of a counter interrupts a CPU"):
        tree.monitor("--interval", "0.05", "--count", "1")
    assert tree.monitor("--interval", "0.05", "--count", "1", "--force").exit_code == 0


# -- groups and mounts that come and go


def test_a_group_that_replaces_another_of_its_name_begins_without_a_rate(
    simulated: Watched, sim: SimulatedResctrl
) -> None:
    sim.mkdir(WEB)
    simulated.changes = [lambda: None, lambda: (sim.rmdir(WEB), sim.mkdir(WEB))]
    found = simulated.documents("--interval", "1", "--count", "5", "--event", "mbm_total_bytes")
    rates = [[c.per_second for m in document.monitors if m.path == WEB for c in m.counters] for document in found]
    assert [bool(row) for row in rates] == [True, False, True, True, True]
    assert [row[0] is None for row in rates if row] == [False, True, False, False]


def test_a_guest_that_ends_is_said_once_and_its_groups_are_read_again_when_it_is_back(
    simulated: Watched, sim: SimulatedResctrl
) -> None:
    sim.mkdir(WEB)
    sim.mkdir("qemu-1-db-vcpus_0")
    simulated.changes = [lambda: None, lambda: sim.rmdir(WEB), *[lambda: None] * 3, lambda: sim.mkdir(WEB)]
    done = simulated.monitor("--interval", "1", "--count", "8", "--csv", "--machine-name", "cachetune-web")
    assert done.exit_code == 0
    assert done.stderr.count("warning: ") == 1
    assert "has no groups of 'cachetune-web'" in done.stderr
    rows = list(csv.reader(io.StringIO(done.stdout)))[1:]
    assert [row[3] == "" for row in rows] == [False, True, False, False]


def test_the_end_of_the_last_group_is_said_in_the_table(simulated: Watched, sim: SimulatedResctrl) -> None:
    sim.mkdir(WEB)
    simulated.changes = [lambda: sim.rmdir(WEB)]
    done = simulated.monitor("--interval", "1", "--count", "2", "--machine-name", "cachetune-web")
    assert done.stdout.count("No groups.") == 2


def test_while_resctrl_is_not_mounted_there_is_one_warning_and_then_it_goes_on(tree: Watched, root: Path) -> None:
    away = root.with_name("away")
    nothing = lambda: tree.clock.advance(10)  # noqa: E731
    tree.changes = [nothing, lambda: (nothing(), root.rename(away)), nothing, lambda: (nothing(), away.rename(root))]
    done = tree.monitor("--interval", "1", "--count", "5", "--json")
    assert done.stderr.count("warning: ") == 1
    assert [json.loads(line)["source"] for line in done.stdout.splitlines()] == [str(root)] * 3
    assert done.exit_code == 2, "5 were requested"


def test_a_host_that_cannot_be_read_at_the_end_is_exit_code_2(
    tree: Watched, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = iter([False, False, True])
    monkeypatch.setattr(UntilStopped, "wait", lambda _self, seconds: tree.wait(seconds) or next(waits))
    tree.changes = [lambda: (tree.clock.advance(10), root.rename(root.with_name("away")))]
    assert tree.monitor("--interval", "1").exit_code == 2


def test_a_host_that_cannot_be_read_at_first_is_an_error(tmp_path: Path, tree: Watched) -> None:
    tree.words = ("--resctrl", tmp_path / "missing")
    with pytest.raises((HostError, ResctrlError)):
        tree.monitor("--interval", "1")


def test_without_counters_a_group_has_no_row_and_no_rate(tree: Watched, root: Path) -> None:
    make(root, below("qemu-9-new", {"tasks": "", "schemata": "", "mode": "shareable", "cpus_list": ""}))
    words = ("--interval", "1", "--count", "1", "--machine-name", "qemu-9-new")
    assert "No counters, or removed in the meantime: qemu-9-new\n" in tree.monitor(*words).stdout
    assert tree.monitor(*words, "--csv").stdout.count("\n") == 1


def test_nodes_of_a_cache_have_rates(tree: Watched, root: Path) -> None:
    node: Tree = below(f"{WEB}/mon_data/mon_L3_00/mon_sub_L3_01", dict.fromkeys(EVENTS, "0"))
    make(root, node)
    more = root / WEB / "mon_data/mon_L3_00/mon_sub_L3_01/mbm_total_bytes"
    tree.changes = [lambda: more.write_text("70\n")]
    (found,) = tree.documents("--interval", "1", "--count", "1", "--machine-name", "cachetune-web")
    (of_node,) = (c for c in found.monitors[0].counters if c.node == 1 and c.event == "mbm_total_bytes")
    assert of_node.per_second == 70.0
