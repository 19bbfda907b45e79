"""Next to a real libvirt: its guests are found, its groups known, drift is seen, and repaired only on request."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.libvirt.bodies import memory, node, tune, watch
from tests.libvirt.domains import domain
from tests.libvirt.host import LibvirtHost

pytestmark = [pytest.mark.libvirt, pytest.mark.xdist_group("libvirt beside")]
TWO_WAYS = "<cache level='3' id='0' type='both' size='4608' unit='KiB'/>"
BODY = tune("0-1", TWO_WAYS, watch("0")) + memory("0-1", node(1, 50))
TUNING = f"<cputune>{tune('0-3', TWO_WAYS)}</cputune>"


@contextmanager
def guest(host: LibvirtHost, name: str = "web", body: str = BODY, current: int | None = None) -> Iterator[str]:
    """A running guest; yields its machine name. After it has ended, the host must be as before."""
    before = host.tree().keys()
    started = host.create(domain(name, body, current=current))
    assert started.returncode == 0, started.stderr
    number = host.virsh("domid", name, check=True).stdout.strip()
    try:
        yield f"qemu-{number}-{name}"
    finally:
        host.destroy(name)
    assert host.tree().keys() == before


@pytest.fixture
def tuning(tmp_path: Path) -> Path:
    file = tmp_path / "tuning.xml"
    file.write_text(TUNING)
    return file


def found(host: LibvirtHost) -> dict[str, dict[str, Any]]:
    """The guests that the command finds, by name."""
    listed = host.cachetune("guests", "--json")
    assert listed.returncode == 0, listed.stderr
    return {each["name"]: each for each in json.loads(listed.stdout)["guests"]}


def codes(host: LibvirtHost, *commands: tuple[str | Path, ...]) -> list[int]:
    """The exit codes of the commands, one after the other."""
    return [host.cachetune(*words).returncode for words in commands]


def test_libvirts_guests_are_found_with_libvirts_threads(host: LibvirtHost) -> None:
    with guest(host) as machine, guest(host, "plain", "", current=2):
        guests = found(host)
        assert guests.keys() == {"web", "plain"}
        for name, each in guests.items():
            assert each["source"] == "libvirt-status"
            assert each["pid"] == host.pid(name)
            assert each["uuid"] == host.virsh("domuuid", name, check=True).stdout.strip()
            assert {int(vcpu): tid for vcpu, tid in each["vcpus"].items()} == host.vcpu_tids(name)
            assert each["disagreements"] == []
        assert len(guests["plain"]["vcpus"]) == 2
        assert (guests["web"]["tuning"]["state"], guests["web"]["tuning"]["machine_name"]) == ("applied", machine)
        assert guests["plain"]["tuning"]["state"] == "none"
        groups = {path for path in host.tree() if path.startswith(machine)}
        assert set(guests["web"]["groups"]) == groups


def wider(host: LibvirtHost, group: str) -> None:
    host.write(f"{group}/schemata", "L3:0=070")


def shared(host: LibvirtHost, group: str) -> None:
    host.write(f"{group}/schemata", "L3:0=018")


def slower(host: LibvirtHost, group: str) -> None:
    host.write(f"{group}/schemata", "MB:1=20")


def moved(host: LibvirtHost, group: str) -> None:
    assert group in host.tree()
    host.write("tasks", str(host.vcpu_tids("web")[1]))


def monitor_left(host: LibvirtHost, group: str) -> None:
    host.write(f"{group}/tasks", str(host.vcpu_tids("web")[0]))


def monitor_deleted(host: LibvirtHost, group: str) -> None:
    (host.resctrl / group / "mon_groups" / group.replace("_0-1", "_0")).rmdir()


@pytest.mark.parametrize("drift", [wider, shared, slower, moved, monitor_deleted], ids=lambda drift: drift.__name__)
def test_drift_is_found_and_repaired_only_with_adopt(
    drift: Callable[[LibvirtHost, str], None], host: LibvirtHost
) -> None:
    with guest(host) as machine:
        group = f"{machine}-vcpus_0-1"
        right = host.tree()
        unchanged = host.cachetune("diff", "--guest", "web")
        assert (unchanged.returncode, "No changes." in unchanged.stdout) == (0, True)
        drift(host, group)
        wrong = host.tree()
        assert wrong != right
        assert codes(host, ("diff", "--guest", "web")) == [1]
        refused = host.cachetune("apply", "--yes", "--guest", "web")
        assert (refused.returncode, "CT508" in refused.stderr) == (2, True)
        assert host.tree() == wrong
        assert codes(host, ("apply", "--yes", "--adopt", "--guest", "web"), ("diff", "--guest", "web")) == [0, 0]
        tids = host.vcpu_tids("web")
        groups = host.tree()
        assert groups[group].tids == (tids[0], tids[1])
        assert groups[f"{group}/mon_groups/{machine}-vcpus_0"].tids == (tids[0],)
        assert "MB:0=100;1= 50" in groups[group].schemata


def test_the_same_number_of_ways_in_another_place_is_not_drift(host: LibvirtHost) -> None:
    with guest(host) as machine:
        host.write(f"{machine}-vcpus_0-1/schemata", "L3:0=300")
        assert codes(host, ("diff", "--guest", "web")) == [0]


def test_a_deleted_group_is_recreated_and_libvirt_removes_it_later(host: LibvirtHost) -> None:
    with guest(host) as machine:
        right = host.tree()
        (host.resctrl / f"{machine}-vcpus_0-1").rmdir()
        assert codes(host, ("diff", "--guest", "web"), ("apply", "--yes", "--guest", "web")) == [1, 0]
        assert host.tree() == right


def test_a_restarted_guest_is_found_with_and_without_libvirtd(host: LibvirtHost) -> None:
    with guest(host) as first:
        host.restart_libvirtd()
        assert codes(host, ("diff", "--guest", "web")) == [0]
    with guest(host) as second:
        assert first != second
        host.stop_libvirtd()
        try:
            tuning = found(host)["web"]["tuning"]
            assert (tuning["state"], tuning["machine_name"]) == ("applied", second)
            assert codes(host, ("diff", "--guest", "web")) == [0]
        finally:
            host.start_libvirtd()


def test_a_tuning_file_also_covers_vcpus_that_are_plugged_in_later(host: LibvirtHost, tuning: Path) -> None:
    group, who = "cachetune-plain-vcpus_0-3", ("--guest", "plain", tuning)
    with guest(host, "plain", "", current=2):
        assert codes(host, ("diff", *who), ("apply", "--yes", *who), ("diff", *who)) == [1, 0, 0]
        assert host.tree()[group].tids == tuple(host.vcpu_tids("plain").values())
        host.virsh("setvcpus", "plain", "3", "--live", check=True)
        tids = host.vcpu_tids("plain")
        assert len(tids) == 3
        assert tids[2] in host.tree()["."].tids
        assert codes(host, ("diff", *who), ("apply", "--yes", *who), ("diff", *who)) == [1, 0, 0]
        assert host.tree()[group].tids == tuple(tids.values())
        assert codes(host, ("remove", "--yes", "--guest", "plain")) == [0]
        assert set(tids.values()) <= set(host.tree()["."].tids)


def test_a_hotplugged_vcpu_that_libvirt_places_is_not_drift(host: LibvirtHost) -> None:
    with guest(host, "web", tune("0-3", TWO_WAYS, watch("2")), current=2) as machine:
        host.virsh("setvcpus", "web", "3", "--live", check=True)
        tids = host.vcpu_tids("web")
        group = f"{machine}-vcpus_0-3"
        assert host.tree()[group].tids == tuple(tids.values())
        assert host.tree()[f"{group}/mon_groups/{machine}-vcpus_2"].tids == (tids[2],)
        assert codes(host, ("diff", "--guest", "web")) == [0]


def test_groups_from_a_file_outlive_the_guest_and_are_reused_by_it(host: LibvirtHost, tuning: Path) -> None:
    group, who = "cachetune-plain-vcpus_0-3", ("--guest", "plain", tuning)
    host.define(domain("plain", ""))
    host.start("plain")
    assert codes(host, ("apply", "--yes", *who)) == [0]
    host.destroy("plain")
    assert host.tree()[group].tids == ()
    host.start("plain")
    assert codes(host, ("diff", *who), ("apply", "--yes", *who)) == [1, 0]
    assert host.tree()[group].tids == tuple(host.vcpu_tids("plain").values())
    host.destroy("plain")
    host.virsh("undefine", "plain", check=True)
    assert codes(host, ("remove", "--yes", "--machine-name", "cachetune-plain")) == [0]
    assert host.tree().keys() == {"."}


def test_a_guest_placed_by_libvirt_refuses_a_tuning_file(host: LibvirtHost, tuning: Path) -> None:
    with guest(host) as machine:
        right = host.tree()
        refused = host.cachetune("apply", "--yes", "--guest", "web", tuning)
        assert (refused.returncode, "CT402" in refused.stderr) == (2, True)
        assert f"{machine}-vcpus_0-1" in refused.stderr
        assert host.tree() == right


def test_libvirt_does_not_reuse_ways_that_cachetune_has_given_away(host: LibvirtHost, tuning: Path) -> None:
    with guest(host, "plain", ""):
        assert codes(host, ("apply", "--yes", "--guest", "plain", tuning)) == [0]
        with guest(host) as machine:
            schemata = {path: group.schemata for path, group in host.tree().items()}
            assert "L3:0=030;" in schemata["cachetune-plain-vcpus_0-3"]
            assert "L3:0=0c0;" in schemata[f"{machine}-vcpus_0-1"]
        assert codes(host, ("remove", "--yes", "--guest", "plain")) == [0]


def test_one_command_compares_and_repairs_all_guests(host: LibvirtHost) -> None:
    with guest(host), guest(host, "db", tune("0", TWO_WAYS)) as machine:
        assert codes(host, ("diff", "--all-guests")) == [0]
        host.write(f"{machine}-vcpus_0/schemata", "L3:0=400")
        drift = host.cachetune("diff", "--all-guests", "--json")
        assert drift.returncode == 1
        states = {each["name"]: each["tuning"] for each in json.loads(drift.stdout)["guests"]}
        assert [(name, states[name]["state"], states[name]["machine_name"]) for name in ("web", "db")] == [
            ("web", "applied", states["web"]["machine_name"]),
            ("db", "drifted", machine),
        ]
        assert codes(host, ("apply", "--yes", "--adopt", "--all-guests"), ("diff", "--all-guests")) == [0, 0]
