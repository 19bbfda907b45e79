"""A plan that writes a group's ``mode`` and ``cpus_list``: applied, failing at a later step, and killed anywhere.

``python -m … DOMAIN.xml``; the domain has one control group, which exists before the plan is applied.
"""

import errno
import sys
from pathlib import Path

import msgspec

from cachetune import documents
from cachetune.apply.recover import recover
from cachetune.apply.report import Report
from cachetune.apply.run import Connection, apply
from cachetune.apply.state.ledger import load_ledger
from cachetune.plan import Plan
from cachetune.plan.counts import summarize
from cachetune.plan.steps import CreateGroup, WriteFile
from tests.kernel.scenarios import tree
from tests.kernel.scenarios.changes import changes_of, killed
from tests.kernel.scenarios.faults import before_change, fail
from tests.kernel.scenarios.guest_process import running
from tests.kernel.scenarios.library import carried_out, domain_in, guest_of, place_on, planned, removal

FILES = ("mode", "cpus_list")


class Outcome(msgspec.Struct, frozen=True):
    """``group`` is written to; ``files`` are its files and the default group's CPUs at each moment.

    ``deaths[n]`` is what differs from before, and from after, once a run killed after n changes is recovered.
    """

    group: str
    plan: Plan
    files: dict[str, tuple[str, str, str]]
    failed: Report
    differs: tuple[str, ...]
    changes: tuple[str, ...]
    deaths: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    left: tuple[str, ...]


def main() -> None:
    """Print an Outcome."""
    domain = domain_in(Path(sys.argv[1]))
    with running(1) as process:
        tids = process.threads.tids
        connection = place_on(Path("/run/files"))
        first = tree.state(tids)
        made = planned(domain, guest_of(domain, process.threads.pid), connection)
        carried_out(made, connection)
        group = made.groups[0].path
        before = tree.state(tids)
        plan = with_files(made, group, connection)
        files = {"before": files_of(group)}

        def strike(operation: str, path: str) -> None:
            files["during"] = files_of(group)
            fail(errno.EIO)(operation, path)

        with before_change(len(plan.steps), strike):
            failed = apply(plan, connection)
        files["undone"] = files_of(group)
        differs = tree.differences(before, tree.state(tids))

        changes = changes_of(lambda: carried_out(plan, connection))
        after = tree.state(tids)
        files["after"] = files_of(group)
        go_back(plan, connection)
        deaths = []
        for number in range(len(changes) + 1):
            killed(lambda: carried_out(plan, connection), number)
            recover(connection)
            state = tree.state(tids)
            deaths.append((tree.differences(before, state), tree.differences(after, state)))
            if state == after:
                go_back(plan, connection)
        carried_out(removal(domain, connection), connection)
        left = tree.differences(first, tree.state(tids))
    outcome = Outcome(group, plan, files, failed, differs, changes, tuple(deaths), left)
    sys.stdout.buffer.write(documents.encode(outcome))


def with_files(made: Plan, group: str, connection: Connection) -> Plan:
    """A plan that makes the group exclusive, gives it the last CPU, and then creates a monitor group in it."""
    host = connection.look(load_ledger(connection.run))
    cpu = host.default_group.cpus.replace("-", ",").rpartition(",")[2]
    steps = (
        WriteFile(f"{group}/mode", "shareable", "exclusive"),
        WriteFile(f"{group}/cpus_list", "", cpu),
        CreateGroup(f"{group}/mon_groups/{group}"),
    )
    return msgspec.structs.replace(
        made, host_fingerprint=host.fingerprint, groups=(), steps=steps, summary=summarize(steps, host)
    )


def go_back(plan: Plan, connection: Connection) -> None:
    """Undo the plan by hand: the monitor group, the CPUs, the mode."""
    steps = [step for step in plan.steps if isinstance(step, WriteFile)]
    created = plan.steps[-1].path
    connection.resctrl.rmdir(created)
    for step in reversed(steps):
        connection.resctrl.write(step.path, f"{step.before}\n")


def files_of(group: str) -> tuple[str, str, str]:
    """The group's mode and CPUs, and the default group's CPUs."""
    mode, cpus = ((tree.RESCTRL / group / name).read_text() for name in FILES)
    return mode, cpus, (tree.RESCTRL / "cpus_list").read_text()


if __name__ == "__main__":
    main()
