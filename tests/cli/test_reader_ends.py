"""Verbs whose reader has ended, in real pipes of a real shell: silent, with the status of SIGPIPE as other programs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cachetune.apply.run import Connection
from cachetune.cli.changing import change
from cachetune.guests.model import Guest, Thread
from cachetune.host.model import DEFAULT_GROUP
from cachetune.host.read import read_host
from cachetune.plan.request import GuestRequest, Options
from cachetune.service.plans import planner_of
from cachetune.service.requests import Document, load_document
from cachetune.sim import SimulatedResctrl, load_profile
from tests.cli.test_streams import Unread

ROOT = Path(__file__).parents[2]
SIGPIPE = 141
"""The status that a shell reports for a program that SIGPIPE ended."""

GUEST = """
<domain type='kvm'>
  <name>web</name>
  <vcpu>2</vcpu>
  <cputune>
    <cachetune vcpus='0-1'>
      <cache id='0' level='3' type='both' size='4608' unit='KiB'/>
    </cachetune>
  </cputune>
</domain>
"""


def shell(script: str, directory: Path) -> tuple[str, str]:
    """Run a script of bash, in which ``$cachetune`` is the command; its stdout and its stderr."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "cachetune": f"{sys.executable} -m cachetune.cli.main"}
    done = subprocess.run(
        ["/bin/bash", "-c", script], capture_output=True, text=True, cwd=directory, env=environment, check=False
    )
    return done.stdout, done.stderr


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "plan --help",
        "help",
        "explain",
        "show --host sim:atom-l2",
        "show --json --host sim:skylake-2s",
        "plan --host sim:skylake-2s --shrink-default guest.xml 2>&5",
        "monitor --host sim:skylake-2s",
        "monitor --host sim:skylake-2s --interval 0.01 --force",
        "top --once --host sim:skylake-2s --interval 0.01 --force",
        "doctor --host sim:skylake-2s",
        "log --log log.json",
    ],
)
def test_a_verb_without_a_reader_ends_silently_by_sigpipe(words: str, tmp_path: Path) -> None:
    (tmp_path / "guest.xml").write_text(GUEST)
    (tmp_path / "log.json").touch()
    without_reader = "mkfifo pipe; exec 4<>pipe 5>pipe 4>&-"
    assert shell(f"{without_reader}; $cachetune {words} >&5; echo $?", tmp_path) == (f"{SIGPIPE}\n", "")


def test_errors_without_a_reader_are_silent_too(tmp_path: Path) -> None:
    without_reader = "mkfifo pipe; exec 4<>pipe 5>pipe 4>&-"
    assert shell(f"{without_reader}; $cachetune validate no.xml 2>&5; echo $?", tmp_path) == (f"{SIGPIPE}\n", "")


def test_the_first_line_of_a_demo_is_all_that_is_said(tmp_path: Path) -> None:
    script = "$cachetune demo | head -2; echo ${PIPESTATUS[*]}"
    title = "== The domain requests cache, memory bandwidth and monitors"
    assert shell(script, tmp_path) == (f"\n{title}\n{SIGPIPE} 0\n", "")


def test_a_verb_that_prints_nothing_does_not_need_a_reader(tmp_path: Path) -> None:
    record = "$cachetune record --host sim:skylake-2s --db history.db --interval 0.01 --force --count 2 | true"
    out, err = shell(f"{record}; echo ${{PIPESTATUS[*]}}", tmp_path)
    assert out == "0 0\n"
    assert "recorded 2 moments" in err


def test_a_change_is_carried_out_whether_its_output_is_read_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    resctrl = SimulatedResctrl(load_profile("skylake-2s"))
    guest = Guest(4711, tuple(Thread(4711 + n, 0, f"CPU {n}/KVM", n) for n in range(2)))
    for thread in guest.threads:
        resctrl.add_task(thread.tid)
    domain, _ = load_document(Document("guest.xml", GUEST.encode()))
    planner = planner_of([GuestRequest(domain, guest)], Options(shrink_default=True))
    monkeypatch.setattr(sys, "stdout", Unread())
    with pytest.raises(SystemExit) as caught:
        change(planner, Connection(resctrl, tmp_path), "", yes=True, as_json=False)
    sys.stdout.close()
    assert caught.value.code == 0
    assert [group.path for group in read_host(resctrl).groups] == [DEFAULT_GROUP, "cachetune-web-vcpus_0-1"]
    assert capsys.readouterr().err == ""
