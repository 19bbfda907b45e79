"""CT65x: what is requested for guests, and whether they have it."""

import shlex
from collections.abc import Iterator

from cachetune.doctor.checks.groups import among
from cachetune.doctor.examination import Examination, ExaminedGuest, Unknown
from cachetune.doctor.model import Verdict, broken, check, info, known, ok
from cachetune.domain.compat import OLDEST
from cachetune.domain.model import CacheRequest, GroupRequest
from cachetune.findings import Rule
from cachetune.host.model import Host
from cachetune.idset import numbered, parse_cpu_list
from cachetune.plan.groups.translate import DesiredGroup, memberships
from cachetune.text import count, listed, printable

_DIFFERING = ("drifted", "refused")
_ANY_BANDWIDTH = (10, 8)  # from this version on libvirt accepts bandwidths above 100, and L2


def _tuning_files(rule: Rule, seen: Examination) -> Verdict:
    files = known(seen.tuning_files)
    invalid = {name: file.problem for name, file in sorted(files.items()) if file.domain is None}
    if not files:
        return ok(f"there are no tuning files in {seen.guests_d}")
    if not invalid:
        return ok(f"{count(len(files), 'tuning file')} in {seen.guests_d}, all valid")
    (name, problem), *more = invalid.items()
    return broken(
        rule,
        problem=printable(problem),
        more=f" (and {count(len(more), 'more file')})" if more else "",
        command=f"cachetune validate {shlex.quote(f'{seen.guests_d}/{name}.xml')}",
        details=tuple(map(printable, invalid.values())),
    )


TUNING_FILES = check(
    Rule(
        id="CT651",
        severity="error",
        summary="Every file in guests.d must be valid.",
        message="{problem}{more}",
        fix="fix the file: {command}",
        bad="/etc/cachetune/guests.d/web.xml has <cache levl='3'/>",
        good="/etc/cachetune/guests.d/web.xml is a valid <cputune>",
        host="scene",
    ),
    "guests",
    "tuning files",
)(_tuning_files)


def _names(rule: Rule, seen: Examination) -> Verdict:
    files = known(seen.tuning_files)
    running = {guest.running.name for guest in known(seen.guests)}
    absent = sorted(set(files) - running)
    if not absent:
        return ok(
            f"{count(len(files), 'tuning file')}, all for running guests" if files else "there are no tuning files"
        )
    if isinstance(seen.definitions, Unknown) or not (seen.definitions or seen.libvirt):
        return info(f"not running: {among(absent, 'guest')}, with tuning files", details=tuple(absent))
    unknown = [name for name in absent if name not in {each.name for each in seen.definitions}]
    if unknown:
        return broken(rule, guests=among(unknown, "guest"), details=tuple(f"{seen.guests_d}/{n}.xml" for n in unknown))
    return ok(f"{count(len(files), 'tuning file')}, all for guests that are defined")


NAMES = check(
    Rule(
        id="CT652",
        severity="warning",
        summary="Every file in guests.d must be for a guest of this host.",
        message="tuning files for {guests}, which libvirt does not know on this host",
        fix="name the file after the guest, or delete it",
        bad="/etc/cachetune/guests.d/wbe.xml, and libvirt has only the guest web",
        good="/etc/cachetune/guests.d/web.xml, and libvirt has the guest web",
        host="scene",
    ),
    "guests",
    "names of tuning files",
)(_names)


def _drift(rule: Rule, seen: Examination) -> Verdict:
    guests = known(seen.guests)
    known(seen.host)
    differing = [guest for guest in guests if guest.tuning.state in _DIFFERING]
    if differing:
        first = differing[0]
        return broken(
            rule,
            guests=among([guest.running.name for guest in differing], "guest"),
            command=_apply(first, seen),
            details=tuple(map(_state, differing)),
        )
    if not guests:
        return ok("no guest is running")
    applied = sum(guest.tuning.state == "applied" for guest in guests)
    return ok(f"{count(len(guests), 'guest')} running, {applied} with an allocation, all as requested")


def _apply(guest: ExaminedGuest, seen: Examination) -> str:
    """The command that gives the guest what it requests, or shows why that is impossible."""
    name = guest.running.name
    verb = "apply" if guest.tuning.state == "drifted" else "plan"
    words = ["cachetune", verb, "--guest", printable(name)]
    if guest.tuning.requested_by == "file":
        words.append(f"{seen.guests_d}/{printable(name)}.xml")
    elif verb == "apply":
        words.append("--adopt")
    return shlex.join(words)


def _state(guest: ExaminedGuest) -> str:
    why = "; ".join(guest.tuning.why) or "the host differs from the request"
    return printable(f"{guest.running.name}: {guest.tuning.state}: {why}")


DRIFT = check(
    Rule(
        id="CT653",
        severity="warning",
        summary="Every running guest must have the allocation that it requests.",
        message="{guests}: the host differs from the request",
        fix="run: {command}",
        bad="a running guest requests 2 ways, and its threads are in the default group",
        good="a running guest requests 2 ways, and its group has them",
        host="scene",
    ),
    "guests",
    "drift",
)(_drift)


