"""The ways that lie idle on a live host, and that the command shown for them does give them back."""

import gc
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from cachetune.apply.state import reservations
from cachetune.apply.state.default_group import follow_shrink
from cachetune.apply.state.journal import boot_id
from cachetune.apply.state.ledger import load_ledger, save_ledger
from cachetune.cbm import Cbm, Masks
from cachetune.cli.main import command
from cachetune.host.model import Group
from cachetune.host.usage import HostUsage, IdleWays
from cachetune.service.connection import Location
from cachetune.service.hosts import read_location
from cachetune.service.idle import usage_on
from cachetune.testing import MountedResctrl
from tests.sim.fuse.mounted import mounted, need_fuse


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[MountedResctrl]:
    need_fuse()
    with mounted(tmp_path / "mount") as made:
        yield made


class Answer(NamedTuple):
    exit_code: int
    stdout: str


class Place:
    """A mounted host, and the verbs on it."""

    def __init__(self, mount: MountedResctrl, run: Path) -> None:
        self.root, self.run = mount.root, run
        run.mkdir()

    def usage(self) -> HostUsage:
        location = Location(resctrl=self.root, run=self.run)
        return usage_on(location, read_location(location))

    def idle(self) -> list[tuple[str, int, int, int, str]]:
        found = self.usage().idle
        return [(each.resource, each.id, int(each.ways), int(each.back), each.command) for each in found]

    def call(self, line: str, *words: str) -> "Answer":
        program, *rest = shlex.split(line)
        assert program == "cachetune"
        where = ("--resctrl", str(self.root), "--run", str(self.run))
        result = CliRunner().invoke(command, [*rest, *where, *words])
        answer = Answer(result.exit_code, result.stdout)
        del result  # its traceback keeps files on the mount open
        gc.collect()
        return answer

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(exist_ok=True)
        (self.root / path).write_text(text)

    def gave_up(self, before: int, after: int) -> None:
        masks = [Masks.of([("L3", 0, Cbm(mask))]) for mask in (before, after)]
        from msgspec.structs import replace

        save_ledger(replace(load_ledger(self.run), boot_id=boot_id(), shrunk=follow_shrink(None, *masks)), self.run)


@pytest.fixture
def place(mount: MountedResctrl, tmp_path: Path) -> Place:
    return Place(mount, tmp_path / "run")


def test_a_fresh_host_has_none(place: Place) -> None:
    assert place.idle() == []
    assert "Idle" not in place.call("cachetune show").stdout


def test_what_was_given_up_for_a_guest_comes_back_by_recover(place: Place) -> None:
    place.write("schemata", "L3:0=700\n")
    place.gave_up(0x7F0, 0x700)
    assert place.idle() == [("L3", 0, 0x0FF, 0x0F0, "cachetune recover")]
    assert "Idle, because no group has them: 8 ways of L3 0." in place.call("cachetune show").stdout
    assert place.call("cachetune recover", "--yes").exit_code == 0
    assert place.idle() == [("L3", 0, 0x00F, 0x00F, "cachetune default --l3 0=11ways")]


def test_what_the_operator_took_comes_back_by_reset(place: Place) -> None:
    assert place.call("cachetune default --l3 0-1=4ways", "--yes").exit_code == 0
    shown = [("L3", i, 0x07F, 0x07F, "cachetune default --reset") for i in (0, 1)]
    assert place.idle() == shown
    text = place.call("cachetune show").stdout
    assert "'cachetune default --reset' gives the default group 7 of L3 0 and 7 of L3 1." in text
    assert place.call("cachetune default --reset", "--yes").exit_code == 0
    assert place.idle() == []


def test_other_ways_can_be_given_to_it_with_the_command_shown(place: Place) -> None:
    place.write("schemata", "L3:0=0f0\n")
    place.write("COS1/schemata", "L3:0=002;1=001\n")
    [(*_, free, back, line)] = place.idle()
    assert (free, back, line) == (0x70D, 0x70C, "cachetune default --l3 0=9ways")
    assert place.call(line, "--yes").exit_code == 0
    assert place.idle() == [("L3", 0, 0x001, 0, "")]
    text = place.call("cachetune show").stdout
    assert "gives the default group" not in text
    assert "Idle ways of L3 0 wait for COS1: masks must be contiguous." in text


def test_the_groups_are_named_that_idle_ways_wait_for(place: Place) -> None:
    place.write("schemata", "L3:0=040\n")
    for path, mask in (("COS1", "004"), ("COS2", "100"), ("COS3", "001"), ("COS4", "400")):
        place.write(f"{path}/schemata", f"L3:0={mask};1=001\n")
    (found,) = [each for each in place.usage().idle if each.id == 0]
    assert (found.ways, found.back, found.between) == (0x2BA, 0x0B8, ("COS1", "COS2"))
    document = json.loads(place.call("cachetune show", "--json").stdout)
    assert document["idle"][0]["between"] == ["COS1", "COS2"]


def test_ways_kept_for_a_guest_that_starts_are_not_idle(place: Place) -> None:
    place.write("schemata", "L3:0=7f0\n")
    group = Group("qemu-9-db", "control", "libvirt", masks=Masks.of([("L3", 0, Cbm(0x00F))]))
    reservations.reserve(place.run, "db", (group,))
    assert place.idle() == []


def test_a_simulated_host_has_no_ledger_that_shows_them() -> None:
    location = Location(host="sim:skylake-2s")
    assert usage_on(location, read_location(location)).idle == ()


def test_in_json_they_are_part_of_the_usage(place: Place) -> None:
    place.write("schemata", "L3:0=7fe\n")
    assert '"command": "cachetune default --l3 0=11ways"' in place.call("cachetune show", "--json").stdout
    assert IdleWays.__struct_fields__ == ("resource", "id", "ways", "back", "command", "between")
