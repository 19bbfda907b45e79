"""Settle a host: unclaimed ways go back to the default group, and groups of guests that have ended are removed.

Ways that the default group gave up are unclaimed if no group has them and no starting guest is expected to
(``cachetune.apply.state.reservations``): libvirt never created its groups, or its hook was killed before it could
return them. libvirt reports the end of a guest to the hook, which records it (``cachetune.apply.state.departures``).
The hook settles when a guest ends, the agent in every round, and ``recover`` always; ``apply`` and ``remove`` return
such ways, too.
Each goes by what is on the host then, so it does not matter who died when.
"""

from collections.abc import Callable, Collection

from cachetune.apply.report import Report
from cachetune.apply.run import Connection, apply_locked
from cachetune.apply.state.departures import departed, forget
from cachetune.apply.state.ledger import Ledger, load_ledger
from cachetune.apply.state.reservations import forget_expired
from cachetune.errors import MachineNameError
from cachetune.host.model import Host
from cachetune.plan.build import groups_of
from cachetune.plan.groups.names import machine_name
from cachetune.plan.model import Plan, PlanGuest
from cachetune.plan.ownership import nested_findings
from cachetune.plan.removal import plan_removal

OnHost = Callable[[Host], None]


def settle(
    connection: Connection,
    ended: str | None = None,
    *,
    return_ways: bool = True,
    on_host: OnHost = lambda _: None,
) -> Report:
    """Carry out a ``settlement``. ``on_host`` is called with the host before the first step.

    Raises ApplyRefusedError, LockTimeoutError, HostError or StateFileError if nothing was changed.
    """
    with connection.locked():
        return settle_locked(connection, ended, return_ways=return_ways, on_host=on_host)


def settle_locked(
    connection: Connection,
    ended: str | None = None,
    *,
    return_ways: bool = True,
    on_host: OnHost = lambda _: None,
) -> Report:
    """``settle`` for a caller that holds the lock."""
    gone = departed(connection.run)
    forget_expired(connection.run)

    def planner(host: Host, ledger: Ledger) -> Plan:
        on_host(host)
        return settlement(host, ledger, gone, ended, return_ways=return_ways)

    report = apply_locked(planner, connection)
    if gone and not report.exit_code:
        ledger = load_ledger(connection.run)
        host = connection.look(ledger)
        for name in gone:
            if not _groups_of(name, host, ledger):
                forget(connection.run, name)
    return report


def settlement(
    host: Host, ledger: Ledger, gone: Collection[str], ended: str | None = None, *, return_ways: bool = True
) -> Plan:
    """The plan that removes the groups of the guests ``gone`` and returns unclaimed ways; it may be empty.

    A guest stays as it is while one of its groups has threads, because it may run again, or a monitor group of another
    program: except the guest that has just ``ended``, if its groups are in the ledger. Otherwise they may be those of
    another guest with its machine name. Without ``return_ways`` the default group gets ways back only if a group is
    removed. Raises PlanRefusedError for a foreign monitor group in a group of the guest that has ended.
    """
    guests: list[PlanGuest] = []
    paths: set[str] = set()
    for name in gone:
        guest, groups = _called(name, ledger), _groups_of(name, host, ledger)
        certain = name == ended and set(groups) <= ledger.owned
        if guest and groups and (certain or _is_abandoned(groups, host)):
            guests.append(guest)
            paths.update(groups)
    return plan_removal(host, guests, paths, ledger.shrunk if return_ways or paths else None)


def _is_abandoned(paths: Collection[str], host: Host) -> bool:
    """Whether no thread and no foreign monitor group is in these groups."""
    groups = (group for path in paths if (group := host.group(path)))
    return not any(group.tids for group in groups) and not nested_findings(host, paths)


def _called(name: str, ledger: Ledger) -> PlanGuest | None:
    """The guest with its machine name and UUID; None if the ledger has another guest with that machine name."""
    try:
        machine = machine_name(name)
    except MachineNameError:  # no character of the name can be used, so the guest has no groups
        return None
    known = ledger.guests.get(machine)
    if known and known.name != name:
        return None
    return PlanGuest(name, machine, known.uuid if known else None)


def _groups_of(name: str, host: Host, ledger: Ledger) -> tuple[str, ...]:
    """The groups on the host that we made for the guest."""
    guest = _called(name, ledger)
    return groups_of(host, guest.machine_name, ledger.groups_of(guest.machine_name)) if guest else ()
