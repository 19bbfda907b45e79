"""Counters that are assigned to groups (AMD ABMC, MPAM), and the file mbm_L3_assignments.

Each L3 has a number of counters. A group's event of memory bandwidth counts only while it has one there, and reads as
``Unassigned`` otherwise. A new group gets counters while there are any (``on_mkdir``); having none does not fail mkdir.
Source: fs/resctrl/monitor.c in Linux 7.3.
"""

import errno
from typing import TYPE_CHECKING

from cachetune.sim.numbers import NumberError, c_string, strip, unsigned
from cachetune.sim.profile import MBM_EVENTS, MonitorDomain, Profile
from cachetune.sim.rules import KernelRules

if TYPE_CHECKING:
    from cachetune.sim.kernel.state import Group, State


class Assignments:
    """Which group and event has a counter in which domain. ``total`` is 0 without assignable counters."""

    def __init__(self, profile: Profile, rules: KernelRules, domains: tuple[MonitorDomain, ...]) -> None:
        counters = profile.monitoring.counters if profile.monitoring else None
        self.total = counters or 0 if rules.assign_mode_file else 0
        self.fixed = profile.vendor == "arm"
        self.enabled = self.total > 0
        self.on_mkdir = True
        self.events = tuple(event for event in MBM_EVENTS if event in profile.events)
        self.domains = tuple(domain.id for domain in domains)
        self._held: dict[int, set[tuple[Group, str]]] = {domain: set() for domain in self.domains}

    def counts(self, group: "Group", domain: int, event: str) -> bool:
        """Whether an event of a group is being counted."""
        return not self.enabled or event not in self.events or self.has(group, domain, event)

    def has(self, group: "Group", domain: int, event: str) -> bool:
        """Whether an event of a group has a counter."""
        return (group, event) in self._held[domain]

    def available(self, domain: int) -> int:
        """Return the number of free counters."""
        return self.total - len(self._held[domain])

    def take(self, group: "Group", domain: int, event: str) -> bool:
        """Assign a free counter. Returns False if all are taken."""
        if self.available(domain):
            self._held[domain].add((group, event))
            return True
        return False

    def give_up(self, group: "Group", domain: int, event: str) -> None:
        """Free a counter, if the event has one."""
        self._held[domain].discard((group, event))

    def free_all(self) -> None:
        """Free every counter, as a change of the mode does."""
        for held in self._held.values():
            held.clear()


def assign_on_mkdir(state: "State", group: "Group") -> None:
    """Give counters to a new group while there are any. The status has those that it did not get."""
    if state.assignments.enabled and state.assignments.on_mkdir:
        for event in state.assignments.events:
            _assign_in(state, group, state.assignments.domains, event)


def _assign_in(state: "State", group: "Group", domains: tuple[int, ...], event: str) -> bool:
    """Assign counters in several domains, and return whether all were."""
    done = True
    for domain in domains:
        done = _assign(state, group, domain, event) and done
        if not done and not state.rules.assigns_everywhere:
            break
    return done


def free(state: "State", group: "Group") -> None:
    """Free the counters of a removed group."""
    for event in state.assignments.events:
        for domain in state.assignments.domains:
            state.assignments.give_up(group, domain, event)


def _assign(state: "State", group: "Group", domain: int, event: str) -> bool:
    if state.assignments.has(group, domain, event):
        return True
    if not state.assignments.take(group, domain, event):
        state.status.append_formatted(f"Failed to allocate counter for {event} in domain {domain}\n")
        return False
    state.counters.restart(domain, event, group)
    return True


# -- mbm_L3_assignments -----------------------------------------------------------------------------------------


def show(state: "State", group: "Group") -> str:
    """Return the content of a group's mbm_L3_assignments file. Raises RefusedError."""
    found = state.assignments
    state.status.clear()
    if not found.enabled:
        state.refuse("mbm_event counter assignment mode is not enabled\n")
    lines = []
    for event in found.events:
        entries = (f"{domain}={'e' if found.has(group, domain, event) else '_'}" for domain in found.domains)
        lines.append(f"{event}:{';'.join(entries)}\n")
    return "".join(lines)


def write(state: "State", group: "Group", text: str) -> None:
    """Execute one write to a group's mbm_L3_assignments file, from left to right. Raises RefusedError."""
    if not text.endswith("\n"):
        state.refuse_input("mbm_L3_assignments")
    state.status.clear()
    if not state.assignments.enabled:
        state.refuse("mbm_event mode is not enabled\n")
    for line in c_string(text[:-1]).split("\n"):
        event, _, entries = line.partition(":")
        _read_line(state, group, event, entries)


def _read_line(state: "State", group: "Group", event: str, entries: str) -> None:
    if event not in state.assignments.events:
        state.refuse_formatted(f"Invalid event {event}\n", number=errno.ENOENT)
    rest = entries
    while rest:
        entry, _, rest = rest.partition(";")
        number, equals, wanted = strip(entry).partition("=")
        if number.startswith("*"):
            _change(state, group, event, state.assignments.domains, "*", wanted if equals else "(null)")
            return
        try:
            domain = unsigned(number, 10, 64)
        except NumberError:
            state.refuse("Missing domain id\n")
        if domain not in state.assignments.domains:
            state.refuse_formatted(f"Invalid domain id {domain}\n")
        _change(state, group, event, (domain,), str(domain), wanted if equals else "(null)")


def _change(state: "State", group: "Group", event: str, domains: tuple[int, ...], shown: str, wanted: str) -> None:
    """Assign (``e``) or free (``_``) counters; all domains are tried, the last failure counts."""
    number = 0
    if wanted == "e":
        number = 0 if _assign_in(state, group, domains, event) else errno.ENOSPC
    elif wanted == "_":
        for domain in domains:
            state.assignments.give_up(group, domain, event)
    else:
        number = errno.EINVAL
    if number:
        state.refuse_formatted(f"Assign operation '{event}:{shown}={wanted}' failed\n", number=number)
