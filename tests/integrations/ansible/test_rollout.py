"""The playbooks rollout and remove on six hosts, over a real sshd: what changes, what stops, and what is left.

The runs build on each other, so there is one story; each test is about a part of it.
"""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.integrations.ansible.fleet.fleet import CACHETUNE, Fleet, FleetHost, missing
from tests.integrations.ansible.fleet.hosts import SIX
from tests.integrations.ansible.fleet.site import Request, Run, Site
from tests.missing import skip_without

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ansible-fleet")]

READY = {"skylake", "sapphire", "milan", "kunpeng", "shared"}
# What stays on a host after removal: the record of what was done, and an empty directory.
RECORDS = ("run/cachetune", "var/log/cachetune", "etc/cachetune", "etc/cachetune/guests.d")


def ways(cache: int, size: int, kind: str = "both") -> str:
    return f"<cache id='{cache}' level='3' type='{kind}' size='{size}' unit='ways'/>"


FIRST = {
    "skylake": [Request("web", ways(0, 4))],
    "sapphire": [Request("db", ways(0, 2, "code") + ways(0, 3, "data")), Request("log", ways(0, 2, "data"))],
    "milan": [Request("mail", ways(0, 4))],
    "kunpeng": [Request("build", ways(1, 4))],
    "shared": [Request("cache", ways(1, 3))],
    "desktop": [Request("test", ways(0, 2))],
}
# db gets more, and then the group for log, of one vCPU, cannot be made.
FAULTY = {**FIRST, "sapphire": [Request("db", ways(0, 4, "data")), Request("log", ways(0, 2, "data"), vcpus="0")]}
# Each of the two fits alone, in 15 ways.
TOO_MANY = {**FIRST, "sapphire": [Request("db", ways(0, 9, "data")), Request("log", ways(0, 9, "data"))]}
# 1 way of 2 MiB for what returns to 6 MiB.
STARVED = {**FIRST, "milan": [Request("mail", "".join(ways(n, 1) for n in range(0, 16, 2)))]}
MORE = {**FIRST, "skylake": [Request("web", ways(0, 5))], "kunpeng": [Request("build", ways(1, 5))]}
# milan, in a batch with sapphire, fails the gate again.
TOLERATED = {
    **STARVED,
    "sapphire": [Request("db", ways(0, 2, "code") + ways(0, 4, "data")), Request("log", ways(0, 2, "data"))],
    "kunpeng": [Request("build", ways(1, 6))],
}
# Another program removes the group before the rollback looks.
MEDDLING = CACHETUNE.replace(
    "from",
    """import pathlib
if sys.argv[1] == "remove":
    for group in pathlib.Path("/sys/fs/resctrl").glob("cachetune-mail-*"):
        group.rmdir()
from""",
)
# The run is killed once it has changed something, and so is sshd with all its connections.
DYING = CACHETUNE.replace(
    "from",
    """import os, signal, pathlib
from cachetune.host.resctrl.files import SysfsResctrl
write = SysfsResctrl.write
def die(self, path, *words):
    write(self, path, *words)
    for comm in pathlib.Path("/proc").glob("[0-9]*/comm"):
        if comm.read_text().startswith("sshd"):
            os.kill(int(comm.parent.name), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
SysfsResctrl.write = die
from""",
)

PROGRAM = "usr/local/bin/cachetune"


class Story(NamedTuple):
    """What happened, in this order."""

    before: dict[str, dict[str, str]]
    not_ready: Run
    too_many: Run
    checked: Run
    first: Run
    second: Run
    drifted: list[str]
    repaired: Run
    faulty: Run
    starved: Run
    meddled: Run
    mail: tuple[object, object]
    away: Run
    journal: bool
    returned: Run
    tolerated: Run
    removed: Run


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    if why := missing():
        skip_without(f"no fleet: {why}")
    with Fleet(SIX) as fleet:
        yield tell(fleet)


