"""CT62x: the mounted resctrl, whether it can be read and written, and its options."""

import shlex
from collections.abc import Iterator

from cachetune.doctor.checks.groups import requests_of
from cachetune.doctor.examination import OF_A_SNAPSHOT, Examination, Mount, Unknown
from cachetune.doctor.model import Repair, Verdict, broken, check, info, known, ok, skipped
from cachetune.domain.model import Domain
from cachetune.findings import Rule
from cachetune.host.model import Host
from cachetune.plan.bandwidth import UNITS, unit_of
from cachetune.plan.rounding import exact_bandwidth, for_host
from cachetune.text import count, listed, printable

_KINDS = {"copy": "a copy", "simulated": "simulated", "mounted": "mounted"}
USUAL_PLACE = "/sys/fs/resctrl"
_PERCENT = 100


def why_not_mounted(seen: Examination) -> str:
    """Why a check of the live mount is skipped."""
    if seen.kind == "none":
        return "resctrl is not mounted"
    return OF_A_SNAPSHOT if seen.kind == "snapshot" else f"this resctrl is {_KINDS[seen.kind]}"


def _mounted(rule: Rule, seen: Examination) -> Verdict:
    match seen.kind:
        case "mounted":
            options = seen.host.mount_options if isinstance(seen.host, Host) else ()
            return ok(f"resctrl is mounted at {seen.resctrl}{f' with {listed(options)}' if options else ''}")
        case "simulated":
            return info(f"the resctrl at {seen.resctrl} is simulated")
        case "snapshot":
            return skipped(OF_A_SNAPSHOT)
    mounts = known(seen.mounts)
    if seen.kind == "copy" and mounts:
        return ok(f"resctrl was mounted at {mounts[0].path} when it was copied")
    return _unmounted(rule, seen, mounts)


def _unmounted(rule: Rule, seen: Examination, mounts: tuple[Mount, ...]) -> Verdict:
    """There is nothing at the place: why, and how to mount it there."""
    if mounts:
        place = mounts[0].path
        if place == seen.resctrl:
            return info(f"resctrl was mounted at {place}, but this copy of the machine lacks it")
        return broken(rule, text=f"resctrl is mounted at {place}, not at {seen.resctrl}", fix=f"pass --resctrl {place}")
    if seen.kind == "none" and seen.resctrl != USUAL_PLACE:
        hint = seen.host.hint if isinstance(seen.host, Unknown) else ""
        return broken(rule, text=f"there is no resctrl at {seen.resctrl}", fix=hint)
    if not isinstance(seen.kernel, Unknown) and seen.kernel.has_resctrl is False:
        return broken(
            rule,
            text="the kernel has no resctrl file system to mount",
            fix="first fix what is wrong with the processor or the kernel (CT601 to CT612)",
        )
    argv = _mount_command(seen)
    repair = Repair("mount", argv) if seen.kind == "none" else None
    return broken(rule, root=seen.resctrl, command=shlex.join(argv), repair=repair)


def _mount_command(seen: Examination) -> tuple[str, ...]:
    """The command that mounts with the options that the machine is configured with."""
    if isinstance(seen.mounted_at_boot, str) and seen.mounted_at_boot.endswith("fstab"):
        return "mount", seen.resctrl
    if isinstance(seen.mounted_at_boot, str) and seen.mounted_at_boot:
        return "systemctl", "start", seen.mounted_at_boot.rpartition("/")[2]
    return "mount", "-t", "resctrl", "resctrl", seen.resctrl


MOUNTED = check(
    Rule(
        id="CT621",
        severity="error",
        summary="resctrl must be mounted.",
        message="resctrl is not mounted at {root}",
        fix="mount it: {command}",
        bad="the kernel has resctrl, and /proc/mounts does not list it",
        good="/proc/mounts lists resctrl at /sys/fs/resctrl",
        host="scene",
    ),
    "mount",
    "mount",
)(_mounted)


def _readable(rule: Rule, seen: Examination) -> Verdict:
    if seen.kind == "none":
        return skipped("resctrl is not mounted")
    if isinstance(seen.host, Unknown):
        return broken(rule, status="fail", text=seen.host.why, fix=seen.host.hint or "run as root")
    host = seen.host
    problems = tuple(dict.fromkeys((*seen.host_notes, *(f"{host.source}/{problem}" for problem in host.problems))))
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return broken(rule, first=printable(problems[0]), more=more, details=problems)
    if host.unknown_resources:
        return info(
            f"cachetune does not know {listed(sorted(host.unknown_resources))} in info/, and does not change it"
        )
    return ok(f"{count(len(host.groups), 'group')} read")


