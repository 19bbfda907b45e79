"""Guests of other programs than QEMU: recognized by program and thread names, named as their arguments say."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from cachetune.guests.find import running_guests
from cachetune.guests.proc.processes import emulators
from cachetune.guests.proc.programs import identity_of, iothreads_in
from cachetune.guests.sources.options import SourceOptions
from cachetune.testing.guests import NamedThreads
from tests.guests.lookalike import PROC, add_process

UUID = "6f1e6fa3-7fd9-4b0a-8a0c-5b9b5d1f3b10"

# threads of a guest with two vCPUs, as each program names them, and the ids of the vCPU threads
CLOUD_HYPERVISOR = {
    40: "cloud-hyperviso",
    41: "vmm",
    42: "vmm_signal_hand",
    43: "vcpu0",
    44: "vcpu1",
    45: "_disk0_q0",
    46: "_net2_qp0",
    47: "http-server",
}
FIRECRACKER = {40: "firecracker", 41: "fc_api", 42: "fc_vcpu 0", 43: "fc_vcpu 1"}
CROSVM = {40: "crosvm", 41: "crosvm_vcpu0", 42: "crosvm_vcpu1", 43: "v_block"}


@pytest.mark.parametrize(
    ("arguments", "threads", "vcpus"),
    [
        (["/usr/bin/cloud-hypervisor", "--api-socket", "/run/ch.sock"], CLOUD_HYPERVISOR, {0: 43, 1: 44}),
        (["./cloud-hypervisor-static", "--cpus", "boot=2"], CLOUD_HYPERVISOR, {0: 43, 1: 44}),
        (["/firecracker", "--id=web", "--api-sock", "/run/fc.sock"], FIRECRACKER, {0: 42, 1: 43}),
        (["./firecracker-v1.7.0-x86_64", "--no-api"], FIRECRACKER, {0: 42, 1: 43}),
        (["crosvm", "run", "--cpus", "2", "vmlinux"], CROSVM, {0: 41, 1: 42}),
    ],
)
def test_the_vcpus_of_other_programs_are_known_by_their_threads_names(
    arguments: Sequence[str], threads: Mapping[int, str], vcpus: Mapping[int, int], tmp_path: Path
) -> None:
    add_process(tmp_path, 40, threads, arguments=arguments)
    (guest,) = running_guests(SourceOptions(proc=tmp_path, libvirt_run=tmp_path, cgroup=tmp_path))
    assert {t.vcpu: t.tid for t in guest.guest.threads if t.vcpu is not None} == vcpus
    assert (guest.source, guest.problem) == ("threads", "")


@pytest.mark.parametrize(
    ("arguments", "name", "uuid"),
    [
        (["firecracker", "--id", "web"], "web", None),
        (["firecracker", "--id=web", "--api-sock", "x"], "web", None),
        (["firecracker", "--id"], "", None),
        (["firecracker", "--api-sock", "--id"], "", None),
        (["crosvm", "run", "--name", "web", "vmlinux"], "web", None),
        (["crosvm", "run", "--name=a,b=c"], "a,b=c", None),
        (["crosvm", "run", "-name", "web"], "", None),
        (["cloud-hypervisor", "--platform", f"num_pci_segments=2,uuid={UUID.upper()}"], "", UUID),
        (["cloud-hypervisor", "--platform", "uuid=web"], "", None),
        (["cloud-hypervisor", "--cmdline", "--name=web"], "", None),
        (["qemu-kvm", "-append", "--name=web"], "", None),
    ],
)
def test_name_and_uuid_come_from_the_options_of_each_program(
    arguments: Sequence[str], name: str, uuid: str | None
) -> None:
    assert identity_of(arguments) == (name, uuid)


@pytest.mark.parametrize("program", ["cloud-hypervisor", "firecracker", "crosvm"])
def test_a_process_of_such_a_program_without_vcpu_threads_is_no_guest(program: str, tmp_path: Path) -> None:
    add_process(tmp_path, 40, {40: program[:15], 41: "fc_api", 42: "vcpu", 43: "vcpux"}, arguments=[program])
    assert emulators(tmp_path) == ()


@pytest.mark.parametrize("program", ["firecrackers", "ch-remote", "crosvm-direct-x", "/opt/crosvm/run"])
def test_another_program_with_such_threads_is_no_guest(program: str, tmp_path: Path) -> None:
    add_process(tmp_path, 40, {40: "main", 41: "vcpu0", 42: "fc_vcpu 0"}, arguments=[program, "--id", "web"])
    assert emulators(tmp_path) == ()


@pytest.mark.parametrize(
    ("program", "names"),
    [("cloud-hypervisor", "vcpu{}"), ("firecracker", "fc_vcpu {}"), ("crosvm", "crosvm_vcpu{}")],
)
def test_a_real_process_with_these_names_is_found(program: str, names: str) -> None:
    with NamedThreads(*(names.format(n) for n in range(3)), "vmm", program=program) as process:
        (found,) = [one for one in emulators(PROC) if one.pid == process.pid]
    by_vcpu = {t.vcpu: t.tid for t in found.threads if t.vcpu is not None}
    assert by_vcpu == {n: process.tids[names.format(n)] for n in range(3)}


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["-object", "iothread,id=iothread1"], ["iothread1"]),
        (["-object", "iothread,poll-max-ns=0,id=io"], ["io"]),
        (["--object", "qom-type=iothread,id=io"], ["io"]),
        (["-object", '{"qom-type":"iothread","id":"iothread1"}', "-object", "iothread,id=b"], ["iothread1", "b"]),
        (["-object", "memory-backend-ram,id=iothread1,size=1G"], []),
        (["-object", "iothread"], []),
        (["-object", '{"qom-type":"iothread","id":7}'], []),
        (["-object", '{"qom-type":'], []),
        (["-object", "[]"], []),
        (["-object", '{"a":' * 100_000], []),
        (["-object"], []),
        (["-device", "iothread,id=io"], []),
    ],
)
def test_the_iothreads_of_a_command_line_are_its_objects(words: Sequence[str], names: Sequence[str]) -> None:
    assert list(iothreads_in(["qemu-kvm", *words])) == names
