"""``cachetune noisy`` with real QEMUs on a mounted simulated host: it names who takes, and its command ends that."""

import json
import re
import shlex
import uuid
from pathlib import Path
from subprocess import DEVNULL, CompletedProcess

import pytest

from tests import waiting
from tests.guests.qemu import running
from tests.sim.fuse.mounted import Mounted, mounted, need_fuse, run

pytestmark = pytest.mark.slow

MIB = 1 << 20
TWO_GUESTS = """
[[workload]]
guest = "{web}"
kind = "reuse"
working_set = "8MiB"
accesses = "2GB/s"
caches = [0]

[[workload]]
guest = "{batch}"
kind = "streaming"
accesses = "4GB/s"
caches = [0]
"""
BUSY_HOST = TWO_GUESTS.replace('guest = "{batch}"', 'group = "."').replace("8MiB", "7MiB")


class Host:
    """The command on a mounted simulated host."""

    def __init__(self, mount: Mounted, directory: Path) -> None:
        self._mount, self._directory = mount, directory

    def cachetune(self, *words: str) -> CompletedProcess[str]:
        state = ("--resctrl", self._mount.root, "--run", self._directory / "run")
        return run(*words, *state, stdin=DEVNULL)

    def change(self, *words: str) -> None:
        done = self.cachetune(*words, "--yes")
        assert done.returncode == 0, done.stderr

    def noisy(self, *words: str) -> CompletedProcess[str]:
        return self.cachetune("noisy", "--for", "2s", "--interval", "0.2", *words)

    def held(self, group: str) -> float:
        return int(self._mount.read(f"{group}/mon_data/mon_L3_00/llc_occupancy")) / MIB

    def contain(self, found: CompletedProcess[str]) -> str:
        """Run the command of the guest that is ranked first, as it is printed."""
        command: str = json.loads(found.stdout)["ranked"][0]["command"]
        program, *words = shlex.split(command)
        assert program == "cachetune"
        self.change(*words)
        return command


def test_the_guest_that_streams_is_named_and_the_printed_command_gives_it_separate_ways(tmp_path: Path) -> None:
    need_fuse()
    web, batch = (f"{name}{uuid.uuid4().hex[:8]}" for name in ("web", "batch"))
    file = tmp_path / "workloads.toml"
    file.write_text(TWO_GUESTS.format(web=web, batch=batch))
    for name in (web, batch):
        (tmp_path / name).mkdir()
    with (
        mounted(tmp_path / "mount", "--workload", file, profile="skylake-2s") as mount,
        running(tmp_path / web, web, uuid=str(uuid.uuid4())),
        running(tmp_path / batch, batch, uuid=str(uuid.uuid4())),
    ):
        host = Host(mount, tmp_path)
        for name in (web, batch):
            host.change("set", name, "--vcpus", "0-3", "--monitor", "0-3")
        groups = {name: f"mon_groups/cachetune-{name}-vcpus_0-3" for name in (web, batch)}
        waiting.until(lambda: host.held(groups[batch]) > 15, "batch to fill the cache")
        seen = host.noisy()
        assert seen.returncode == 1, seen.stdout + seen.stderr
        assert seen.stdout.startswith(f"{batch} takes from ")
        assert f"    {web}: shares 11 ways, holds " in seen.stdout
        assert "To contain it: cachetune set" in seen.stdout
        found = host.noisy("--json", "--guest", web)
        assert (found.returncode, [one["name"] for one in json.loads(found.stdout)["ranked"]]) == (1, [batch, web])

        assert host.contain(found) == f"cachetune set {batch} --l3 0=3ways --shrink-default"
        waiting.until(lambda: host.held(groups[web]) > 7.5, "web to have its working set again")
        after = host.noisy()
        assert after.returncode == 0, after.stdout
        assert re.match(r"No guest or group takes from others, by 10 samples in [0-9.]+ s\.", after.stdout)


def test_the_default_group_is_named_where_it_has_the_ways_of_a_guest_too(tmp_path: Path) -> None:
    need_fuse()
    web = f"web{uuid.uuid4().hex[:8]}"
    file = tmp_path / "workloads.toml"
    file.write_text(BUSY_HOST.format(web=web))
    (tmp_path / web).mkdir()
    with (
        mounted(tmp_path / "mount", "--workload", file, profile="skylake-2s") as mount,
        running(tmp_path / web, web, uuid=str(uuid.uuid4())),
    ):
        host = Host(mount, tmp_path)
        host.change("set", web, "--vcpus", "0-3", "--l3", "0=4ways", "--shrink-default")
        group = f"cachetune-{web}-vcpus_0-3"
        waiting.until(lambda: host.held(group) > 6.5, "web to have its working set")
        mount.write("schemata", "L3:0=7ff\n")
        waiting.until(lambda: host.held(group) < 5, "the default group to take ways")
        found = host.noisy("--json")
        assert found.returncode == 1, found.stdout + found.stderr
        first = json.loads(found.stdout)["ranked"][0]
        assert (first["name"], first["noisy"]) == (".", True)
        assert host.contain(found).startswith("cachetune default --l3 0=")
        waiting.until(lambda: host.held(group) > 6.5, "web to have its working set again")
        assert host.noisy().returncode == 0
