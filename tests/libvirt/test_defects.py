"""What libvirt gets wrong on a real host, seen on the private one; and that cachetune gets it right on the same host.

docs/reference/libvirt-differences.md has a row for each of these. The libvirt is 9.0, Debian 12's; a newer one may know
better, so what is its fault alone is only asked of 9.0.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cachetune.sim import load_profile
from cachetune.sim.profile import Profile
from tests.libvirt.bodies import memory, node, tune, watch
from tests.libvirt.domains import domain
from tests.libvirt.host import LibvirtHost

pytestmark = [pytest.mark.libvirt, pytest.mark.xdist_group("libvirt defects"), pytest.mark.usefixtures("libvirt_here")]
L2 = "<cache level='2' id='0' type='both' size='256' unit='KiB'/>"
L3 = "<cache level='3' id='{id}' type='both' size='{size}' unit='KiB'/>"
WATCHED = tune("0", L3.format(id=0, size=4608), watch("0"))
WITHOUT_MB = {name: msgspec.structs.replace(load_profile(name), bandwidths=()) for name in ("genoa", "milan")}


@contextmanager
def host_with(profile: str | Profile, schemata: str = "") -> Iterator[LibvirtHost]:
    """A host with libvirt 9.0, and this written for the default group."""
    with LibvirtHost(profile) as host:
        if host.libvirt_version() != "9.0.0":
            pytest.skip(f"libvirt {host.libvirt_version()} may know better than 9.0")
        if schemata:
            host.write("schemata", schemata)
        yield host


@pytest.fixture(scope="module")
def skylake(libvirt_here: None) -> Iterator[LibvirtHost]:  # noqa: ARG001
    with host_with("skylake-2s", "L3:0=00f;1=00f") as host:
        yield host


@pytest.fixture(scope="module")
def genoa(libvirt_here: None) -> Iterator[LibvirtHost]:  # noqa: ARG001
    with host_with(WITHOUT_MB["genoa"], "L3:0=00ff") as host:
        yield host


@contextmanager
def guest(host: LibvirtHost, body: str) -> Iterator[str]:
    """A running guest "g" with this body; its machine name."""
    started = host.create(domain("g", body))
    assert started.returncode == 0, started.stderr
    number = host.virsh("domid", "g", check=True).stdout.strip()
    yield f"qemu-{number}-g"
    host.destroy("g")


def planned(host: LibvirtHost, body: str, directory: Path) -> dict[str, Any]:
    """Our plan for a guest with this body, made on the host with the command; errors fail the test."""
    done = host.cachetune("plan", "--json", _file(body, directory))
    assert done.returncode == 0, done.stderr
    plan: dict[str, Any] = json.loads(done.stdout)
    return plan


def rules(host: LibvirtHost, body: str, directory: Path, *options: str) -> set[str]:
    """The rules by which we refuse it there."""
    done = host.cachetune("plan", "--json", *options, _file(body, directory))
    assert done.returncode == 1, done.stdout
    return {finding["rule"] for finding in json.loads(done.stdout)["findings"] if finding["severity"] == "error"}


def _file(body: str, directory: Path) -> Path:
    file = directory / "g.xml"
    file.write_text(domain("g", body))
    return file


def counters(host: LibvirtHost, machine: str, event: str) -> list[dict[str, Any]]:
    """What our command reads of an event for the groups of this machine name."""
    done = host.cachetune("monitor", "--json", "--machine-name", machine)
    assert done.returncode == 0, done.stderr
    readings = json.loads(done.stdout)["monitors"]
    return [counter for reading in readings for counter in reading["counters"] if counter["event"] == event]


@contextmanager
def occupancy(host: LibvirtHost, machine: str, text: str) -> Iterator[None]:
    """The kernel says this of what a group has in the first cache."""
    (host.root / "run/said").write_text(text)
    shown = f"/sys/fs/resctrl/{machine}-vcpus_0/mon_data/mon_L3_00/llc_occupancy"
    host.run("mount", "--bind", "/run/said", shown, check=True)
    yield
    host.run("umount", shown, check=True)


def schemata_of(plan: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What each group of a plan will have."""
    return {group["path"]: group["schemata"] for group in plan["groups"]}


def test_a_level_2_cache_kills_libvirtd(tmp_path: Path) -> None:
    with host_with("atom-l2", "L2:0=0f;1=0f") as host:
        assert host.libvirtd_died(host.create(domain("g", tune("0", L2))))
        assert schemata_of(planned(host, tune("0", L2), tmp_path))["cachetune-g-vcpus_0"]["L2"]["0"] == "30"


def test_with_bandwidth_in_mbps_a_restart_of_libvirtd_loses_the_guest(tmp_path: Path) -> None:
    body = tune("0", L3.format(id=0, size=8192))
    with host_with("sapphire-rapids-mbps", "L3:0=01f") as host:
        assert host.create(domain("g", body)).returncode == 0
        live, pid = host.live_xml("g"), host.pid("g")
        host.restart_libvirtd()
        assert host.virsh("domstate", "g").returncode == 1, "libvirtd knows it no more"
        assert (host.root / f"proc/{pid}").exists(), "but it runs"
        assert "qemu-1-g-vcpus_0" in host.tree()
        file = tmp_path / "live.xml"
        file.write_text(live)
        diff = host.cachetune("diff", "--pid", str(pid), file)
        assert diff.returncode == 0, diff.stdout + diff.stderr