READABLE = check(
    Rule(
        id="CT622",
        severity="warning",
        summary="All files of resctrl must be readable, with content that cachetune understands.",
        message="{first}{more}",
        fix="compare the files with what their program should have written; cachetune leaves these groups unchanged",
        bad="the schemata file of a group is empty",
        good="a tree in which every file is as the kernel writes it",
        host="scene",
    ),
    "mount",
    "files",
)(_readable)


def _writable(rule: Rule, seen: Examination) -> Verdict:
    if seen.kind not in ("mounted", "simulated"):
        return skipped(why_not_mounted(seen))
    if seen.is_read_only:
        return broken(rule, root=seen.resctrl, command=f"mount -o remount,rw {shlex.quote(seen.resctrl)}")
    return ok("resctrl is mounted read-write")


WRITABLE = check(
    Rule(
        id="CT623",
        severity="warning",
        summary="resctrl must be mounted read-write to change allocations.",
        message="{root} is mounted read-only, so nothing can be applied",
        fix="remount it: {command}",
        bad="resctrl is mounted with the option ro",
        good="resctrl is mounted with the option rw",
        host="scene",
    ),
    "mount",
    "write access",
)(_writable)


def _options(rule: Rule, seen: Examination) -> Verdict:
    host = known(seen.host)
    requests = requests_of(seen)
    wrong = {name: tuple(_misfits(domain, host)) for name, domain in requests.items()}
    wrong = {name: misfits for name, misfits in wrong.items() if misfits}
    if not wrong:
        options = listed(host.mount_options) or "none"
        fit = f"; they fit the requests of {count(len(requests), 'guest')}" if requests else ""
        return ok(f"mount options: {options}{fit}")
    details = tuple(f"{printable(name)}: {misfit}" for name, misfits in sorted(wrong.items()) for misfit in misfits)
    first = details[0]
    return broken(
        rule, first=first, more=f" (and {len(details) - 1} more)" if len(details) > 1 else "", details=details
    )


def _misfits(domain: Domain, host: Host) -> Iterator[str]:
    """Requests that need other mount options."""
    split = {cache.level for cache in host.caches if cache.type != "both"}
    levels = {cache.level for cache in host.caches}
    caches = {(cache.level, cache.type) for group in domain.groups for cache in group.caches}
    for level, kind in sorted(caches):
        option = {3: "cdp", 2: "cdpl2"}.get(level, "cdp")
        if kind == "both" and level in split:
            yield f"type 'both' on L{level}, but resctrl is mounted with {option}"
        elif kind != "both" and level in levels - split:
            yield f"type '{kind}' on L{level}, but resctrl is mounted without {option}"
    unit = unit_of(host)
    nodes = [node for group in for_host(domain, host, None).groups for node in group.nodes]
    rates = [node.bandwidth for node in nodes if host.bandwidth(node.resource)]
    if unit:
        for rate in dict.fromkeys(rate for rate in rates if exact_bandwidth(rate, unit) is None):
            yield f"bandwidth {rate}, but resctrl counts {UNITS[unit]}"
    values = [int(rate.number) for rate in rates if not rate.unit]
    if values and unit == "MiB/s" and max(values) <= _PERCENT:
        yield f"bandwidth {max(values)} looks like percent, but with mba_MBps it is in MiB/s"
    if values and unit == "percent" and max(values) > _PERCENT:
        yield f"bandwidth {max(values)} looks like MiB/s, but without mba_MBps it is in percent"


OPTIONS = check(
    Rule(
        id="CT624",
        severity="warning",
        summary="The mount options must fit what guests request.",
        message="{first}{more}",
        fix="change the request; or unmount resctrl, which removes all groups, and mount it with the other options",
        bad="a tuning file requests type 'code', and resctrl is mounted without cdp",
        good="a tuning file requests type 'both', and resctrl is mounted without cdp",
        host="scene",
    ),
    "mount",
    "mount options",
)(_options)

CHECKS = (MOUNTED, READABLE, WRITABLE, OPTIONS)
