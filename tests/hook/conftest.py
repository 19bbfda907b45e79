"""libvirt as the hook sees it, on a mounted simulated resctrl, and a running guest."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cachetune.testing.guests import NamedThreads
from tests.hook.calling import Libvirt
from tests.sim.fuse.mounted import Mounted, mounted, need_fuse


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mounted]:
    """One mount per module, because mounting takes seconds."""
    need_fuse()
    with mounted(tmp_path_factory.mktemp("hook") / "mount", profile="skylake-2s") as fs:
        yield fs


@pytest.fixture
def libvirt(mount: Mounted, tmp_path: Path) -> Iterator[Libvirt]:
    """libvirt on a fresh skylake-2s, where the default group has all eleven ways of both caches."""
    here = Libvirt(mount, tmp_path)
    fresh = here.tree()
    assert fresh.keys() == {"."}
    yield here
    here.release_the_lock()
    for group in here.groups():
        mount.rmdir(group)
    mount.write("schemata", "L3:0=7ff;1=7ff\nMB:0=100;1=100\n")
    assert here.tree() == fresh


@pytest.fixture
def qemu() -> Iterator[NamedThreads]:
    """A guest with two vCPUs."""
    with NamedThreads("CPU 0/KVM", "CPU 1/KVM", "IO mon_iothread") as process:
        yield process
