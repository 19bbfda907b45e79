"""The hook with --assign-counters, on a host with four counters for each L3, of which the default group has two."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cachetune.testing.guests import NamedThreads
from tests.hook.calling import Libvirt, domain, tuning
from tests.sim.fuse.mounted import Mounted, mounted, need_fuse

GROUP = "cachetune-web-vcpus_0-1"
MONITORS = "<memorytune vcpus='0-1'><node id='0' bandwidth='512'/><monitor vcpus='0'/><monitor vcpus='1'/></memorytune>"


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mounted]:
    need_fuse()
    with mounted(tmp_path_factory.mktemp("hook") / "mount", profile="turin-few-counters", kernel="7.3") as fs:
        yield fs


@pytest.fixture
def libvirt(mount: Mounted, tmp_path: Path) -> Libvirt:
    return Libvirt(mount, tmp_path)


def counters(libvirt: Libvirt, group: str) -> set[str]:
    """The events of a group that have counters."""
    lines = libvirt.fs.read(f"{group}/mbm_L3_assignments").splitlines()
    return {line.partition(":")[0] for line in lines if "=e" in line}


def test_a_guest_with_a_tuning_file_gets_counters_as_it_starts_and_frees_them_as_it_stops(
    libvirt: Libvirt, qemu: NamedThreads
) -> None:
    libvirt.file("web", tuning(MONITORS))
    libvirt.runs("web", qemu)
    left = libvirt.fs.read("info/L3_MON/available_mbm_cntrs")
    live, option = domain("web", number=3), "--assign-counters"
    assert libvirt.hook("prepare", "web", live, option) == []
    lines = libvirt.hook("started", "web", live, option)
    first = next(line for line in lines if "release counters" in line)
    assert first.endswith(f"release counters for mbm_total_bytes and mbm_local_bytes on L3 caches 0-7 of {GROUP}")
    for vcpu in (0, 1):
        assert counters(libvirt, f"{GROUP}/mon_groups/cachetune-web-vcpus_{vcpu}") == {"mbm_total_bytes"}
    assert libvirt.hook("reconnect", "web", live, option) == [], "nothing is left to assign"
    libvirt.hook("release", "web", domain("web"), option)
    assert libvirt.fs.read("info/L3_MON/available_mbm_cntrs") == left


def test_a_monitor_without_a_counter_is_logged_as_its_guest_starts(libvirt: Libvirt, qemu: NamedThreads) -> None:
    libvirt.file("web", tuning(MONITORS))
    libvirt.runs("web", qemu)
    live = domain("web", number=3)
    assert libvirt.hook("prepare", "web", live) == []
    warnings = [line for line in libvirt.hook("started", "web", live) if "warning: " in line]
    assert [line[-len("[CT230]") :] for line in warnings] == ["[CT230]"]
    assert libvirt.hook("reconnect", "web", live) == [], "the guest is as requested, so nothing is logged again"
    libvirt.hook("release", "web", domain("web"))