def tell(fleet: Fleet) -> Story:
    """Do all of it."""
    site = Site(
        fleet,
        rollout_serial=[1, "100%"],
        rollout_gate_seconds=0.5,
        rollout_gate_growth_percent=100,
        rollout_gate_least_bytes_per_second=0,
        rollout_doctor_ignore=["CT621"],  # it is simulated
    )
    before = {name: host.tree() for name, host in fleet.hosts.items()}
    site.assign(FIRST)
    not_ready = site.play("rollout")
    site.assign(TOO_MANY)
    too_many = site.play("rollout", "--limit", "skylake,sapphire")
    site.assign(FIRST)
    ready = {"rollout_unready": "skip"}
    checked = site.play("rollout", "--check", **ready)
    first = site.play("rollout", **ready)
    second = site.play("rollout", **ready)
    host = fleet.host("skylake")
    make_drift(host)
    drifted = states(host)
    repaired = site.play("rollout", "--limit", "skylake")
    site.assign(FAULTY)
    faulty = site.play("rollout", "--limit", "sapphire,kunpeng")
    site.assign(STARVED)
    starved = site.play("rollout", "--limit", "milan,shared", rollout_serial=2)
    meddled, mail = meddle(site, fleet.host("milan"))
    site.assign(MORE)
    program = host.root / PROGRAM
    program.write_text(DYING)
    away = site.play("rollout", "--limit", "skylake,kunpeng")
    program.write_text(CACHETUNE)
    journal = (host.root / "run/cachetune/journal.jsonl").exists()
    fleet.restart("skylake")
    returned = site.play("rollout", "--limit", "skylake,kunpeng")
    site.assign(TOLERATED)
    few = {"rollout_serial": [2, 1], "rollout_max_fail_percentage": 50}
    tolerated = site.play("rollout", "--limit", "sapphire,milan,kunpeng", **few)
    removed = site.play("remove", **ready)
    return Story(
        before=before,
        not_ready=not_ready,
        too_many=too_many,
        checked=checked,
        first=first,
        second=second,
        drifted=drifted,
        repaired=repaired,
        faulty=faulty,
        starved=starved,
        meddled=meddled,
        mail=mail,
        away=away,
        journal=journal,
        returned=returned,
        tolerated=tolerated,
        removed=removed,
    )


def meddle(site: Site, host: FleetHost) -> tuple[Run, tuple[object, object]]:
    """Roll out what the gate refuses, with MEDDLING; what the guest mail has before and after."""
    before = given(host, "mail")
    (host.root / PROGRAM).write_text(MEDDLING)
    run = site.play("rollout", "--limit", "milan")
    (host.root / PROGRAM).write_text(CACHETUNE)
    return run, (before, given(host, "mail"))


def given(host: FleetHost, guest: str) -> object:
    """The groups of a guest, and its tuning file."""
    groups = {path: files for path, files in host.groups().items() if path.startswith(f"cachetune-{guest}-")}
    text = (host.root / f"etc/cachetune/guests.d/{guest}.xml").read_text()
    return {path: {**files, "tasks": sorted(files["tasks"].split())} for path, files in groups.items()}, text


def make_drift(host: FleetHost) -> None:
    """Move a thread out of its group, by hand."""
    (group,) = (path for path in host.groups() if path.startswith("cachetune-web"))
    (tid, *_) = host.groups()[group]["tasks"].split()
    host.write("tasks", tid)


def states(host: FleetHost) -> list[str]:
    return [each["tuning"]["state"] for each in host.document("diff", "--all-guests", code=None)["guests"]]


