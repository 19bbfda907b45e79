"""What each value can be, and that a host in trouble does not keep a shell waiting."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import pytest
from click.shell_completion import CompletionItem

from cachetune.cli.completion import running
from cachetune.cli.completion.shells import Zsh
from cachetune.cli.completion.values import COMPLETERS, FREE, metavar_of
from cachetune.cli.main import VERBS, command
from cachetune.explain.catalog import RULES
from cachetune.sim import profile_names
from tests.cli.test_help import COMMANDS
from tests.guests.lookalike import add_process

UUID = "8f1a2c34-0000-4000-8000-000000000001"


def items(*words: str | Path) -> Sequence[CompletionItem[str]]:
    """The completions of the last word."""
    *args, begun = map(str, words)
    return Zsh(command, {}, "cachetune", "_CACHETUNE_COMPLETE").get_completions(args, begun)


def completions(*words: str | Path) -> list[str]:
    return [item.value for item in items(*words)]


def parameters() -> Iterator[tuple[str, click.Parameter, click.Context]]:
    for name, verb in COMMANDS.items():
        context = click.Context(verb, info_name=name)
        for parameter in verb.get_params(context):
            if not (isinstance(parameter, click.Option) and parameter.is_flag):
                yield f"{name} {parameter.opts[-1]}", parameter, context


@pytest.fixture(autouse=True)
def patient(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a loaded machine, 200 ms can be too short for three files; only the tests of the limit have it."""
    if "answer" not in request.node.name:
        monkeypatch.setattr(running, "MOST_SECONDS", 60.0)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Processes: two guests with names, and a shell."""
    proc = tmp_path / "proc"
    qemu = "/usr/bin/qemu-system-x86_64"
    for pid, arguments in (
        (40, [qemu, "-name", "guest=web,debug-threads=on", "-uuid", UUID]),
        (41, [qemu, "-name", "db"]),
    ):
        add_process(proc, pid, {pid: "qemu"}, arguments=arguments)
    add_process(proc, 42, {42: "sh"}, arguments=["sh"])
    return proc


@pytest.fixture
def resctrl(tmp_path: Path) -> Path:
    tree = tmp_path / "resctrl"
    tree.mkdir()
    (tree / "schemata").write_text("    MB:0=100;1=100\nL3CODE:0=7ff;1=7ff\nL3DATA:0=7ff;1=7ff\n")
    return tree


def test_each_value_is_completed_or_known_to_be_free() -> None:
    unknown = {
        where: metavar_of(parameter, context)
        for where, parameter, context in parameters()
        if not isinstance(parameter.type, click.Choice)
        and not {f"--{parameter.name}", metavar_of(parameter, context)} & {*COMPLETERS, *FREE, "EVENT"}
    }
    assert not unknown


def test_each_completer_and_each_free_word_is_that_of_a_parameter() -> None:
    words = {word for _, each, context in parameters() for word in (f"--{each.name}", metavar_of(each, context))}
    assert {*COMPLETERS, *FREE} <= words


def test_verbs_are_completed_with_their_summaries() -> None:
    assert completions("") == list(VERBS)
    (plan,) = items("pl")
    assert (plan.value, plan.help) == ("plan", VERBS["plan"])
    assert completions("sim", "m") == ["mount"]
    assert completions("help", "sim", "u") == ["unmount"]
    assert completions("help", "plan", "") == []


def test_the_options_of_a_verb_are_completed() -> None:
    assert completions("monitor", "--i") == ["--interval"]


def test_the_kernels_events_are_completed() -> None:
    assert completions("monitor", "--event", "mbm_") == ["mbm_total_bytes", "mbm_local_bytes"]
    assert completions("monitor", "--event", "x") == []


def test_choices_are_completed() -> None:
    assert completions("plan", "--source", "lib") == ["libvirt-status", "libvirt"]


def test_rules_have_their_summary_as_description() -> None:
    found = items("explain", "ct20")
    assert [item.value for item in found] == [name for name in RULES if name.startswith("CT20")]
    assert found[0].help == RULES[found[0].value].summary


def test_rules_of_validate_are_completed_after_each_comma() -> None:
    assert completions("validate", "--ignore", "CT10")[:2] == ["CT101", "CT102"]
    assert completions("validate", "--select", "CT150,ct")[:2] == ["CT150,CT0", "CT150,CT001"]
    assert completions("validate", "--select", "CT6") == []


def test_the_doctors_checks_are_completed() -> None:
    assert completions("doctor", "CT611", "CT61") == [name for name in RULES if name.startswith("CT61")]


def test_a_host_is_a_snapshot_or_a_simulated_one() -> None:
    assert [(item.type, item.value) for item in items("plan", "--host", "")] == [("part", "sim:"), ("file", "*.json")]
    assert completions("plan", "--host=sim:") == [f"sim:{name}" for name in sorted(profile_names())]
    assert [(item.type, item.value) for item in items("fit", "web.xml", "")] == [("part", "sim:"), ("file", "*")]
    (skylake,) = items("plan", "--host", "sim:sk")
    assert skylake.value == "sim:skylake-2s"
    assert "Skylake" in (skylake.help or "")


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("plan", ""), "file"),
        (("plan", "-o", ""), "file"),
        (("plan", "--policy="), "file"),
        (("validate", "a.xml", ""), "file"),
        (("report", "--db", ""), "file"),
        (("plan", "--resctrl", ""), "dir"),
        (("sim", "mount", ""), "dir"),
    ],
)
def test_files_and_directories_are_left_to_the_shell(words: tuple[str, ...], kind: str) -> None:
    assert [item.type for item in items(*words)] == [kind]


def test_mount_options_are_completed_after_each_comma() -> None:
    assert completions("install", "--mount", "c") == ["cdp", "cdpl2"]
    assert completions("install", "--mount", "cdp,") == ["cdp,cdpl2", "cdp,mba_MBps"]


def test_running_guests_are_completed_by_name_and_by_uuid(proc: Path) -> None:
    assert completions("plan", "--proc", proc, "--guest", "") == ["db", "web"]
    assert completions("plan", "--proc", proc, "--guest", UUID[:4]) == [UUID]
    assert completions("set", "--proc", proc, "w") == ["web"]
    assert [(item.value, item.help) for item in items("plan", "--proc", proc, "--pid", "41")] == [("41", "db")]


SNAPSHOT = Path(__file__).parents[3] / "examples" / "fragmented.json"


@pytest.mark.parametrize("words", [("fit", "--from"), ("export", "--host")], ids=" ".join)
def test_of_a_snapshot_the_guests_with_groups_are_completed(words: tuple[str, str]) -> None:
    found = items(*words, SNAPSHOT, "--guest", "")
    assert [(item.value, item.help) for item in found] == [("db", "1 group"), ("mail", "1 group")]
    assert completions(*words, SNAPSHOT, "--guest", "m") == ["mail"]


def test_without_a_snapshot_fit_has_no_guests_and_export_those_of_this_machine(proc: Path) -> None:
    assert completions("fit", "--guest", "") == []
    assert completions("export", "--proc", proc, "--guest", "") == ["db", "web"]


def test_a_snapshot_in_the_home_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "node7.json").write_bytes(SNAPSHOT.read_bytes())
    assert completions("fit", "--from", "~/node7.json", "--guest", "d") == ["db"]


GROUP = '{{"path": "{}", "owner": "cachetune"}}'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\x00",
        b"<domain/>",
        b"[]",
        b'{"groups": 7}',
        b'{"groups": [{"path": 1, "owner": "cachetune"}]}',
        b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b', "groups": []}',
    ],
)
def test_a_file_that_is_no_snapshot_has_no_guests_and_no_traceback(
    content: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "node7.json"
    file.write_bytes(content)
    assert completions("fit", "--from", file, "--guest", "") == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["none.json", ".", "-", "sim:skylake-2s", "~nobody-here/a.json", "a\0b"])
def test_what_is_no_file_has_no_guests_and_no_traceback(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert completions("fit", "--from", name, "--guest", "") == []
    assert capfd.readouterr() == ("", "")


def test_a_snapshot_that_does_not_answer_does_not_keep_the_shell_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "node7.json")
    assert completions("fit", "--from", tmp_path / "node7.json", "--guest", "") == []


def test_a_guest_in_a_snapshot_with_control_characters_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "node7.json"
    paths = ("cachetune-web", r"cachetune-a\n\u001b[2Jb")
    file.write_text('{"groups": [' + ", ".join(map(GROUP.format, paths)) + "]}")
    shell = Zsh(command, {}, "cachetune", "_CACHETUNE_COMPLETE")
    lines = [shell.format_completion(item) for item in items("fit", "--from", file, "--guest", "")]
    assert [line for line in lines if line] == ["plain\tweb\t1 group"]


def test_the_ids_of_this_hosts_caches_are_completed(resctrl: Path) -> None:
    assert completions("set", "--resctrl", resctrl, "web", "--l3", "") == ["0=", "1="]
    assert completions("set", "--resctrl", resctrl, "web", "--l3code", "1") == ["1="]
    assert completions("default", "--resctrl", resctrl, "--mb", "") == ["0=", "1="]
    assert completions("set", "--resctrl", resctrl, "web", "--l2", "") == []
    assert completions("compact", "--resctrl", resctrl, "--cache", "") == ["L3:0", "L3:1"]


def test_a_host_without_resctrl_has_no_ids(tmp_path: Path) -> None:
    assert completions("set", "--resctrl", tmp_path, "web", "--l3", "") == []
    assert completions("plan", "--proc", tmp_path / "none", "--guest", "") == []


def test_a_file_that_does_not_answer_does_not_keep_the_shell_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "schemata")  # as on a mount whose server is dead: opening it never returns
    assert completions("set", "--resctrl", tmp_path, "web", "--l3", "") == []


def test_processes_that_do_not_answer_hide_only_the_guests_after_them(proc: Path) -> None:
    (proc / "43").mkdir()
    os.mkfifo(proc / "43" / "cmdline")
    assert set(completions("plan", "--proc", proc, "--guest", "")) <= {"db", "web"}


def test_a_name_with_control_characters_is_left_out(proc: Path) -> None:
    qemu = "/usr/bin/qemu-system-x86_64"
    add_process(proc, 44, {44: "qemu"}, arguments=[qemu, "-name", "guest=a\n\x1b[2Jb"])
    shell = Zsh(command, {}, "cachetune", "_CACHETUNE_COMPLETE")
    lines = [shell.format_completion(item) for item in items("plan", "--proc", proc, "--guest", "")]
    assert [line.partition("\t")[2].partition("\t")[0] for line in lines if line] == ["db", "web"]
