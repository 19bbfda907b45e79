"""Apply with a failure at the first change of resctrl, at the second, and so on until none is left to fail.

``python -m … DOMAIN.xml``. Then once more while another program takes the last CLOSIDs in the middle.
"""

import contextlib
import errno
import os
import sys

import msgspec

from cachetune import documents
from tests.kernel.scenarios import tree
from tests.kernel.scenarios.cachetune_command import Ran, run_here
from tests.kernel.scenarios.faults import before_change, fail
from tests.kernel.scenarios.guest_process import running


class Attempt(msgspec.Struct, frozen=True):
    """One run of apply, and what differs from the tree as it was before."""

    ran: Ran
    differs: tuple[str, ...]


class Outcome(msgspec.Struct, frozen=True):
    """``failed[n]`` failed at change n + 1; ``applied`` had nothing to fail at; ``crowded`` found no CLOSID left."""

    failed: tuple[Attempt, ...]
    applied: Attempt
    crowded: Attempt


def main() -> None:
    """Print an Outcome."""
    with running(4) as process:
        guest = process.threads
        words = ("apply", "--yes", "--json", "--pid", str(guest.pid), "--shrink-default", sys.argv[1])
        before = tree.state(guest.tids)

        def attempt() -> Attempt:
            ran = run_here(*words)
            return Attempt(ran, tree.differences(before, tree.state(guest.tids)))

        failed: list[Attempt] = []
        while len(failed) < 100:
            with before_change(len(failed) + 1, fail(errno.EIO)):
                latest = attempt()
            if latest.ran.code == 0:
                break
            failed.append(latest)
        run_here("remove", "--yes", sys.argv[1])
        with before_change(3, take_all_closids):
            crowded_out = run_here(*words)
        give_back()
        crowded = Attempt(crowded_out, tree.differences(before, tree.state(guest.tids)))
    sys.stdout.buffer.write(documents.encode(Outcome(tuple(failed), latest, crowded)))


def take_all_closids(operation: str, path: str) -> None:  # noqa: ARG001 - a strike
    """Make control groups of somebody else's until the kernel has no CLOSID left."""
    with contextlib.suppress(OSError):
        for number in range(100):
            os.mkdir(tree.RESCTRL / f"somebody-{number}")  # noqa: PTH102 - one system call


def give_back() -> None:
    """Remove the groups that ``take_all_closids`` made."""
    for path in tree.RESCTRL.glob("somebody-*"):
        path.rmdir()


if __name__ == "__main__":
    main()
