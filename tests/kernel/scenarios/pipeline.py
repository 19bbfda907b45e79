"""The whole way as a user goes it: plan, apply, diff, monitor twice, remove, on a process with four vCPU threads.

``python -m … DOMAIN.xml``; the registers are marked while the plan is applied.
"""

import sys
from pathlib import Path

import msgspec

from cachetune import documents
from tests.kernel.scenarios import tree
from tests.kernel.scenarios.cachetune_command import Ran, run
from tests.kernel.scenarios.guest_process import Running, running


class Outcome(msgspec.Struct, frozen=True):
    """What each command printed; the tree before and after, and the groups while the plan was applied."""

    guest: Running
    plan: Ran
    apply: Ran
    diff: Ran
    monitor: tuple[Ran, Ran]
    show: Ran
    remove: Ran
    before: dict[str, str]
    during: dict[str, dict[str, str]]
    after: dict[str, str]
    left_in_run: tuple[str, ...]


def main() -> None:
    """Print an Outcome."""
    domain = sys.argv[1]
    with running(4) as guest:
        before = tree.state(guest.tids)
        wanted = ("--pid", str(guest.pid), "--shrink-default", domain)
        plan = run("plan", "--json", *wanted)
        apply = run("apply", "--yes", "--json", *wanted)
        tree.mark("applied")
        during = tree.groups()
        diff = run("diff", *wanted)
        monitor = run("monitor", "--json", domain), run("monitor", "--json", domain)
        show = run("show")
        remove = run("remove", "--yes", "--json", domain)
        left = tuple(sorted(path.name for path in Path("/run/cachetune").glob("*")))
        outcome = Outcome(guest, plan, apply, diff, monitor, show, remove, before, during, tree.state(guest.tids), left)
    sys.stdout.buffer.write(documents.encode(outcome))


if __name__ == "__main__":
    main()
