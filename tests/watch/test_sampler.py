"""The sampler: one read of each counter and sample, and no rate that is not one counter's."""

import errno
import os
import resource
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from cachetune.errors import NotMountedError, ResctrlError
from cachetune.host.read import read_host
from cachetune.host.resctrl.files import SysfsResctrl
from cachetune.host.resctrl.port import OpenFile
from cachetune.sim.kernel.resctrl import SimulatedResctrl
from cachetune.testing import Clock, simulate
from cachetune.watch import read_counters, sampler
from cachetune.watch.model import Column
from cachetune.watch.sampler import GroupSample, SampledGroup, Sampler, Value, rates
from tests.host.trees import SKYLAKE, Tree, below, make

FEATURES = {"L3": ("llc_occupancy", "mbm_total_bytes", "mbm_local_bytes")}
TOTAL, OCCUPANCY = Column("L3", 0, "mbm_total_bytes"), Column("L3", 0, "llc_occupancy")
GROUP = SampledGroup("web", (TOTAL,), (True,))


def monitored(*groups: str) -> Tree:
    """A host with these groups, each with three counters on cache 0."""
    values = dict.fromkeys((f"mon_data/mon_L3_00/{event}" for event in FEATURES["L3"]), "1")
    return {**SKYLAKE, **{k: v for name in groups for k, v in below(name, values).items()}}


@pytest.fixture
def sim() -> SimulatedResctrl:
    return simulate("skylake-2s", clock=Clock())


def of(fs: SimulatedResctrl | SysfsResctrl, **options: object) -> Sampler:
    return Sampler(lambda: fs, lambda: FEATURES, **options)  # type: ignore[arg-type]


# -- what is sampled


def test_a_sample_has_the_values_that_a_single_reading_has(sim: SimulatedResctrl) -> None:
    sim.mkdir("web")
    sim.mkdir("web/mon_groups/one")
    host = read_host(sim)
    sample = of(sim).sample()
    for reading in read_counters(sim, host, [group.path for group in host.groups]):
        counted = [(c.resource, c.id, c.event, c.node, c.value) for c in reading.counters if c.event != "llc_occupancy"]
        group = sample.groups[reading.path]
        columns = zip(group.group.columns, group.values, strict=True)
        assert [(c.resource, c.id, c.event, c.node, v) for c, v in columns if c.event != "llc_occupancy"] == counted


def test_only_the_chosen_groups_and_events_are_read(sim: SimulatedResctrl) -> None:
    for name in ("a", "b"):
        sim.mkdir(name)
    chosen = of(sim, choose=lambda _, paths: [p for p in paths if p == "b"], events={"mbm_local_bytes"}).sample()
    assert list(chosen.groups) == ["b"]
    assert {column.event for column in chosen.groups["b"].group.columns} == {"mbm_local_bytes"}


def test_the_default_group_comes_first_and_monitor_groups_follow_their_control_group(sim: SimulatedResctrl) -> None:
    for path in ("web", "mon_groups/root", "web/mon_groups/one"):
        sim.mkdir(path)
    assert list(of(sim).sample().groups) == [".", "mon_groups/root", "web", "web/mon_groups/one"]


