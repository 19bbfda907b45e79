"""A guest with more monitors than there are counters: planned, given counters, read, removed.

``python -m … DOMAIN.xml``; the domain has one control group with a monitor for each of its vCPUs.
"""

import sys

import msgspec

from cachetune import documents
from tests.kernel.scenarios import tree
from tests.kernel.scenarios.cachetune_command import Ran, run_here
from tests.kernel.scenarios.guest_process import running

_FILE = "mbm_L3_assignments"


class Outcome(msgspec.Struct, frozen=True):
    """What each command printed; the counters of each group, and those left, while the plan was applied.

    ``plain`` is the plan without --assign-counters. ``differs`` is what is not as found once the guest is removed.
    """

    plain: Ran
    apply: Ran
    diff: Ran
    monitor: tuple[Ran, Ran]
    page: Ran
    remove: Ran
    counters: dict[str, str]
    left: tuple[str, str]
    differs: tuple[str, ...]


def main() -> None:
    """Print an Outcome."""
    domain = sys.argv[1]
    with running(2) as process:
        tids = process.threads.tids
        before, first = tree.state(tids), counters_left()
        wanted = ("--pid", str(process.threads.pid), "--shrink-default", domain)
        plain = run_here("plan", *wanted)
        apply = run_here("apply", "--yes", "--assign-counters", *wanted)
        counters = {str(path.parent.relative_to(tree.RESCTRL)): path.read_text() for path in tree.RESCTRL.rglob(_FILE)}
        left = counters_left()
        diff = run_here("diff", "--assign-counters", *wanted)
        process.work()
        start = run_here("monitor", "--json", domain)
        process.work()
        end = run_here("monitor", "--json", domain)
        page = run_here("monitor", domain)
        remove = run_here("remove", "--yes", domain)
        differs = tree.differences(before, tree.state(tids))
    outcome = Outcome(plain, apply, diff, (start, end), page, remove, counters, (first, left), differs)
    sys.stdout.buffer.write(documents.encode(outcome))


def counters_left() -> str:
    """How many counters no group has, by cache."""
    return (tree.RESCTRL / "info/L3_MON/available_mbm_cntrs").read_text().strip()


if __name__ == "__main__":
    main()
