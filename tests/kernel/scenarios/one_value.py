"""``cachetune set`` and ``export`` as a user goes: a group, a measurement of it, other sizes, a monitor and a limit.

Then the export, and no group.

The limit is on slow memory where the processor has that (AMD), elsewhere on all memory.
"""

import sys
from pathlib import Path

import msgspec

from cachetune import documents
from tests.kernel.scenarios import tree
from tests.kernel.scenarios.cachetune_command import Ran, run_here
from tests.kernel.scenarios.guest_process import Threads, running

GUEST = ("-name", "guest=web")
THREADS = ("--source", "threads")


class Outcome(msgspec.Struct, frozen=True):
    """What each command printed, the groups after each change, and what is different at the end."""

    guest: Threads
    made: Ran
    groups_made: dict[str, dict[str, str]]
    measured: Ran
    logged: Ran
    groups_measured: dict[str, dict[str, str]]
    resized: Ran
    groups_resized: dict[str, dict[str, str]]
    limited: Ran
    groups_limited: dict[str, dict[str, str]]
    exported: Ran
    diff: Ran
    cleared: Ran
    differences: tuple[str, ...]


def main() -> None:
    """Print an Outcome."""
    file = Path("/tmp/web.xml")  # noqa: S108 - the machine is ours alone
    with running(4, *GUEST) as process:
        before = tree.state(process.threads.tids)
        change = ("set", "web", "--yes", *THREADS)
        made = run_here(*change, "--vcpus", "0-1", "--l3", "0=2ways", "--shrink-default")
        groups_made = tree.groups()
        measured = run_here("advise", "--measure", "--guest", "web", *THREADS, "--budget", "6s", "--yes", "--json")
        logged = run_here("log", "--json")
        groups_measured = tree.groups()
        resized = run_here(*change, "--l3", "0=1way", "--l3", "1=1way", "--monitor", "0", "--shrink-default")
        groups_resized = tree.groups()
        slow = Path("/sys/fs/resctrl/info/SMBA").exists()
        limited = run_here(*change, *(("--smba", "0=8GB/s") if slow else ("--mb", "0=50%")))
        groups_limited = tree.groups()
        exported = run_here("export", "--guest", "web", "-o", str(file))
        diff = run_here("diff", "--guest", "web", *THREADS, str(file))
        cleared = run_here(*change, "--clear")
        outcome = Outcome(
            guest=process.threads,
            made=made,
            groups_made=groups_made,
            measured=measured,
            logged=logged,
            groups_measured=groups_measured,
            resized=resized,
            groups_resized=groups_resized,
            limited=limited,
            groups_limited=groups_limited,
            exported=exported,
            diff=diff,
            cleared=cleared,
            differences=tree.differences(before, tree.state(process.threads.tids)),
        )
    sys.stdout.buffer.write(documents.encode(outcome))


if __name__ == "__main__":
    main()
