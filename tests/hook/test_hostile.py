"""The hook reports every failure in one line, and stops a guest only at prepare and started, with --strict."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cachetune.testing.guests import NamedThreads
from tests import waiting
from tests.hook.calling import HOOK, Libvirt, cache, call, domain, tuning
from tests.sim.fuse.mounted import ROOT

pytestmark = pytest.mark.slow

OTHER_OPERATIONS = ("start", "stopped", "migrate", "restore", "attach", "explode", "")
LIVE = domain("web", cache(), number=4)


def test_other_operations_exit_at_once_without_reading_stdin() -> None:
    for operation in OTHER_OPERATIONS:
        reader, writer = os.pipe()  # stays open and empty, so that reading would block
        words = ("--resctrl=/nonexistent", "--no-such-option", "web", operation, "begin", "-")
        done = waiting.run([*HOOK, *words], stdin=reader, capture_output=True, cwd=ROOT)
        os.close(reader)
        os.close(writer)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert call("web", "prepare", "end", "-", xml=LIVE).stderr == b"", "no such sub-operation"


def test_a_guest_without_tuning_imports_only_the_hook(tmp_path: Path) -> None:
    code = """if 1:
        import sys
        before = set(sys.modules)
        from cachetune.hook import run
        code = run(sys.argv[1:])
        sys.stderr.write(f"{code} {sorted(set(sys.modules) - before)}")"""
    for operation, ending in (("prepare", "begin"), ("release", "end")):
        words = (f"--guests-d={tmp_path}", f"--run={tmp_path}", "web", operation, ending, "-")
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            input=domain("web").encode(),
            capture_output=True,
            cwd=ROOT,
            check=True,
        )
        # cachetune itself needs lazy, which imports nothing
        assert done.stderr == b"0 ['cachetune', 'cachetune.hook', 'cachetune.lazy']"


def test_tuning_in_a_comment_needs_no_resctrl() -> None:
    xml = domain("web", "<!-- <cachetune> -->", number=4)
    for operation in ("prepare", "started", "reconnect"):
        done = call("--strict", "--resctrl=/nonexistent", "web", operation, "begin", "-", xml=xml)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_wrong_arguments_print_the_usage() -> None:
    for words in ((), ("--help",), ("--strict", "web", "prepare")):
        done = call(*words)
        assert (done.returncode, done.stdout) == (2, b"")
        assert done.stderr.startswith(b"Usage: cachetune-hook [OPTION]... GUEST OPERATION SUB-OPERATION EXTRA\n")


def an_interrupted_run(libvirt: Libvirt) -> None:
    libvirt.run.mkdir()
    (libvirt.run / "journal.jsonl").write_bytes(b"")


def a_damaged_ledger(libvirt: Libvirt) -> None:
    libvirt.run.mkdir()
    (libvirt.run / "ledger.json").write_text('{"schema_version": 1, "guests": 7}')


def a_file_in_the_way(libvirt: Libvirt) -> None:
    libvirt.run.write_text("")


def nothing(_: Libvirt) -> None:
    pass


def a_guest_that_ended(libvirt: Libvirt) -> None:
    child = subprocess.Popen(["/bin/true"])
    child.wait()
    (libvirt.libvirt_run / "web.pid").write_text(f"{child.pid}\n")


def a_process_that_is_not_a_guest(libvirt: Libvirt) -> None:
    (libvirt.libvirt_run / "web.pid").write_text(f"{os.getpid()}\n")


def a_pid_file_without_a_number(libvirt: Libvirt) -> None:
    (libvirt.libvirt_run / "web.pid").write_text("-1; rm -rf /\n")


Case = tuple[Callable[[Libvirt], None], str | bytes, tuple[str, ...], str]
BEFORE: dict[str, Case] = {
    "broken XML": (nothing, "<domain><cachetune", (), "[CT001]"),
    "an entity": (nothing, f"<!DOCTYPE domain [<!ENTITY a 'b'>]>{LIVE}", (), "[CT008]"),
    "too large": (nothing, b" " * ((16 << 20) + 1), (), "the domain XML is larger than 16 MiB"),
    "no document": (nothing, b"", (), "no domain XML on standard input"),
    "not text": (nothing, b"<cachetune\xff\0\xfe", (), "[CT001]"),
    "XML of another guest": (nothing, domain("db", cache(), number=4), (), "describes guest 'db'"),
    "XML of a guest that does not run": (nothing, domain("web", cache()), (), "it has no id"),
    "no resctrl": (nothing, LIVE, ("--resctrl=/nonexistent",), "/nonexistent: not a mounted resctrl"),
    "not a resctrl": (nothing, LIVE, ("--resctrl=/etc",), "/etc: not a mounted resctrl"),
    "the lock is held": (
        Libvirt.hold_the_lock,
        LIVE,
        ("--lock-timeout=0.1",),
        f"still locked by process {os.getpid()} after 0.1 s",
    ),
    "an interrupted run": (an_interrupted_run, LIVE, (), "run 'cachetune recover' first"),
    "a damaged ledger": (a_damaged_ledger, LIVE, (), "ledger.json: Expected"),
    "a file in the way": (a_file_in_the_way, LIVE, ("--shrink-default",), "/run"),
    "an unknown option": (nothing, LIVE, ("--strickt",), "unknown option '--strickt'"),
    "an option without its value": (nothing, LIVE, ("--sysfs=",), "option --sysfs requires a value"),
    "a wait that is not a number": (nothing, LIVE, ("--lock-timeout", "soon"), "must be between 0 and 60 seconds"),
    "an endless wait": (nothing, LIVE, ("--lock-timeout=inf",), "must be between 0 and 60 seconds"),
}
AFTER: dict[str, Case] = {
    "no pid file": (nothing, LIVE, (), "web.pid: No such file"),
    "a pid file without a number": (a_pid_file_without_a_number, LIVE, (), "web.pid: it does not contain a process id"),
    "a guest that ended": (a_guest_that_ended, LIVE, (), "does not exist"),
    "a process that is not a guest": (a_process_that_is_not_a_guest, LIVE, (), "has a vCPU's name"),
}


@pytest.mark.parametrize(("operation", "case"), [("prepare", c) for c in BEFORE] + [("started", c) for c in AFTER])
def test_a_failure_is_one_line_and_stops_the_guest_only_with_strict(
    libvirt: Libvirt, operation: str, case: str
) -> None:
    arrange, xml, options, message = (BEFORE | AFTER)[case]
    arrange(libvirt)
    before = libvirt.tree()
    for words, when, code in (((), operation, 0), (("--strict",), operation, 1), (("--strict",), "reconnect", 0)):
        (line,) = libvirt.hook(when, "web", xml, *words, *options, code=code)
        assert line.startswith(f"cachetune-hook: {when} of ")
        assert message in line or when != operation
    assert libvirt.tree() == before


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "broken": (lambda path: path.write_text("<cputune"), "[CT001]"),
    "of another guest": (lambda path: path.write_text(domain("db", cache())), "describes guest 'db'"),
    "a directory": (lambda path: path.mkdir(), "it is a directory"),
    "a pipe": (os.mkfifo, "it is a FIFO"),
    "a link to nowhere": (lambda path: path.symlink_to("nowhere"), "No such file"),
}


@pytest.mark.parametrize("case", FILES)
def test_an_unusable_tuning_file_is_named(libvirt: Libvirt, case: str) -> None:
    make, message = FILES[case]
    make(libvirt.guests_d / "web.xml")
    (line,) = libvirt.hook("prepare", "web", domain("web", number=4), "--strict", code=1)
    assert f"{libvirt.guests_d}/web.xml" in line
    assert message in line


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", ".evil", "a/../../evil", ""])
def test_no_guest_name_leads_to_a_file_of_another_name(libvirt: Libvirt, name: str) -> None:
    for file in (libvirt.guests_d / ".evil.xml", libvirt.guests_d.parent / "evil.xml", libvirt.guests_d / ".xml"):
        file.write_text(tuning(cache()))
    before = libvirt.tree()
    libvirt.libvirt_run.joinpath(".pid").write_text(str(os.getpid()))
    for operation in ("prepare", "started", "release"):
        assert libvirt.hook(operation, name, domain(name or "web", number=4), "--shrink-default") == [] or not name
    assert libvirt.tree() == before


@pytest.mark.parametrize("name", ["--strict", "-", "w\x1b[2Jeb\n", "дом", "x" * 300, "'; exit 1; '"])
def test_any_guest_name_is_printed_on_one_line(libvirt: Libvirt, name: str) -> None:
    xml = domain(name.replace("\x1b", "?").replace("\n", "?"), cache(), number=4)
    (line,) = libvirt.hook("prepare", name, xml)
    assert line.isprintable()


def test_a_name_that_is_not_utf8_is_handled(libvirt: Libvirt) -> None:
    name = os.fsdecode(b"w\xffeb")
    (line,) = libvirt.hook("prepare", name, LIVE)
    assert "describes guest 'web'" in line


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_standard_streams_are_handled(libvirt: Libvirt, qemu: NamedThreads, closed: tuple[int, ...]) -> None:
    libvirt.file("web", tuning(cache()))
    libvirt.runs("web", qemu)
    words = " ".join([*libvirt.source_options, "--shrink-default", "web", "started", "begin", "-"])
    shut = " ".join(f"{fd}<&-" for fd in closed)
    shell = f"{HOOK[0]} -c '{HOOK[2]}' {words} {shut}"
    xml = domain("web", number=4).encode()
    done = waiting.run(["/bin/sh", "-c", shell], input=xml, capture_output=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"Traceback" not in done.stderr
    assert (len(libvirt.groups()) == 1) == (0 not in closed), "without the XML the hook does nothing"


def test_a_closed_pipe_for_standard_error_is_handled(libvirt: Libvirt) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = [*HOOK, *libvirt.source_options, "web", "prepare", "begin", "-"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stderr=writer, cwd=ROOT) as hook:
        os.close(writer)
        waiting.finish(hook, LIVE.encode())
    assert hook.returncode == 0


NO_GUEST = """if 1:
    import os
    from cachetune.hook import main, operations
    os.setgid(65534)
    os.setuid(65534)
    main()"""


def test_without_root_the_hook_reports_the_missing_permission(libvirt: Libvirt) -> None:
    if os.geteuid():
        pytest.skip("only root can become another user")
    words = [sys.executable, "-c", NO_GUEST, *libvirt.source_options, "--strict", "web", "prepare", "begin", "-"]
    done = waiting.run(words, input=LIVE.encode(), capture_output=True, cwd=ROOT)
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert "Permission denied" in line


def test_an_unexpected_exception_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import cachetune.hook
    from cachetune.hook import operations

    def handle(_: object) -> int:
        raise RuntimeError("no such luck")

    monkeypatch.setattr(operations, "handle", handle)
    monkeypatch.setattr(cachetune.hook, "_read_xml", lambda call: setattr(call, "xml", b"<cachetune/>") or "")
    for words, operation, code in (((), "prepare", 0), (("--strict",), "prepare", 1), (("--strict",), "reconnect", 0)):
        assert cachetune.hook.run([*words, "web", operation, "begin", "-"]) == code
        captured = capsys.readouterr()
        assert captured.err == f"cachetune-hook: {operation} of 'web': RuntimeError: no such luck (this is a bug)\n"
        assert captured.out == ""
