"""``doctor --fix`` on a mounted resctrl with a real process, and what it must never do."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachetune.apply.state.journal import Journal
from cachetune.apply.state.ledger import load_ledger
from cachetune.doctor.diagnose import diagnose
from cachetune.doctor.examine import Scope, examine
from cachetune.doctor.model import Repair
from cachetune.doctor.repairs import carry_out_repairs
from cachetune.guests.sources.options import SourceOptions
from cachetune.plan import Options
from cachetune.plan.model import Plan
from cachetune.service.changes import carry_out
from cachetune.service.connection import Location, connect
from cachetune.service.plans import planner_of
from cachetune.service.requests import Document, make_requests
from cachetune.service.select import Selection
from cachetune.testing.guests import GuestProcess
from cachetune.testing.mounting import MountedResctrl, mounted
from tests.doctor.servers import TUNING
from tests.sim.fuse.mounted import need_fuse

pytestmark = pytest.mark.slow

# Unique, because other processes run these tests at the same time.
NAME = f"doctor{os.getpid()}"


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[MountedResctrl]:
    need_fuse()
    with mounted(tmp_path / "mount") as found:
        yield found


def location_of(mount: MountedResctrl) -> Location:
    return Location(resctrl=mount.root, sysfs=mount.sysfs, run=mount.run)


def scope_of(mount: MountedResctrl, guests_d: Path) -> Scope:
    nowhere = SourceOptions(libvirt_run=guests_d / "no-libvirt", cgroup=guests_d / "no-cgroup")
    return Scope(location=location_of(mount), sources=nowhere, guests_d=guests_d)


def placed(mount: MountedResctrl, guests_d: Path) -> Plan:
    """Give the running guest two ways."""
    guests_d.mkdir(exist_ok=True)
    (guests_d / f"{NAME}.xml").write_text(TUNING)
    document = Document("tuning.xml", TUNING.encode())
    requests = make_requests(Selection(guest=NAME), document, location_of(mount)).requests
    plans: list[Plan] = []
    planner = planner_of(requests, Options(shrink_default=True))
    assert carry_out(planner, connect(location_of(mount)), show=plans.append).exit_code == 0
    return plans[0]


def status(mount: MountedResctrl, guests_d: Path) -> tuple[dict[str, str], dict[str, Repair]]:
    diagnosis, repairs = diagnose(examine(scope_of(mount, guests_d)))
    return {result.id: result.status for result in diagnosis.checks}, repairs


def test_groups_of_a_guest_that_ended_are_removed_and_their_ways_returned(
    mount: MountedResctrl, tmp_path: Path
) -> None:
    before = mount.resctrl.read("schemata")
    with GuestProcess(NAME, vcpus=2):
        placed(mount, tmp_path / "guests.d")
        statuses, repairs = status(mount, tmp_path / "guests.d")
        assert (statuses["CT653"], statuses["CT663"], repairs) == ("ok", "ok", {})
    statuses, repairs = status(mount, tmp_path / "guests.d")
    assert statuses["CT663"] == "warn"
    assert repairs == {"CT663": Repair("remove", machines=(f"cachetune-{NAME}",))}
    done, failed = carry_out_repairs(repairs, location_of(mount))
    assert (len(done), failed) == (1, ())
    assert status(mount, tmp_path / "guests.d")[0]["CT663"] == "ok"
    assert mount.resctrl.read("schemata") == before
    assert load_ledger(mount.run).guests == {}


def test_groups_that_are_in_use_again_are_kept(mount: MountedResctrl, tmp_path: Path) -> None:
    with GuestProcess(NAME, vcpus=2):
        placed(mount, tmp_path / "guests.d")
        repair = {"CT663": Repair("remove", machines=(f"cachetune-{NAME}",))}
        done, failed = carry_out_repairs(repair, location_of(mount))
        assert done == ()
        assert "is in use again" in failed[0]
        assert status(mount, tmp_path / "guests.d")[0]["CT653"] == "ok"


def test_an_interrupted_run_is_recovered(mount: MountedResctrl, tmp_path: Path) -> None:
    with GuestProcess(NAME, vcpus=2):
        plan = placed(mount, tmp_path / "guests.d")
        journal = Journal.begin(mount.run, plan, str(mount.root))
        for step in plan.steps:
            journal.taking(step)
        journal.keep()
        statuses, repairs = status(mount, tmp_path / "guests.d")
        assert statuses["CT661"] == "fail"
        done, failed = carry_out_repairs({"CT661": repairs["CT661"]}, location_of(mount))
        assert failed == ()
        assert "undone" in done[0]
        assert status(mount, tmp_path / "guests.d")[0]["CT661"] == "ok"


def test_ways_that_no_group_has_are_returned(mount: MountedResctrl, tmp_path: Path) -> None:
    fresh = (mount.root / "schemata").read_text()
    with GuestProcess(NAME, vcpus=2):
        (made,) = placed(mount, tmp_path / "guests.d").groups
    (mount.root / made.path).rmdir()
    assert (mount.root / "schemata").read_text() != fresh
    statuses, repairs = status(mount, tmp_path / "guests.d")
    assert statuses["CT646"] == "warn"
    (done,), failed = carry_out_repairs({"CT646": repairs["CT646"]}, location_of(mount))
    assert done == "CT646: 1 step done; cleanup: write L3:0=7ff to the default group"
    assert failed == ()
    assert (mount.root / "schemata").read_text() == fresh
    assert status(mount, tmp_path / "guests.d")[0]["CT646"] == "ok"


def test_a_run_that_still_holds_the_lock_is_not_offered_for_recovery(mount: MountedResctrl, tmp_path: Path) -> None:
    with GuestProcess(NAME, vcpus=2):
        plan = placed(mount, tmp_path / "guests.d")
        Journal.begin(mount.run, plan, str(mount.root)).keep()
        with mount.resctrl.lock(exclusive=True, timeout=5):
            statuses, repairs = status(mount, tmp_path / "guests.d")
        assert statuses["CT661"] == "info"
        assert "CT661" not in repairs


def test_foreign_groups_are_never_part_of_a_repair(mount: MountedResctrl, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        mount.resctrl.mkdir(f"COS{number}")
    statuses, repairs = status(mount, tmp_path / "guests.d")
    assert statuses["CT641"] == "warn"
    assert repairs == {}


def test_mounting_runs_exactly_the_command_that_was_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "mount"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/ran\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    argv = ("mount", "-t", "resctrl", "resctrl", "/sys/fs/resctrl")
    done, failed = carry_out_repairs({"CT621": Repair("mount", argv)}, Location())
    assert (done, failed) == (("CT621: ran mount -t resctrl resctrl /sys/fs/resctrl",), ())
    assert (tmp_path / "ran").read_text() == "-t resctrl resctrl /sys/fs/resctrl\n"


@pytest.mark.parametrize("script", ["#!/bin/sh\necho 'mount: permission denied' >&2; exit 32\n", None])
def test_a_mount_that_fails_is_reported_with_its_reason(
    script: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if script:
        (tmp_path / "mount").write_text(script)
        (tmp_path / "mount").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    argv = ("mount", "-t", "resctrl", "resctrl", "/sys/fs/resctrl")
    done, (failed,) = carry_out_repairs({"CT621": Repair("mount", argv)}, Location())
    assert done == ()
    assert ("permission denied" if script else "could not run") in failed
