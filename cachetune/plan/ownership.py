"""What a plan must not touch, and whom it is for: groups and threads of others, and the guest's own threads."""

from collections.abc import Collection, Iterable, Mapping

from cachetune.domain.model import Domain
from cachetune.findings import Finding, Source
from cachetune.guests.model import Guest
from cachetune.host.model import DEFAULT_GROUP, Group, Host, parent_of
from cachetune.idset import format_ids, numbered
from cachetune.plan.allocate.capacity import control_of
from cachetune.plan.diff import locations
from cachetune.plan.groups.names import belongs_to, is_libvirts_name
from cachetune.plan.groups.translate import DesiredGroup, Membership
from cachetune.plan.model import PlanGuest
from cachetune.plan.rules import RULES
from cachetune.plan.steps import Step, effect_of


def is_foreign(group: Group | None, own: Collection[str]) -> bool:
    """Whether a group is somebody else's: neither ours by any name nor among the guests' ``own``."""
    return group is not None and group.owner not in ("cachetune", "default") and group.path not in own


def made_by_libvirt(host: Host, guests: Iterable[PlanGuest]) -> tuple[str, ...]:
    """The groups that libvirt made for these guests when it started them.

    Whoever gives a guest the machine name of another one does not get that guest's groups.
    """
    theirs = (g.path for g in host.groups if g.owner == "libvirt")
    machines = [g.machine_name for g in guests if is_libvirts_name(g.machine_name, g.name)]
    return tuple(path for path in theirs if any(belongs_to(path, machine) for machine in machines))


def touched(steps: Iterable[Step], groups: Collection[str]) -> list[str]:
    """Those of ``groups`` that the steps would write to, move threads into or out of, make a monitor in, or remove.

    A thread that leaves a monitor group leaves the control group around it, too, or stays in it and is moved there.
    """
    paths = {path for step in steps for path in effect_of(step).groups}
    paths |= {parent_of(path) for path in paths}
    return [path for path in groups if path in paths]


def foreign_findings(
    wanted: Collection[DesiredGroup],
    places: Mapping[int, Membership],
    host: Host,
    own: Collection[str],
    *,
    take_tasks: bool,
) -> list[Finding]:
    """Everything that would touch what is not this guest's: groups of others, and threads in them.

    ``own`` are the groups that the guests have, made by us or by libvirt for them.
    """
    findings = []
    for group in wanted:
        there = host.group(group.path)
        holder = host.group(group.parent)
        if not there and holder and is_foreign(holder, own):
            why = "a monitor group would have to be made in it"
            findings.append(RULES["CT216"].at(Source(), path=holder.path, owner=holder.owner, why=why))
        if there and is_foreign(there, own) and (why := _differs(group, there, places, host)):
            at = group.request.at if group.request else Source()
            findings.append(RULES["CT216"].at(at, path=group.path, owner=there.owner, why=why))
    if take_tasks:
        return findings
    for tid, path in held_threads(places, host, own).items():
        holder = host.group(path)
        owner = "another guest" if holder is None or holder.owner == "cachetune" else holder.owner
        findings.append(RULES["CT402"].at(Source(), tid=tid, path=path, owner=owner))
    return findings


def held_threads(places: Mapping[int, Membership], host: Host, own: Collection[str]) -> dict[int, str]:
    """Threads that would have to leave a group of somebody else, or of another guest: tid to that group."""
    held: dict[int, str] = {}
    free = {DEFAULT_GROUP, *own}
    for tid, here in locations(host, places).items():
        goal = places[tid]
        for path in (here.control, here.monitor):
            if path and path not in free and path not in (goal.control, goal.monitor):
                held.setdefault(tid, path)
    return held


def _differs(group: DesiredGroup, there: Group, places: Mapping[int, Membership], host: Host) -> str:
    """How a group of somebody else differs from what is asked for; "" when it is just that."""
    for cache in group.request.caches if group.request else ():
        control = control_of(cache, host)
        way = control.way_bytes(cache.cache_id) if control else None
        if control and way:
            mask = there.masks.at(control.name, cache.cache_id)
            if mask is not None and mask.bit_count() * way != cache.size_bytes:
                return f"its mask on {control.name} cache {cache.cache_id} is {mask:x}"
    for node in group.request.nodes if group.request else ():
        value = there.bandwidth.at("MB", node.node_id)
        if value != node.bandwidth:
            return f"its bandwidth on node {node.node_id} is {value}"
    inside = set(there.tids)
    missing = [t for t, p in places.items() if group.path in (p.control, p.monitor) and t not in inside]
    return f"the threads {format_ids(missing)} are not in it" if missing else ""


def guest_findings(domain: Domain, guest: Guest | None) -> list[Finding]:
    """Whether the guest's threads are those that the domain asks for."""
    if not domain.groups:
        return []
    if guest is None:
        return [RULES["CT403"].at(Source())]
    findings = []
    threads = {t.vcpu: t.tid for t in guest.threads if t.vcpu is not None}
    whole = [g for g in domain.groups if g.vcpus is None]
    if whole and guest.pid is None:
        findings.append(RULES["CT404"].at(whole[0].at))
    findings += [
        RULES["CT401"].at(group.at, vcpus=numbered("vCPU", missing))
        for group in domain.groups
        if (missing := [vcpu for vcpu in group.vcpus or () if vcpu not in threads])
    ]
    if guest.pid is None and not whole:
        grouped = {vcpu for g in domain.groups for vcpu in g.vcpus or ()}
        findings += [RULES["CT405"].at(Source(), vcpu=v, tid=t) for v, t in threads.items() if v not in grouped]
    return findings


def nested_findings(host: Host, removed: Collection[str]) -> list[Finding]:
    """Monitor groups of others inside control groups that would be removed: rmdir would take them along."""
    return [
        RULES["CT216"].at(Source(), path=g.path, owner=g.owner, why="it stands inside a group that would be removed")
        for g in host.groups
        if g.path not in removed and g.kind == "monitor" and g.parent in removed
    ]