def test_cache_ids_8_and_9_break_the_statistics(genoa: LibvirtHost) -> None:
    with guest(genoa, tune("0", L3.format(id=0, size=4096), watch("0"))) as machine:
        failed = genoa.virsh("domstats", "--cpu-total", "g")
        assert failed.returncode == 1
        assert "the cause is unknown" in failed.stderr
        assert {counter["id"] for counter in counters(genoa, machine, "llc_occupancy")} == set(range(12))


def test_configuration_files_of_amd_counters_are_mistaken_for_events(genoa: LibvirtHost) -> None:
    with guest(genoa, tune("0", L3.format(id=0, size=4096)) + memory("0", watch("0", None))) as machine:
        failed = genoa.virsh("domstats", "--memory", "g")
        assert failed.returncode == 1
        assert "mbm_total_bytes_config' does not exist" in failed.stderr
        assert len(counters(genoa, machine, "mbm_total_bytes")) == 12
        assert counters(genoa, machine, "mbm_total_bytes_config") == []


def test_a_counter_is_truncated_to_32_bits(skylake: LibvirtHost) -> None:
    with guest(skylake, WATCHED) as machine, occupancy(skylake, machine, f"{5 << 30}\n"):
        shown = skylake.virsh("domstats", "--cpu-total", "g", check=True).stdout
        assert f"cpu.cache.monitor.0.bank.0.bytes={1 << 30}\n" in shown
        assert [c["value"] for c in counters(skylake, machine, "llc_occupancy") if c["id"] == 0] == [5 << 30]


def test_one_unavailable_value_hides_all_others(skylake: LibvirtHost) -> None:
    with guest(skylake, WATCHED) as machine, occupancy(skylake, machine, "Unavailable\n"):
        failed = skylake.virsh("domstats", "--cpu-total", "g")
        assert failed.returncode == 1
        assert "Invalid unsigned long long value 'Unavailable'" in failed.stderr
        states = {c["id"]: c["state"] for c in counters(skylake, machine, "llc_occupancy")}
        assert states == {0: "Unavailable", 1: "ok"}


def test_an_existing_group_with_the_guests_name_is_taken_over(skylake: LibvirtHost, tmp_path: Path) -> None:
    body = tune("0", L3.format(id=0, size=4608)) + memory("0", node(0, 50))
    with guest(skylake, "") as machine:
        coming = f"qemu-{int(machine.split('-')[1]) + 1}-g"
    (skylake.resctrl / f"{coming}-vcpus_0").mkdir()
    skylake.write(f"{coming}-vcpus_0/schemata", "L3:0=700;1=700")
    saved = tmp_path / "plan.json"
    file = _file(body, tmp_path)
    plan = skylake.cachetune("plan", "-o", saved, "--machine-name", coming, file)
    assert "CT222" in plan.stderr, "it says that the group is libvirt's"
    refused = skylake.cachetune("apply", "--yes", saved)
    assert (refused.returncode, "CT508" in refused.stderr) == (2, True)
    with guest(skylake, body) as machine:
        assert machine == coming
        assert "L3:0=030;1=00f" in skylake.tree()[f"{machine}-vcpus_0"].schemata
    assert skylake.tree().keys() == {"."}


def test_a_group_that_cannot_be_removed_stays_without_an_error(skylake: LibvirtHost) -> None:
    with guest(skylake, WATCHED) as machine:
        group = f"/sys/fs/resctrl/{machine}-vcpus_0"
        skylake.run("mount", "--bind", group, group, check=True)
    assert f"{machine}-vcpus_0" in skylake.tree()
    assert f"Unable to remove {group} (16)" in skylake.log()
    shown = json.loads(skylake.cachetune("snapshot").stdout)
    skylake.run("umount", group, check=True)
    (skylake.resctrl / f"{machine}-vcpus_0").rmdir()
    assert ("libvirt", f"{machine}-vcpus_0") in {(g["owner"], g["path"]) for g in shown["groups"]}


def test_cache_ids_with_gaps_are_treated_as_consecutive(tmp_path: Path) -> None:
    beyond, within = (tune("0", L3.format(id=cache_id, size=4096)) for cache_id in (8, 1))
    with host_with(WITHOUT_MB["milan"], "L3:" + ";".join(f"{i}=00ff" for i in range(0, 16, 2))) as host:
        refused = host.create(domain("g", beyond))
        assert "Cache with id 8 does not exists for level 3" in refused.stderr
        assert schemata_of(planned(host, beyond, tmp_path))["cachetune-g-vcpus_0"]["L3"]["8"] == "300"
        tried = host.create(domain("g", within))
        assert "Cannot write into schemata file" in tried.stderr
        assert rules(host, within, tmp_path) == {"CT203"}


def test_a_monitor_without_monitoring_leaves_a_stray_group_that_takes_all_ways(tmp_path: Path) -> None:
    with host_with("allocation-only", "L3:0=03f") as host:
        assert host.create(domain("g", tune("0", watch("0")))).returncode == 1
        stray = host.tree()
        assert stray.keys() == {".", "mon_groups"}
        assert "L3:0=fff" in stray["mon_groups"].schemata
        assert "Not enough room" in host.create(domain("g", tune("0", L3.format(id=0, size=2048)))).stderr
        assert "CT214" in rules(host, tune("0", watch("0")), tmp_path)
        refused = host.cachetune("plan", _file(tune("0", L3.format(id=0, size=2048)), tmp_path))
        assert "mon_groups (unknown) has fff" in refused.stderr
