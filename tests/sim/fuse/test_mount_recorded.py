"""System calls through the mount get the answers recorded from real kernels.

Other tests check the rules against every record, so each table runs with only one kernel where both gave the same
answers. Rows that FUSE cannot carry are left out: an empty write, which does not get past this machine's kernel, and
names longer than 1024 bytes, which some kernels refuse.
"""

import os
import re
import stat
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from cachetune.sim import load_profile
from tests.sim.fuse.mounted import Mounted, mounted, need_fuse
from tests.sim.kernel.asking import KERNELS, TASK, arrange, ask, attempt, modes, where, write_masks
from tests.sim.kernel.recorded import schemata, tree
from tests.sim.kernel.recorded.cpus import WRITES
from tests.sim.kernel.recorded.groups import MKDIR, RENAME, RMDIR
from tests.sim.kernel.recorded.modes import CDP, PLAIN, PSEUDO_LOCKING
from tests.sim.kernel.recorded.tasks import PROCESSES

pytestmark = pytest.mark.slow

NAME_BYTES = 1024


@pytest.fixture(autouse=True)
def _fuse() -> None:
    need_fuse()


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def _profile(directory: Path, *options: str, **changes: object) -> Path:
    """Write the profile of the recorded machine with these mount options and return the file."""
    file = directory / "profile.json"
    profile = msgspec.structs.replace(load_profile("cascade-lake"), mount_options=options, **changes)
    file.write_bytes(msgspec.json.encode(profile))
    return file


def _check_tree(fs: Mounted, rows: list[tuple[str, str, str]]) -> None:
    for path, mode, content in rows:
        is_directory = content == "directory"
        assert stat.S_ISDIR(fs.stat_mode(path)) == is_directory, path
        assert f"{fs.stat_mode(path) & 0o7777:o}" == mode, path
        if not is_directory:
            assert fs.read(path) == content, path


@pytest.mark.parametrize(
    ("kernel", "options", "rows", "after_mkdir"),
    [("6.1", (), tree.PLAIN, tree.NEW_GROUPS), ("6.12", ("cdp",), tree.CDP, tree.CDP_NEW_GROUP)],
)
def test_the_tree_and_writes_to_schemata_are_as_recorded(
    tmp_path: Path,
    kernel: str,
    options: tuple[str, ...],
    rows: list[tuple[str, str, str]],
    after_mkdir: list[tuple[str, str, str]],
) -> None:
    with mounted(tmp_path, "--tids", "any", profile=_profile(tmp_path, *options), kernel=kernel) as fs:
        _check_tree(fs, rows)
        fs.mkdir("g1")
        fs.mkdir("mon_groups/m1")
        _check_tree(fs, after_mkdir)
        _check_schemata(fs, schemata.CDP if options else schemata.PLAIN)
        assert ask(fs, fs.write, "g1/schemata", "L3:0=f;" * 700 + "\n") == ("E2BIG", "ok\n")


def test_writes_to_schemata_in_mib_are_answered_as_recorded(tmp_path: Path) -> None:
    with mounted(tmp_path, profile=_profile(tmp_path, "mba_MBps")) as fs:
        fs.mkdir("g1")
        _check_schemata(fs, schemata.MBPS)


def _check_schemata(fs: Mounted, rows: list[tuple[str, str, str, str | None]]) -> None:
    before = fs.read("g1/schemata")
    for text, result, status, after in rows:
        if text:
            fs.write("g1/schemata", before)
            assert ask(fs, fs.write, "g1/schemata", text) == (result, status), text
            assert fs.read("g1/schemata") == (before if after is None else after), text


def test_mkdir_and_rmdir_are_answered_as_recorded(tmp_path: Path) -> None:
    with mounted(tmp_path) as fs:
        fs.mkdir("g1")
        for name, result, status in MKDIR:
            length = re.fullmatch(r"<(\d+)>", name)
            path = "x" * min(int(length[1]), NAME_BYTES) if length else name
            assert ask(fs, fs.mkdir, path) == (result, status), name
        for entry in fs.root.iterdir():
            if entry.is_dir() and entry.name not in {"g1", "info", "mon_data", "mon_groups"}:
                entry.rmdir()
        for group in ("g1/mon_groups/m1", "g1/mon_groups/m2", "g2", "mon_groups/m0"):
            fs.mkdir(group)
        for path, result, status in RMDIR:
            assert ask(fs, fs.rmdir, path) == (result, status), path


def test_rename_is_answered_as_recorded(tmp_path: Path, kernel: str) -> None:
    with mounted(tmp_path, "--tids", "any", kernel=kernel) as fs:
        for old, new, has_cpu, answer_of_6_1, answer_of_6_12 in RENAME:
            for group in ("g1", "g1/mon_groups/m1", "g2", "mon_groups/m0"):
                fs.mkdir(group)
            for group in ("g1", "g1/mon_groups/m1"):
                fs.write(f"{group}/tasks", f"{TASK}\n")
                fs.write(f"{group}/cpus_list", "0\n" if has_cpu else "\n")
            said = ask(fs, fs.rename, old, new)
            groups = sorted(
                path.removesuffix("tasks").rstrip("/") or "." for path in fs.tree() if path.endswith("tasks")
            )
            after = f"{' '.join(groups)}; {where(fs, {'A': TASK})}"
            assert (*said, after) == (answer_of_6_1 if kernel == "6.1" else answer_of_6_12), (old, new)
            for group in sorted(set(groups) - {"."}, reverse=True):
                fs.rmdir(group)


