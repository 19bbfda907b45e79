"""A guest with more monitors than there are counters: given counters, read twice while its vCPUs work.

``python -m … DOMAIN.xml``; the domain has one control group with a monitor for each of its vCPUs.
"""

import sys
from pathlib import Path

import msgspec

from cachetune import documents
from cachetune.apply.state.ledger import load_ledger
from cachetune.watch import Reading, read_counters
from tests.kernel.scenarios.guest_process import running
from tests.kernel.scenarios.library import carried_out, domain_in, guest_of, place_on, planned


class Outcome(msgspec.Struct, frozen=True):
    """The readings of the guest's groups at two moments."""

    first: tuple[Reading, ...]
    second: tuple[Reading, ...]


def main() -> None:
    """Print an Outcome."""
    domain = domain_in(Path(sys.argv[1]))
    with running(2) as process:
        connection = place_on(Path("/run/counters"))
        plan = planned(domain, guest_of(domain, process.threads.pid), connection, assign_counters=True)
        carried_out(plan, connection)
        host = connection.look(load_ledger(connection.run))
        paths = [group.path for group in plan.groups]
        process.work()
        first = read_counters(connection.resctrl, host, paths)
        process.work()
        second = read_counters(connection.resctrl, host, paths)
    sys.stdout.buffer.write(documents.encode(Outcome(first, second)))


if __name__ == "__main__":
    main()
