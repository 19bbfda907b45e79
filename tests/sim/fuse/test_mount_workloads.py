"""Workloads of guests on a mount: real processes, counters read from files."""

import uuid
from pathlib import Path

from cachetune.testing import GuestProcess
from tests import waiting
from tests.sim.fuse.mounted import mounted, need_fuse, run

MIB = 1 << 20
FILE = """
[[workload]]
guest = "{web}"
kind = "reuse"
working_set = "6MiB"
accesses = "2GB/s"

[[workload]]
guest = "{batch}"
kind = "streaming"
accesses = "4000MiB/s"
"""


def test_a_guest_that_streams_takes_the_cache_from_one_that_rests_in_the_same_ways(tmp_path: Path) -> None:
    need_fuse()
    web, batch = (f"{name}-{uuid.uuid4().hex[:8]}" for name in ("web", "batch"))
    file = tmp_path / "workloads.toml"
    file.write_text(FILE.format(web=web, batch=batch))
    with mounted(tmp_path / "m", "--workload", file, profile="skylake-2s") as fs:
        for name in ("web", "batch"):
            fs.mkdir(name)
            fs.write(f"{name}/schemata", "L3:0=f;1=f\n")

        def held(group: str) -> float:
            return int(fs.read(f"{group}/mon_data/mon_L3_00/llc_occupancy")) / MIB

        def join(group: str, process: GuestProcess) -> None:
            # not the main thread, which has no workload of the file and would hold another 2 MiB
            for thread in process.guest.threads:
                if thread.vcpu is not None:
                    fs.write(f"{group}/tasks", f"{thread.tid}\n")

        with GuestProcess(web, vcpus=2) as process:
            join("web", process)
            waiting.until(lambda: 5.7 < held("web") < 6.1, "web to hold its working set")
            with GuestProcess(batch, vcpus=2) as other:
                join("batch", other)
                waiting.until(lambda: held("batch") > 5, "batch to take its share")
                assert held("web") < 4
                assert sum(map(held, (".", "web", "batch"))) <= 24.75


def test_a_file_with_a_mistake_is_refused_before_anything_is_mounted(tmp_path: Path) -> None:
    file = tmp_path / "workloads.toml"
    file.write_text(FILE.replace("6MiB", "6"))
    place = tmp_path / "resctrl"
    place.mkdir()
    done = run("sim", "mount", place, "--profile", "icelake", "--workload", file)
    assert done.returncode == 2
    assert "workload 1: '6' has no unit" in done.stderr
