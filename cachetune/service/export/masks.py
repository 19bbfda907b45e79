"""The control groups to export, with all their values. pqos and goresctrl set masks, where tuning XML has sizes."""

from collections.abc import Iterable, Iterator, Sequence

from cachetune.host.model import DEFAULT_GROUP, Group, Host
from cachetune.service.applied import AppliedGuest
from cachetune.text import count, printable


def control_groups(guests: Iterable[AppliedGuest], host: Host, *, default: bool) -> list[tuple[str, Group]]:
    """Each control group and the name of its guest; first, if wanted, a default group that has not everything."""
    found = [("", host.default_group)] if default and _is_limited(host) else []
    for guest in guests:
        groups = (host.group(path) for path in guest.groups)
        found += [(guest.name, group) for group in groups if group and group.kind == "control"]
    return found


def left_out(guests: Sequence[AppliedGuest], host: Host, words: str) -> Iterator[str]:
    """Notes on what no configuration of pqos or goresctrl has: monitor groups, modes, the bandwidth of slow memory."""
    groups = [group for guest in guests for path in guest.groups if (group := host.group(path))]
    if monitors := sum(group.kind == "monitor" for group in groups):
        yield f"{count(monitors, 'monitor group')} left out: {words} creates them when it monitors"
    for group in groups:
        if group.mode != "shareable":
            yield f"{printable(group.path)}: {words} does not set the mode {group.mode}"
        if group.bandwidth.row("SMBA") and _limits(group, host, "SMBA"):
            yield f"{printable(group.path)}: its bandwidth of slow memory (SMBA) is left out"


def _is_limited(host: Host) -> bool:
    group = host.default_group
    masks = any(group.masks.at(c.name, i) != c.cbm_mask for c in host.caches for i in c.size_bytes)
    return masks or any(_limits(group, host, control.name) for control in host.bandwidths)


def _limits(group: Group, host: Host, name: str) -> bool:
    control = next((b for b in host.bandwidths if b.name == name), None)
    return control is not None and any(v != control.max_bandwidth for v in group.bandwidth.row(name).values())


def is_default(group: Group) -> bool:
    """Whether this is the default group."""
    return group.path == DEFAULT_GROUP
