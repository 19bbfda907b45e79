"""cachetune guests: its output for processes that look like QEMU, with and without resctrl."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cachetune.cli import options
from cachetune.cli.main import command
from cachetune.guests.sources import NAMES
from cachetune.sim import SimulatedResctrl, load_profile
from cachetune.sim.copies import write_tree
from cachetune.testing.guests import NamedThreads
from tests.guests.lookalike import add_kernel_thread, add_process, status_xml
from tests.sim.fuse.mounted import run

UUID = "6f1e6fa3-7fd9-4b0a-8a0c-5b9b5d1f3b10"
TUNE = "<vcpu>2</vcpu><cputune><memorytune vcpus='0-1'><node id='0' bandwidth='50'/></memorytune></cputune>"


class Machine:
    """A directory with everything that the verb reads."""

    def __init__(self, directory: Path) -> None:
        self.proc, self.libvirt, self.guests_d = (directory / name for name in ("proc", "libvirt", "guests.d"))
        for made in (self.proc, self.libvirt, self.guests_d):
            made.mkdir()
        self.resctrl = directory / "resctrl"

    def process(self, pid: int, name: str, *, named: bool = True, uuid: str = UUID) -> None:
        threads = {pid: "main"} | ({pid + 1: "CPU 0/KVM", pid + 2: "CPU 1/KVM"} if named else {pid + 1: "main"})
        add_process(self.proc, pid, threads, arguments=["kvm", "-name", f"guest={name}", "-uuid", uuid])

    def guests(self, *words: str) -> Result:
        return self._call("guests", *words)

    def drift(self) -> Result:
        return self._call("diff", "--all-guests")

    def _call(self, verb: str, *words: str) -> Result:
        source_options = {"--proc": self.proc, "--libvirt-run": self.libvirt, "--guests-d": self.guests_d}
        source_options |= {"--resctrl": self.resctrl, "--cgroup": self.proc, "--run": self.proc / "run"}
        given = [str(word) for pair in source_options.items() for word in pair]
        return CliRunner().invoke(command, [verb, *given, *words], env={"COLUMNS": "200"})

    def listed(self, *words: str) -> list[dict[str, Any]]:
        result = self.guests("--json", *words)
        assert result.exit_code == 0, result.output
        found: list[dict[str, Any]] = json.loads(result.stdout)["guests"]
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_no_running_guest_is_one_sentence(machine: Machine) -> None:
    result = machine.guests()
    assert (result.exit_code, result.output) == (0, "No guests are running.\n")
    assert machine.listed() == []


def test_the_table_has_a_line_per_guest_and_notes_below(machine: Machine) -> None:
    machine.process(40, "web")
    machine.process(50, "", named=False, uuid="")
    (machine.libvirt / "web.xml").write_text(status_xml("web", UUID, 40, {0: 41, 1: 42}, TUNE))
    (machine.libvirt / "old.xml").write_text("<half")
    result = machine.guests()
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["GUEST", "UUID", "PID", "VCPUS", "THREADS", "FOUND", "BY", "TUNING"]
    assert lines[1] == ["web", UUID, "40", "0-1", "41-42", "libvirt-status", "no", "resctrl"]
    assert lines[2] == ["-", "-", "50", "-", "-", "threads", "unknown"]
    assert lines[3] == []
    assert result.stdout.splitlines()[4].startswith("process 50: its threads do not have vCPU names")
    assert "old.xml: not XML" in result.stderr
    assert f"tuning cannot be compared: {machine.resctrl}: not a mounted resctrl" in result.stderr


def test_a_missing_resctrl_is_not_reported_when_no_guest_needs_it(machine: Machine) -> None:
    machine.process(40, "web")
    assert machine.guests().stderr == ""


def test_json_lists_the_thread_of_each_vcpu(machine: Machine) -> None:
    machine.process(40, "web")
    (guest,) = machine.listed()
    assert (guest["name"], guest["uuid"], guest["pid"], guest["source"]) == ("web", UUID, 40, "threads")
    assert guest["vcpus"] == {"0": 41, "1": 42}
    assert guest["tuning"]["state"] == "unknown"


def test_source_selects_one_source(machine: Machine) -> None:
    machine.process(40, "web")
    assert len(machine.listed("--source", "threads")) == 1
    assert machine.listed("--source", "libvirt-status") == []


def test_the_tuning_is_compared_with_a_copy_of_a_host(machine: Machine) -> None:
    write_tree(SimulatedResctrl(load_profile("skylake-2s")), machine.resctrl)
    machine.process(40, "web")
    (machine.libvirt / "web.xml").write_text(status_xml("web", UUID, 40, {0: 41, 1: 42}, TUNE))
    assert "drifted: 1 group to create" in machine.guests().stdout
    (guest,) = machine.listed()
    assert (guest["tuning"]["state"], guest["tuning"]["machine_name"]) == ("drifted", "qemu-7-web")


def test_groups_are_listed_for_a_guest_without_known_xml(machine: Machine) -> None:
    resctrl = SimulatedResctrl(load_profile("skylake-2s"))
    machine.process(40, "web")
    for name, tid in (("one", 41), ("two", 42)):
        resctrl.add_task(tid)
        resctrl.mkdir(name)
        resctrl.write(f"{name}/tasks", f"{tid}\n")
    write_tree(resctrl, machine.resctrl)
    assert "unknown, but in one and 1 other" in machine.guests().stdout
    assert machine.listed()[0]["groups"] == ["one", "two"]


def test_a_tuning_file_takes_precedence_over_libvirts_xml(machine: Machine) -> None:
    machine.process(40, "web")
    (machine.guests_d / "web.xml").write_text("<cputune><cachetune vcpus='0'/></cputune>")
    (machine.guests_d / "db.xml").write_text("<half")
    (guest,) = machine.listed()
    assert guest["tuning"]["asker"] == "file"
    (machine.guests_d / "web.xml").write_text("<domain><name>db</name></domain>")
    assert "describes guest 'db', not 'web'" in machine.guests().stdout
    assert machine.listed()[0]["tuning"]["state"] == "invalid"


def test_a_tuning_file_that_cannot_be_used_is_named_by_its_path(machine: Machine) -> None:
    machine.process(40, "web")
    file = machine.guests_d / "web.xml"
    file.mkdir()
    (guest,) = machine.listed()
    assert (guest["tuning"]["state"], guest["tuning"]["file"]) == ("invalid", str(file))
    write_tree(SimulatedResctrl(load_profile("skylake-2s")), machine.resctrl)
    drift = machine.drift()
    assert drift.exit_code == 2
    assert f"{file} invalid" in " ".join(drift.stdout.split())


def test_a_tuning_file_for_vcpus_that_the_guest_lacks_requests_nothing(machine: Machine) -> None:
    machine.process(40, "web")
    (machine.guests_d / "web.xml").write_text(
        "<cputune><memorytune vcpus='2'><node id='0' bandwidth='50'/></memorytune></cputune>"
    )
    assert machine.listed()[0]["tuning"]["state"] == "no resctrl", "the number of its vCPUs is unknown"
    (machine.libvirt / "web.xml").write_text(status_xml("web", UUID, 40, {0: 41, 1: 42}, TUNE))
    assert machine.listed()[0]["tuning"]["state"] == "none"


def test_control_characters_in_a_name_are_escaped(machine: Machine) -> None:
    machine.process(40, "\x1b[31mred\n")
    result = machine.guests()
    assert "\\x1b[31mred\\n" in result.stdout
    assert "\x1b" not in result.stdout
    assert machine.listed()[0]["name"] == "\x1b[31mred\n"


def test_the_source_option_offers_every_source() -> None:
    @options.source
    def chosen() -> None:
        pass

    (option,) = chosen.__click_params__  # type: ignore[attr-defined]
    assert tuple(option.type.choices) == NAMES


@pytest.fixture
def web() -> Iterator[NamedThreads]:
    name = f"web{os.getpid()}"
    with NamedThreads("CPU 0/KVM", "CPU 1/KVM", arguments=["-name", f"guest={name}"]) as process:
        yield process


def test_a_real_process_is_found(web: NamedThreads) -> None:
    result = run("guests", "--json", "--source", "threads")
    assert result.returncode == 0, result.stderr
    (guest,) = [guest for guest in json.loads(result.stdout)["guests"] if guest["pid"] == web.pid]
    assert guest["vcpus"] == {"0": web.tids["CPU 0/KVM"], "1": web.tids["CPU 1/KVM"]}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--proc", "/nonexistent"], "cannot read /nonexistent"),
        (["--source", "qmp"], "source qmp needs a socket"),
        (["--qmp", "/nonexistent"], "cannot connect to /nonexistent"),
        (["--source", "magic"], "'magic' is not one of"),
    ],
)
def test_an_unusable_source_exits_2_with_a_message(words: list[str], message: str) -> None:
    result = run("guests", *words)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_iothreads_and_vhost_workers_have_a_column_if_a_guest_has_some(machine: Machine) -> None:
    machine.process(40, "web")
    add_process(machine.proc, 40, {43: "IO iothread1", 44: "IO iothread2"}, arguments=["kvm", "-name", "guest=web"])
    add_kernel_thread(machine.proc, 7, "vhost-40")
    machine.process(50, "db")
    lines = machine.guests().stdout.splitlines()
    assert "THREADS  OTHER THREADS" in lines[0]
    assert "41-42    iothreads 43-44, vhost 7" in lines[1]
    assert "51-52    -  " in lines[2]
    (web, db) = machine.listed()
    assert (web["iothreads"], web["vhost"]) == ({"iothread1": 43, "iothread2": 44}, [7])
    assert (db["iothreads"], db["vhost"]) == ({}, [])
