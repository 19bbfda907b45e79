"""A real QEMU, found by every source that works without libvirt, with QEMU's own pitfalls."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachetune.errors import GuestNotFoundError, GuestVcpusUnknownError, SourceTimeoutError, SourceUnavailableError
from cachetune.guests import RunningGuest
from cachetune.guests.find import guest_named, look
from cachetune.guests.sources import SourceName, qmp
from cachetune.guests.sources.options import SourceOptions
from tests.guests.lookalike import PROC
from tests.guests.proc.test_processes import need_namespaces
from tests.guests.qemu import UUID, Qemu, running

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("real qemu")]  # one QEMU for most

NAME = f"web{os.getpid()}"
SCOPE = "machine.slice/machine-qemu\\x2d3\\x2dweb.scope"
IOTHREADS = ("iothread1", "iothread2")
EVERY: tuple[SourceName, ...] = ("qmp", "threads", "cgroup")


def source_options(directory: Path, guest: Qemu) -> SourceOptions:
    """This QEMU's process in the real /proc, and cgroups as libvirt would create them."""
    proc, here = directory / "proc", PROC / str(guest.pid)
    (proc / str(guest.pid)).mkdir(parents=True, exist_ok=True)
    for name in ("stat", "status", "cmdline", "task"):
        link = proc / str(guest.pid) / name
        if not link.is_symlink():
            link.symlink_to(here / name)
    (proc / str(guest.pid) / "cgroup").write_text(f"0::/{SCOPE}/libvirt/emulator\n")
    named = {f"vcpu{vcpu}": tid for vcpu, tid in guest.vcpus().items()} | guest.iothreads()
    for name, tid in named.items():
        (directory / "cgroup" / SCOPE / "libvirt" / name).mkdir(parents=True, exist_ok=True)
        (directory / "cgroup" / SCOPE / "libvirt" / name / "cgroup.threads").write_text(f"{tid}\n")
    return SourceOptions(proc=proc, libvirt_run=directory / "none", cgroup=directory / "cgroup", qmp=guest.socket)


def vcpus(guest: RunningGuest) -> dict[int, int]:
    return {thread.vcpu: thread.tid for thread in guest.guest.threads if thread.vcpu is not None}


def iothreads(guest: RunningGuest) -> dict[str, int]:
    return {thread.iothread: thread.tid for thread in guest.guest.threads if thread.iothread is not None}


def only(where: SourceOptions, source: SourceName | None = None) -> RunningGuest:
    (guest,) = look(where, source).guests
    return guest


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Qemu]:
    with running(tmp_path_factory.mktemp("qemu"), NAME, iothreads=IOTHREADS) as started:
        yield started


@pytest.mark.parametrize("source", [*EVERY, None])
def test_every_source_finds_the_same_threads_as_qemu_itself(
    source: SourceName | None, guest: Qemu, tmp_path: Path
) -> None:
    found = only(source_options(tmp_path, guest), source)
    assert vcpus(found) == guest.vcpus()
    assert len(vcpus(found)) == 4
    assert (found.name, found.uuid) == (("", None) if source == "cgroup" else (NAME, UUID))
    assert (found.guest.pid, found.disagreements, found.problem) == (guest.pid, (), "")
    assert all(thread.start_time > 0 for thread in found.guest.threads)


@pytest.mark.parametrize("source", [*EVERY, None])
def test_every_source_finds_the_same_iothreads_as_qemu_itself(
    source: SourceName | None, guest: Qemu, tmp_path: Path
) -> None:
    found = only(source_options(tmp_path, guest), source)
    assert iothreads(found) == guest.iothreads()
    assert set(iothreads(found)) == {*IOTHREADS}
    assert found.guest.kinds_known


def test_it_is_found_among_all_processes_of_the_host(guest: Qemu) -> None:
    found = guest_named(NAME, SourceOptions(libvirt_run=guest.socket.parent))
    assert (found.guest.pid, found.source, vcpus(found)) == (guest.pid, "threads", guest.vcpus())


def test_its_threads_have_the_expected_names(guest: Qemu) -> None:
    assert guest.names() >= {f"CPU {vcpu}/TCG" for vcpu in range(4)} | {"qemu-system-x86", "IO mon_iothread"}


def test_query_cpus_fast_has_a_thread_id_that_is_not_a_thread(guest: Qemu) -> None:
    answers = guest.execute("query-cpus-fast")
    assert {answer["props"]["thread-id"] for answer in answers} == {0}
    assert {answer["thread-id"] for answer in answers} == set(guest.vcpus().values())


def test_a_monitor_in_use_times_out(guest: Qemu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qmp, "SECONDS", 1.0)
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(str(guest.socket))
        assert other.recv(1).startswith(b"{"), "this one is being served"
        with pytest.raises(SourceTimeoutError, match="did not answer within 1 s") as caught:
            look(SourceOptions(qmp=guest.socket), "qmp")
    assert "another program may be using this monitor" in caught.value.hint
    monkeypatch.undo()
    assert vcpus(only(SourceOptions(qmp=guest.socket), "qmp")) == guest.vcpus(), "it is free again"


