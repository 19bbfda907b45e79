"""The doctor beside a real QEMU and Debian's pqos, on a mounted simulated resctrl."""

from pathlib import Path

import pytest

from cachetune.doctor.examine import Scope, examine
from cachetune.doctor.model import CheckResult
from cachetune.guests.sources.options import SourceOptions
from cachetune.service.connection import Location
from cachetune.sim import load_profile
from cachetune.testing.mounting import MountedResctrl, mounted
from tests import waiting
from tests.doctor.servers import results_of
from tests.guests.qemu import Qemu, running
from tests.pqos import need_pqos, pqos_sees
from tests.sim.fuse.mounted import need_fuse

pytestmark = pytest.mark.slow

NAME = "doctor-qemu"
TUNING = """<cputune>
  <cachetune vcpus='0-1'><cache id='{cache}' level='3' type='both' size='4608' unit='KiB'/></cachetune>
</cputune>
"""


@pytest.fixture(autouse=True)
def _fuse() -> None:
    need_fuse()


def results(mount: MountedResctrl, guests_d: Path) -> dict[str, CheckResult]:
    location = Location(resctrl=mount.root, sysfs=mount.sysfs, run=mount.run)
    nowhere = SourceOptions(libvirt_run=guests_d / "no-libvirt", cgroup=guests_d / "no-cgroup")
    return results_of(examine(Scope(location=location, sources=nowhere, guests_d=guests_d)))


def request(guests_d: Path, qemu: Qemu, cache: int) -> None:
    guests_d.mkdir(exist_ok=True)
    (guests_d / f"{qemu.name}.xml").write_text(TUNING.format(cache=cache))


def test_a_qemu_pinned_away_from_the_cache_that_it_requests_is_found(tmp_path: Path) -> None:
    """CPU 0 of this machine has L3 cache 0 of the profile."""
    guests_d = tmp_path / "guests.d"
    with mounted(tmp_path / "mount") as mount, running(tmp_path, NAME, before=("taskset", "-c", "0")) as qemu:
        request(guests_d, qemu, cache=1)
        misplaced = results(mount, guests_d)["CT654"]
        assert misplaced.status == "warn"
        assert (
            f"{NAME}: vCPUs 0-1 request L3 cache 1 but may run only on CPU 0, which have cache 0" in misplaced.details
        )
        request(guests_d, qemu, cache=0)
        assert not any(NAME in detail for detail in results(mount, guests_d)["CT654"].details)


def test_a_qemu_without_its_allocation_has_drifted(tmp_path: Path) -> None:
    guests_d = tmp_path / "guests.d"
    with mounted(tmp_path / "mount") as mount, running(tmp_path, NAME) as qemu:
        mount.resctrl.write("schemata", "L3:0=7f0;1=7ff\n")
        request(guests_d, qemu, cache=0)
        drifted = results(mount, guests_d)["CT653"]
        assert drifted.status == "warn"
        assert any(detail.startswith(f"{NAME}: drifted") for detail in drifted.details)


def test_the_empty_groups_that_pqos_leaves_are_found(tmp_path: Path) -> None:
    need_pqos()
    with mounted(tmp_path / "mount", load_profile("icelake")) as mount:
        pqos_sees(["pqos", "--iface=os", "-s"], mount.root, mount.sysfs)
        found = results(mount, tmp_path / "guests.d")["CT641"]
        assert found.status == "warn"
        assert " of pqos" in found.text
        assert "COS1" in found.command
        waiting.run(["/bin/sh", "-c", found.command], check=True)
        assert results(mount, tmp_path / "guests.d")["CT641"].status == "ok"
