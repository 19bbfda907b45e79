"""Apply with a failure at the first change of resctrl, at the second, and so on until none is left to fail.

``python -m … DOMAIN.xml``. Then twice more while another program takes the last CLOSIDs, or RMIDs, in the middle.
"""

import errno
import os
import sys
from functools import partial
from pathlib import Path

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
    """``failed[n]`` failed at change n + 1; ``applied`` had nothing to fail at.

    ``crowded`` has one entry for each exhausted resource: "CLOSIDs" or "RMIDs".
    """

    failed: tuple[Attempt, ...]
    applied: Attempt
    crowded: dict[str, Attempt]


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
        crowded = {}
        for what, directory in (("CLOSIDs", tree.RESCTRL), ("RMIDs", tree.RESCTRL / "mon_groups")):
            with before_change(3, partial(take_all, directory)):
                ran = run_here(*words)
            give_back(directory)
            crowded[what] = Attempt(ran, tree.differences(before, tree.state(guest.tids)))
    sys.stdout.buffer.write(documents.encode(Outcome(tuple(failed), latest, crowded)))


def take_all(directory: Path, operation: str, path: str) -> None:  # noqa: ARG001 - a strike
    """Create foreign groups in the directory until the kernel has no CLOSID, or no RMID, left."""
    number = 0
    while True:
        try:
            os.mkdir(directory / f"foreign-{number}")  # noqa: PTH102 - one system call
            number += 1
        except OSError as error:
            if error.errno != errno.EBUSY:  # EBUSY: some RMIDs will be free in a second
                return


def give_back(directory: Path) -> None:
    """Remove the groups that ``take_all`` made."""
    for path in directory.glob("foreign-*"):
        path.rmdir()


if __name__ == "__main__":
    main()
