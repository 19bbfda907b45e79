"""The module tuning in real playbooks: a real QEMU on a mounted resctrl, a controller on the same machine."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.guests.qemu import Qemu, running
from tests.integrations.ansible.calling import Call
from tests.integrations.ansible.playing import CACHETUNE, Play, Task, play
from tests.sim.fuse.mounted import Mounted, mounted, need_fuse

pytestmark = pytest.mark.slow

MODULE = "cachetune.resctrl.tuning"
REQUEST = """\
<cputune>
  <cachetune vcpus='0-1'>
    <cache id='0' level='3' type='both' size='3' unit='ways'/>
  </cachetune>
</cputune>
"""


class Place:
    """A mounted host with a guest and its tuning file; ``play`` runs tasks on it."""

    def __init__(self, mount: Mounted, qemu: Qemu, directory: Path) -> None:
        self.mount, self.qemu, self.guest, self._directory = mount, qemu, qemu.name, directory
        self.guests_d = directory / "guests.d"
        directories = {"RESCTRL": mount.root, "SYSFS": directory / "sys", "RUN": directory / "run"}
        directories |= {"GUESTS_D": self.guests_d}
        self.where = {f"CACHETUNE_{name}": str(path) for name, path in directories.items()}
        self.file = self.guests_d / f"{qemu.name}.xml"
        self.group = f"cachetune-{re.sub('[^a-z0-9]', '', qemu.name)}-vcpus_0-1"  # what of a name a group's may have

    def play(self, *tasks: Task, options: tuple[str, ...] = ()) -> Play:
        defaults = {MODULE: {"guest": self.guest, "executable": str(CACHETUNE)}}
        return play(self._directory, tasks, *options, environment=self.where, defaults=defaults)

    def ways(self) -> str:
        """The line L3 of the guest's group, "" without the group."""
        if self.group not in self.mount.listdir("."):
            return ""
        lines = self.mount.read(f"{self.group}/schemata").split()
        return next(line for line in lines if line.startswith("L3:"))

    def state(self) -> str:
        """A hash of all that a run may change: groups, their values and tasks, the state of cachetune, tuning files."""
        parts = [f"{path} {self.mount.read(path)}" for path in sorted(self.mount.tree()) if _is_state(path)]
        for name in ("run", "guests.d"):
            parts += [f"{path} {path.read_text()}" for path in sorted((self._directory / name).rglob("*.*"))]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _is_state(path: str) -> bool:
    """Whether a run may change the file; the default group's tasks are those of the whole machine."""
    name = path.rpartition("/")[2]
    return path != "tasks" and name in ("schemata", "tasks", "mode", "cpus_list") and not path.startswith("info/")


@contextmanager
def place(directory: Path) -> Iterator[Place]:
    need_fuse()
    sysfs = directory / "sys"
    with (
        mounted(directory / "mount", "--sysfs", sysfs, profile="skylake-2s") as mount,
        running(directory, f"web {uuid4().hex[:8]} 'ü\"", uuid=str(uuid4())) as qemu,
    ):
        yield Place(mount, qemu, directory)


def tuning(name: str, **values: Any) -> Task:
    return {"name": name, MODULE: values}


def test_check_mode_writes_nothing_and_a_second_run_changes_nothing(tmp_path: Path) -> None:
    with place(tmp_path) as at:
        before = at.state()
        save = tuning("save", xml=REQUEST, shrink_default=True, save=True)
        checked = at.play(save, options=("--check", "--diff"))
        assert (at.state(), checked.changed()) == (before, ["save"]), checked.text
        shown, file = checked["save"]["diff"]
        assert shown["before"].splitlines()[0] == ". L3:0=7ff"
        assert f"{at.group} L3:0=7" in shown["after"].splitlines()
        assert (file["before"], file["after"]) == ("", REQUEST)
        assert f"+{at.group} L3:0=7" in checked.text

        no_room = {"ignore_errors": True, **tuning("no room", xml=REQUEST)}
        done = at.play(no_room, save, tuning("save again", xml=REQUEST, shrink_default=True, save=True))
        assert done.changed() == ["save"], done.text
        assert done["no room"]["rules"] == ["CT207"]
        assert "--shrink-default" in done["no room"]["msg"]
        assert done["no room"]["findings"][0]["document"] == "xml"
        assert done["save"]["diff"] == [shown, file]
        assert done["save"]["report"]["outcome"] == "done"
        assert done["save again"]["plan"]["steps"] == []
        assert (at.ways(), at.file.read_text(), at.file.stat().st_mode & 0o777) == ("L3:0=007;1=7ff", REQUEST, 0o644)
        threads = at.qemu.vcpus()
        assert at.mount.read(f"{at.group}/tasks").split() == [str(threads[0]), str(threads[1])]


