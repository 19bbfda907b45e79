"""CT64x: other programs that use resctrl, and ways that are shared or idle."""

import shlex
from collections.abc import Iterator

from cachetune.apply.settle import settlement
from cachetune.apply.state.ledger import Ledger
from cachetune.doctor.checks.groups import guest_groups, holders, is_empty, named, own_ways
from cachetune.doctor.examination import Examination, Program, Unknown
from cachetune.doctor.model import Repair, Verdict, broken, check, info, known, ok
from cachetune.doctor.tools import KERNEL_INTERFACE, TOOLS
from cachetune.findings import Rule
from cachetune.host.model import DEFAULT_GROUP, Group, Host
from cachetune.host.resctrl.schemata import parse
from cachetune.host.usage import usage_of
from cachetune.plan.steps import WriteSchemata
from cachetune.text import count, listed, printable
from cachetune.units import about

_LONGEST_COMMAND = 60
_LEFT_BEHIND = ("pqos", "unknown")
_WITH_DEFAULT = "with the default group"
_SHRINK = "apply the guest again with --shrink-default, or take those ways out of the default group's schemata"


def _empty_groups(rule: Rule, seen: Examination) -> Verdict:
    host = known(seen.host)
    empty = [g for g in host.control_groups() if g.owner not in ("default", "cachetune", "libvirt") and is_empty(g)]
    if not empty:
        return ok("no foreign control group is empty")
    total = host.closids_total
    none_left = total is not None and host.closids_used >= total
    paths = [group.path for group in empty]
    if not none_left and not any(group.owner in _LEFT_BEHIND for group in empty):
        return info(f"{count(len(empty), 'empty group')} hold CLOSIDs: {named(paths)}", details=tuple(paths))
    plain = [path for path in paths if printable(path) == path]
    command = f"cd {shlex.quote(seen.resctrl)} && rmdir {shlex.join(plain)}"
    held = f"{len(empty)} of {total} CLOSIDs" if total else count(len(empty), "CLOSID")
    return broken(rule, held=held, holders=holders(empty), command=command, groups=named(paths), details=tuple(paths))


EMPTY_GROUPS = check(
    Rule(
        id="CT641",
        severity="warning",
        summary="Foreign groups without tasks should not hold CLOSIDs.",
        message="empty groups hold {held}: {holders}",
        fix="if their programs no longer need them: {command}",
        bad="COS1 to COS7 without tasks, on a host with 8 CLOSIDs",
        good="the group of a container with tasks",
        host="scene",
    ),
    "others",
    "empty groups",
)(_empty_groups)


def _registers(rule: Rule, seen: Examination) -> Verdict:
    bypassing = [
        program
        for program in known(seen.programs)
        if TOOLS[program.name].effect == "bypasses" and KERNEL_INTERFACE.isdisjoint(program.arguments)
    ]
    if bypassing:
        return broken(rule, programs=_listed(bypassing), details=tuple(map(_described, bypassing)))
    return ok("no program bypasses resctrl")


def _listed(programs: list[Program]) -> str:
    return listed([f"process {program.pid} ({program.name})" for program in programs], 3)


def _described(program: Program) -> str:
    command = printable(" ".join((program.name, *program.arguments)))[:_LONGEST_COMMAND]
    return f"process {program.pid}: {command}: {TOOLS[program.name].does}"


REGISTERS = check(
    Rule(
        id="CT642",
        severity="warning",
        summary="Programs must use resctrl, not the registers behind it.",
        message="{programs} may write the processor's registers directly",
        fix="start pqos and rdtset with -I (--iface=os); stop the program otherwise",
        bad="pqos runs without -I",
        good="pqos runs with -I",
        host="scene",
    ),
    "others",
    "registers",
)(_registers)


def _runtimes(rule: Rule, seen: Examination) -> Verdict:
    runtimes = known(seen.runtimes)
    deleting = [runtime for runtime in runtimes if runtime.rdt]
    if deleting:
        first = deleting[0]
        details = tuple(f"{each.file}: rdt_config_file is {each.rdt}" for each in deleting)
        return broken(rule, program=first.program, file=first.file, details=details)
    unread = [runtime.problem for runtime in runtimes if runtime.problem]
    if unread:
        return info(f"not known for all container runtimes: {unread[0]}", details=tuple(unread))
    return ok(f"{count(len(runtimes), 'runtime configuration')} without RDT" if runtimes else "no container runtime")


RUNTIMES = check(
    Rule(
        id="CT643",
        severity="error",
        summary="A container runtime must not manage resctrl on a host with guests.",
        message="{program} removes the groups of guests when it loads its RDT configuration ({file})",
        fix='set rdt_config_file to "" in {file} and restart {program}',
        bad="/etc/crio/crio.conf.d/rdt.conf has rdt_config_file = '/etc/rdt.yaml'",
        good="/etc/containerd/config.toml has rdt_config_file = ''",
        host="scene",
    ),
    "others",
    "container runtimes",
)(_runtimes)


