"""The fleet: hosts that share only programs, reached over a real sshd, of which nothing is left."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import waiting
from tests.integrations.ansible.fleet.fleet import Fleet, missing
from tests.integrations.ansible.fleet.hosts import Guest, HostSpec
from tests.missing import skip_without

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ansible-fleet-alone")]

TWO = (
    HostSpec(name="one", profile="skylake-2s", guests=(Guest(name="web"),), foreign_groups={"pod": "L3:0=1"}),
    HostSpec(name="two", profile="kunpeng-920-mpam"),
)
KILLED = """
import sys, time
from tests.integrations.ansible.fleet.fleet import Fleet
from tests.integrations.ansible.fleet.hosts import HostSpec
with Fleet([HostSpec(name="one", profile="milan")]) as fleet:
    print(fleet.stage, fleet.host("one").pid, flush=True)
    time.sleep(3600)
"""


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    if why := missing():
        skip_without(f"no fleet: {why}")
    with Fleet(TWO) as fleet:
        yield fleet


def over_ssh(fleet: Fleet, host: str, *words: str, user: str = "root") -> "subprocess.CompletedProcess[str]":
    options = ["-F", "none", "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={fleet.stage}/known_hosts"]
    place = f"{user}@{fleet.host(host).address}"
    return fleet.run("ssh", *options, "-i", fleet.stage / "key", place, *words)


def test_each_host_is_reached_over_ssh_and_has_its_own_resctrl(fleet: Fleet) -> None:
    said = {name: over_ssh(fleet, name, "hostname; cachetune show") for name in fleet.hosts}
    assert {name: each.stdout.split()[0] for name, each in said.items()} == {"one": "one", "two": "two"}
    assert "11 ways of 2.25 MiB" in said["one"].stdout
    assert "28 ways of 2 MiB" in said["two"].stdout
    assert "pod" in said["one"].stdout
    assert "pod" not in said["two"].stdout


def test_sshd_takes_the_key_only(fleet: Fleet) -> None:
    options = ["-F", "none", "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={fleet.stage}/known_hosts"]
    refused = fleet.run("ssh", *options, "-i", "/dev/null", f"root@{fleet.host('one').address}", "true")
    assert refused.returncode == 255
    assert "Permission denied (publickey)" in refused.stderr


def test_a_host_sees_its_own_guest_and_no_process_of_another(fleet: Fleet) -> None:
    guests = fleet.host("one").document("guests")["guests"]
    assert [(guest["name"], len(guest["vcpus"])) for guest in guests] == [("web", 2)]
    assert fleet.host("two").document("guests")["guests"] == []
    assert "qemu" not in fleet.host("two").run("ps", "-A", "-o", "args").stdout


def test_what_a_host_writes_is_in_its_tree_and_on_no_other_machine(fleet: Fleet) -> None:
    host, other = fleet.host("one"), fleet.host("two").tree()
    before = host.tree()
    host.run("sh", "-c", "echo a >/etc/fleet-test; echo b >/run/fleet-test; rm /etc/issue; mkdir /sys/fs/resctrl/new")
    after = host.tree()
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed == {"etc/fleet-test", "run/fleet-test", "etc/issue", "resctrl/new"}
    assert fleet.host("two").tree() == other
    assert not Path("/etc/fleet-test").exists()
    assert not Path("/run/fleet-test").exists()
    assert Path("/etc/issue").exists()


def test_traffic_is_counted_for_each_host(fleet: Fleet) -> None:
    before = fleet.traffic_bytes()
    over_ssh(fleet, "one", "head -c 750000 /dev/urandom | base64")
    after = fleet.traffic_bytes()
    assert after["one"] - before["one"] > 1_000_000
    assert after["two"] - before["two"] < 10_000


def test_nothing_is_left_of_a_fleet_whose_test_was_killed() -> None:
    if why := missing():
        skip_without(f"no fleet: {why}")
    with subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True) as process:
        stage, pid = waiting.readline(process.stdout, "the fleet", pids=[process.pid]).split()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    waiting.ended(int(pid))
    waiting.until(lambda: not Path(stage).exists(), f"the end of {stage}")
