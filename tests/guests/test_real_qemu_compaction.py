"""Compaction with real QEMUs on a mounted simulated host: two guests move so that a third gets its ways."""

import json
import os
from pathlib import Path
from subprocess import DEVNULL, CompletedProcess

import pytest

from tests.guests.qemu import Qemu, running
from tests.sim.fuse.mounted import Mounted, mounted, need_fuse, run

pytestmark = pytest.mark.slow

NAMES = tuple(f"{name}{os.getpid()}" for name in ("db", "mail", "build"))
WAY_KIB = 2304


def group(name: str) -> str:
    return f"cachetune-{name}-vcpus_0-3"


class Host:
    """The command on a mounted simulated host, whose threads are those of this machine."""

    def __init__(self, mount: Mounted, directory: Path) -> None:
        self.mount, self._directory = mount, directory

    def cachetune(self, verb: str, *words: str) -> CompletedProcess[str]:
        return run(verb, *words, "--resctrl", self.mount.root, "--run", self._directory / "run", stdin=DEVNULL)

    def tune(self, verb: str, qemu: Qemu, ways: int, *words: str) -> CompletedProcess[str]:
        tuning = self._directory / "tuning.xml"
        cache = f"<cache id='0' level='3' type='both' size='{ways * WAY_KIB}' unit='KiB'/>"
        tuning.write_text(f"<cputune><cachetune vcpus='0-3'>{cache}</cachetune></cputune>")
        return self.cachetune(verb, "--guest", qemu.name, str(tuning), *words)

    def mask(self, path: str) -> str:
        lines = self.mount.read(f"{path}/schemata").splitlines()
        return next(line for line in lines if line.strip().startswith("L3:")).partition("0=")[2].partition(";")[0]


def test_two_guests_move_for_a_third_and_their_threads_stay_in_their_groups(tmp_path: Path) -> None:
    need_fuse()
    directories = [tmp_path / name for name in NAMES]
    for directory in directories:
        directory.mkdir()
    with (
        mounted(tmp_path / "mount", "--tids", "real", profile="skylake-2s") as mount,
        running(directories[0], NAMES[0], uuid="00000000-0000-4000-8000-000000000001") as db,
        running(directories[1], NAMES[1], uuid="00000000-0000-4000-8000-000000000002") as mail,
        running(directories[2], NAMES[2], uuid="00000000-0000-4000-8000-000000000003") as build,
    ):
        host = Host(mount, tmp_path)
        (mount.root / "schemata").write_text("L3:0=600\n")
        for qemu, mask in ((db, "006"), (mail, "030")):
            applied = host.tune("apply", qemu, 2, "--yes")
            assert applied.returncode == 0, applied.stderr
            (mount.root / group(qemu.name) / "schemata").write_text(f"L3:0={mask}\n")
        refused = host.tune("plan", build, 5)
        assert refused.returncode == 1
        assert f"plan with --compact: {group(db.name)} and {group(mail.name)} would move" in refused.stderr

        applied = host.tune("apply", build, 5, "--compact", "--yes")
        assert applied.returncode == 0, applied.stderr
        assert f"{db.name}: 1 way moves, 2.25 MiB cold" in applied.stdout
        assert f"{mail.name}: 2 ways move, 4.5 MiB cold" in applied.stdout
        assert [host.mask(group(qemu.name)) for qemu in (db, mail, build)] == ["003", "00c", "1f0"]
        for qemu in (db, mail, build):
            tids = set(map(int, mount.read(f"{group(qemu.name)}/tasks").split()))
            assert tids == set(qemu.vcpus().values())
        same = host.tune("diff", build, 5)
        assert same.returncode == 0, same.stdout

        # The ledger has the guests' names, so each can be removed, and a compaction names them.
        assert host.cachetune("remove", "--guest", db.name, "--yes").returncode == 0
        compacted = host.cachetune("compact", "--yes", "--json")
        assert compacted.returncode == 0, compacted.stderr
        assert json.loads(compacted.stdout)["outcome"] in ("done", "nothing to do")
        assert host.mask(group(build.name)).count("f") <= 1
        for qemu in (mail, build):
            assert host.cachetune("remove", "--guest", qemu.name, "--yes").returncode == 0
        assert sorted(path.name for path in mount.root.iterdir() if path.name.startswith("cachetune-")) == []
