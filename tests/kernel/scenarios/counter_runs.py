"""A guest with more monitors than there are counters, as a user gives it some; then runs that fail, or are killed.

``python -m … DOMAIN.xml``; the domain has one control group with a monitor for each of its vCPUs.
"""

import errno
import sys
from pathlib import Path

import msgspec

from cachetune import documents
from cachetune.apply.recover import recover
from cachetune.apply.report import Report
from cachetune.apply.run import apply
from cachetune.plan import Plan
from cachetune.plan.settings import ASSIGNMENTS
from tests.kernel.scenarios import tree
from tests.kernel.scenarios.cachetune_command import Ran, run_here
from tests.kernel.scenarios.changes import changes_of, killed
from tests.kernel.scenarios.faults import before_change, fail
from tests.kernel.scenarios.guest_process import running
from tests.kernel.scenarios.library import carried_out, domain_in, guest_of, place_on, planned, removal


class Commands(msgspec.Struct, frozen=True):
    """What each command printed; the counters of each group, and those left before and while the plan was applied.

    ``plain`` is the plan without --assign-counters.
    """

    plain: Ran
    apply: Ran
    diff: Ran
    remove: Ran
    counters: dict[str, str]
    left: tuple[str, str]


class Outcome(msgspec.Struct, frozen=True):
    """The commands, then the plan, and what a failure of its last step left behind.

    ``deaths`` says for each number of changes, from the first counter on, what differs from before, and from after,
    once a run killed then is recovered. ``left`` is what is not as found after all that.
    """

    commands: Commands
    plan: Plan
    failed: Report
    differs: tuple[str, ...]
    changes: tuple[str, ...]
    deaths: dict[int, tuple[tuple[str, ...], tuple[str, ...]]]
    left: tuple[str, ...]


def main() -> None:
    """Print an Outcome."""
    file = Path(sys.argv[1])
    domain = domain_in(file)
    with running(2) as process:
        tids, pid = process.threads.tids, process.threads.pid
        before = tree.state(tids)
        commands = run_commands(str(file), pid)
        connection = place_on(Path("/run/counters"))
        plan = planned(domain, guest_of(domain, pid), connection, assign_counters=True)

        with before_change(len(plan.steps), fail(errno.EIO)):
            failed = apply(plan, connection)
        differs = tree.differences(before, tree.state(tids))

        changes = changes_of(lambda: carried_out(plan, connection))
        after = tree.state(tids)
        carried_out(removal(domain, connection), connection)
        deaths = {}
        for number in range(changes.index(f"write {ASSIGNMENTS}"), len(changes) + 1):
            killed(lambda: carried_out(plan, connection), number)
            recover(connection)
            state = tree.state(tids)
            deaths[number] = (tree.differences(before, state), tree.differences(after, state))
            if state != before:
                carried_out(removal(domain, connection), connection)
        left = tree.differences(before, tree.state(tids))
    sys.stdout.buffer.write(documents.encode(Outcome(commands, plan, failed, differs, changes, deaths, left)))


def run_commands(domain: str, pid: int) -> Commands:
    """Plan, apply, diff and remove."""
    wanted = ("--pid", str(pid), "--shrink-default", domain)
    first = counters_left()
    plain = run_here("plan", *wanted)
    apply = run_here("apply", "--yes", "--assign-counters", *wanted)
    files = tree.RESCTRL.rglob(ASSIGNMENTS)
    counters = {str(path.parent.relative_to(tree.RESCTRL)): path.read_text() for path in files}
    left = (first, counters_left())
    diff = run_here("diff", "--assign-counters", *wanted)
    return Commands(plain, apply, diff, run_here("remove", "--yes", domain), counters, left)


def counters_left() -> str:
    """How many counters no group has, by cache."""
    return (tree.RESCTRL / "info/L3_MON/available_mbm_cntrs").read_text().strip()


if __name__ == "__main__":
    main()
