"""``cachetune monitor --interval`` beside a real QEMU on a mounted simulated host: its groups end, and come back."""

import csv
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests import waiting
from tests.guests.qemu import running
from tests.guests.test_real_qemu_compaction import Host, group
from tests.sim.fuse.mounted import CACHETUNE, ROOT, mounted, need_fuse

pytestmark = pytest.mark.slow

NAME = f"web{uuid4().hex[:8]}"


def rows(process: "subprocess.Popen[str]") -> Iterator[list[str]]:
    """What it prints, as soon as it does."""
    assert process.stdout
    return csv.reader(iter(lambda: waiting.readline(process.stdout, "monitor", pids=[process.pid]), ""))


def test_the_rates_of_a_guest_start_again_with_its_groups(tmp_path: Path) -> None:
    need_fuse()
    (tmp_path / NAME).mkdir()
    with (
        mounted(tmp_path / "mount", "--tids", "real", profile="skylake-2s") as mount,
        running(tmp_path / NAME, NAME, uuid=str(uuid4())) as web,
    ):
        host = Host(mount, tmp_path)
        placed = host.tune("apply", web, 4, "--shrink-default", "--yes")
        assert placed.returncode == 0, placed.stderr
        places = ("--resctrl", mount.root, "--run", tmp_path / "run")
        words = (*CACHETUNE, "monitor", *places, "--guest", NAME, "--interval", "0.1", "--csv")
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        with subprocess.Popen(words, text=True, env=environment, **pipes) as process:  # type: ignore[call-overload]
            read = rows(process)
            assert next(read) == ["Time", "Group", "LLC[KB]", "MBL[MB/s]", "MBR[MB/s]"]
            assert {next(read)[1] for _ in range(3)} == {group(NAME)}
            assert all(float(cell) > 0 for cell in next(read)[2:4])

            assert host.cachetune("remove", "--guest", NAME, "--yes").returncode == 0
            assert f"has no groups of 'cachetune-{NAME}'" in waiting.readline(
                process.stderr, "monitor", pids=[process.pid]
            )
            assert host.tune("apply", web, 4, "--shrink-default", "--yes").returncode == 0
            again = next(row for row in read if not row[3])
            assert (again[1], again[4]) == (group(NAME), "")
            assert all(next(read)[2:])
            process.terminate()
            _, errors = waiting.finish(process)
        assert (process.returncode, errors) == (0, "")
