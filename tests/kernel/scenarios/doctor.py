"""The doctor on a real kernel: healthy, without root, beside groups of pqos, read-only, unmounted and repaired.

``python -m … [once]``; with ``once`` only the first look.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from cachetune import documents
from cachetune.doctor.model import Diagnosis
from tests.kernel.scenarios.cachetune_command import Ran, run, run_here
from tests.kernel.scenarios.children import Child

RESCTRL = Path("/sys/fs/resctrl")
NOBODY = 65534
CLOSIDS = 7  # besides the default group's


class Look(msgspec.Struct, frozen=True):
    """One run of ``doctor --json``."""

    code: int
    diagnosis: Diagnosis


class Outcome(msgspec.Struct, frozen=True):
    """The looks by name, and what the commands that doctor showed answered."""

    looks: dict[str, Look]
    commands: dict[str, int]


def main(once: str = "") -> None:
    """Print the outcome."""
    looks, commands = {"healthy": _look()}, dict[str, int]()
    if not once:
        looks["not root"] = _decoded(_as_nobody(lambda: run_here("doctor", "--json")))
        for number in range(1, CLOSIDS + 1):
            (RESCTRL / f"COS{number}").mkdir()
        looks["groups of pqos"] = _look()
        commands["groups of pqos"] = _follow(looks["groups of pqos"], "CT641")
        _mount("-o", "remount,ro", str(RESCTRL))
        looks["read-only"] = _look()
        commands["read-only"] = _follow(looks["read-only"], "CT623")
        looks["healthy again"] = _look()
        subprocess.run(["umount", str(RESCTRL)], check=True)  # noqa: S607 - the machine's
        looks["unmounted"] = _look()
        looks["fixed"] = _decoded(run("doctor", "--json", "--fix", "--yes", "CT621"))
        looks["after the fix"] = _look()
    sys.stdout.buffer.write(documents.encode(Outcome(looks, commands)))


def _look() -> Look:
    return _decoded(run("doctor", "--json"))


def _decoded(ran: Ran) -> Look:
    if not ran.out:
        raise RuntimeError(ran.err)
    return Look(ran.code, documents.decode(ran.out.encode(), Diagnosis, "diagnosis"))


def _follow(look: Look, check: str) -> int:
    """Run the command that a check shows."""
    (result,) = [each for each in look.diagnosis.checks if each.id == check]
    return subprocess.run(["/bin/sh", "-c", result.command], check=False).returncode


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)  # noqa: S607 - the machine's


def _as_nobody(command: Callable[[], Ran]) -> Ran:
    """Run it as a user without rights, after all modules are loaded: that user may not see them."""
    command()

    def run() -> bytes:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        return msgspec.json.encode(command())

    return msgspec.json.decode(Child(run).answer(), type=Ran)


if __name__ == "__main__":
    main(*sys.argv[1:])
