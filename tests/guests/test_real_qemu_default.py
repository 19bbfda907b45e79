"""``cachetune default`` with a real QEMU on a mounted simulated host, under a host policy: the guest keeps its own."""

import os
from pathlib import Path

import pytest

from tests.guests.qemu import Qemu, running
from tests.guests.test_real_qemu_compaction import Host, group
from tests.sim.fuse.mounted import mounted, need_fuse

pytestmark = pytest.mark.slow

NAME = f"web{os.getpid()}"
POLICY = '[default.L3]\nleast = "3ways"\n[reserved.L3]\n0 = "0"\n[default.L2]\nleast = "1ways"\n'


def test_the_default_group_takes_ways_back_and_a_guest_keeps_its_own(tmp_path: Path) -> None:
    need_fuse()
    (tmp_path / NAME).mkdir()
    policy = tmp_path / "host.toml"
    policy.write_text(POLICY)
    under = ("--policy", str(policy))
    with (
        mounted(tmp_path / "mount", "--tids", "real", profile="skylake-2s") as mount,
        running(tmp_path / NAME, NAME) as web,
    ):
        host = Host(mount, tmp_path)

        def masks() -> tuple[str, str]:
            """Those of the default group and of the guest, which has all its vCPUs in its group."""
            assert tids_of(web, host) == set(web.vcpus().values())
            return host.mask("."), host.mask(group(NAME))

        def default(*words: str) -> str:
            changed = host.cachetune("default", *words, "--yes", *under)
            assert changed.returncode == 0, changed.stderr
            assert "default.L2.least has no effect" in changed.stderr
            return changed.stdout + changed.stderr

        placed = host.tune("apply", web, 4, "--shrink-default", "--yes", *under)
        assert placed.returncode == 0, placed.stderr
        assert masks() == ("7e0", "01e"), "way 0 is reserved"
        more = host.tune("apply", web, 8, "--shrink-default", "--yes", *under)
        assert more.returncode == 2
        assert "less than 3 ways (default.L3.least in" in more.stderr
        for ways, why in ((2, "less than 3 ways"), (7, f"{group(NAME)} (cachetune) has 1e")):
            refused = host.cachetune("default", "--l3", f"0={ways}ways", "--yes", *under)
            assert refused.returncode == 2
            assert why in refused.stderr
        assert masks() == ("7e0", "01e")

        # The default group gives up ways, the guest takes some of them, and the rest comes back.
        assert "L3 0  dddddd----. 7e0 -> ddd...----. 700" in default("--l3", "0=3ways")
        assert masks() == ("700", "01e")
        assert host.tune("apply", web, 6, "--yes", *under).returncode == 0
        assert masks() == ("700", "07e")
        assert f"gets back 780 of 7ff, because {group(NAME)}" in default("--reset")
        assert masks() == ("780", "07e")
        assert host.cachetune("remove", "--guest", NAME, "--yes").returncode == 0
        assert host.mask(".") == "7ff"


def tids_of(qemu: Qemu, host: Host) -> set[int]:
    return set(map(int, host.mount.read(f"{group(qemu.name)}/tasks").split()))
