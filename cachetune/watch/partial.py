"""Which sums lack something: a control group's bandwidth is that of its direct threads and of its monitor groups.

Where counters are assigned to groups (AMD ABMC, MPAM), the kernel leaves a group without a counter out of the sum and
does not say so. Source: mon_event_count in fs/resctrl/monitor.c.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from cachetune.host.model import DEFAULT_GROUP, Group, Host
from cachetune.idset import parse_cpu_list
from cachetune.watch.model import Reading

Places = Mapping[tuple[str, int], tuple[str, ...]]
"""By event and L3 cache id, the groups without a counter."""


def uncounted(host: Host) -> dict[str, Places]:
    """By control group, the groups that its sums lack: those with threads or CPUs, the control group among them.

    A control group is one of its parts while it has direct threads or CPUs, which are in no monitor group. The default
    group always has.
    """
    parts: dict[str, list[Group]] = {}
    for group in host.groups:
        parts.setdefault(group.parent, []).append(group)
    found: dict[str, Places] = {}
    for path, groups in parts.items():
        places: dict[tuple[str, int], tuple[str, ...]] = {}
        for group in groups:
            rows = group.assignments.items() if _is_in_use(group, groups) else ()
            for place in ((event, i) for event, row in rows for i, counter in row.items() if not counter):
                places[place] = (*places.get(place, ()), group.path)
        if places:
            found[path] = places
    return found


def with_partial_sums(reading: Reading, lacking: Mapping[str, Places]) -> Reading:
    """The reading of a group with its partial sums marked; ``lacking`` is the result of ``uncounted``."""
    places = lacking.get(reading.path)
    if not places:
        return reading
    counters = (
        replace(c, partial=True) if c.resource == "L3" and c.value is not None and (c.event, c.id) in places else c
        for c in reading.counters
    )
    return replace(reading, counters=tuple(counters))


def _is_in_use(group: Group, groups: list[Group]) -> bool:
    """Whether threads or CPUs count in this group itself. A control group lists those of its monitor groups, too."""
    if group.path == DEFAULT_GROUP:
        return True
    if group.kind == "monitor":
        return bool(group.tids or group.cpus or group.other_tasks)
    inside = [other for other in groups if other.kind == "monitor"]
    own = set(group.tids).difference(*(other.tids for other in inside))
    cpus = parse_cpu_list(group.cpus).difference(*(parse_cpu_list(other.cpus) for other in inside))
    return bool(own or cpus or group.other_tasks)
