"""Hosts whose bandwidth counters are assigned to groups, as values, and what they are after a plan."""

from collections.abc import Iterable

from msgspec.structs import replace

from cachetune.cbm import Bandwidth
from cachetune.domain import load
from cachetune.domain.model import Domain
from cachetune.findings import Finding
from cachetune.host.model import BandwidthControl, CounterAssignment, Group, Host, MonitorControl, Owner, is_monitor
from cachetune.host.resctrl.assignments import parse
from cachetune.plan import Plan
from cachetune.plan.counters import Counters
from cachetune.plan.steps import CreateGroup, MoveTasks, RemoveGroup, WriteFile, WriteSchemata

TOTAL, LOCAL = "mbm_total_bytes", "mbm_local_bytes"
ALL, NONE = f"{TOTAL}:0=e;1=e {LOCAL}:0=e;1=e", f"{TOTAL}:0=_;1=_ {LOCAL}:0=_;1=_"
ONE_EACH = f"{TOTAL}:0=e;1=e {LOCAL}:0=_;1=_"
FREE = Bandwidth({"MB": {0: 2048, 1: 2048}})


def group(path: str, counters: str = ALL, owner: Owner = "cachetune", tids: Iterable[int] = ()) -> Group:
    """A group with these counters."""
    bandwidth = Bandwidth() if is_monitor(path) else FREE
    kind = "monitor" if is_monitor(path) else "control"
    return Group(path, kind, owner, bandwidth=bandwidth, tids=tuple(tids), assignments=parse(counters).assigned)  # type: ignore[arg-type]


def with_left(on: Host, *left: int) -> Host:
    """The host with this many counters left on each cache."""
    assignment = on.counter_assignment
    assert assignment is not None
    used = {i: sum(row.get(i, False) for g in on.groups for row in g.assignments.values()) for i in (0, 1)}
    counters = replace(assignment, total={i: used[i] + left[i] for i in used}, available=dict(enumerate(left)))
    return replace(on, monitors=(replace(on.monitors[0], assignment=counters),))


def host(*groups: Group, counters: int = 4, on_mkdir: bool = True, mode: str = "mbm_event", modes: str = "") -> Host:
    """An EPYC without cache control, with this many counters for each of two L3; the default group has two of each."""
    all_groups = (group(".", ALL if mode == "mbm_event" else "", "default"), *groups)
    used = [sum(row.get(i, False) for g in all_groups for row in g.assignments.values()) for i in (0, 1)]
    assignment = CounterAssignment(
        mode,
        tuple((modes or "mbm_event default").split()),
        dict.fromkeys((0, 1), counters),
        {i: counters - used[i] for i in (0, 1)} if mode == "mbm_event" else {},
        on_mkdir if mode == "mbm_event" else None,
    )
    return Host(
        source="counted",
        bandwidths=(BandwidthControl("MB", "1/8 GB/s", 0, 1, 2048, (0, 1), 16),),
        monitors=(MonitorControl("L3_MON", ("llc_occupancy", TOTAL, LOCAL), 256, 65536, assignment),),
        groups=all_groups,
    )


def guest(cputune: str, name: str = "web") -> Domain:
    """The guest with four vCPUs and this ``<cputune>``."""
    xml = f"<domain type='kvm'>\n<name>{name}</name>\n<vcpu>4</vcpu><cputune>\n{cputune}\n</cputune></domain>"
    loaded = load(xml.encode(), "web.xml")
    assert loaded.domain is not None, loaded.findings
    return loaded.domain


def tune(vcpus: str, *monitors: str, kind: str = "memory") -> str:
    """A control group for ``vcpus``, with monitors of a kind; "" is all of them."""
    at = f" vcpus='{vcpus}'" if vcpus else ""
    level = " level='3'" if kind == "cache" else ""
    inside = "\n".join(f"<monitor{level}{f' vcpus={m!r}' if m else ''}/>" for m in monitors)
    limit = f"<memorytune{at}><node id='0' bandwidth='512'/>"
    if kind == "memory":
        return f"{limit}\n{inside}</memorytune>"
    return f"{limit}</memorytune>\n<{kind}tune{at}>\n{inside}</{kind}tune>"


def after(before: Host, plan: Plan) -> Host:
    """The host once the plan has been applied; checks that each step finds what it expects, and enough counters."""
    counters = Counters(before)
    groups = {g.path: g for g in before.groups}
    for step in plan.steps:
        if isinstance(step, WriteFile):
            path = step.path.rpartition("/")[0]
            assert counters.held[path] == parse(step.before).assigned
        counters.follow(step)
        assert min(counters.free.values(), default=0) >= 0
        match step:
            case CreateGroup(path):
                groups[path] = group(path)
            case RemoveGroup(path):
                del groups[path]
            case MoveTasks(path, source, tids):
                for g in list(groups.values()):
                    inside = g.path in (path, source) or groups[path].parent == g.path
                    moved = {*g.tids, *tids} if g.path in (path, groups[path].parent) else {*g.tids} - {*tids}
                    groups[g.path] = replace(g, tids=tuple(sorted(moved))) if inside else g
            case WriteSchemata(path, _, text):
                name, _, entries = text.strip().partition(":")
                values = {int(i): int(n) for i, _, n in (one.partition("=") for one in entries.split(";"))}
                old = groups[path].bandwidth
                groups[path] = replace(groups[path], bandwidth=Bandwidth({name: {**old.get(name, {}), **values}}))
            case WriteFile():
                pass
    assignment = before.counter_assignment
    assert assignment is not None
    monitor = replace(before.monitors[0], assignment=replace(assignment, available=dict(counters.free)))
    left = (replace(g, assignments=counters.held.get(g.path, {})) for g in groups.values())
    return replace(before, monitors=(monitor,), groups=tuple(left))


def counters_of(on: Host) -> dict[str, str]:
    """The counters of each group but the default one, by the last part of its path; "both", "total", "" for none."""
    words = {ALL: "both", ONE_EACH: "total", NONE: ""}
    names = {g.path.rpartition("/")[2].removeprefix("cachetune-web-"): g for g in on.groups if g.path != "."}
    return {
        name: next((w for text, w in words.items() if parse(text).assigned == g.assignments), "?")
        for name, g in names.items()
    }


def about_counters(plan: Plan) -> list[Finding]:
    """The plan's warnings that are about counters."""
    return [finding for finding in plan.warnings if finding.rule in ("CT230", "CT231")]
