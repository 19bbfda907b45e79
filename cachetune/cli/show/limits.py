"""The limits of a host as a table: control groups, monitored groups, counters and events."""

from collections import Counter
from collections.abc import Iterable, Iterator

from cachetune.cli.show.table import Table, numbers, words
from cachetune.host.model import CounterAssignment, Group
from cachetune.host.usage import HostUsage, Limit
from cachetune.idset import format_ids
from cachetune.text import count, listed, printable

_SHOWN = 4


def limits_table(usage: HostUsage) -> Table:
    """One row for each limit, then the events, and what the host cannot do or cachetune does not understand."""
    rows = Table(numbers("", right=False), words(""))
    for name, text in _rows(usage):
        rows.add_row(name, text)
    return rows


def _rows(usage: HostUsage) -> Iterator[tuple[str, str]]:
    host = usage.host
    yield "Control groups", _limit(usage.closids, "CLOSID") + _owners(host.control_groups())
    if host.monitors:
        yield "Groups monitored", _rmids(usage)
    if host.counter_assignment and (counters := _counters(host.counter_assignment)):
        yield "Counters", counters
    for monitor in host.monitors:
        yield "Events", f"{monitor.name}: {', '.join(monitor.features) or 'none'}"
    if not host.monitors:
        yield "Events", "none: this host has no monitoring"
    if not host.caches and not host.bandwidths:
        yield "Allocation", "none: this host can only monitor"
    if host.unknown_resources:
        yield "Not understood", f"{_unknown(host.unknown_resources)}; such lines are kept"


def _limit(limit: Limit, noun: str) -> str:
    if limit.total is None:
        return f"{limit.used}, the host does not report a maximum"
    if limit.left is None:
        return f"{limit.used}, more than the {count(limit.total, noun)} that the host reports, so that is no limit"
    return f"{limit.used} of {count(limit.total, noun)} used, {limit.left} left"


def _rmids(usage: HostUsage) -> str:
    """The RMIDs in use. On Arm, each control group has its own, or their number is not known."""
    host, each = usage.host, usage.rmids_per_control_group
    if each is None and host.is_mpam:
        return f"{usage.rmids.used}, the host does not report how many a control group can have"
    if each is None:
        return _limit(usage.rmids, "RMID") + _owners(host.groups)
    used = Counter(group.parent for group in host.groups)
    full = [printable(path) for path, number in used.items() if number >= each]
    left = f", none left in {listed(full, _SHOWN)}" if full and each > 1 else ""
    own = "its own included" if each > 1 else "its own"
    return f"{usage.rmids.used}; each control group has {count(each, 'RMID')}, {own}{left}"


def _owners(groups: Iterable[Group]) -> str:
    """How many each owner has, besides the default group."""
    owners = Counter(group.owner for group in groups if group.owner != "default")
    return f" ({', '.join(f'{owner} {number}' for owner, number in owners.most_common())})" if owners else ""


def _counters(assignment: CounterAssignment) -> str:
    """The bandwidth counters that are left; "" where every group has its own."""
    if not assignment.is_active:
        others = [mode for mode in assignment.modes if mode != assignment.mode]
        return f"mbm_assign_mode is {assignment.mode}, {listed(others)} is available" if others else ""
    places: dict[str, list[int]] = {}
    for number, total in assignment.total.items():
        left = assignment.available.get(number)
        places.setdefault(f"{total}" if left is None else f"{left} of {total} left", []).append(number)
    where = ", ".join(f"{text} on L3 {format_ids(ids)}" for text, ids in places.items())
    new = {True: "; new groups get those that are left", False: "; new groups get none", None: ""}
    return f"{assignment.mode}: {where or 'their number is not known'}{new[assignment.on_mkdir]}"


def _unknown(resources: dict[str, int | None]) -> str:
    """The resources that are not understood, by their number of CLOSIDs, which is a limit like any other."""
    by_limit: dict[int | None, list[str]] = {}
    for name, closids in resources.items():
        by_limit.setdefault(closids, []).append(printable(name))
    return "; ".join(", ".join(names) + _closids(limit, len(names)) for limit, names in by_limit.items())


def _closids(limit: int | None, resources: int) -> str:
    return "" if limit is None else f" ({count(limit, 'CLOSID')}{' each' if resources > 1 else ''})"
