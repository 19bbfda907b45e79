"""Apply with --assign-counters, failing at its last step, and killed between any two changes from the first counter on.

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
from cachetune.apply.state.ledger import load_ledger
from cachetune.plan import Options, Plan
from cachetune.plan.request import GuestRequest
from cachetune.plan.settings import ASSIGNMENTS
from cachetune.service.plans import plan_requests
from tests.kernel.scenarios import tree
from tests.kernel.scenarios.changes import changes_of, killed
from tests.kernel.scenarios.faults import before_change, fail
from tests.kernel.scenarios.guest_process import running
from tests.kernel.scenarios.library import carried_out, domain_in, guest_of, place_on, removal


class Outcome(msgspec.Struct, frozen=True):
    """The plan; what a failure of its last step left behind.

    ``deaths`` says for each number of changes what differs from before, and from after, once a run killed then is
    recovered. ``left`` is what is not as found after all that.
    """

    plan: Plan
    failed: Report
    differs: tuple[str, ...]
    changes: tuple[str, ...]
    deaths: dict[int, tuple[tuple[str, ...], tuple[str, ...]]]
    left: tuple[str, ...]


def main() -> None:
    """Print an Outcome."""
    domain = domain_in(Path(sys.argv[1]))
    with running(2) as process:
        tids = process.threads.tids
        connection = place_on(Path("/run/counters"))
        guest = guest_of(domain, process.threads.pid)
        before = tree.state(tids)
        ledger = load_ledger(connection.run)
        options = Options(shrink_default=True, assign_counters=True)
        plan = plan_requests([GuestRequest(domain, guest)], connection.look(ledger), ledger, options)

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
    sys.stdout.buffer.write(documents.encode(Outcome(plan, failed, differs, changes, deaths, left)))


if __name__ == "__main__":
    main()