def test_a_value_is_changed_and_all_is_taken_away(tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    with place(tmp_path) as at:
        for name, directory in at.where.items():
            monkeypatch.setenv(name, directory)
        on = partial(call, "tuning", guest=at.guest, executable=str(CACHETUNE))
        assert on(xml=REQUEST, shrink_default=True, save=True)["changed"]
        before = at.state()
        checked = on(check_mode=True, l3=["0=2ways"], save=True, backup=True)
        assert (at.state(), checked["changed"]) == (before, True)
        changed = on(l3=["0=2ways"], save=True, backup=True)
        assert changed["diff"] == checked["diff"]
        assert (at.ways(), Path(changed["backup_file"]).read_text()) == ("L3:0=003;1=7ff", REQUEST)
        assert "size='2' unit='ways'" in at.file.read_text()
        assert not on(l3=["0=2ways"], save=True)["changed"]
        assert not on()["changed"]  # what its own tuning file requests

        removed = on(state="absent", save=True)
        assert [each["after_header"] for each in removed["diff"]] == ["resctrl", str(at.file)]
        assert removed["warnings"] == []  # not that the tuning file still requests it
        assert (at.ways(), at.file.exists(), at.mount.read("schemata").split()[-1]) == ("", False, "L3:0=7ff;1=7ff")
        assert not on(state="absent", save=True)["changed"]


def test_of_a_guest_that_is_not_running_only_the_tuning_file_is_written(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_fuse()
    with mounted(tmp_path / "mount", profile="skylake-2s") as mount:
        monkeypatch.setenv("CACHETUNE_RESCTRL", str(mount.root))
        monkeypatch.setenv("CACHETUNE_RUN", str(tmp_path / "run"))
        stopped, guests_d = f"stopped {uuid4().hex[:8]} 'ü", tmp_path / "guests.d"
        file = guests_d / f"{stopped}.xml"
        given = {"guest": stopped, "executable": str(CACHETUNE), "guests_d": str(guests_d)}

        def save(xml: str = REQUEST, *, check_mode: bool = False, **values: Any) -> Mapping[str, Any]:
            return call("tuning", check_mode=check_mode, **given | {"xml": xml, "save": True} | values)

        assert (save(check_mode=True)["changed"], file.exists()) == (True, False)
        saved = save()
        assert (saved["changed"], saved["running"], file.read_text()) == (True, False, REQUEST)
        assert "only its tuning file is changed" in saved["msg"]
        assert "does not fit now: no room" in str(saved["warnings"])  # the default group is not to be shrunk
        for refused in (save(require_running=True), save(save=False)):
            assert f"guest {stopped!r} is not running on this host" in refused["msg"]
        invalid = save("<cputune><cachetune/>")
        assert (invalid["failed"], invalid["findings"][0]["line"]) == (True, 2)
        of_another = f"<domain type='kvm'><name>db</name><memory>1</memory><vcpu>2</vcpu>{REQUEST}</domain>"
        assert save(of_another)["msg"] == f"the request is of guest 'db', not of {stopped!r}"
        assert file.read_text() == REQUEST

        removed = call("tuning", **given, state="absent", save=True)
        assert (removed["changed"], file.exists()) == (True, False)
        unknown = call("tuning", **given, state="absent")
        assert (unknown["changed"], unknown.get("failed")) == (False, None)
