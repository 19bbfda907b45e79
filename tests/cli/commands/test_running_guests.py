"""Running guests given by name: found, planned from libvirt's XML or a tuning file, placed, monitored, removed."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from cachetune.apply.state import reservations
from cachetune.cbm import Cbm, Masks
from cachetune.host.model import Group
from cachetune.host.resctrl.schemata import parse
from tests.kernel.scenarios.guest_process import Threads, running
from tests.sim.fuse.mounted import Mounted, mounted, need_fuse, run

pytestmark = pytest.mark.slow

WAY = 2304 * 1024
# Unique names, because other tests start guests on this machine at the same time.
WEB, DB, QUIET = (f"{name}{os.getpid()}" for name in ("web", "db", "quiet"))


def tuning(ways: int, vcpus: str = "0-1") -> str:
    return (
        f"<cputune><cachetune vcpus='{vcpus}'><cache id='0' level='3' type='both' size='{ways * WAY}' unit='B'/>"
        f"</cachetune></cputune>"
    )


class Host:
    """A mounted simulated host, and libvirt's status files of its guests."""

    def __init__(self, mount: Mounted, directory: Path) -> None:
        self.mount, self._directory = mount, directory
        self.notes = directory / "libvirt"
        self.notes.mkdir()
        self.run = directory / "run-cachetune"
        self.guests_d = directory / "guests.d"

    def cachetune(self, verb: str, *words: str | Path) -> CompletedProcess[str]:
        source_options = ("--resctrl", self.mount.root, "--run", self.run)
        looked = ("--libvirt-run", self.notes)
        stored = () if verb == "monitor" else ("--guests-d", self.guests_d)
        return run(verb, *words, *source_options, *looked, *stored, stdin=-3)

    def started_by_libvirt(self, name: str, threads: Threads, cputune: str, number: int = 1) -> None:
        """Write the status file that libvirt writes when it starts a guest."""
        vcpus = "".join(f"<vcpu id='{vcpu}' pid='{tid}'/>" for vcpu, tid in threads.vcpus.items())
        domain = f"<name>{name}</name><vcpu>{len(threads.vcpus)}</vcpu>{cputune}"
        (self.notes / f"{name}.xml").write_text(
            f"<domstatus state='running' pid='{threads.pid}'><vcpus>{vcpus}</vcpus>"
            f"<domain type='kvm' id='{number}'>{domain}</domain></domstatus>"
        )

    def file(self, name: str, text: str) -> Path:
        path = self._directory / name
        path.write_text(text)
        return path

    def tids(self, group: str) -> set[int]:
        return set(map(int, self.mount.read(f"{group}/tasks").split()))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    need_fuse()
    with mounted(tmp_path / "mount", profile="skylake-2s") as mount:
        yield Host(mount, tmp_path)


@contextlib.contextmanager
def guest(name: str, vcpus: int = 2) -> Iterator[Threads]:
    with running(vcpus, "-name", f"guest={name},debug-threads=on") as process:
        yield process.threads


def test_a_guest_without_libvirt_is_placed_by_name_from_a_tuning_file(host: Host) -> None:
    file = host.file("tuning.xml", tuning(2))
    with guest(WEB) as threads:
        missing = host.cachetune("plan", "--guest", WEB)
        assert (missing.returncode, "pass a tuning file" in missing.stderr) == (2, True)
        applied = host.cachetune("apply", "--yes", "--guest", WEB, file, "--shrink-default")
        assert applied.returncode == 0, applied.stderr
        assert host.tids(f"cachetune-{WEB}-vcpus_0-1") == set(threads.vcpus.values())
        assert host.cachetune("diff", "--guest", WEB, file, "--shrink-default").returncode == 0
        counted = json.loads(host.cachetune("monitor", "--guest", WEB, "--json").stdout)
        assert [reading["path"] for reading in counted["monitors"]] == [f"cachetune-{WEB}-vcpus_0-1"]
    assert host.cachetune("remove", "--yes", "--guest", WEB).returncode == 0
    assert f"cachetune-{WEB}-vcpus_0-1/" not in host.mount.tree()


