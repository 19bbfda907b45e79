"""The private host itself: libvirt works there as on a machine with RDT, and nothing of it is left on this one."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import waiting
from tests.libvirt.domains import domain
from tests.libvirt.host import ROOT, LibvirtHost

pytestmark = [pytest.mark.libvirt, pytest.mark.xdist_group("libvirt host")]
TOUCHED = ("/etc/libvirt", "/run/libvirt", "/var/lib/libvirt", "/var/log/libvirt", "/var/cache/libvirt", "/sys/fs")
HOLD = """
from tests.libvirt.host import LibvirtHost
with LibvirtHost("haswell") as host:
    print(host._first.pid, host.stage, flush=True)
    input()
"""


def test_libvirt_applies_a_cachetune_to_the_simulated_resctrl(host: LibvirtHost) -> None:
    started = host.create(domain("web"))
    assert started.returncode == 0, started.stderr
    tids = host.vcpu_tids("web")
    groups = host.tree()
    assert groups.keys() == {
        ".",
        "qemu-1-web-vcpus_0-1",
        "qemu-1-web-vcpus_0-1/mon_groups/qemu-1-web-vcpus_0",
        "qemu-1-web-vcpus_3",
    }
    assert "L3:0=070;1=01f" in groups["qemu-1-web-vcpus_0-1"].schemata
    assert groups["qemu-1-web-vcpus_0-1"].tids == (tids[0], tids[1])
    assert groups["qemu-1-web-vcpus_0-1/mon_groups/qemu-1-web-vcpus_0"].tids == (tids[0],)
    assert groups["qemu-1-web-vcpus_3"].tids == (tids[3],)
    assert {tids[2], host.pid("web")} <= set(groups["."].tids)
    host.destroy("web")
    assert host.tree().keys() == {"."}


def test_guests_outlive_libvirtd(host: LibvirtHost) -> None:
    host.define(domain("db"))
    host.start("db")
    before = host.tree()
    host.restart_libvirtd()
    assert "paused" in host.virsh("domstate", "db").stdout
    assert host.tree().keys() == before.keys() > {"."}
    host.destroy("db")
    assert host.tree().keys() == {"."}
    host.virsh("undefine", "db", check=True)


def test_libvirt_sees_the_caches_of_the_profile(host: LibvirtHost) -> None:
    capabilities = host.virsh("capabilities", check=True).stdout
    assert '<bank id="1" level="3" type="both" size="25344" unit="KiB"' in capabilities.replace("'", '"')
    assert '<control granularity="2304" unit="KiB" type="both" maxAllocs="16"/>' in capabilities.replace("'", '"')


def test_nothing_is_left_on_this_machine(libvirt_here: None) -> None:  # noqa: ARG001
    before = _looks()
    hook = "#!/bin/sh\ntouch /run/hook-$2\n"
    with LibvirtHost("haswell", files={"/etc/libvirt/hooks/qemu": hook}) as host:
        stage, namespaces = host.stage, _namespaces(host._first.pid)
        assert host.create(domain("web", "", vcpus=1)).returncode == 0
        assert (host.root / "run/hook-started").exists()
        assert _inside(namespaces)
    assert not stage.exists()
    assert not _inside(namespaces)
    assert _looks() == before


def test_nothing_is_left_when_a_test_is_killed(libvirt_here: None) -> None:  # noqa: ARG001
    before = _looks()
    test = subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert test.stdout
    first, stage = waiting.readline(test.stdout, "a private host", pids=[test.pid]).split()
    namespaces, end = _namespaces(int(first)), os.pidfd_open(int(first))
    test.send_signal(signal.SIGKILL)
    test.communicate()
    waiting.readable(end, "the end of the private host", pids=[int(first)])
    os.close(end)
    assert not Path(stage).exists()
    assert not _inside(namespaces)
    assert _looks() == before


def _looks() -> dict[str, object]:
    """What a host could have changed on this machine: files where libvirt has them, and what is mounted there."""
    mounts = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return {place: (_files(Path(place)), [m for m in mounts if f"{m}/".startswith(f"{place}/")]) for place in TOUCHED}


def _files(directory: Path) -> dict[str, int]:
    found = directory.iterdir() if directory == Path("/sys/fs") else directory.rglob("*")
    return {str(file): file.lstat().st_mtime_ns for file in found}


def _namespaces(first: int) -> set[str]:
    """The mount and the PID namespace that a host's first process made."""
    return {str(Path(f"/proc/{first}/ns/{name}").readlink()) for name in ("mnt", "pid_for_children")}


def _inside(namespaces: set[str]) -> list[int]:
    """The processes that are in one of these namespaces."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            own = {str((process / "ns" / name).readlink()) for name in ("mnt", "pid")}
            found += [int(process.name)] if own & namespaces else []
    return found