def test_every_source_sees_a_plugged_vcpu(tmp_path: Path) -> None:
    with running(tmp_path, f"{NAME}plug") as guest:
        before = guest.vcpus()
        guest.plug(4)
        after = guest.vcpus()
        assert after == before | {4: after[4]}
        where = source_options(tmp_path, guest)
        assert [vcpus(only(where, source)) for source in EVERY] == [after] * 3
        assert only(where).disagreements == ()


def test_one_thread_for_all_vcpus_is_refused_with_the_reason(tmp_path: Path) -> None:
    with running(tmp_path, f"{NAME}single", thread="single") as guest:
        assert "ALL CPUs/TCG" in guest.names()
        assert len(set(guest.vcpus().values())) == 1
        where = source_options(tmp_path, guest)
        for source in EVERY:
            found = only(where, source)
            assert (vcpus(found), found.problem) == (
                {},
                "all its vCPUs run in one thread, so they cannot be tuned individually",
            )
        with pytest.raises(GuestVcpusUnknownError, match="all its vCPUs run in one thread"):
            guest_named(guest.name, where)
        assert guest_named(guest.name, where, per_vcpu=False).guest.pid == guest.pid


def test_without_debug_threads_other_sources_provide_the_threads(tmp_path: Path) -> None:
    with running(tmp_path, f"{NAME}plain", named=False) as guest:
        assert not any(name.startswith("CPU") for name in guest.names())
        where = source_options(tmp_path, guest)
        assert "debug-threads=on" in only(where, "threads").problem
        with pytest.raises(GuestVcpusUnknownError, match="its threads do not have vCPU names"):
            guest_named(guest.name, where, "threads")
        assert vcpus(only(where, "qmp")) == vcpus(only(where, "cgroup")) == guest.vcpus()
        assert only(where).source == "qmp"


def test_without_debug_threads_other_sources_provide_the_iothreads(tmp_path: Path) -> None:
    with running(tmp_path, f"{NAME}plain", named=False, iothreads=["iothread1", "iothread-virtioscsi0"]) as guest:
        where = source_options(tmp_path, guest)
        assert not only(where, "threads").guest.kinds_known
        assert iothreads(only(where, "qmp")) == guest.iothreads()
        assert set(iothreads(only(where, "cgroup"))) == {"iothread1"}, "libvirt gives no other names"


def test_an_iothread_whose_name_is_too_long_for_qemu_to_set_is_known_from_the_monitor_only(tmp_path: Path) -> None:
    with running(tmp_path, f"{NAME}long", iothreads=["iothread-virtioscsi0"]) as guest:
        where = source_options(tmp_path, guest)
        assert not any(name.startswith("IO iothread") for name in guest.names())
        assert not only(where, "threads").guest.kinds_known
        assert iothreads(only(where, "qmp")) == guest.iothreads()
        assert only(where, "qmp").guest.kinds_known


def test_a_qemu_in_its_own_pid_namespace_is_found_by_our_ids(tmp_path: Path) -> None:
    with running(tmp_path, f"{NAME}inside", before=need_namespaces()) as guest:
        inside = guest.vcpus()
        named = guest_named(guest.name, SourceOptions(), "threads")
        asked = guest_named(guest.name, SourceOptions(qmp=guest.socket), "qmp")
        assert vcpus(asked) == vcpus(named)
        assert inside != vcpus(named), "QEMU counts otherwise"
        assert asked.guest.pid == named.guest.pid != guest.pid


def test_an_unnamed_qemu_in_its_own_namespace_is_the_process_that_listens(tmp_path: Path) -> None:
    with running(tmp_path, "", uuid="00000000-0000-0000-0000-000000000000", before=need_namespaces()) as guest:
        found = only(SourceOptions(qmp=guest.socket), "qmp")
        names = {thread.comm: thread.vcpu for thread in found.guest.threads if thread.vcpu is not None}
    assert (found.name, found.uuid) == ("", None)
    assert names == {f"CPU {vcpu}/TCG": vcpu for vcpu in range(4)}


def test_a_qemu_that_has_quit_is_not_found(tmp_path: Path) -> None:
    with running(tmp_path, f"{NAME}quit") as guest:
        where = source_options(tmp_path, guest)
        assert only(where, "threads").name == guest.name
        guest.quit()
        assert look(SourceOptions(proc=where.proc, libvirt_run=where.libvirt_run)).guests == ()
        with pytest.raises(SourceUnavailableError, match="cannot connect"):
            look(where)
        with pytest.raises(GuestNotFoundError, match=f"guest '{guest.name}' is not running"):
            guest_named(guest.name, SourceOptions())
