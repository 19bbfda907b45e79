"""cachetune set: with a real QEMU on a mounted resctrl, and on a terminal."""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, CompletedProcess

import pytest

from tests.cli.terminal import converse
from tests.guests.qemu import Qemu, running
from tests.sim.fuse.mounted import Mounted, mounted, need_fuse, run

pytestmark = pytest.mark.slow

GUEST = f"set{os.getpid()}"  # guests are found on the whole machine, and other tests may run
GROUP = f"cachetune-{GUEST}-vcpus_0-1"


class Place:
    """A mounted host, a QEMU, and a directory of tuning files."""

    def __init__(self, mount: Mounted, qemu: Qemu, directory: Path) -> None:
        self.mount, self.qemu, self.file = mount, qemu, directory / "guests.d" / f"{GUEST}.xml"
        self.where: tuple[object, ...] = ("--resctrl", mount.root, "--sysfs", directory / "sys")
        self.run = directory / "run"
        self.where += ("--run", self.run, "--guests-d", self.file.parent)

    def set(self, *words: str) -> CompletedProcess[str]:
        return run("set", GUEST, *words, *self.where, stdin=DEVNULL)

    def line(self, name: str) -> str:
        """The line of a resource in the group's schemata, "" without the group."""
        text = self.mount.read(f"{GROUP}/schemata") if GROUP in self.mount.listdir(".") else ""
        return next((line.strip() for line in text.splitlines() if line.strip().startswith(f"{name}:")), "")


@contextmanager
def place(directory: Path, profile: str = "skylake-2s") -> Iterator[Place]:
    need_fuse()
    with (
        mounted(directory, "--sysfs", directory / "sys", profile=profile) as mount,
        running(directory, GUEST) as qemu,
    ):
        yield Place(mount, qemu, directory)


def test_one_value_after_another_on_a_running_guest(tmp_path: Path) -> None:
    with place(tmp_path) as at:
        refused = at.set("--l3", "0=3ways")
        assert (refused.returncode, at.line("L3")) == (2, "")
        made = at.set("--vcpus", "0-1", "--l3", "0=3ways", "--mb", "0=50%", "--shrink-default", "--yes")
        assert (made.returncode, at.line("L3"), at.line("MB")) == (0, "L3:0=007;1=7ff", "MB:0= 50;1=100"), made.stderr
        threads = at.qemu.vcpus()
        assert at.mount.read(f"{GROUP}/tasks").split() == [str(threads[0]), str(threads[1])]

        # one value changes and the other stays; then the reverse
        assert at.set("--l3", "0=2ways", "--yes").returncode == 0
        assert (at.line("L3"), at.line("MB")) == ("L3:0=003;1=7ff", "MB:0= 50;1=100")
        assert at.set("--mb", "0=none", "--yes").returncode == 0
        assert (at.line("L3"), at.line("MB")) == ("L3:0=003;1=7ff", "MB:0=100;1=100")

        # what does not change the host
        for words in (["--l3", "0=1way", "--dry-run"], ["--l3", "0=1way", "--xml"], ["--l3", "0=5MiB", "--yes"]):
            assert at.set(*words).returncode == (2 if "--yes" in words else 0)
            assert at.line("L3") == "L3:0=003;1=7ff"
        assert "size='1' unit='ways'" in at.set("--l3", "0=1way", "--xml").stdout
        plan = json.loads(at.set("--l3", "0=1way", "--dry-run", "--json").stdout)
        assert [step["kind"] for step in plan["steps"]][:1] == ["write_schemata"]

        logged = json.loads(run("log", "--json", "--run", at.run, stdin=DEVNULL).stdout)
        assert [change["program"] for change in logged["changes"]] == ["set"] * 3

        assert at.set("--clear", "--yes").returncode == 0
        assert (GROUP in at.mount.listdir("."), at.mount.read("schemata").split()[-1]) == (False, "L3:0=7ff;1=7ff")


def test_slow_memory_is_limited_saved_and_freed_apart_from_all_memory(tmp_path: Path) -> None:
    with place(tmp_path, "turin") as at:
        made = at.set("--vcpus", "0-1", "--mb", "0=16GB/s", "--smba", "0-1=8GB/s", "--save", "--yes")
        assert made.returncode == 0, made.stderr
        assert "SMBA 0-1  64 (8 GB/s)" in made.stdout
        limits = at.line("MB").split(";")[:2], at.line("SMBA").split(";")[:3]
        assert [[int(limit.rpartition("=")[2]) for limit in row] for row in limits] == [[128, 4096], [64, 64, 4096]]
        assert "<node id='1' resource='SMBA' bandwidth='8' unit='GB/s'/>" in at.file.read_text()
        exported = run("export", "--guest", GUEST, *at.where[:-2], stdin=DEVNULL)
        assert exported.stdout.count("resource='SMBA' bandwidth='64'") == 2, exported.stderr

        assert at.set("--smba", "none", "--save", "--yes").returncode == 0
        assert {part.rpartition("=")[2] for part in at.line("SMBA").split(";")} == {"4096"}
        assert ("SMBA" in at.file.read_text(), at.line("MB").split(";")[0].rpartition("=")[2].strip()) == (False, "128")


