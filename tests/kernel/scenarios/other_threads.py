"""Groups for iothreads, vhost workers and emulator threads, as a user makes them: guests, apply, more threads, apply.

``python -m … TUNING.xml``.
"""

import sys

import msgspec

from cachetune import documents
from tests.kernel.scenarios import tree
from tests.kernel.scenarios.cachetune_command import Ran, run_here
from tests.kernel.scenarios.vhost_process import Who, running


class Outcome(msgspec.Struct, frozen=True):
    """Who is who before and after more threads started, what each command printed, and the groups after it."""

    first: Who
    then: Who
    guests: Ran
    apply: Ran
    groups: dict[str, dict[str, str]]
    diff: Ran
    again: Ran
    grown: dict[str, dict[str, str]]
    no_changes: Ran
    remove: Ran
    differences: tuple[str, ...]


def main() -> None:
    """Print an Outcome."""
    with running("-name", "guest=web,debug-threads=on") as process:
        first = process.who
        tids = {*first.vcpus, *first.iothreads, *first.workers, *first.vhost}
        before = tree.state(tids)
        guests = run_here("guests", "--json")
        wanted = ("--guest", "web", "--shrink-default", sys.argv[1])
        apply = run_here("apply", "--yes", *wanted)
        groups = tree.groups()
        then = process.grow()
        diff = run_here("diff", *wanted)
        again = run_here("apply", "--yes", *wanted)
        grown = tree.groups()
        no_changes = run_here("diff", *wanted)
        remove = run_here("remove", "--yes", "--guest", "web")
        outcome = Outcome(
            first=first,
            then=then,
            guests=guests,
            apply=apply,
            groups=groups,
            diff=diff,
            again=again,
            grown=grown,
            no_changes=no_changes,
            remove=remove,
            differences=tree.differences(before, tree.state(tids)),
        )
    sys.stdout.buffer.write(documents.encode(outcome))


if __name__ == "__main__":
    main()
