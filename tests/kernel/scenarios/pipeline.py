"""The whole way as a user goes it: plan, apply, diff, monitor twice, remove, on a process with four vCPU threads.

``python -m … DOMAIN.xml``; the registers are marked while the plan is applied. Only apply gets its own process:
starting one takes seconds here.
"""

import sys
from pathlib import Path

import msgspec

from cachetune import documents
from tests.kernel.scenarios import tree
from tests.kernel.scenarios.cachetune_command import Ran, run, run_here
from tests.kernel.scenarios.guest_process import Threads, running


class Outcome(msgspec.Struct, frozen=True):
    """What each command printed; the tree before and after, and the groups while the plan was applied."""

    guest: Threads
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
    with running(4) as process:
        guest = process.threads
        before = tree.state(guest.tids)
        wanted = ("--pid", str(guest.pid), "--shrink-default", domain)
        plan = run_here("plan", "--json", *wanted)
        apply = run("apply", "--yes", "--json", *wanted)
        tree.mark("applied")
        during = tree.groups()
        diff = run_here("diff", *wanted)
        first = run_here("monitor", "--json", domain)
        process.work()
        second = run_here("monitor", "--json", domain)
        show = run_here("show")
        remove = run_here("remove", "--yes", "--json", domain)
        left = tuple(sorted(path.name for path in Path("/run/cachetune").glob("*")))
        outcome = Outcome(
            guest=guest,
            plan=plan,
            apply=apply,
            diff=diff,
            monitor=(first, second),
            show=show,
            remove=remove,
            before=before,
            during=during,
            after=tree.state(guest.tids),
            left_in_run=left,
        )
    sys.stdout.buffer.write(documents.encode(outcome))


if __name__ == "__main__":
    main()
