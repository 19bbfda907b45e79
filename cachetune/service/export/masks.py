"""The control groups to export, with all their values. pqos and goresctrl set masks, where tuning XML has sizes."""

from collections.abc import Iterable, Iterator, Sequence

from cachetune.host.model import DEFAULT_GROUP, Group, Host
from cachetune.service.applied import AppliedGuest
from cachetune.text import count, listed, printable


def control_groups(guests: Iterable[AppliedGuest], host: Host, *, default: bool) -> list[tuple[str, Group]]:
    """Each control group and the name of its guest; first, if wanted, a default group that has not everything."""
    found = [("", host.default_group)] if default and _is_limited(host) else []
    for guest in guests:
        groups = (host.group(path) for path in guest.groups)
        found += [(guest.name, group) for group in groups if group and group.kind == "control"]
    return found


def left_out(guests: Sequence[AppliedGuest], host: Host, words: str, *, default: bool) -> Iterator[str]:
    """Notes on what no configuration of pqos or goresctrl has: monitor groups, modes, the bandwidth of slow memory."""
    groups = (host.group(path) for guest in guests for path in guest.groups)
    if monitors := sum(group is not None and group.kind == "monitor" for group in groups):
        yield f"{count(monitors, 'monitor group')} left out: {words} creates them when it monitors"
    exported = [group for _, group in control_groups(guests, host, default=default)]
    for group in exported:
        if group.mode != "shareable":
            yield f"{name_of(group)}: {words} does not set the mode {group.mode}"
    if slow := [name_of(group) for group in exported if _limits(group, host, "SMBA")]:
        yield f"the bandwidth of slow memory (SMBA) is left out, which limits {listed(slow)}"


def _is_limited(host: Host) -> bool:
    group = host.default_group
    masks = any(group.masks.at(c.name, i) != c.cbm_mask for c in host.caches for i in c.size_bytes)
    return masks or any(_limits(group, host, control.name) for control in host.bandwidths)


def _limits(group: Group, host: Host, name: str) -> bool:
    control = host.bandwidth(name)
    return control is not None and any(v != control.max_bandwidth for v in group.bandwidth.row(name).values())


def name_of(group: Group) -> str:
    """The group as a message names it."""
    return "the default group" if is_default(group) else printable(group.path)


def is_default(group: Group) -> bool:
    """Whether this is the default group."""
    return group.path == DEFAULT_GROUP