class Counted(SysfsResctrl):
    """Counts how often each counter is read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.opened: list[str] = []
        self.reads: list[str] = []

    def open(self, path: str) -> OpenFile:
        file = super().open(path)
        self.opened.append(path)

        def read() -> bytes:
            self.reads.append(path)
            return file.read()

        return OpenFile(read, file.close)


def test_each_counter_is_opened_once_and_read_once_for_each_sample(tmp_path: Path) -> None:
    fs = Counted(make(tmp_path, monitored("web")))
    one = of(fs)
    for _ in range(3):
        one.sample()
    assert len(fs.opened) == len(set(fs.opened)) > 0
    assert sorted(fs.reads) == sorted(3 * fs.opened)


# -- values


def write(tmp_path: Path, text: str) -> None:
    (tmp_path / "web/mon_data/mon_L3_00/mbm_total_bytes").write_text(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Unavailable\n", "Unavailable"),
        ("Unassigned\n", "Unassigned"),
        ("Error\n", "Error"),
        ("", "Error"),
        ("18446744073709551615\n", (1 << 64) - 1),
        ("12.500000\n", Decimal("12.500000")),
    ],
)
def test_a_value_is_exact_or_says_why_it_is_missing(text: str, value: Value, tmp_path: Path) -> None:
    fs = SysfsResctrl(make(tmp_path, monitored("web")))
    write(tmp_path, text)
    sample = of(fs, events={"mbm_total_bytes"}).sample()
    assert sample.groups["web"].values[0] == value


def test_a_counter_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    class Failing(SysfsResctrl):
        def open(self, path: str) -> OpenFile:
            file = super().open(path)

            def read() -> bytes:
                raise OSError(errno.EIO, "broken")

            return OpenFile(read, file.close) if path.endswith("web/mon_data/mon_L3_00/mbm_total_bytes") else file

    fs = Failing(make(tmp_path, monitored("web")))
    values = of(fs).sample().groups["web"]
    assert [v == "Error" for v in values.values] == [c == TOTAL for c in values.group.columns]


# -- rates


def at(seconds: float, value: Value, group: SampledGroup = GROUP) -> GroupSample:
    return GroupSample(group, seconds, (value,))


def test_a_rate_is_what_was_counted_per_second() -> None:
    assert rates(at(1.0, 100), at(3.0, 300)) == (100.0,)
    assert rates(at(1.0, Decimal("0.5")), at(3.0, Decimal("2.5"))) == (1.0,)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, at(2.0, 300)),
        (at(1.0, 300), at(2.0, 100)),
        (at(1.0, "Unavailable"), at(2.0, 100)),
        (at(1.0, 100), at(2.0, "Unassigned")),
        (at(1.0, 100), at(1.0, 200)),
        (at(1.0, 100, SampledGroup("web", (TOTAL,), (True,))), at(2.0, 200)),
        (at(1.0, Decimal("2.0")), at(2.0, Decimal("1.0"))),
    ],
    ids=["first", "restarted", "was missing", "is missing", "no time", "another group", "restarted telemetry"],
)
def test_there_is_no_rate_where_it_is_not_known(before: GroupSample | None, after: GroupSample) -> None:
    assert rates(before, after) == (None,)


def test_a_missing_value_does_not_affect_the_rates_of_others() -> None:
    group = SampledGroup("web", (TOTAL, TOTAL, OCCUPANCY), (True, True, False))
    found = rates(GroupSample(group, 0.0, (10, "Unavailable", 5)), GroupSample(group, 2.0, (30, 7, 9)))
    assert found == (10.0, None, None)


def test_occupancy_has_no_rate(sim: SimulatedResctrl) -> None:
    one = of(sim, events={"llc_occupancy"})
    first, second = one.sample(), one.sample()
    assert set(rates(first.groups["."], second.groups["."])) == {None}


# -- groups that come and go


def test_a_new_control_group_is_in_the_next_sample(sim: SimulatedResctrl) -> None:
    one = of(sim)
    one.sample()
    sim.mkdir("web")
    assert "web" in one.sample().groups


def test_a_new_monitor_group_is_sampled_after_the_next_scan(
    sim: SimulatedResctrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim.mkdir("web")
    one = of(sim)
    one.sample()
    sim.mkdir("web/mon_groups/one")
    assert "web/mon_groups/one" not in one.sample().groups
    now = sampler.time.monotonic() + sampler.RESCAN_SECONDS
    monkeypatch.setattr(sampler.time, "monotonic", lambda: now)
    assert "web/mon_groups/one" in one.sample().groups


def test_a_group_removed_and_created_again_between_two_samples_has_no_rate(sim: SimulatedResctrl) -> None:
    sim.mkdir("web")
    one = of(sim, events={"mbm_total_bytes"})
    first = one.sample().groups["web"]
    sim.rmdir("web")
    sim.mkdir("web")
    assert "web" not in one.sample().groups, "the files of the old group are still open"
    second, third = one.sample().groups["web"], one.sample().groups["web"]
    assert set(rates(first, second)) == {None}
    assert None not in rates(second, third)


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ENODEV, errno.ESTALE])
def test_a_group_that_is_removed_before_its_files_are_open_is_left_out(number: int, tmp_path: Path) -> None:
    class Removed(SysfsResctrl):
        def open(self, path: str) -> OpenFile:
            if path.startswith("web/mon_data/mon_L3_00/mbm_local_bytes"):
                raise ResctrlError(number, "read", path)
            return super().open(path)

    sample = of(Removed(make(tmp_path, monitored("web", "db")))).sample()
    assert "db" in sample.groups
    assert "web" not in sample.groups


def test_after_a_remount_the_new_resctrl_is_read(sim: SimulatedResctrl) -> None:
    class Remounted(SimulatedResctrl):
        is_current = False

    old, new = simulate("skylake-2s"), sim
    old.__class__ = Remounted
    new.mkdir("web")
    mounts = [old, new]
    one = Sampler(lambda: mounts.pop(0), lambda: FEATURES)
    assert "web" in one.sample().groups


def test_while_nothing_is_mounted_sampling_fails_and_then_goes_on(tmp_path: Path) -> None:
    root = make(tmp_path / "resctrl", monitored("web"))
    one = Sampler(lambda: SysfsResctrl(root), lambda: FEATURES)
    assert "web" in one.sample().groups
    root.rename(tmp_path / "away")
    one._next_scan = 0.0
    with pytest.raises(NotMountedError):
        one.sample()
    (tmp_path / "away").rename(root)
    assert "web" in one.sample().groups


def test_groups_that_come_and_go_leave_no_descriptor_open(tmp_path: Path) -> None:
    root = make(tmp_path, monitored("web"))
    fds = lambda: len(os.listdir("/proc/self/fd"))  # noqa: E731, PTH208
    before = fds()
    with Sampler(lambda: SysfsResctrl(root), lambda: FEATURES) as one:
        one.sample()
        steady = fds()
        for number in range(50):
            make(root, below(f"web{number}/mon_data/mon_L3_00", {"mbm_total_bytes": "1"}))
            assert len(one.sample().groups) == 2
            shutil.rmtree(root / f"web{number}")
            assert len(one.sample().groups) == 1
        assert fds() == steady > before
    del one
    assert fds() == before


def test_more_counters_than_the_soft_limit_on_open_files_are_read(tmp_path: Path) -> None:
    make(tmp_path, monitored(*(f"web{n}" for n in range(20))))
    code = f"""
import resource
from pathlib import Path
from cachetune.host.resctrl.files import SysfsResctrl
from cachetune.watch.sampler import Sampler
resource.setrlimit(resource.RLIMIT_NOFILE, (32, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
print(len(Sampler(lambda: SysfsResctrl(Path({str(tmp_path)!r})), lambda: {FEATURES!r}).sample().groups))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 20


def test_more_counters_than_the_hard_limit_on_open_files_are_an_error_that_says_so(tmp_path: Path) -> None:
    make(tmp_path, monitored(*(f"web{n}" for n in range(20))))

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))

    code = f"""
from pathlib import Path
from cachetune.errors import ResctrlError
from cachetune.host.resctrl.files import SysfsResctrl
from cachetune.watch.sampler import Sampler
one = Sampler(lambda: SysfsResctrl(Path({str(tmp_path)!r})), lambda: {FEATURES!r})
try:
    one.sample()
except ResctrlError as error:
    print(error, error.hint)
import os
one.close()
print(len(os.listdir("/proc/self/fd")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, preexec_fn=limited)
    said, left = done.stdout.splitlines()
    assert "EMFILE" in said
    assert "LimitNOFILE" in said
    assert int(left) < 10
