import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import cachetune.sim
from cachetune.cli.main import command
from cachetune.errors import DocumentError, InputError
from cachetune.sim import profile_names
from tests.host.trees import SKYLAKE, below, group, make


def run(*words: object) -> Result:
    result = CliRunner().invoke(command, [str(word) for word in words], env={"COLUMNS": "80"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


PAGE = """\
Host {source}

L3     11 ways of 2.25 MiB
           10        0
  cache 0  ddddddd..AA  2 ways free (4.5 MiB), contiguous
  cache 1  ###########  nothing free
           ^^

Ways: letter = group below, # = several groups, . = free, ^ = shared with I/O

MB     2 nodes, percent from 10 to 100 in steps of 10

   GROUP                        OWNER      TASKS  SETTINGS
d  . (default group)            default        3  L3:0=7f0;1=7ff  MB:all=100
     mon cadvisor-a             cadvisor       1
A  cachetune-web-vcpus_0-1      cachetune      2  L3:0=3;1=7ff  MB:0=50;1=100
     mon cachetune-web-vcpus_0  cachetune      1

Control groups    2 of 8 CLOSIDs used, 6 left (cachetune 1)
Groups monitored  4 of 144 RMIDs used, 140 left (cachetune 2, cadvisor 1)
Events            L3_MON: llc_occupancy, mbm_total_bytes, mbm_local_bytes

The default group has L3 1 alone; 'cachetune plan --shrink-default' makes room.
"""


def without_libvirt(root: Path) -> Path:
    return make(root, {name: text for name, text in SKYLAKE.items() if not name.startswith("qemu")})


def test_a_host_is_shown_in_eighty_columns(tmp_path: Path) -> None:
    root = without_libvirt(tmp_path)
    assert run("show", "--resctrl", root).output == PAGE.format(source=root)


@pytest.mark.parametrize("name", profile_names())
def test_every_simulated_host_fits_in_eighty_columns(name: str) -> None:
    output = run("show", "--host", f"sim:{name}").output
    assert output.startswith(f"Host sim:{name}")
    assert max(map(len, output.splitlines())) <= 80
    assert "\x1b" not in output


def test_the_file_of_a_profile_is_not_taken_for_a_snapshot() -> None:
    profile = Path(cachetune.sim.__file__).parent / "profiles" / "milan.json"
    with pytest.raises(InputError, match=r"milan\.json is a profile, not a snapshot") as caught:
        run("show", "--host", profile)
    assert "cachetune sim mount DIR --profile FILE" in caught.value.hint


def test_free_ways_that_are_not_contiguous_name_the_largest_hole(tmp_path: Path) -> None:
    root = make(tmp_path, {**SKYLAKE, **group("L3:0=210;1=7ff"), "size": "L3:0=4718592;1=25952256"})
    assert "5 ways free (11.25 MiB), largest hole 4 (9 MiB)" in run("show", "--resctrl", root).output


def test_caches_that_look_the_same_share_a_line() -> None:
    assert "  caches 0-1  ddddddddddd  nothing free\n" in run("show", "--host", "sim:skylake-2s").output


def test_more_groups_than_rmids_are_shown_as_such(tmp_path: Path) -> None:
    root = make(tmp_path, {**SKYLAKE, "info/L3_MON/num_rmids": "1"})
    output = run("show", "--resctrl", root).output
    assert re.search(
        r"^Groups monitored  \d+, more than the 1 RMID that the host reports, so that is no\n", output, re.MULTILINE
    )


def test_modes_cpus_and_unknown_lines_are_shown(tmp_path: Path) -> None:
    tree = {**SKYLAKE, **below("info/NEW", {"num_closids": "4"})}
    tree["qemu-3-db-vcpus_0/schemata"] += "\nNEW:0=7"
    output = run("show", "--resctrl", make(tmp_path, tree)).output
    assert "exclusive" in output
    assert "CPUs 2-3" in output
    assert "NEW:0=7" in output
    assert "Not understood    NEW (4 CLOSIDs); such lines are kept\n" in output


def test_control_characters_in_a_name_are_escaped(tmp_path: Path) -> None:
    root = make(tmp_path, {**SKYLAKE, **below("evil\x1b[2J\r\u202e", group("L3:0=1;1=1"))})
    output = run("show", "--resctrl", root).output
    assert "\x1b" not in output
    assert "\u202e" not in output
    assert "evil\\x1b[2J\\r\\u202e" in output


def test_json_has_the_host_and_its_free_resources(tmp_path: Path) -> None:
    document = json.loads(run("show", "--json", "--resctrl", without_libvirt(tmp_path)).output)
    assert document["schema_version"] == 1
    assert document["caches"][0] == {
        "resource": "L3",
        "id": 0,
        "ways": 11,
        "way_bytes": 2359296,
        "io_ways": "600",
        "free": "c",
        "free_ways": 2,
        "free_bytes": 4718592,
        "largest_hole_ways": 2,
        "largest_hole_bytes": 4718592,
    }
    assert document["closids"] == {"used": 2, "total": 8, "left": 6}
    assert document["host"]["groups"][0]["path"] == "."


def test_a_snapshot_is_shown_like_its_host(tmp_path: Path) -> None:
    root, saved = without_libvirt(tmp_path / "root"), tmp_path / "node7.json"
    assert run("snapshot", "--resctrl", root, "-o", saved).output == ""
    assert run("show", "--host", saved).output == PAGE.format(source=root)


def snapshot_of(tmp_path: Path, **identity: object) -> Path:
    """A snapshot with this identity."""
    document = json.loads(run("snapshot", "--host", "sim:haswell").output)
    saved = tmp_path / "saved.json"
    saved.write_text(json.dumps(document | {"identity": identity}))
    return saved


@pytest.mark.parametrize(
    ("seconds", "age"),
    [
        (30, " (30 seconds old)"),
        (90, " (1 minute old)"),
        (3 * 3600, " (3 hours old)"),
        (36 * 3600, " (36 hours old)"),
        (20 * 86400, " (20 days old)"),
        (-600, ""),
    ],
)
def test_a_snapshot_says_whose_it_is_and_how_old(
    seconds: int, age: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = 1795961220.0
    monkeypatch.setattr("time.time", lambda: taken + seconds)
    saved = snapshot_of(tmp_path, hostname="node7", taken=taken, kernel="6.12.57", cpu_model="Xeon E5-2680 v3")
    first = " ".join(run("show", "--host", saved).output.partition("\n\n")[0].split())
    assert first == f"Host node7, snapshot of 2026-11-29 14:07 UTC{age}, Linux 6.12.57, Xeon E5-2680 v3"


def test_what_a_snapshot_does_not_know_is_left_out(tmp_path: Path) -> None:
    first = run("show", "--host", snapshot_of(tmp_path, taken=0)).output.splitlines()[0]
    assert re.fullmatch(r"Host, snapshot of 1970-01-01 00:00 UTC \([0-9]+ days old\)", first)


def test_control_characters_of_a_snapshot_do_not_reach_the_terminal(tmp_path: Path) -> None:
    hostile = "a\x1b[2Jb\r\nc\u202e"
    saved = snapshot_of(tmp_path, hostname=hostile, taken=0, kernel=hostile, cpu_model=hostile)
    output = run("show", "--host", saved).output
    assert output.count("a\\x1b[2Jb") == 3
    assert not {"\x1b", "\r", "\u202e"} & set(output)


@pytest.mark.parametrize("taken", [-1, 1e300, 253402300800])
def test_a_snapshot_of_an_impossible_time_is_refused(taken: float, tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="which is not a time"):
        run("show", "--host", snapshot_of(tmp_path, taken=taken))


def test_the_document_of_a_host_has_its_identity(tmp_path: Path) -> None:
    saved = snapshot_of(tmp_path, hostname="node7", taken=1.0)
    assert json.loads(run("show", "--json", "--host", saved).output)["host"]["identity"]["hostname"] == "node7"


def test_a_plan_does_not_depend_on_whose_snapshot_it_is(tmp_path: Path) -> None:
    one = json.loads(run("show", "--json", "--host", snapshot_of(tmp_path, hostname="a", taken=1)).output)
    other = json.loads(run("show", "--json", "--host", snapshot_of(tmp_path, hostname="b", taken=2)).output)
    assert one["fingerprint"] == other["fingerprint"]


def test_a_snapshot_on_stdout_can_be_piped_into_show() -> None:
    snapshot = run("snapshot", "--host", "sim:haswell").output
    shown = CliRunner().invoke(command, ["show", "--host", "-"], input=snapshot)
    assert shown.output.startswith("Host sim:haswell\n")


def test_a_snapshot_replaces_the_file_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    saved = tmp_path / "node7.json"
    saved.write_text("old")
    run("snapshot", "--host", "sim:haswell", "-o", saved)
    assert json.loads(saved.read_text())["source"] == "sim:haswell"
    assert list(tmp_path.iterdir()) == [saved]


def test_a_snapshot_that_cannot_be_written_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write"):
        run("snapshot", "--host", "sim:haswell", "-o", tmp_path / "nowhere/x.json")
    with pytest.raises(InputError, match="cannot write"):
        run("snapshot", "--host", "sim:haswell", "-o", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["show", "snapshot", "monitor"])
def test_a_misspelled_simulated_host_gets_a_suggestion(verb: str) -> None:
    with pytest.raises(InputError, match="unknown simulated host 'skylake2s'") as caught:
        run(verb, "--host", "sim:skylake2s")
    assert caught.value.hint.startswith("did you mean 'sim:skylake-2s'?")


def test_a_directory_is_not_a_snapshot(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Is a directory") as caught:
        run("show", "--host", tmp_path)
    assert "--resctrl" in caught.value.hint


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff\xfe", b'{"schema_version":1}', b"[" * 100_000])
def test_a_file_that_is_not_a_snapshot_is_refused(data: bytes, tmp_path: Path) -> None:
    saved = tmp_path / "x.json"
    saved.write_bytes(data)
    with pytest.raises(InputError, match=r"x\.json"):
        run("show", "--host", saved)


def test_a_host_without_resctrl_exits_2_with_a_hint(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cachetune.cli.main", "show", "--resctrl", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {tmp_path}: not a mounted resctrl")
    assert "hint: pass the directory" in done.stderr


def test_an_ascii_terminal_gets_ascii_characters(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cachetune.cli.main", "show", "--resctrl", without_libvirt(tmp_path)],
        capture_output=True,
        check=True,
        env={"PYTHONIOENCODING": "ascii", "COLUMNS": "80"},
    )
    assert b"ddddddd..AA" in done.stdout


def test_show_waits_for_the_lock_and_then_reads_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cachetune.host import SysfsResctrl
    from cachetune.service import hosts

    root = without_libvirt(tmp_path)
    monkeypatch.setattr(SysfsResctrl, "is_live", True)
    monkeypatch.setattr(hosts, "_LOCK_SECONDS", 0.02)
    with SysfsResctrl(root).lock(exclusive=True, timeout=0):
        result = run("show", "--resctrl", root)
    assert "still locked" in result.stderr
    assert "read without the lock" in result.stderr
    assert result.stdout.startswith("Host ")


@pytest.mark.parametrize("verb", ["show", "snapshot", "monitor"])
def test_help_has_an_example(verb: str) -> None:
    assert f"cachetune {verb}" in run(verb, "--help").output.partition("Example")[2]