def _pinning(rule: Rule, seen: Examination) -> Verdict:
    guests, host = known(seen.guests), known(seen.host)
    if not host.topology.caches:
        return info("it is not known which CPUs have which cache")
    found = [text for guest in guests for text in _misplaced(guest, host)]
    if not found:
        asking = sum(1 for guest in guests if guest.request and any(g.caches for g in guest.request.groups))
        running = f"{count(asking, 'guest')} with cache requests, all on CPUs of those caches"
        return ok(running if asking else "no running guest requests a cache")
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return broken(rule, first=found[0], more=more, details=tuple(found))


def _misplaced(guest: ExaminedGuest, host: Host) -> Iterator[str]:
    """The requests for caches that no CPU of the requesting threads has."""
    for group in guest.request.groups if guest.request else ():
        cpus = _cpus_of(guest, group)
        for level in sorted({request.level for request in group.caches}):
            lists = {i: parse_cpu_list(text) for i, text in host.topology.caches.get(level, {}).items()}
            wanted = [request for request in group.caches if request.level == level]
            if cpus and lists and not any(lists.get(request.cache_id, frozenset()) & cpus for request in wanted):
                yield _misplacement(guest, group, wanted, cpus, [i for i, those in lists.items() if those & cpus])


def _misplacement(
    guest: ExaminedGuest, group: GroupRequest, wanted: list[CacheRequest], cpus: frozenset[int], theirs: list[int]
) -> str:
    who = "all threads" if group.vcpus is None else group.who
    requested = f"L{wanted[0].level} {numbered('cache', sorted({request.cache_id for request in wanted}))}"
    have = f"which have {numbered('cache', theirs)}" if theirs else "which have none"
    name = printable(guest.running.name)
    return f"{name}: {who} request {requested} but may run only on {numbered('CPU', cpus)}, {have}"


def _cpus_of(guest: ExaminedGuest, group: GroupRequest) -> frozenset[int]:
    """The CPUs that the threads of a group may run on, together."""
    alone = DesiredGroup(guest.running.name, guest.running.name, group.vcpus, threads=group.threads)
    tids = memberships([alone], guest.running.guest)
    return frozenset().union(*(guest.cpus.get(tid, frozenset()) for tid in tids))


PINNING = check(
    Rule(
        id="CT654",
        severity="warning",
        summary="A guest must run on CPUs of the caches that it requests.",
        message="{first}{more}",
        fix="request the cache of those CPUs, or pin the vCPUs to CPUs of the requested cache (<vcpupin>)",
        bad="a guest requests L3 cache 1, and its threads may run on CPUs of cache 0 only",
        good="a guest requests L3 cache 0, and its threads may run on CPUs of cache 0 only",
        host="scene",
    ),
    "guests",
    "pinning",
)(_pinning)


def _libvirt(rule: Rule, seen: Examination) -> Verdict:
    version = known(seen.libvirt)
    if not version:
        return ok("libvirt is not installed")
    number = tuple(int(part) for part in version.split(".")[:2])
    if number < OLDEST:
        return info(f"libvirt {version} is older than any version that cachetune knows (9.0)")
    definitions = () if isinstance(seen.definitions, Unknown) else seen.definitions
    refused = [(each.name, why) for each in definitions for why in each.refused]
    if refused:
        names = list(dict.fromkeys(name for name, _ in refused))
        details = tuple(printable(f"{name}: {why}") for name, why in refused)
        return broken(
            rule, version=version, guests=among(names, "guest"), why=printable(refused[0][1]), details=details
        )
    if isinstance(seen.host, Host) and number < _ANY_BANDWIDTH and (lacks := _lacking(seen.host)):
        return info(f"libvirt {version} cannot allocate {listed(lacks)}", "use tuning files, or libvirt 10.8 or later")
    return ok(f"libvirt {version}")


def _lacking(host: Host) -> list[str]:
    """What libvirt before 10.8 does not support of a host."""
    units = sorted({bandwidth.unit for bandwidth in host.bandwidths if bandwidth.unit != "percent"})
    return [
        *(["L2"] if any(cache.level == 2 for cache in host.caches) else []),
        *(f"bandwidth above 100 (here in {unit})" for unit in units),
    ]


LIBVIRT = check(
    Rule(
        id="CT655",
        severity="warning",
        summary="The installed libvirt must support the tuning in the definitions of guests.",
        message="libvirt {version} refuses the definition of {guests}: {why}",
        fix="upgrade libvirt, or move the tuning to a file in guests.d",
        bad="libvirt 9.0, and a guest whose <memorytune> has no vcpus",
        good="libvirt 12.8, and a guest whose <memorytune> has no vcpus",
        host="scene",
    ),
    "guests",
    "libvirt",
)(_libvirt)

CHECKS = (TUNING_FILES, NAMES, DRIFT, PINNING, LIBVIRT)
