"""Read the host, perform the list of operations on the kernel's resctrl, and read the host again."""

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import msgspec

from cachetune import documents
from cachetune.host import SysfsResctrl, read_host
from cachetune.host.state import Host
from tests.kernel.scenarios.operations import Answer, perform
from tests.kernel.scenarios.tree import RESCTRL


class Outcome(msgspec.Struct, frozen=True):
    """The host before and after, and the answers in between; ``release`` is the kernel's."""

    release: str
    before: Host
    answers: list[Answer]
    after: Host


def main() -> None:
    """Print an Outcome."""
    fs = SysfsResctrl(RESCTRL)
    before = read_host(fs, Path("/sys"))
    with ExitStack() as processes:
        sleepers = [processes.enter_context(subprocess.Popen(["/bin/sleep", "600"])) for _ in range(3)]
        for sleeper in sleepers:
            processes.callback(sleeper.kill)
        tids = {letter: sleeper.pid for letter, sleeper in zip("ABC", sleepers, strict=True)}
        answers = perform(fs, tids)
    sys.stdout.buffer.write(documents.encode(Outcome(os.uname().release, before, answers, read_host(fs, Path("/sys")))))


if __name__ == "__main__":
    main()