def test_save_changes_the_tuning_file_with_the_host_or_neither(tmp_path: Path) -> None:
    with place(tmp_path) as at:
        words = ["--vcpus", "0-1", "--l3", "0=3ways", "--save", "--shrink-default"]
        assert at.set(*words, "--dry-run").returncode == 0
        assert not at.file.exists()
        saved = at.set(*words, "--yes")
        assert saved.stderr.endswith(f"Saved {at.file}.\n")
        assert stat.S_IMODE(at.file.stat().st_mode) == 0o644
        text = at.file.read_text()
        assert "<cache id='0' level='3' type='both' size='3' unit='ways'/>" in text

        # refused: both stay, and nothing is left beside the file
        assert at.set("--l3", "0=11ways", "--save", "--yes").returncode == 2
        assert (at.file.read_text(), list(at.file.parent.iterdir())) == (text, [at.file])

        # without --save the file stays, which is said if anything is changed
        stays = "stays as it is, so a running agent undoes this change; pass --save to change both"
        unsaved = at.set("--mb", "0=50", "--yes")
        assert stays in unsaved.stderr
        for nothing in (("--mb", "0=50", "--yes"), ("--mb", "0=80", "--dry-run")):
            assert stays not in at.set(*nothing).stderr
        assert (at.file.read_text(), at.line("MB")) == (text, "MB:0= 50;1=100")

        # comments above <cputune> and the schema that the file names stay, also in what --xml prints
        at.file.write_text(f"<!-- ticket 4711 -->\n<?xml-model href='own.rng'?>\n{text.partition('?>')[2].lstrip()}")
        above = "<!-- ticket 4711 -->\n<?xml-model href='own.rng'?>\n<cputune>\n"
        assert at.set("--mb", "0=50", "--xml").stdout.startswith(above)
        assert at.set("--mb", "0=50", "--save", "--yes").returncode == 0
        assert at.file.read_text().startswith(above)
        bare = at.set("--mb", "0=50", "--xml", "--schema", "none")
        assert bare.stdout.startswith("<!-- ticket 4711 -->\n<cputune>\n")

        # a directory that cannot have the file stops the change before it starts
        at.file.unlink()
        at.file.parent.rmdir()
        at.file.parent.touch()
        assert at.set("--mb", "0=30", "--save", "--yes").returncode == 2
        assert at.line("MB") == "MB:0= 50;1=100"


@pytest.mark.parametrize(("answer", "code", "schemata"), [("y", 0, "L3:0=007;1=7ff"), ("n", 2, ""), ("\x04", 2, "")])
def test_a_terminal_is_shown_the_plan_and_prompted(tmp_path: Path, answer: str, code: int, schemata: str) -> None:
    with place(tmp_path) as at:
        words = ("--vcpus", "0-1", "--l3", "0=3ways", "--save", "--shrink-default")
        exit_code, shown = converse(answer, "set", GUEST, *words, *at.where)
        assert (exit_code, at.line("L3"), at.file.exists()) == (code, schemata, code == 0)
        assert shown.index(f"+ {GROUP}") < shown.index("Apply this plan? [y/N]")


def test_mistakes_are_reported_without_a_guest_being_touched(tmp_path: Path) -> None:
    with place(tmp_path) as at:
        before = at.mount.tree()
        for words, message in (
            (["--vcpus", "0"], "nothing to change"),
            (["--vcpus", "0", "--all", "--mb", "50%"], "--vcpus, --threads and --all exclude each other"),
            (["--mb", "50%"], f"guest {GUEST!r} has no group that could be changed"),
            (["--vcpus", "9", "--mb", "50%"], f"guest {GUEST!r} has no vCPU 9"),
            (["--vcpus", "3-1", "--mb", "50%"], "'3-1' is not a list of vCPUs such as 0-3,5"),
            (["--l3", "0=6"], "'6' has no unit"),
            (["--l3", "x=6MiB"], "'x=6MiB' is not [ID=]SIZE, such as 0=4ways"),
            (["--l3", "0-99999=6MiB"], "not a range of ids: '0-99999'"),
            (["--vcpus", "0", "--l3", "7=1way", "--yes"], "--l3 7=1way: error: there is no L3 cache with id 7 [CT203]"),
            (["--vcpus", "0", "--mb", "50%", "--xml", "--save"], "--xml only prints the result"),
            (["--vcpus", "0", "--mb", "50%", "--schema", "a.rng"], "--schema is for the tuning file"),
        ):
            result = at.set(*words, *(["--dry-run"] if "--yes" not in words and "--xml" not in words else []))
            assert result.returncode == 2, words
            assert message in result.stderr
            assert "Traceback" not in result.stderr
        unknown = run("set", f"{GUEST}x", "--mb", "50%", *at.where, stdin=DEVNULL)
        assert f"did you mean {GUEST!r}?" in unknown.stderr
        assert at.mount.tree() == before
