"""The collection as its users have it: built, installed, and used by a playbook on a simulated host."""

import importlib
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import waiting
from tests.integrations.ansible.copies import copy_of_the_collection
from tests.integrations.ansible.playing import BIN, CACHETUNE, ROOT, Task, play, settings
from tests.sim.fuse.mounted import mounted, need_fuse, run

pytestmark = pytest.mark.slow


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The directory of collections with ours, which ansible-galaxy has built and installed."""
    copy, where = copy_of_the_collection(tmp_path / "source"), settings(tmp_path, tmp_path / "installed")
    galaxy = BIN / "ansible-galaxy"
    built = tmp_path / "built"
    for words in (
        ["build", "--output-path", built, copy],
        ["install", "--offline", "-p", tmp_path / "installed", built / "cachetune-resctrl-0.1.0.tar.gz"],
    ):
        done = waiting.run([galaxy, "collection", *words], capture_output=True, text=True, env=where)
        assert done.returncode == 0, done.stdout + done.stderr
    with tarfile.open(built / "cachetune-resctrl-0.1.0.tar.gz") as archive:
        names = archive.getnames()
    assert {"LICENSE", "README.md", "CHANGELOG.rst", "meta/runtime.yml", "plugins/modules/tuning.py"} <= set(names)
    assert not [name for name in names if "pycache" in name or name.startswith(".git/")]
    return tmp_path / "installed"


def test_the_installed_collection_collects_a_snapshot_that_cachetune_reads(installed: Path, tmp_path: Path) -> None:
    need_fuse()
    with mounted(tmp_path / "mount", "--sysfs", tmp_path / "sys", profile="milan") as mount:
        where = {"CACHETUNE_RESCTRL": str(mount.root), "CACHETUNE_SYSFS": str(tmp_path / "sys")}
        where |= {"CACHETUNE_RUN": str(tmp_path / "run"), "CACHETUNE_GUESTS_D": str(tmp_path / "guests.d")}
        tasks: list[Task] = [
            {"name": "collected", "cachetune.resctrl.host_info": {"dest": "snapshots", "drift": False}},
            {
                "name": "no file",
                "cachetune.resctrl.host_info": {"dest": "checked", "name": "node 7", "drift": False},
                "check_mode": True,
            },
        ]
        defaults = {"cachetune.resctrl.host_info": {"executable": str(CACHETUNE)}}
        done = play(tmp_path, tasks, environment=where, defaults=defaults, collections=installed)
    snapshot = tmp_path / "snapshots/localhost.json"
    assert done["collected"]["dest"] == str(snapshot), done.text
    assert json.loads(snapshot.read_text())["identity"]["hostname"] == "localhost"  # its name in the inventory
    assert run("show", "--host", snapshot).returncode == 0
    assert done["no file"]["host"]["identity"]["hostname"] == "node 7"
    assert (done["no file"]["dest"], (tmp_path / "checked").exists()) == (str(tmp_path / "checked/node 7.json"), False)
    assert not done.changed()


PLACED = {"name": "a {{ 1 }} b", "domain": "guest-web.xml", "shrink_default": True, "compact": False, "round": None}
ASSIGNED: Mapping[str, Any] = {
    "cachetune_assignment": {PLACED["name"]: {"host": "node-1", "domain": "guest-web.xml", "options": []}},
    "cachetune_guests": {"node-1": [PLACED]},
}


@pytest.fixture
def inventory(tmp_path: Path) -> Any:
    """Run ansible-inventory with a variables file and a source of the plugin; its answer, or what it says."""

    def read(variables: str, **options: Any) -> Any:
        (tmp_path / "placement.yml").write_text(variables)
        source = {"plugin": "cachetune.resctrl.fit", "file": "placement.yml"} | options
        (tmp_path / "fit.yml").write_text(yaml.safe_dump(source))
        (tmp_path / "hosts.yml").write_text("all: {hosts: {node-9: {}}}\n")
        words = ["-i", tmp_path / "hosts.yml", "-i", tmp_path / "fit.yml", "--list"]
        where = settings(tmp_path) | {"ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1"}
        done = waiting.run([BIN / "ansible-inventory", *words], capture_output=True, text=True, env=where)
        return json.loads(done.stdout) if done.returncode == 0 else " ".join(done.stderr.split())

    return read


def test_an_assignment_is_an_inventory(inventory: Any) -> None:
    groups = [{"key": "cachetune_host_guests | map(attribute='name')", "prefix": "guest"}]
    found = inventory(yaml.safe_dump(dict(ASSIGNED)), keyed_groups=groups)
    assert found["cachetune_placed"]["hosts"] == ["node-1"]
    variables = found["_meta"]["hostvars"]["node-1"]
    (placed,) = variables["cachetune_host_guests"]
    assert placed["name"] == {"__ansible_unsafe": PLACED["name"]}  # a text that is never a template
    assert [variables["cachetune_guests"]["node-1"], placed["shrink_default"]] == [[placed], True]
    assert [name for name in found if name.startswith("guest_")] == ["guest_a____1____b"]  # not evaluated


def test_what_fit_assigns_is_an_inventory(inventory: Any, tmp_path: Path) -> None:
    snapshots = tmp_path / "snapshots"
    snapshots.mkdir()
    for name, profile in (("node-1", "skylake-2s"), ("node-2", "milan")):
        assert run("snapshot", "--host", f"sim:{profile}", "-o", snapshots / f"{name}.json").returncode == 0
    file = tmp_path / "assigned.yml"
    guest = ROOT / "examples/web.xml"
    done = run("fit", "--assign", "--shrink-default", "--vars", file, guest, snapshots)
    assert done.returncode == 0, done.stderr
    found = inventory(file.read_text())
    (host,) = found["cachetune_placed"]["hosts"]
    (placed,) = found["_meta"]["hostvars"][host]["cachetune_host_guests"]
    assert (placed["name"]["__ansible_unsafe"], placed["shrink_default"]) == ("web", True)
    assert placed["domain"]["__ansible_unsafe"] == str(guest)


def test_a_host_that_is_in_no_inventory_is_noticed(inventory: Any) -> None:
    found = inventory(yaml.safe_dump(dict(ASSIGNED)), known_hosts_only=True)
    assert "assigns guests to 'node-1', which is in no inventory before this one" in found


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (["web"], "it has no variables"),
        ({"a": 1}, "'cachetune_assignment' is missing"),
        (dict(ASSIGNED) | {"cachetune_guests": {"node-1": ["web"]}}, "the guests of 'node-1' are no list of guests"),
        (ASSIGNED, ""),
    ],
)
def test_a_file_that_is_no_assignment_is_refused(variables: object, message: str) -> None:
    plugin = importlib.import_module("ansible_collections.cachetune.resctrl.plugins.inventory.fit")
    assert plugin._problem(variables).startswith(message)
    assert bool(plugin._problem(variables)) is bool(message)
