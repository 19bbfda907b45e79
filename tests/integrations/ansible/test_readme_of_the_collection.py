"""The collection's README, typed in from top to bottom on a fleet: each file is written, each command succeeds."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.integrations.ansible.fleet.fleet import BIN, COLLECTIONS, ROOT, Fleet, missing
from tests.integrations.ansible.fleet.hosts import Guest, HostSpec
from tests.missing import skip_without

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ansible-fleet-alone")]

README = (COLLECTIONS / "ansible_collections/cachetune/resctrl/README.md").read_text()
HOSTS = (
    HostSpec(name="node-1", profile="skylake-2s", guests=(Guest(name="web"), Guest(name="db"))),
    HostSpec(name="node-2", profile="milan"),
)
DOMAIN = """\
<domain type='kvm'>
  <name>{name}</name>
  <memory>1048576</memory>
  <vcpu>2</vcpu>
  <os><type>hvm</type></os>
  <cputune><cachetune vcpus='0-1'><cache id='0' level='3' type='both' size='{size}' unit='B'/></cachetune></cputune>
</domain>
"""
WAY_BYTES = 2359296  # of the cache of node-1; with it nothing need be rounded, and node-2 has other ways
BLOCK = re.compile(r"(?P<before>.*?)```(?P<kind>\w+)\n(?P<text>.*?)```", re.DOTALL)


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    if why := missing():
        skip_without(f"no fleet: {why}")
    with Fleet(HOSTS) as fleet:
        yield fleet


@pytest.fixture
def directory(fleet: Fleet) -> Path:
    """What the reader has: an inventory with a group hypervisors, and the domains of the guests."""
    directory = fleet.stage / "directory"
    (directory / "guests").mkdir(parents=True)
    inventory = yaml.safe_load((fleet.stage / "inventory.yml").read_text())
    (directory / "hosts.yml").write_text(yaml.safe_dump({"hypervisors": inventory["fleet"]}))
    for number, guest in enumerate(HOSTS[0].guests, 1):
        text = DOMAIN.format(name=guest.name, size=number * WAY_BYTES)
        (directory / f"guests/{guest.name}.xml").write_text(text)
    (directory / "integrations").symlink_to(ROOT / "integrations")  # the checkout is where the collection is built
    return directory


def test_the_readme_takes_a_fleet_from_nothing_to_tuned_guests_and_back(fleet: Fleet, directory: Path) -> None:
    before = {name: host.groups() for name, host in fleet.hosts.items()}
    groups = {}
    for block in BLOCK.finditer(README):
        if block["kind"] == "yaml":
            name = re.findall(r"`([a-z]+\.yml)`", block["before"])[-1]
            (directory / name).write_text(f"---\n{block['text']}")
        for command in re.findall(r"(?m)^\$ (.*)", block["text"]):
            type_in(fleet, directory, command)
            groups[command.split()[-1]] = set(fleet.host("node-1").groups())
    assert groups["tune.yml"] == {".", "cachetune-web-vcpus_0-1", "cachetune-db-vcpus_0-1"}
    assert groups["cachetune.resctrl.rollout"] == groups["tune.yml"]
    assert {name: host.groups() for name, host in fleet.hosts.items()} == before


def type_in(fleet: Fleet, directory: Path, command: str) -> None:
    path = f"PATH={BIN}:/usr/bin:/bin:/usr/sbin:/sbin"
    collections = f"ANSIBLE_COLLECTIONS_PATH={directory}/collections"
    done = fleet.run("env", "-C", directory, path, collections, "sh", "-c", command)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    assert "WARNING" not in done.stdout + done.stderr, f"{command}\n{done.stdout}{done.stderr}"
