"""The hook is killed at any of its changes. Whatever its guest does then, no way leaks and no ways are shared."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cachetune.apply.settle import settle
from cachetune.apply.state import reservations
from tests.apply.dying import until_death
from tests.hook.site import Site

pytestmark = pytest.mark.slow


MOST = 400  # changes; no operation has as many
LONGER = reservations._SECONDS + 1

OPERATIONS = {"prepare": (), "started": ("prepare", "appear"), "release": ("prepare", "appear", "started", "end")}


def deaths(directory: Path, operation: str, name: str) -> Iterator[Site]:
    """A site for each change of the operation, at which the hook was killed."""
    for change in range(1, MOST):
        with Site(directory / str(change)).here() as site:
            for step in OPERATIONS[operation]:
                do(site, step, name)
            if not site.killed_hook(operation, name, change):
                break
            yield site
            assert site.overlaps() == [], change
    assert 2 < change < MOST - 1


def do(site: Site, step: str, name: str) -> None:
    match step:
        case "appear":
            assert site.appears(name)
        case "end":
            site.ends(name)
        case _:
            assert site.hook(step, name) == 0


def by_recover(site: Site) -> None:
    site.recover()


def by_the_hook(site: Site) -> None:
    """Another guest comes and goes."""
    assert site.hook("prepare", "mail") == 0
    if site.appears("mail"):
        site.hook("started", "mail")
    site.ends("mail")
    site.hook("release", "mail")


def by_the_agent(site: Site) -> None:
    settle(site.connection)


WAYS_BACK: dict[str, Callable[[Site], None]] = {
    "recover": by_recover,
    "the hook's next call": by_the_hook,
    "the agent": by_the_agent,
}
USUAL = {("db", "recover"), ("file", "the hook's next call"), ("db", "the agent")}
each_way_back = pytest.mark.parametrize(
    ("name", "way"),
    [
        pytest.param(name, way, marks=() if (name, way) in USUAL else pytest.mark.soak)
        for name in ("db", "file")
        for way in WAYS_BACK
    ],
)


@each_way_back
def test_a_guest_that_never_comes_leaves_nothing_once_its_minute_is_over(name: str, way: str, tmp_path: Path) -> None:
    for site in deaths(tmp_path, "prepare", name):
        site.recover()
        site.seconds = LONGER
        WAYS_BACK[way](site)
        assert site.left() == []


@pytest.mark.parametrize("order", [("recover", "release"), ("release", "recover")])
@pytest.mark.parametrize("name", ["db", "file"])
def test_a_start_that_libvirt_cancels_leaves_nothing_at_once(name: str, order: tuple[str, ...], tmp_path: Path) -> None:
    for site in deaths(tmp_path, "prepare", name):
        for what in order:
            site.recover() if what == "recover" else site.hook("release", name)
        assert site.left() == []


@pytest.mark.parametrize("recovered", [True, False])
def test_a_guest_that_comes_although_its_hook_was_killed_finds_its_room_and_leaves_nothing(
    recovered: bool, tmp_path: Path
) -> None:
    came = 0
    for site in deaths(tmp_path, "prepare", "db"):
        if recovered:
            site.recover()
        comes = site.appears("db")
        came += comes
        assert comes == ("L3:0=7fc" in site.sim.read("schemata")), "it runs wherever the hook had made room for it"
        site.recover()
        assert site.overlaps() == []
        if comes:
            assert site.hook("started", "db") == 0
        site.ends("db")
        site.hook("release", "db")
        assert site.left() == []
    assert came > 2


def test_a_guest_that_comes_late_is_refused_by_libvirt_or_has_separate_ways(tmp_path: Path) -> None:
    for site in deaths(tmp_path, "prepare", "db"):
        site.recover()
        site.seconds = LONGER
        site.recover()
        assert not site.appears("db"), "the default group has all its ways again"
        assert site.hook("prepare", "db") == 0
        assert site.appears("db")
        assert site.overlaps() == []
        site.ends("db")
        site.hook("release", "db")
        assert site.left() == []


def test_another_guest_gets_room_while_one_is_expected(tmp_path: Path) -> None:
    for site in deaths(tmp_path, "prepare", "db"):
        site.recover()
        site.hook("prepare", "mail")
        both = site.appears("mail") + site.appears("db")
        assert both
        assert site.overlaps() == []
        for name in ("mail", "db"):
            site.ends(name)
            site.hook("release", name)
        assert site.left() == []


@pytest.mark.parametrize("name", ["db", "file"])
def test_a_guest_whose_hook_is_killed_at_its_start_leaves_nothing_when_it_ends(name: str, tmp_path: Path) -> None:
    for site in deaths(tmp_path, "started", name):
        site.recover()
        assert site.hook("reconnect", name) == 0
        assert site.overlaps() == []
        site.ends(name)
        site.hook("release", name)
        assert site.left() == []


@each_way_back
def test_a_guest_whose_hook_is_killed_at_its_end_leaves_nothing(name: str, way: str, tmp_path: Path) -> None:
    """If it was not yet recorded that the guest ended, its groups remain: libvirt does not say so twice."""
    known = 0
    for site in deaths(tmp_path, "release", name):
        recorded = bool(list((site.run / "departed").glob("*.json")))
        if site.interrupted():
            site.recover()
        WAYS_BACK[way](site)
        known += recorded
        if name == "file" and not recorded:
            site.hook("release", name)
        assert site.left() == []
    assert known > 10


@pytest.mark.parametrize("step", [6, pytest.param(3, marks=pytest.mark.soak)])
@pytest.mark.parametrize("second", ["recover", "release"])
def test_a_second_death_on_the_way_back_changes_nothing_of_that(second: str, step: int, tmp_path: Path) -> None:
    deaths_of_second = 0
    for change in (changes := range(1, 14, step)):
        for site in deaths(tmp_path / str(change), "prepare", "db"):
            if second == "recover":
                deaths_of_second += until_death(site.sim, site.run, site.recover, change)
            else:
                deaths_of_second += site.killed_hook("release", "db", change)
            site.recover()
            site.seconds = LONGER
            site.recover()
            site.hook("release", "db")
            assert site.left() == []
    assert deaths_of_second > 4 * len(changes)


def test_a_release_that_finds_resctrl_locked_is_made_up_for(tmp_path: Path) -> None:
    with Site(tmp_path).here() as site:
        for step in OPERATIONS["release"]:
            do(site, step, "file")
        site.sim.fail(16, operation="rmdir", times=9)
        site.hook("release", "file")
        site.sim._faults.clear()
        site.recover()
        assert site.left() == []


def test_what_recover_says_about_a_guest_that_may_still_come_is_true(tmp_path: Path) -> None:
    kept = 0
    for site in deaths(tmp_path, "prepare", "db"):
        notes = site.recover().notes
        if "L3:0=7fc" not in site.sim.read("schemata"):
            assert not any("qemu-9-db" in note for note in notes)
            continue
        (note,) = (note for note in notes if "qemu-9-db" in note)
        kept += "keeps its mask 7fc, because" in note
        assert "because libvirt may still create" in note
        assert "qemu-9-db-vcpus_0-1" in note
        assert "if it does not within 60 s, run 'cachetune recover' again" in note
        site.seconds = LONGER
        again = site.recover()
        assert again.notes == ("cleanup: write L3:0=7ff to the default group",)
        assert again.outcome == "done"
    assert kept