def _writers(rule: Rule, seen: Examination) -> Verdict:
    programs = [p for p in known(seen.programs) if TOOLS[p.name].effect != "bypasses"]
    writing = [p for p in programs if TOOLS[p.name].effect == "writes"]
    if writing:
        return broken(rule, programs=_listed(writing), details=tuple(map(_described, writing)))
    if programs:
        names = sorted({program.name for program in programs})
        return info(f"{listed(names)} may create monitor groups", details=tuple(map(_described, programs)))
    return ok("no other program that uses resctrl is running")


WRITERS = check(
    Rule(
        id="CT644",
        severity="warning",
        summary="Only one program should allocate ways on a host.",
        message="{programs} allocates through resctrl as well",
        fix="stop it, or keep its groups and those of guests on different ways",
        bad="koordlet is running",
        good="only cadvisor is running, which monitors",
        host="scene",
    ),
    "others",
    "other programs",
)(_writers)


def _overlaps(rule: Rule, seen: Examination) -> Verdict:
    host = known(seen.host)
    groups = guest_groups(host)
    found = [overlap for group in groups for overlap in _overlaps_of(host, group)]
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        fix = _SHRINK if found[0].endswith(_WITH_DEFAULT) else None
        return broken(rule, first=found[0], more=more, details=tuple(found), fix=fix)
    return ok("no group of a guest shares its ways" if groups else "there are no groups of guests")


def _overlaps_of(host: Host, group: Group) -> Iterator[str]:
    guests = [each.path for each in guest_groups(host)]
    for cache, cache_id, mask in own_ways(host, group):
        for other in host.control_groups():
            theirs = other.masks.at(cache.name, cache_id) or 0
            seen_before = other.path in guests and other.path < group.path
            if other is not group and not seen_before and (both := mask & theirs):
                who = _WITH_DEFAULT if other is host.default_group else f"with {named([other.path])} ({other.owner})"
                yield f"{printable(group.path)} shares ways {both:x} of {cache.name} cache {cache_id} {who}"


OVERLAPS = check(
    Rule(
        id="CT645",
        severity="warning",
        summary="No other group may have ways of a guest's group.",
        message="{first}{more}",
        fix="write another mask to the schemata of that group, with the program that made it, or remove it",
        bad="a new group 'test' with all ways, and a guest with ways 00f",
        good="a group of pqos with ways 070, and a guest with ways 00f",
        host="scene",
    ),
    "others",
    "shared ways",
)(_overlaps)


def _idle_ways(rule: Rule, seen: Examination) -> Verdict:
    host = known(seen.host)
    ledger = Ledger() if isinstance(seen.ledger, Unknown) else seen.ledger
    unclaimed = [] if seen.expected else _unclaimed(host, ledger)
    if unclaimed:
        return broken(rule, caches=listed(unclaimed), command="cachetune recover", repair=Repair("recover"))
    idle = [
        f"{usage.resource} cache {usage.id}: {count(usage.free_ways, 'way')}{_size(usage.free_bytes)}"
        for usage in usage_of(host).caches
        if usage.free_ways
    ]
    if idle:
        return info(f"free ways, which no group uses: {listed(idle, 2)}", details=tuple(idle))
    return ok("every way is used" if host.caches else "the host allocates no cache")


def _unclaimed(host: Host, ledger: Ledger) -> list[str]:
    """The caches with ways that ``cachetune recover`` returns, whichever groups it removes."""
    steps = settlement(host, ledger, ()).steps
    written = [parse(s.after).masks for s in steps if isinstance(s, WriteSchemata) and s.path == DEFAULT_GROUP]
    return [f"{name} cache {cache_id}" for masks in written for name, cache_id, _ in masks.entries()]


def _size(number: int | None) -> str:
    return "" if number is None else f" ({about(number)})"


IDLE_WAYS = check(
    Rule(
        id="CT646",
        severity="warning",
        summary="Ways that the default group gave up for guests must come back to it.",
        message="the default group gave up ways of {caches} that no group has and no starting guest is expected to get",
        fix="return them: {command}",
        bad="the ledger says that the default group gave up ways, and no group has them",
        good="the ledger says that the default group gave up ways, and a guest has them",
        host="scene",
    ),
    "others",
    "idle ways",
)(_idle_ways)

CHECKS = (EMPTY_GROUPS, REGISTERS, RUNTIMES, WRITERS, OVERLAPS, IDLE_WAYS)
