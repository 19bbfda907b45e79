"""Apply in a process that is killed before its first change, before its second, and so on; then recover.

``python -m … DOMAIN.xml``
"""

import os
import sys

import msgspec

from cachetune import documents
from tests.kernel.scenarios import tree
from tests.kernel.scenarios.cachetune_command import Ran, run_here
from tests.kernel.scenarios.faults import before_change, die
from tests.kernel.scenarios.guest_process import running


class Attempt(msgspec.Struct, frozen=True):
    """How the killed run left the tree, what recover said, and how recover left it."""

    killed_by: int
    left: tuple[str, ...]
    recover: Ran
    differs: tuple[str, ...]


class Outcome(msgspec.Struct, frozen=True):
    """``attempts[n]`` died before change n + 1."""

    attempts: tuple[Attempt, ...]
    applied: int


def main() -> None:
    """Print an Outcome."""
    with running(4) as process:
        guest = process.threads
        words = ("apply", "--yes", "--pid", str(guest.pid), "--shrink-default", sys.argv[1])
        before = tree.state(guest.tids)
        attempts: list[Attempt] = []
        while (status := _apply_and_die(words, len(attempts) + 1)) < 0 and len(attempts) < 100:
            left = tree.differences(before, tree.state(guest.tids))
            recover = run_here("recover")
            attempts.append(Attempt(-status, left, recover, tree.differences(before, tree.state(guest.tids))))
    sys.stdout.buffer.write(documents.encode(Outcome(tuple(attempts), status)))


def _apply_and_die(words: tuple[str, ...], number: int) -> int:
    """Exit code of a child that applies; negative when it was killed."""
    child = os.fork()
    if child == 0:
        with before_change(number, die):
            os._exit(run_here(*words).code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    main()
