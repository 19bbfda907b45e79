"""Which threads run which workload, and the file that says so."""

from pathlib import Path

import pytest

from cachetune.errors import DocumentError, UnreadableFileError
from cachetune.sim import Workload, WorkloadEntry, read_workloads
from cachetune.sim.workloads import OF_A_TASK, OF_THE_DEFAULT_GROUP, Load, ThreadName, Workloads, parse_workloads
from cachetune.testing import Clock, simulate

MIB = 1 << 20
BATCH = Workload(kind="streaming", bytes_per_second=500 * MIB)
WEB = Workload(kind="reuse", bytes_per_second=2e9, working_set_bytes=6 * MIB)

FILE = b"""
[[workload]]
guest = "web*"
kind = "reuse"
working_set = "6MiB"
accesses = "2GB/s"
fresh = 0.1

[[workload]]
group = "."
kind = "streaming"
accesses = "500MiB/s"
caches = [0]
local = 0.5
"""


def test_a_file_names_guests_and_groups() -> None:
    entries = parse_workloads(FILE, "workloads.toml")
    stream = Workload(kind="streaming", bytes_per_second=500 * MIB, caches=(0,), local=0.5)
    assert entries == (WorkloadEntry(guest="web*", workload=WEB), WorkloadEntry(group=".", workload=stream))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ((b'guest = "web*"', b""), "workload 1: either guest or group says who runs it"),
        ((b'guest = "web*"', b'guest = "a"\ngroup = "b"'), "workload 1: either guest or group says who runs it"),
        ((b'working_set = "6MiB"', b""), "workload 1: reuse needs a working_set"),
        ((b'"6MiB"', b'"3ways"'), "workload 1: working_set: '3ways' is not a size in bytes, such as 6MiB"),
        ((b'"6MiB"', b'"0MiB"'), "workload 1: working_set must not be empty"),
        ((b"2GB/s", b"50%"), "workload 1: accesses: '50%' is not a rate such as 500MiB/s or 2GB/s"),
        ((b"2GB/s", b"fast"), "workload 1: 'fast' is not a number, with a unit"),
        ((b"fresh = 0.1", b"fresh = 1.5"), "workload 1: fresh must be between 0 and 1"),
        ((b"fresh = 0.1", b"fresh = nan"), "workload 1: fresh must be between 0 and 1"),
        ((b"fresh", b"frsh"), "workload 1: unknown key 'frsh'; did you mean 'fresh'?"),
        ((b'kind = "reuse"', b'kind = "random"'), "Invalid enum value 'random' - at `$.workload[0].kind`"),
        ((b"[[workload]]", b"[[workloads]]"), "unknown field `workloads`"),
        ((b"[0]", b'"all"'), "Expected `array | null`, got `str` - at `$.workload[1].caches`"),
        ((b"guest", b"\xff"), "'utf-8' codec can't decode"),
        ((b"=", b"=="), "Invalid value"),
        ((b'"6MiB"', b"[" * 100_000), ""),
    ],
)
def test_a_file_with_a_mistake_is_refused_with_its_place(change: tuple[bytes, bytes], problem: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_workloads(FILE.replace(*change), "workloads.toml")
    assert problem in str(caught.value)
    assert caught.value.hint == "docs/how-to/simulation.md describes the file"


def test_a_file_that_is_missing_or_endless_is_refused() -> None:
    with pytest.raises(UnreadableFileError):
        read_workloads(Path("/nowhere/workloads.toml"))
    with pytest.raises(DocumentError, match="too large"):
        read_workloads(Path("/dev/zero"))


def test_threads_do_equal_parts_of_their_workload_in_the_groups_they_are_in() -> None:
    runs = Workloads()
    runs.run("batch", BATCH, [1, 2, 3, 4])
    assert runs.loads_of("g1", {1, 2, 3}) == [Load("batch", BATCH, 0.75)]
    runs.forget(4)
    assert runs.loads_of("g1", {1, 2, 3}) == [Load("batch", BATCH, 1.0)]


def test_a_thread_runs_what_it_was_given_last() -> None:
    runs = Workloads()
    runs.run("batch", BATCH, [1, 2])
    runs.run("web", WEB, [2])
    assert runs.loads_of("g1", {1, 2}) == [Load("batch", BATCH, 1.0), Load("web", WEB, 1.0)]
    runs.run("batch", BATCH, [2])
    assert runs.loads_of("g1", {1, 2}) == [Load("batch", BATCH, 1.0), Load("default", OF_A_TASK, 1.0)]


def test_all_other_threads_of_a_group_run_the_workload_of_the_group() -> None:
    runs = Workloads([WorkloadEntry(group="web*", workload=WEB), WorkloadEntry(group="*/mon_groups/*", workload=BATCH)])
    assert runs.loads_of("web1", {1, 2}) == [Load("group", WEB, 1.0)]
    assert runs.loads_of("web1/mon_groups/m", {3}) == [Load("group", BATCH, 1.0)]
    assert runs.loads_of("db", {4, 5}) == [Load("default", OF_A_TASK, 2.0)]
    assert runs.loads_of(".", {6, 7}) == [Load("default", OF_THE_DEFAULT_GROUP, 1.0)]
    assert runs.loads_of("web1", set()) == []


def test_the_vcpu_threads_of_a_guest_run_its_workload_or_all_threads_if_none_has_such_a_name() -> None:
    runs = Workloads([WorkloadEntry(guest="web", workload=WEB), WorkloadEntry(guest="*", workload=BATCH)])
    named = {10: ThreadName("web", "qemu"), 11: ThreadName("web", "CPU 0/KVM"), 12: ThreadName("web", "CPU 1/KVM")}
    plain = {20: ThreadName("db", "qemu"), 21: ThreadName("db", "qemu")}
    assert set(runs.plan_of(named | plain).values()) == {(WEB, frozenset({11, 12})), (BATCH, frozenset({20, 21}))}


def test_a_workload_follows_the_threads_of_its_guest_from_group_to_group() -> None:
    clock = Clock()
    sim = simulate(clock=clock, workloads=[WorkloadEntry(guest="batch", workload=BATCH)])
    for tid in (50, 51):
        sim.add_task(tid)
    sim.name_threads(
        {50: ThreadName("batch", "CPU 0/KVM"), 51: ThreadName("batch", "CPU 1/KVM"), 99: ThreadName("x", "y")}
    )
    sim.mkdir("g1")
    sim.write("g1/tasks", "50\n")
    clock.advance(10)
    total = int(sim.read("g1/mon_data/mon_L3_00/mbm_total_bytes"))
    assert total / MIB == pytest.approx(2500, rel=0.01)


def test_the_example_of_the_documentation_is_a_file_of_workloads() -> None:
    page = Path(__file__).parents[2] / "docs" / "how-to" / "simulation.md"
    example = page.read_text().partition("```toml\n")[2].partition("```")[0]
    assert [entry.guest or entry.group for entry in parse_workloads(example.encode(), "page")] == ["web*", "."]
