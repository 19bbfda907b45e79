"""The command: one frame for pipes, what it refuses, and what it needs."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cachetune.cli.main import command
from cachetune.errors import GuestNotFoundError, HostError, InputError, MissingExtraError
from cachetune.extras import how_to_install
from cachetune.testing import MountedResctrl
from tests.guests.lookalike import add_process
from tests.host.trees import SKYLAKE, below, make

SIM = ("--host", "sim:skylake-2s", "--interval", "0.1")


def run(*words: object, **environment: str) -> Result:
    result = CliRunner().invoke(command, ["top", *map(str, words)], env=environment)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_one_frame_has_80_columns_in_a_pipe_or_as_many_as_columns_says() -> None:
    assert max(map(len, run("--once", *SIM).stdout.splitlines())) <= 80
    wide = run("--once", *SIM, COLUMNS="200").stdout
    assert 80 < max(map(len, wide.splitlines())) <= 200
    assert "TOTAL MiB/s" in wide


def test_one_frame_has_rates_and_no_escape_sequences() -> None:
    shown = run("--once", *SIM).stdout
    (line,) = (line for line in shown.splitlines() if "default group" in line)
    assert float(line.split()[7]) > 0
    assert "\x1b" not in shown
    assert all(line == line.rstrip() for line in shown.splitlines())


def test_it_unfolds_sorts_and_filters_as_the_full_screen_does() -> None:
    assert "L3 0" not in run("--once", *SIM).stdout.partition("GUEST")[2]
    assert "L3 0" in run("--once", *SIM, "--unfold").stdout.partition("GUEST")[2]
    assert "GUEST▾" in run("--once", *SIM, "--sort", "name").stdout
    assert run("--once", *SIM, "--per-cache").stdout.count("default group") == 2
    assert "no guest or group matches 'web'" in run("--once", *SIM, "--filter", "web").stdout


def test_it_shows_the_guests_of_a_mount_and_foreign_groups(mounted_resctrl: MountedResctrl) -> None:
    mount = mounted_resctrl
    for name in ("cachetune-web-vcpus_0", "COS1", "mon_groups/other"):
        (mount.root / name).mkdir()
    (mount.root / "schemata").write_text("L3:0=1;1=1\n")
    for name in ("cachetune-web-vcpus_0", "COS1"):
        (mount.root / name / "schemata").write_text("L3:0=2;1=2\n")
    where = ("--resctrl", mount.root, "--sysfs", mount.sysfs, "--run", mount.run, "--interval", "0.1")
    shown = run("--once", "--unfold", *where).stdout
    for text in ("▾ web", "▾ COS1", "▾ default group", "▾ other", "#d 9 idle", "CLOSIDs: 3 of 8 used, 5 left"):
        assert text in shown


def test_a_guest_without_groups_is_a_row_also_if_it_alone_is_selected(
    mounted_resctrl: MountedResctrl, tmp_path: Path
) -> None:
    mount, proc, guests_d = mounted_resctrl, tmp_path / "proc", tmp_path / "guests.d"
    (mount.root / "cachetune-web-vcpus_0").mkdir()
    guests_d.mkdir()
    for pid, name in ((40, "web"), (50, "batch"), (60, "new")):
        arguments = ("qemu-system-x86_64", "-name", f"guest={name}")
        add_process(proc, pid, {pid: "qemu-system-x86", pid + 1: "CPU 0/KVM"}, arguments=arguments)
    monitored = "<cputune><cachetune vcpus='0'><monitor level='3' vcpus='0'/></cachetune></cputune>"
    (guests_d / "new.xml").write_text(monitored)
    nowhere = (
        "--libvirt-run",
        tmp_path / "none",
        "--cgroup",
        tmp_path / "none",
        "--proc",
        proc,
        "--guests-d",
        guests_d,
    )
    where = ("--resctrl", mount.root, "--sysfs", mount.sysfs, "--run", mount.run, "--interval", "0.1", *nowhere)

    def rows(*words: str) -> dict[str, str]:
        """The states of the rows by their names."""
        lines = run("--once", *where, *words).stdout.partition("STATE\n")[2].partition("\n\n")[0].splitlines()
        return {line.split()[0 if line[0] == " " and line[3] != "▸" else 2]: line[68:] for line in lines}

    assert rows() == {"default": "in use", "web": "idle", "batch": "unknown", "new": "drifted"}
    assert rows("--guest", "batch") == {"batch": "unknown"}
    assert rows("--guest", "web") == {"web": "idle"}
    assert rows("--all-guests") == {"web": "idle", "batch": "unknown", "new": "drifted"}
    assert rows("--machine-name", "cachetune-web") == {"web": "idle"}
    with pytest.raises(GuestNotFoundError):
        run("--once", *where, "--guest", "nosuch")


def test_warnings_go_to_stderr(tmp_path: Path) -> None:
    broken = below("COS1", {"schemata": "L3:0=zz;1=1", "tasks": "", "mode": "shareable", "cpus_list": ""})
    root = make(tmp_path / "resctrl", {**SKYLAKE, **broken, **below("mon_data/mon_L3_00", {"llc_occupancy": "7"})})
    result = run("--once", "--resctrl", root, "--interval", "0.1")
    assert "COS1/schemata: not understood" in result.stderr
    assert "not understood" not in result.stdout


def test_without_a_terminal_it_names_once() -> None:
    with pytest.raises(InputError, match="needs a terminal") as caught:
        run(*SIM)
    assert "--once" in caught.value.hint


def test_a_short_interval_needs_force() -> None:
    with pytest.raises(InputError, match=r"under 0\.1 s"):
        run("--once", "--host", "sim:skylake-2s", "--interval", "0.05")
    assert run("--once", "--host", "sim:skylake-2s", "--interval", "0.05", "--force").exit_code == 0


def test_a_host_without_counters_is_an_error() -> None:
    with pytest.raises(HostError, match="no monitoring"):
        run("--once", "--host", "sim:allocation-only", "--interval", "0.1")


def test_without_textual_the_extra_is_named_and_one_frame_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "textual"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "cachetune.cli.top.app", raising=False)
    monkeypatch.setitem(sys.modules, "textual", None)
    monkeypatch.setattr("cachetune.cli.commands.top.has_terminal", lambda: True)
    with pytest.raises(MissingExtraError) as caught:
        run(*SIM)
    assert caught.value.hint == how_to_install("top", "textual")
    assert "default group" in run("--once", *SIM).stdout


@pytest.mark.parametrize("words", [["--help"], ["top", "--help"], ["top", "--once", *SIM], ["monitor", *SIM[:2]]])
def test_textual_is_imported_for_the_full_screen_only(words: list[str]) -> None:
    code = (
        "import sys; from cachetune.cli.main import main; sys.argv[1:] = "
        f"{words!r}\ntry:\n    main()\nfinally:\n    print('textual' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "False"