def test_libvirts_groups_are_recognised_and_their_drift_is_fixed_only_with_adopt(host: Host) -> None:
    group = f"qemu-1-{WEB}-vcpus_0-1"
    host.mount.write("schemata", "L3:0=01f\n")
    host.mount.mkdir(group)
    host.mount.write(f"{group}/schemata", "L3:0=060;1=7ff\n")
    with guest(WEB) as threads:
        host.started_by_libvirt(WEB, threads, tuning(2))
        for tid in threads.vcpus.values():
            host.mount.write(f"{group}/tasks", str(tid))
        assert host.cachetune("diff", "--guest", WEB).returncode == 0
        assert host.cachetune("apply", "--yes", "--guest", WEB).stdout.endswith("Nothing to do.\n")

        host.mount.write("tasks", str(threads.vcpus[1]))
        drift = host.cachetune("diff", "--guest", WEB)
        assert (drift.returncode, f"{threads.vcpus[1]} (vCPU 1)" in drift.stdout) == (1, True)
        refused = host.cachetune("apply", "--yes", "--guest", WEB)
        assert (refused.returncode, "CT508" in refused.stderr, "--adopt" in refused.stderr) == (2, True, True)
        assert host.cachetune("apply", "--yes", "--guest", WEB, "--adopt").returncode == 0
        assert host.tids(group) == set(threads.vcpus.values())

        none = host.cachetune("remove", "--yes", "--all-guests")
        assert (none.returncode, "No changes. There is nothing to move or to remove." in none.stdout) == (0, True)
        removed = host.cachetune("remove", "--yes", "--guest", WEB)
        assert removed.returncode == 0
        assert "No changes. There are no groups that cachetune made for this guest." in removed.stdout
        assert f"libvirt made {group}, which cachetune does not remove." in removed.stdout
        assert f"{group}/" in host.mount.tree()


def test_a_guest_of_openeulers_libvirt_is_planned_without_what_only_that_libvirt_knows(host: Host) -> None:
    extended = tuning(2).replace("</cachetune>", "<cache id='0' level='3' type='priority' size='2'/></cachetune>")
    extended = extended.replace("</cputune>", "<memorytune vcpus='0-1'><node id='0' bandwidth='60' hardlimit='1'/>")
    with guest(WEB) as threads:
        host.started_by_libvirt(WEB, threads, extended + "</memorytune></cputune>")
        applied = host.cachetune("apply", "--yes", "--guest", WEB, "--shrink-default")
        assert applied.returncode == 0, applied.stderr
        assert applied.stderr.count("an extension of openEuler's libvirt") == applied.stderr.count("[CT157]") == 2
        made = parse(host.mount.read(f"qemu-1-{WEB}-vcpus_0-1/schemata"))
        assert (made.bandwidth.at("MB", 0), made.masks.at("L3", 0)) == (60, 0x003)


def test_all_guests_are_placed_together_or_not_at_all(host: Host) -> None:
    with guest(WEB) as web, guest(DB) as db, guest(QUIET) as quiet:
        host.started_by_libvirt(WEB, web, tuning(2), 1)
        host.started_by_libvirt(DB, db, tuning(9), 2)
        host.started_by_libvirt(QUIET, quiet, "", 3)
        full = host.cachetune("apply", "--yes", "--all-guests", "--shrink-default")
        assert full.returncode == 2
        assert "(libvirt):1:" in full.stderr
        assert not [path for path in host.mount.tree() if path.startswith("qemu-")]

        host.started_by_libvirt(DB, db, tuning(3), 2)
        plan = json.loads(host.cachetune("plan", "--all-guests", "--shrink-default", "--json").stdout)
        assert sorted(each["name"] for each in plan["guests"]) == [DB, WEB]
        assert host.cachetune("apply", "--yes", "--all-guests", "--shrink-default").returncode == 0
        assert host.tids(f"qemu-1-{WEB}-vcpus_0-1") == set(web.vcpus.values())
        assert host.tids(f"qemu-2-{DB}-vcpus_0-1") == set(db.vcpus.values())
        drift = host.cachetune("diff", "--all-guests", "--shrink-default")
        assert drift.returncode == 0
        lines = {line.split()[0]: line.split()[1:] for line in drift.stdout.splitlines() if line}
        assert (lines[WEB], lines[DB], lines[QUIET]) == (["libvirt", "applied"], ["libvirt", "applied"], ["-", "none"])
    assert host.cachetune("remove", "--yes", "--all-guests").returncode == 0
    assert "L3:0=7ff;1=7ff" in host.mount.read("schemata")


