"""Waiting by progress: a process that works is waited for, one that sleeps or loops forever is not."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import waiting
from tests.waiting import Progress, StalledError

WORK = "import time\nend = time.process_time() + {cpu}\nwhile time.process_time() < end: pass\nprint('worked')"
STALL = 1.0


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def test_a_process_that_works_longer_than_the_stall_limit_finishes() -> None:
    done = waiting.run(python(WORK.format(cpu=1.5)), capture_output=True, text=True, stall=STALL)
    assert (done.returncode, done.stdout) == (0, "worked\n")


def test_the_work_of_a_child_counts() -> None:
    program = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {WORK.format(cpu=1.5)!r}])"
    assert waiting.run(python(program), capture_output=True, text=True, stall=STALL).stdout == "worked\n"


def test_a_process_that_reads_late_still_gets_all_of_its_input() -> None:
    program = "import sys, time\ntime.sleep(1.2)\nprint(len(sys.stdin.read()))"
    done = waiting.run(python(program), input="x" * (1 << 20), capture_output=True, text=True)
    assert done.stdout == f"{1 << 20}\n"


def test_a_process_that_sleeps_has_stalled_and_is_killed() -> None:
    program = "import time\nprint('before', flush=True)\ntime.sleep(1000)"
    with pytest.raises(StalledError, match=r"no progress for [0-9]+ s\nbefore"):
        waiting.run(python(program), capture_output=True, text=True, stall=STALL)


def test_a_process_that_loops_forever_reaches_its_limit_of_cpu_time() -> None:
    with pytest.raises(StalledError, match=r"used [0-9]+ s of CPU time"):
        waiting.run(python("while True: pass"), cpu_limit=0.5)


def test_a_sign_that_changes_is_progress(tmp_path: Path) -> None:
    log = tmp_path / "log"
    program = f"import time\nfor n in range(8):\n time.sleep(0.25)\n open({str(log)!r}, 'a').write('x')"
    with subprocess.Popen(python(program)) as process:
        progress = Progress("the log", lambda: log.exists() and log.stat().st_size, stall=60)
        while process.poll() is None:
            progress.check()
            time.sleep(0.05)
    assert log.read_text() == "x" * 8


def test_input_and_exit_codes_are_those_of_subprocess_run() -> None:
    done = waiting.run(["cat"], input="in", capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "in", "")
    with pytest.raises(subprocess.CalledProcessError):
        waiting.run(["false"], check=True)


def test_a_condition_that_never_holds_has_stalled() -> None:
    with pytest.raises(StalledError, match="a miracle has made no progress"):
        waiting.until(lambda: False, "a miracle", stall=STALL)