@pytest.mark.parametrize(
    ("kernel", "options", "name", "rows"), [("6.12", (), "L3", PLAIN), ("6.1", ("cdp",), "L3DATA", CDP)]
)
def test_modes_and_cpus_change_as_recorded(
    tmp_path: Path,
    kernel: str,
    options: tuple[str, ...],
    name: str,
    rows: list[tuple[str, str, str, str, str, str]],
) -> None:
    with mounted(tmp_path, "--tids", "any", profile=_profile(tmp_path, *options), kernel=kernel) as fs:
        groups = ("", "g1/", "g2/", "g1/mon_groups/m1/", "g1/mon_groups/m2/")
        for group in groups[1:]:
            fs.mkdir(group)
        for path, text, result, status, lists in WRITES:
            if text:
                assert ask(fs, fs.write, path, text) == (result, status), (path, text)
                assert " / ".join(fs.read(f"{g}cpus_list").strip() or "-" for g in groups) == lists, (path, text)
        for group in reversed(groups[1:]):
            fs.rmdir(group)
        fs.mkdir("g1")
        fs.mkdir("g2")
        _check_modes(fs, name, rows)


def _check_modes(fs: Mounted, name: str, rows: list[tuple[str, str, str, str, str, str]]) -> None:
    for path, text, result, status, after, has in rows:
        if path and text:
            arrange(fs, has)
            assert ask(fs, fs.write, path, text) == (result, status), text
            assert modes(fs, name) == after, text
            if fs.exists("g1/mon_groups/m1"):
                fs.rmdir("g1/mon_groups/m1")
        elif text.startswith("mkdir g3"):
            assert ask(fs, fs.mkdir, "g3") == (result, status)
            assert fs.read("g3/schemata") == after
            fs.rmdir("g3")
        elif not path:
            for group, mask in ((".", "1"), ("g1", "6"), ("g2", "18")):
                write_masks(fs, group, f"0={mask};1={mask}")
            assert modes(fs, name) == after


def test_pseudo_locking_works_as_recorded(tmp_path: Path) -> None:
    with mounted(tmp_path, "--tids", "any", profile=_profile(tmp_path, pseudo_locking=True)) as fs:
        fs.mkdir("g1")
        for path, text, result, status, after in PSEUDO_LOCKING:
            if "g1 has" in text:
                arrange(fs, text.rpartition("g1 has")[2].join(("g1 has", "")))
                assert ask(fs, fs.write, "g1/mode", "pseudo-locksetup\n") == (result, status), text
                if fs.exists("g1/mon_groups/m1"):
                    fs.rmdir("g1/mon_groups/m1")
            elif text.startswith("root gets "):
                fs.write("schemata", text.removeprefix("root gets ") + "\n")
            elif text == "a pid to g1/tasks":
                assert ask(fs, fs.write, "g1/tasks", f"{TASK}\n") == (result, status)
            elif text.startswith("mkdir "):
                assert ask(fs, fs.mkdir, text.removeprefix("mkdir ")) == (result, status)
            else:
                assert ask(fs, fs.write, path, text) == (result, status), text
            shown = [fs.read(p).strip() for p in ("g1/mode", "g1/schemata", "g1/size", "info/L3/bit_usage")]
            assert tuple(shown) == after, text
        assert attempt(fs.rmdir, "g1") == "ok"


@pytest.fixture
def sleepers() -> Iterator[dict[str, int]]:
    with ExitStack() as stack:
        started = [stack.enter_context(subprocess.Popen(["/bin/sleep", "1000"])) for _ in range(3)]
        for process in started:
            stack.callback(process.kill)
        yield dict(zip("ABC", (process.pid for process in started), strict=True))


def test_processes_move_as_recorded(tmp_path: Path, kernel: str, sleepers: dict[str, int]) -> None:
    """The processes are real, so rows with fixed tids are left out."""
    with mounted(tmp_path, kernel=kernel) as fs:
        for group in ("g1", "g2", "g1/mon_groups/m1", "g2/mon_groups/m2", "mon_groups/m0"):
            fs.mkdir(group)
        for group, text, result, status, places, newer in PROCESSES:
            if text in {"", "0x10\n", "010\n"}:
                continue
            expected = (result, status, places) if newer is None or kernel == "6.1" else newer
            written = re.sub("[ABC]", lambda name: str(sleepers[name[0]]), text)
            said, message = ask(fs, fs.write, f"{group}/tasks", written)
            for name, tid in sleepers.items():
                message = message.replace(str(tid), name)
            assert (said, message, where(fs, sleepers)) == expected, text
            if text == "0\n":
                assert str(os.getpid()) in fs.read("g1/tasks").split()


def test_rmids_run_out_and_come_back_after_limbo(tmp_path: Path) -> None:
    with mounted(tmp_path) as fs:
        for number in range(63):
            assert attempt(fs.mkdir, f"mon_groups/m{number}") == "ok"
        assert ask(fs, fs.mkdir, "mon_groups/more") == ("ENOSPC", "Out of RMIDs\n")
        assert ask(fs, fs.mkdir, "g1") == ("ENOSPC", "Out of RMIDs\n")
        fs.rmdir("mon_groups/m0")
        answers = [attempt(fs.mkdir, "mon_groups/again")]
        while answers[-1] == "EBUSY":
            answers.append(attempt(fs.mkdir, "mon_groups/again"))
        assert answers[-1] == "ok"
        assert len(answers) > 1
