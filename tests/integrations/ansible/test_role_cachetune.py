"""The role cachetune on a host where the program is installed and no systemd runs: files, options, removal."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.integrations.ansible.fleet.fleet import Fleet, FleetHost, missing
from tests.integrations.ansible.fleet.hosts import HostSpec
from tests.integrations.ansible.fleet.site import Run, Site
from tests.missing import skip_without

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ansible-fleet-alone")]

UNITS = "etc/systemd/system"
BOOK = """
- hosts: all
  gather_facts: false
  roles:
    - cachetune.resctrl.cachetune
"""
WANTED = {
    "cachetune_mount_options": ["cdp"],
    "cachetune_exporter": True,
    "cachetune_options": {"agent": "--shrink-default"},
}


class Story(NamedTuple):
    before: dict[str, str]
    checked: Run
    first: Run
    options: str
    mount: str
    second: Run
    fewer: Run
    removed: Run


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    if why := missing():
        skip_without(f"no fleet: {why}")
    with Fleet([HostSpec(name="node", profile="skylake-2s")]) as fleet:
        yield tell(Site(fleet), fleet.host("node"))


def tell(site: Site, host: FleetHost) -> Story:
    book = site.directory / "install.yml"
    book.write_text(BOOK)
    before = host.tree()
    checked = site.play(book, "--check", **WANTED)
    first = site.play(book, **WANTED)
    options = (host.root / "etc/default/cachetune").read_text()
    mount = (host.root / UNITS / "sys-fs-resctrl.mount").read_text()
    second = site.play(book, **WANTED)
    fewer = site.play(book, **{**WANTED, "cachetune_exporter": False})
    removed = site.play(book, cachetune_state="absent")
    return Story(before, checked, first, options, mount, second, fewer, removed)


def of_role(run: Run, before: dict[str, str]) -> set[str]:
    tree = run.trees["node"]
    return {path for path in tree.keys() | before.keys() if tree.get(path) != before.get(path)}


def test_check_mode_says_that_files_would_change_and_writes_none(story: Story) -> None:
    assert story.checked.code == 0, story.checked.output
    assert story.checked.recaps["node"].changed == 1
    assert of_role(story.checked, story.before) == set()


def test_the_parts_that_are_wanted_are_installed_with_their_options(story: Story) -> None:
    assert story.first.code == 0, story.first.output
    written = of_role(story.first, story.before)
    units = ("sys-fs-resctrl.mount", "cachetune-agent.service", "cachetune-exporter.service")
    assert {f"{UNITS}/{unit}" for unit in units} <= written
    assert f"{UNITS}/cachetune-record.service" not in written
    assert 'AGENT_OPTIONS="--shrink-default"\n' in story.options
    assert "Options=cdp\n" in story.mount


def test_the_second_run_changes_nothing(story: Story) -> None:
    assert story.second.code == 0, story.second.output
    assert story.second.recaps["node"].changed == 0
    assert story.second.trees == story.first.trees


def test_a_part_that_is_no_longer_wanted_is_removed(story: Story) -> None:
    assert story.fewer.code == 0, story.fewer.output
    gone = story.first.trees["node"].keys() - story.fewer.trees["node"].keys()
    assert gone == {f"{UNITS}/cachetune-exporter.service"}


def test_absent_removes_every_file_but_the_edited_options(story: Story) -> None:
    assert story.removed.code == 0, story.removed.output
    left = [path for path in of_role(story.removed, story.before) if "cachetune" in path or "resctrl" in path]
    assert left == ["etc/default/cachetune"]
