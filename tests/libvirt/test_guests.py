"""Guests of a real libvirt: what its status files, its API and QEMU's threads say, and whether they agree."""

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.guests.sources.test_libvirt import need_libvirt_python
from tests.libvirt.domains import domain
from tests.libvirt.host import LibvirtHost

pytestmark = [pytest.mark.libvirt, pytest.mark.xdist_group("guests")]


def guests(host: LibvirtHost, *words: str) -> dict[str, dict[str, Any]]:
    """The guests by name, as ``guests --json`` has them."""
    if "libvirt" in words:
        need_libvirt_python()
    listed = host.cachetune("guests", "--json", *words)
    assert listed.returncode == 0, listed.stderr
    return {guest["name"]: guest for guest in json.loads(listed.stdout)["guests"]}


def vcpus(guest: dict[str, Any]) -> dict[int, int]:
    return {int(vcpu): tid for vcpu, tid in guest["vcpus"].items()}


@pytest.fixture
def web(host: LibvirtHost) -> Iterator[str]:
    """A guest of four vCPUs, three of them plugged in, with a cachetune that libvirt has applied."""
    host.define(domain("web", current=3))
    host.start("web")
    yield "web"
    host.virsh("destroy", "web")
    host.virsh("undefine", "web", check=True)


@pytest.mark.parametrize("source", [None, "libvirt-status", "libvirt", "threads"])
def test_every_source_has_libvirts_threads(source: str | None, host: LibvirtHost, web: str) -> None:
    found = guests(host, *(["--source", source] if source else []))[web]
    uuid = host.virsh("domuuid", web, check=True).stdout.strip()
    assert (found["uuid"], found["pid"], found["source"]) == (uuid, host.pid(web), source or "libvirt-status")
    assert vcpus(found) == host.vcpu_tids(web)
    assert len(vcpus(found)) == 3
    assert (found["disagreements"], found["problem"]) == ([], "")


@pytest.mark.parametrize("source", ["libvirt-status", "libvirt"])
def test_the_live_xml_has_the_domain_id_and_the_applied_tuning(source: str, host: LibvirtHost, web: str) -> None:
    found = guests(host, "--source", source)[web]
    number = int(host.virsh("domid", web, check=True).stdout)
    assert found["libvirt_id"] == number
    assert (found["tuning"]["state"], found["tuning"]["asker"]) == ("applied", "libvirt")
    assert found["tuning"]["machine_name"] == f"qemu-{number}-web"
    assert f"qemu-{number}-web-vcpus_0-1" in found["groups"]


def test_a_hotplugged_vcpu_is_found_in_its_group(host: LibvirtHost, web: str) -> None:
    before = vcpus(guests(host)[web])
    host.virsh("setvcpus", web, "4", "--live", check=True)
    found = guests(host)[web]
    assert vcpus(found) == host.vcpu_tids(web)
    assert vcpus(found).keys() == before.keys() | {3}
    assert (found["tuning"]["state"], found["disagreements"]) == ("applied", [])


def test_querying_qemu_through_libvirt_needs_write_access_and_taints_the_guest(host: LibvirtHost, web: str) -> None:
    asked = ("qemu-monitor-command", web, '{"execute": "query-cpus-fast"}')
    status = host.root / f"run/libvirt/qemu/{web}.xml"
    refused = host.virsh("--readonly", *asked)
    assert (refused.returncode, "read only access" in refused.stderr) == (1, True)
    assert guests(host, "--source", "libvirt").keys() == {web}
    assert "custom-monitor" not in status.read_text(), "why the source libvirt does not do it"
    host.virsh(*asked, check=True)
    assert "custom-monitor" in status.read_text()


def test_a_change_by_another_program_is_counted_as_drift(host: LibvirtHost, web: str) -> None:
    found = guests(host)[web]
    group = f"{found['tuning']['machine_name']}-vcpus_0-1"
    host.write("tasks", str(vcpus(found)[1]))
    drifted = guests(host)[web]["tuning"]
    assert (drifted["state"], drifted["summary"]["tasks_moved"]) == ("drifted", 1)
    assert "drifted: 1 task to move" in host.cachetune("guests").stdout
    host.write(f"{group}/tasks", str(vcpus(found)[1]))
    assert guests(host)[web]["tuning"]["state"] == "applied"


@pytest.mark.parametrize("name", ["web server", "dömäne", "a&b<c>\"d'", "-lead", "..dots..", "x" * 100, "a,b=c"])
def test_any_name_that_libvirt_accepts_works(name: str, host: LibvirtHost) -> None:
    escaped = name.replace("&", "&amp;").replace("<", "&lt;")
    started = host.create(domain(escaped))
    assert started.returncode == 0, started.stderr
    found = guests(host)
    host.virsh("destroy", "--domain", name, check=True)
    assert list(found) == [name]
    assert (found[name]["source"], found[name]["disagreements"]) == ("libvirt-status", [])
    assert len(found[name]["vcpus"]) == 4
    assert found[name]["tuning"]["state"] == "applied"


def test_a_guest_is_found_without_libvirtd_until_it_ends(host: LibvirtHost) -> None:
    host.create(domain("short"))
    pid = host.pid("short")
    host.stop_libvirtd("KILL")
    try:
        known = guests(host)["short"]
        assert (known["source"], known["pid"], known["tuning"]["state"]) == ("libvirt-status", pid, "applied")
        host.run("kill", f"-{signal.SIGKILL.value}", str(pid), check=True)
        host.run("tail", f"--pid={pid}", "-f", "/dev/null", check=True)
        assert (host.root / "run/libvirt/qemu/short.xml").exists(), "libvirt could not remove it"
        gone = host.cachetune("guests")
        assert gone.stdout == "No guests are running.\n"
        assert f"process {pid} is not this guest's, so the guest has ended" in gone.stderr
    finally:
        host.start_libvirtd()