def changes(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """The paths that differ, without records."""
    differing = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    return {path for path in differing if path not in RECORDS and not path.startswith(RECORDS[:2])}


def changed_hosts(run: Run, before: dict[str, dict[str, str]]) -> set[str]:
    return {name for name, tree in run.trees.items() if changes(before[name], tree)}


def test_a_host_that_is_not_ready_stops_the_run_before_anything_is_changed(story: Story) -> None:
    assert story.not_ready.code != 0
    assert story.not_ready.recaps["desktop"].failed == 1
    assert story.not_ready.trees == story.before


def test_guests_that_fit_only_separately_stop_the_run_before_anything_is_changed(story: Story) -> None:
    assert story.too_many.code != 0
    assert "log does not fit with the guests before it: no room for 9 ways" in story.too_many.output
    assert {name: recap.failed for name, recap in story.too_many.recaps.items()} == {"skylake": 0, "sapphire": 1}
    assert story.too_many.trees == story.before


def test_check_mode_writes_nothing_on_any_host(story: Story) -> None:
    assert story.checked.code == 0, story.checked.output
    assert {name for name, recap in story.checked.recaps.items() if recap.changed} == READY
    assert story.checked.trees == story.before


def test_the_first_run_places_all_guests(story: Story) -> None:
    assert story.first.code == 0, story.first.output
    assert {name for name, recap in story.first.recaps.items() if recap.changed} == READY
    assert changed_hosts(story.first, story.before) == READY
    for host in READY:
        for guest in (request.guest for request in FIRST[host]):
            assert any(path.startswith(f"resctrl/cachetune-{guest}-") for path in story.first.trees[host])
            assert f"etc/cachetune/guests.d/{guest}.xml" in story.first.trees[host]


def test_groups_of_other_programs_are_left_alone(story: Story) -> None:
    assert {run.trees["shared"]["resctrl/pod-4711"] for run in (story.first, story.removed)} == {
        story.before["shared"]["resctrl/pod-4711"]
    }


def test_the_second_run_changes_nothing(story: Story) -> None:
    assert story.second.code == 0, story.second.output
    assert {recap.changed for recap in story.second.recaps.values()} == {0}
    assert story.second.trees == story.first.trees


def test_drift_made_by_hand_is_found_and_repaired(story: Story) -> None:
    assert story.drifted == ["drifted"]
    assert story.repaired.recaps["skylake"].changed == 1
    assert changed_hosts(story.repaired, story.second.trees) == set()


def test_a_host_that_fails_midway_is_left_as_before_and_stops_the_rest(story: Story) -> None:
    assert story.faulty.code != 0
    assert "cachetune-log-vcpus_0/schemata: EIO" in story.faulty.output
    assert story.faulty.recaps["sapphire"].failed == 1
    assert changed_hosts(story.faulty, story.repaired.trees) == set()
    assert "Measure the memory traffic before" not in story.faulty.output.partition("Stop here")[2]


def test_a_batch_that_fails_the_health_gate_is_rolled_back(story: Story) -> None:
    assert story.starved.code != 0
    assert "memory traffic is" in story.starved.output
    assert "rolled back, because of milan" in story.starved.output
    assert {name: recap.failed for name, recap in story.starved.recaps.items()} == {"milan": 1, "shared": 1}
    assert changed_hosts(story.starved, story.faulty.trees) == set()


def test_previous_requests_are_applied_if_the_change_cannot_be_undone(story: Story) -> None:
    assert story.meddled.code != 0
    assert "Apply the previous requests" in story.meddled.output
    assert "memory traffic is" in story.meddled.output
    before, after = story.mail
    assert after == before


def test_a_host_that_fails_is_tolerated_up_to_the_percentage(story: Story) -> None:
    assert {name: recap.failed for name, recap in story.tolerated.recaps.items()} == {
        "sapphire": 0,
        "milan": 1,
        "kunpeng": 0,
    }
    assert changed_hosts(story.tolerated, story.returned.trees) == {"sapphire", "kunpeng"}


def test_a_host_that_goes_away_in_the_middle_stops_the_rest(story: Story) -> None:
    assert story.away.code != 0
    assert "the host went away while it was changed" in story.away.output
    assert story.journal
    assert changed_hosts(story.away, story.starved.trees) == {"skylake"}


def test_a_host_that_returns_is_recovered_and_rolled_out_to(story: Story) -> None:
    assert story.returned.code == 0, story.returned.output
    assert "run/cachetune/journal.jsonl" not in story.returned.trees["skylake"]
    assert changed_hosts(story.returned, story.starved.trees) == {"skylake", "kunpeng"}


def test_removal_leaves_all_hosts_as_found(story: Story) -> None:
    assert story.removed.code == 0, story.removed.output
    assert changed_hosts(story.removed, story.before) == set()
