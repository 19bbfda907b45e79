"""Nothing is changed without consent, and nothing is waited for in silence: on a mounted resctrl, and on a terminal."""

import contextlib
import fcntl
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from subprocess import DEVNULL, PIPE, CompletedProcess

import pytest

from cachetune import documents
from cachetune.apply.state.journal import Journal
from cachetune.plan.model import Plan
from tests.cli.terminal import converse
from tests.sim.fuse.mounted import CACHETUNE, ROOT, Mounted, mounted, need_fuse, run

pytestmark = pytest.mark.slow

GUEST = """<domain type='kvm'><name>web</name><vcpu>2</vcpu><cputune>
<cachetune vcpus='0-1'><cache id='0' level='3' type='both' size='4608' unit='KiB'/></cachetune>
</cputune></domain>
"""
GROUP = "cachetune-web-vcpus_0-1"
REFUSED = "error: nothing was changed, because there is no terminal for the confirmation prompt\n"


class Host:
    """A mounted host, a guest's XML, and two threads for its vCPUs."""

    def __init__(self, mount: Mounted, directory: Path, tids: list[int]) -> None:
        self.mount, self.run = mount, directory / "cachetune"
        self.xml = directory / "web.xml"
        self.xml.write_text(GUEST)
        self.saved = directory / "plan.json"
        self.places = ("--resctrl", mount.root, "--run", self.run)
        self.request = ("--shrink-default", "--vcpu", f"0={tids[0]}", "--vcpu", f"1={tids[1]}", self.xml)

    def cachetune(self, verb: str, *words: str | Path) -> CompletedProcess[str]:
        return run(verb, *self.places, *words, stdin=DEVNULL)

    def state(self) -> tuple[str, list[str], list[str]]:
        """The masks, the groups and the files of the run directory."""
        files = sorted(path.name for path in self.run.iterdir()) if self.run.exists() else []
        groups = [path for path in self.mount.tree() if path.startswith("cachetune-") and path.endswith("/")]
        return self.mount.read("schemata"), groups, files

    @contextlib.contextmanager
    def locked(self, how: int) -> Iterator[None]:
        """This process holds the lock."""
        fd = os.open(self.mount.root, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(fd, how)
        yield
        os.close(fd)

    def killed(self) -> Plan:
        """An apply of the saved plan that was killed before its last step."""
        assert self.cachetune("plan", *self.request, "-o", self.saved).returncode == 0
        plan = documents.decode(self.saved.read_bytes(), Plan, "plan")
        journal = Journal.begin(self.run, plan, str(self.mount.root))
        for step in plan.steps[:2]:
            journal.taking(step)
        journal.keep()
        self.mount.write("schemata", "L3:0=7fc\n")
        self.mount.mkdir(GROUP)
        return plan


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    need_fuse()
    with contextlib.ExitStack() as stack:
        threads = [stack.enter_context(subprocess.Popen(["/bin/sleep", "1000"])) for _ in range(2)]
        for thread in threads:
            stack.callback(thread.kill)
        mount = stack.enter_context(mounted(tmp_path / "mount", "--tids", "real", profile="skylake-2s"))
        yield Host(mount, tmp_path, [thread.pid for thread in threads])


def test_without_a_terminal_and_without_yes_every_verb_that_writes_refuses_before_it_locks(host: Host) -> None:
    assert host.cachetune("plan", *host.request, "-o", host.saved).returncode == 0
    assert host.cachetune("apply", "--yes", *host.request).returncode == 0
    before = host.state()
    with host.locked(fcntl.LOCK_EX):
        for words in (
            ("apply", host.saved),
            ("apply", "--json", *host.request),
            ("remove", host.xml),
            ("remove", "--all-guests"),
            ("recover",),
        ):
            refused = host.cachetune(*words)  # type: ignore[arg-type]
            assert (refused.returncode, refused.stdout) == (2, "")
            assert refused.stderr.splitlines(keepends=True)[-2] == REFUSED
            assert "hint: pass --yes" in refused.stderr
    assert host.state() == before


def test_a_terminal_is_prompted_and_only_yes_changes_anything(host: Host) -> None:
    before = host.state()
    for answer in ("n", "", "\x04"):
        code, screen = converse(answer, "apply", *host.places, *host.request)
        assert (code, "Apply this plan? [y/N]" in screen, "Nothing was changed." in screen) == (2, True, True)
    assert host.state() == before
    code, screen = converse("y", "apply", *host.places, *host.request)
    assert (code, screen.splitlines()[-1]) == (0, "Done: 4 steps, each read back.")
    code, screen = converse("y", "remove", *host.places, host.xml)
    assert (code, "Remove these groups? [y/N]" in screen) == (0, True)
    assert host.state()[:2] == before[:2]


def test_recover_on_a_terminal_says_what_it_will_undo_and_prompts(host: Host) -> None:
    before = host.state()
    assert converse("n", "recover", *host.places) == (0, "Nothing to do.\n")
    host.killed()
    killed = host.state()
    code, screen = converse("n", "recover", *host.places)
    assert code == 2
    assert screen.splitlines()[:2] == [f"undo: create {GROUP}", "undo: write L3:0=7fc to the default group"]
    assert host.state() == killed
    assert converse("y", "recover", *host.places)[0] == 0
    assert host.state()[:2] == before[:2]


def test_a_dry_run_prints_the_plan_of_diff_and_changes_nothing_while_others_read(host: Host) -> None:
    diff = host.cachetune("diff", *host.request)
    assert host.cachetune("plan", *host.request, "-o", host.saved).returncode == 0
    before = host.state()
    with host.locked(fcntl.LOCK_SH):
        dry = host.cachetune("apply", "--dry-run", *host.request)
        saved = host.cachetune("apply", "--dry-run", host.saved)
        document = host.cachetune("apply", "--dry-run", "--json", host.saved)
        removed = host.cachetune("remove", "--dry-run", "--all-guests")
    assert (diff.returncode, dry.returncode, dry.stdout) == (1, 0, diff.stdout)
    assert (saved.returncode, saved.stdout) == (0, diff.stdout)
    assert (document.returncode, document.stdout) == (0, host.saved.read_text())
    assert host.state() == before
    assert removed.returncode in (0, 2)


def test_a_dry_run_of_remove_shows_what_would_go(host: Host) -> None:
    assert host.cachetune("apply", "--yes", *host.request).returncode == 0
    before = host.state()
    dry = host.cachetune("remove", "--dry-run", host.xml)
    assert dry.returncode == 0
    assert f"- {GROUP}" in dry.stdout
    document = json.loads(host.cachetune("remove", "--dry-run", "--json", host.xml).stdout)
    assert [step["kind"] for step in document["steps"]] == ["move_tasks", "remove_group", "write_schemata"]
    assert host.state() == before


def test_a_dry_run_is_refused_as_the_apply_would_be(host: Host) -> None:
    assert host.cachetune("plan", *host.request, "-o", host.saved).returncode == 0
    host.mount.mkdir("another")
    stale = host.cachetune("apply", "--dry-run", host.saved)
    assert (stale.returncode, "[CT501]" in stale.stderr) == (2, True)
    document = json.loads(host.cachetune("apply", "--dry-run", "--json", host.saved).stdout)
    assert [finding["rule"] for finding in document["findings"]] == ["CT501"]
    full = host.cachetune("apply", "--dry-run", "--json", *host.request[1:])  # without --shrink-default
    assert (full.returncode, json.loads(full.stdout)["findings"][-1]["rule"]) == (2, "CT207")
    assert not host.run.exists()


def test_an_interrupted_run_is_named_by_the_verbs_that_read_until_it_is_recovered(host: Host) -> None:
    host.killed()
    warning = "warning: an earlier run for cachetune-web was interrupted; run 'cachetune recover' first\n"
    reading = {
        "show": (),
        "guests": (),
        "plan": host.request,
        "diff": host.request,
        "monitor": (),
    }
    said = {verb: host.cachetune(verb, *words).stderr for verb, words in reading.items()}
    said["guests"] = said["guests"].replace("note:", "warning:")
    assert [verb for verb, text in said.items() if warning not in text] == []
    dry = host.cachetune("apply", "--dry-run", *host.request)
    assert (dry.returncode, "[CT503]" in dry.stderr) == (2, True)
    assert host.cachetune("recover", "--yes").returncode == 0
    assert [verb for verb, words in reading.items() if "interrupted" in host.cachetune(verb, *words).stderr] == []


def test_waiting_for_the_lock_is_said_after_a_second_with_the_program_that_holds_it(host: Host) -> None:
    with subprocess.Popen(["/usr/bin/flock", host.mount.root, "cat"], stdin=PIPE) as holder:
        while host.cachetune("apply", "--lock-timeout", "0", "--yes", *host.request).returncode == 0:
            host.cachetune("remove", "--yes", host.xml)  # flock has not started yet
        command = [*CACHETUNE, "apply", *host.places, "--lock-timeout", "60", "--yes", *host.request]
        with subprocess.Popen(command, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, text=True, cwd=ROOT) as applying:
            assert applying.stderr is not None
            line = f"Waiting for the lock on {host.mount.root}, held by process {holder.pid} (flock) ...\n"
            assert applying.stderr.readline() == line
            assert holder.stdin is not None
            holder.stdin.close()
            assert "Waiting" not in applying.stderr.read()
        assert applying.returncode == 0
    assert "Waiting" not in host.cachetune("remove", "--yes", host.xml).stderr


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("plan", "--host", "sim:milan", "--host", "sim:milan"), "--host"),
        (("show", "--run", "/a", "--host", "sim:milan", "--run=/a"), "--run"),
        (("plan", "-o", "/a", "--output", "/b"), "--output"),
        (("apply", "--pid", "1", "--pid", "2"), "--pid"),
        (("agent", "status", "--run", "/a", "--run", "/b"), "--run"),
        (("sim", "mount", "/a", "--profile", "x", "--profile", "y"), "--profile"),
    ],
)
def test_an_option_with_one_value_is_given_once(words: tuple[str, ...], option: str) -> None:
    refused = run(*words)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"error: option '{option}' is given 2 times, but has one value\n" in refused.stderr


def test_a_flag_with_two_names_is_one_of_them() -> None:
    for words in (("--exclusive", "--shareable"), ("--shareable", "--l3", "3ways", "--exclusive")):
        refused = run("set", "web", *words)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "error: --exclusive and --shareable exclude each other\n" in refused.stderr


def test_flags_and_lists_may_be_repeated() -> None:
    shown = run("show", "--json", "--json", "--host", "sim:milan")
    assert (shown.returncode, json.loads(shown.stdout)["schema_version"]) == (0, 1)
    threads = ("--vcpu", "0=1", "--vcpu", "1=1", "--host", "sim:skylake-2s")
    assert "--vcpu" not in run("plan", *threads, "no.xml").stderr