def test_a_saved_plan_for_several_guests_is_applied(host: Host, tmp_path: Path) -> None:
    with guest(WEB) as web, guest(DB) as db:
        host.started_by_libvirt(WEB, web, tuning(2), 1)
        host.started_by_libvirt(DB, db, tuning(3), 2)
        saved = tmp_path / "plan.json"
        assert host.cachetune("plan", "--all-guests", "--shrink-default", "-o", saved).returncode == 0
        assert host.cachetune("apply", "--yes", saved).returncode == 0
        assert host.tids(f"qemu-2-{DB}-vcpus_0-1") == set(db.vcpus.values())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--guest", "missing"], "guest 'missing' is not running"),
        (["--guest", "WEB", "other.xml"], "describes guest 'other', not 'WEB'"),
        (["--guest", "WEB", "--pid", "1"], "--guest finds the process and its vCPU threads"),
        (["--guest", "WEB", "--all-guests"], "use --guest NAME for one"),
        (["--all-guests", "other.xml"], "use --guest NAME for one"),
        (["--all-guests"], "no tuning in the live XML of "),
        (["tuning.xml"], "does not name its guest"),
        ([], "nothing to plan"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_request_that_makes_no_sense_is_refused_with_a_hint(host: Host, words: list[str], message: str) -> None:
    other = f"<domain><name>other</name><vcpu>2</vcpu>{tuning(1)}</domain>"
    files = {"other.xml": host.file("other.xml", other), "tuning.xml": host.file("tuning.xml", tuning(1)), "WEB": WEB}
    with guest(WEB):
        answer = host.cachetune("plan", *(files.get(word, word) for word in words))
    assert (answer.returncode, answer.stdout) == (2, "")
    assert message.replace("WEB", WEB) in answer.stderr


def test_a_plan_avoids_the_ways_of_groups_that_libvirt_is_about_to_make(host: Host) -> None:
    coming = Group("qemu-9-db-vcpus_0", "control", "libvirt", masks=Masks({"L3": {0: Cbm(0x700)}}))
    reservations.reserve(host.run, "db", (coming,))
    host.mount.write("schemata", "L3:0=00f\n")
    saved = host.file("plan.json", "")
    with guest(WEB):
        full = host.cachetune("plan", "--guest", WEB, host.file("t.xml", tuning(5)))
        assert (full.returncode, "4 free" in full.stderr) == (1, True)
        assert host.cachetune("plan", "--guest", WEB, host.file("t.xml", tuning(4)), "-o", saved).returncode == 0
        assert host.cachetune("apply", "--yes", saved).returncode == 0
    assert "L3:0=0f0;1=7ff" in host.mount.read(f"cachetune-{WEB}-vcpus_0-1/schemata")


def test_a_tuning_file_for_vcpus_that_the_guest_lacks_gets_a_warning(host: Host) -> None:
    with guest(WEB) as threads:
        host.started_by_libvirt(WEB, threads, "")
        answer = host.cachetune("plan", "--guest", WEB, host.file("t.xml", tuning(1, "0-7")), "--shrink-default")
    assert answer.returncode == 0
    assert "[CT150]" in answer.stderr
