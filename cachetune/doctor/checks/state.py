"""CT66x: cachetune's own state: the journal, the ledger, groups that were left, room and the clock."""

import datetime
import shlex

from cachetune.apply.state.ledger import Ledger
from cachetune.doctor.checks.groups import among, is_empty, named
from cachetune.doctor.examination import Examination
from cachetune.doctor.model import Repair, Verdict, broken, check, info, known, ok
from cachetune.findings import Rule
from cachetune.host.model import Host
from cachetune.text import count, listed, printable
from cachetune.units import about

_NEEDED_BYTES, _COMFORTABLE_BYTES = 64 << 10, 1 << 20
_NEEDED_FILES = 16
_TOLERANCE_SECONDS = 60.0


def _journal(rule: Rule, seen: Examination) -> Verdict:
    journal = known(seen.journal)
    if journal is None:
        return ok("no run was interrupted")
    if journal.runs is not None:
        process = f" (process {journal.runs})" if journal.runs else ""
        return info(f"a run is in progress{process}")
    if journal.damage:
        return broken(
            rule,
            text=f"the journal of an interrupted run is damaged: {printable(journal.damage)}",
            fix="see 'cachetune explain CT506'",
        )
    machines = listed([printable(machine) for machine in journal.machines]) or "a guest"
    return broken(rule, machines=machines, command="cachetune recover", repair=Repair("recover"))


JOURNAL = check(
    Rule(
        id="CT661",
        severity="error",
        summary="An interrupted run must be recovered.",
        message="a run for {machines} was interrupted; nothing can be applied until it is recovered",
        fix="finish or undo it: {command}",
        bad="apply was killed after its second step",
        good="apply ended, whether it succeeded or not",
        host="scene",
    ),
    "state",
    "interrupted run",
)(_journal)


def _ledger(rule: Rule, seen: Examination) -> Verdict:
    if seen.ledger_damage:
        return broken(
            rule,
            status="fail",
            text=f"the ledger cannot be used: {printable(seen.ledger_damage)}",
            fix="move ledger.json away; groups called cachetune-* are still recognized by name",
        )
    ledger, host = known(seen.ledger), known(seen.host)
    lost = sorted(path for path in ledger.owned if host.group(path) is None)
    if lost:
        return broken(rule, groups=named(lost), details=tuple(lost))
    if changed := _changed_by_others(ledger, host):
        return broken(
            rule,
            text=f"another program has changed masks of the default group since: {listed(changed, 2)}",
            fix="compare 'cachetune show' with what you expect, and apply the guests again",
            details=tuple(changed),
        )
    unlisted = [g.path for g in host.groups if g.path.startswith("cachetune-") and g.path not in ledger.owned]
    if unlisted:
        return info(f"not in the ledger, but recognized by name: {named(unlisted)}", details=tuple(unlisted))
    every = f"every group in the ledger exists ({len(ledger.owned)})"
    return ok(every if ledger.owned else "the ledger has no groups")


def _changed_by_others(ledger: Ledger, host: Host) -> list[str]:
    """Masks of the default group that are neither what it had before guests took ways, nor what was left then."""
    if ledger.shrunk is None:
        return []
    default, before = host.default_group.masks, ledger.shrunk.before
    return [
        f"{name} cache {cache_id} is {default.at(name, cache_id) or 0:x}, not {left:x}"
        for name, cache_id, left in ledger.shrunk.after.entries()
        if default.at(name, cache_id) not in (left, before.at(name, cache_id))
    ]


LEDGER = check(
    Rule(
        id="CT662",
        severity="warning",
        summary="The ledger must match the groups that exist.",
        message="another program has removed {groups}",
        fix="apply the guests again; CT643 and CT644 name programs that remove groups",
        bad="the ledger lists cachetune-web-vcpus_0-1, and there is no such group",
        good="the ledger lists cachetune-web-vcpus_0-1, and the group exists",
        host="scene",
    ),
    "state",
    "ledger",
)(_ledger)


def _leftovers(rule: Rule, seen: Examination) -> Verdict:
    ledger, host, guests = known(seen.ledger), known(seen.host), known(seen.guests)
    running = {guest.running.name for guest in guests}
    left = {}
    for machine, entry in ledger.guests.items():
        groups = [group for path in entry.groups if (group := host.group(path))]
        expected = any(path in seen.expected for path in entry.groups)
        if groups and entry.name not in running and not expected and all(map(is_empty, groups)):
            left[machine] = entry.name or machine
    if left:
        machines = tuple(left)
        command = shlex.join(("cachetune", "remove", "--machine-name", machines[0]))
        if len(machines) > 1:
            command = "; ".join(shlex.join(("cachetune", "remove", "--machine-name", each)) for each in machines)
        return broken(
            rule, guests=among(left.values(), "guest"), command=command, repair=Repair("remove", (), machines)
        )
    return ok(f"no group is left of a guest that has ended ({count(len(ledger.guests), 'guest')} in the ledger)")


LEFTOVERS = check(
    Rule(
        id="CT663",
        severity="warning",
        summary="The groups of a guest that has ended must be removed.",
        message="empty groups are left of {guests}",
        fix="remove them, and return their ways: {command}",
        bad="cachetune made groups for the guest web, and it has ended",
        good="cachetune made groups for the guest web, and it is running",
        host="scene",
    ),
    "state",
    "groups of ended guests",
)(_leftovers)


def _space(rule: Rule, seen: Examination) -> Verdict:
    space = known(seen.space)
    if space.is_read_only:
        return broken(rule, text=f"{space.path} is read-only", fix="pass another directory with --run")
    if space.free_files < _NEEDED_FILES:
        return broken(rule, text=f"{space.path} has room for only {count(space.free_files, 'more file')}")
    room = about(space.free_bytes)
    if space.free_bytes < _NEEDED_BYTES:
        return broken(rule, path=space.path, room=room)
    if space.free_bytes < _COMFORTABLE_BYTES:
        return broken(rule, status="warn", path=space.path, room=room)
    return ok(f"{room} free in {space.path}")


SPACE = check(
    Rule(
        id="CT664",
        severity="error",
        summary="The run directory must have room for the journal.",
        message="only {room} free in {path}, where the journal and the ledger are written",
        fix="free space there, or pass another directory with --run",
        bad="/run has 8 KiB left",
        good="/run has 100 MiB left",
        host="scene",
    ),
    "state",
    "room",
)(_space)


def _clock(rule: Rule, seen: Examination) -> Verdict:
    clock = known(seen.clock)
    if clock.newest > clock.now + _TOLERANCE_SECONDS:
        return broken(
            rule, now=_date(clock.now), newest=_date(clock.newest), file=clock.newest_file, command="timedatectl"
        )
    return ok(f"the clock shows {_date(clock.now)}")


def _date(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


CLOCK = check(
    Rule(
        id="CT665",
        severity="warning",
        summary="The clock must not be behind cachetune's own files.",
        message="the clock shows {now}, but {file} is from {newest}",
        fix="set the clock and check that it is synchronized: {command}",
        bad="the clock shows 1970-01-01, and the ledger is from 2026",
        good="the clock is later than every file of cachetune",
        host="scene",
    ),
    "state",
    "clock",
)(_clock)

CHECKS = (JOURNAL, LEDGER, LEFTOVERS, SPACE, CLOCK)
