"""What a plan may touch: foreign groups and threads are off limits; the guest's threads must match its domain."""

from collections.abc import Collection, Iterable, Mapping

from cachetune.domain.model import Domain
from cachetune.findings import Finding, Source
from cachetune.guests.model import Guest
from cachetune.host.bandwidth import kept
from cachetune.host.model import DEFAULT_GROUP, Group, Host, parent_of
from cachetune.idset import format_ids, numbered
from cachetune.plan.allocate.capacity import bandwidth_of, control_of, ways_of
from cachetune.plan.bandwidth import NOUNS
from cachetune.plan.diff import locations
from cachetune.plan.groups.names import belongs_to, is_libvirts_name
from cachetune.plan.groups.translate import DesiredGroup, Membership
from cachetune.plan.model import PlanGuest
from cachetune.plan.rules import RULES
from cachetune.plan.steps import Step, effect_of
from cachetune.plan.thread_kinds import thread_findings
from cachetune.text import count


def is_foreign(group: Group | None, own: Collection[str]) -> bool:
    """Whether a group is foreign: neither ours nor among the guests' ``own`` groups."""
    return group is not None and group.owner not in ("cachetune", "default") and group.path not in own


def made_by_libvirt(host: Host, guests: Iterable[PlanGuest]) -> tuple[str, ...]:
    """The groups that libvirt created for these guests when it started them.

    A guest that is given the machine name of another guest does not get that guest's groups.
    """
    machines = [g.machine_name for g in guests if is_libvirts_name(g.machine_name, g.name)]
    if not machines:
        return ()
    theirs = (g.path for g in host.groups if g.owner == "libvirt")
    return tuple(path for path in theirs if any(belongs_to(path, machine) for machine in machines))


def touched(steps: Iterable[Step], groups: Collection[str]) -> list[str]:
    """Those of ``groups`` that the steps write to, move threads into or out of, create a monitor group in, or remove.

    A move into or out of a monitor group also touches the control group around it.
    """
    paths = {path for step in steps for path in effect_of(step).groups}
    paths |= {parent_of(path) for path in paths}
    return [path for path in groups if path in paths]


def foreign_findings(
    desired: Collection[DesiredGroup],
    places: Mapping[int, Membership],
    host: Host,
    own: Collection[str],
    *,
    take_tasks: bool,
) -> list[Finding]:
    """Conflicts with foreign groups: those that would have to change, and those that hold threads of the guests.

    ``own`` are the guests' groups, created by us or by libvirt.
    """
    findings = []
    for group in desired:
        existing = host.group(group.path)
        holder = host.group(group.parent)
        if not existing and holder and is_foreign(holder, own):
            why = "a monitor group would have to be created in it"
            findings.append(RULES["CT216"].at(group.at, path=holder.path, owner=_owner(holder), why=why))
        if existing and is_foreign(existing, own) and (why := _differs(group, existing, places, host)):
            findings.append(RULES["CT216"].at(group.at, path=group.path, owner=_owner(existing), why=why))
    if take_tasks:
        return findings
    for tid, path in held_threads(places, host, own).items():
        findings.append(RULES["CT402"].at(Source(), tid=tid, path=path, owner=_owner(host.group(path))))
    return findings


def _owner(group: Group | None) -> str:
    """The owner of a group that is not the guest's, as a message names it."""
    owner = "cachetune" if group is None else group.owner
    return {"cachetune": "another guest", "unknown": "another program"}.get(owner, owner)


def held_threads(places: Mapping[int, Membership], host: Host, own: Collection[str]) -> dict[int, str]:
    """Threads that would have to leave a foreign group or a group of another guest: tid to that group."""
    held: dict[int, str] = {}
    free = {DEFAULT_GROUP, *own}
    for tid, here in locations(host, places).items():
        goal = places[tid]
        for path in (here.control, here.monitor):
            if path and path not in free and path not in (goal.control, goal.monitor):
                held.setdefault(tid, path)
    return held


def _differs(group: DesiredGroup, existing: Group, places: Mapping[int, Membership], host: Host) -> str:
    """How a foreign group differs from the request; "" if it does not."""
    for cache in group.request.caches if group.request else ():
        control, ways = control_of(cache, host), ways_of(cache, host)
        if control and not isinstance(ways, Finding):
            mask = existing.masks.at(control.name, cache.cache_id)
            if mask is not None and mask.bit_count() != ways:
                return f"its mask on {control.name} cache {cache.cache_id} is {mask:x}"
    if group.request and group.request.exclusive and existing.mode != "exclusive":
        return f"its mode is {existing.mode}"
    for node in group.request.nodes if group.request else ():
        bandwidth, value = host.bandwidth(node.resource), existing.bandwidth.at(node.resource, node.node_id)
        wanted = bandwidth and bandwidth_of(node, bandwidth)
        if bandwidth and isinstance(wanted, int) and value not in (wanted, kept(bandwidth, wanted)):
            return f"its {NOUNS[node.resource]} on node {node.node_id} is {value}"
    inside = set(existing.tids)
    missing = [t for t, p in places.items() if group.path in (p.control, p.monitor) and t not in inside]
    return f"{count(len(missing), 'thread')} not in it: {format_ids(missing)}" if missing else ""


def guest_findings(domain: Domain, guest: Guest | None) -> list[Finding]:
    """Findings about the guest's threads: those that the domain needs but the guest lacks, and the reverse."""
    if not domain.groups:
        return []
    if guest is None:
        return [RULES["CT403"].at(Source())]
    findings = []
    threads = {t.vcpu: t.tid for t in guest.threads if t.vcpu is not None}
    beyond_vcpus = [scope for scope in domain.scopes if scope.vcpus is None or scope.threads]
    if guest.pid is None:
        findings += [RULES["CT404"].at(scope.at, who=scope.who) for scope in beyond_vcpus[:1]]
    else:
        findings += thread_findings(domain, guest)
    findings += [
        RULES["CT401"].at(group.at, vcpus=numbered("vCPU", missing))
        for group in domain.groups
        if (missing := [vcpu for vcpu in group.vcpus or () if vcpu not in threads])
    ]
    if guest.pid is None and not beyond_vcpus:
        grouped = {vcpu for g in domain.groups for vcpu in g.vcpus or ()}
        findings += [RULES["CT405"].at(Source(), vcpu=v, tid=t) for v, t in threads.items() if v not in grouped]
    return findings


def nested_findings(host: Host, removed: Collection[str]) -> list[Finding]:
    """Foreign monitor groups inside control groups to be removed: rmdir would remove them as well."""
    return [
        RULES["CT216"].at(
            Source(),
            path=g.path,
            owner=_owner(g),
            why="it is inside a group that would be removed",
            hint=f"remove it first (rmdir {g.path} in the resctrl directory) if its owner no longer needs it",
        )
        for g in host.groups
        if g.path not in removed and g.kind == "monitor" and g.parent in removed
    ]
