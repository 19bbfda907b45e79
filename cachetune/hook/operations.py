"""The hook's reaction to each of libvirt's operations, for a guest that has tuning.

A guest whose own XML requests tuning is placed by libvirt. The hook checks beforehand that it fits, with
``--shrink-default`` makes room for it in the default group, and verifies afterwards that libvirt placed it; it never
writes to libvirt's groups. A guest with a file in guests.d is placed by the hook. A guest with both is refused: two
allocations would take its share twice.
"""

import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from cachetune.apply.run import Planner
from cachetune.apply.settle import settle
from cachetune.apply.state import departures, reservations
from cachetune.apply.state.ledger import Ledger
from cachetune.domain import Loaded, load
from cachetune.domain.model import Domain
from cachetune.errors import (
    CachetuneError,
    InputError,
    PlanRefusedError,
    UnreadableFileError,
    WrongGuestError,
    error_text,
)
from cachetune.guests.model import Guest
from cachetune.guests.tuning_files import tuning_of
from cachetune.hook import Call
from cachetune.hook.log import HookLog
from cachetune.host.model import Host
from cachetune.plan.model import Plan
from cachetune.plan.render import describe
from cachetune.plan.request import GuestRequest, Options
from cachetune.plan.reserve import only_default_group, upcoming_groups
from cachetune.service.changes import carry_out
from cachetune.service.connection import Location, connect
from cachetune.service.hosts import problems_of
from cachetune.service.plans import comparison, plan_requests, planner_of
from cachetune.service.policy import read_policy
from cachetune.service.requests import guest_of_process
from cachetune.text import listed
from cachetune.units import ROUNDINGS

_LONGEST_WAIT = 60.0


class GuestTuning(msgspec.Struct, frozen=True):
    """The tuning of a guest: in its ``own`` XML, which libvirt applies, or in a ``file``, which the hook applies."""

    own: Domain | None = None
    file: Domain | None = None


def handle(call: Call) -> int:
    """Handle one call. Returns the exit code: 1 if libvirt must stop the guest, else 0."""
    log = HookLog(call.guest, call.operation)
    try:
        _OPERATIONS[call.operation](call, log)
    except PlanRefusedError as refused:
        log.findings(refused.findings)
    except CachetuneError as error:
        log.failure(error)
    except OSError as error:
        log.problem(error_text(error))
    return int(log.failed and call.may_stop)


def _prepare(call: Call, log: HookLog) -> None:
    """Before QEMU starts: check that the guest fits, and make room in the default group if that is allowed."""
    tuning = _tuning(call)
    domain = tuning.own or tuning.file
    if domain is None:
        return
    location, options = _location(call), _planning(call)
    reservations.release(location.run, call.guest)
    departures.forget(location.run, call.guest)
    _settle_others(location, log)

    def planner(host: Host, ledger: Ledger) -> Plan:
        plan = plan_requests([GuestRequest(domain)], host, ledger, options)
        if tuning.file or not options.shrink_default:
            return msgspec.structs.replace(plan, groups=(), steps=())
        reservations.reserve(location.run, call.guest, upcoming_groups(plan))
        return only_default_group(plan, host)

    done = False
    try:
        report = carry_out(planner, connect(location), warn=log.warnings)
        done = report.exit_code == 0
    finally:
        if not done:
            reservations.release(location.run, call.guest)
    log.report(report)


def _started(call: Call, log: HookLog) -> None:
    """QEMU is running: place its threads, or verify that libvirt placed them."""
    tuning = _tuning(call)
    domain = tuning.own or tuning.file
    if domain is None:
        return
    location = _location(call)
    reservations.release(location.run, call.guest)
    departures.forget(location.run, call.guest)
    request = GuestRequest(domain, _guest(call, domain, location))
    if tuning.own:
        _verify(call, request, location, log)
        return

    def show(plan: Plan) -> None:
        if plan.steps:
            log.warnings(finding.text for finding in plan.host_warnings)

    log.report(carry_out(_placement(request, _planning(call)), connect(location), show=show, warn=log.warnings))


def _placement(request: GuestRequest, options: Options) -> Planner:
    """Place the guest; unclaimed ways go back only if guests may take them again."""
    return planner_of([request], options) if options.shrink_default else comparison([request], options)


def _verify(call: Call, request: GuestRequest, location: Location, log: HookLog) -> None:
    """Report every difference between libvirt's groups and the guest's XML."""
    missing: list[str] = []

    def planner(host: Host, ledger: Ledger) -> Plan:
        plan = comparison([request], Options())(host, ledger)
        missing.extend(map(describe, plan.steps))
        return msgspec.structs.replace(plan, groups=(), steps=())

    carry_out(planner, connect(location), warn=log.warnings)
    for what in missing:
        log.problem(
            f"libvirt did not place the guest as its XML requests; still to do: {what}",
            f"run 'cachetune apply --guest {call.guest} --adopt'",
        )


def _release(call: Call, log: HookLog) -> None:
    """The guest has ended: remove its groups, and return unclaimed ways to the default group.

    The end is recorded first: if the hook is killed or resctrl is locked, the groups are removed later.
    """
    location, options = _location(call), _options(call)
    reservations.release(location.run, call.guest)
    departures.record(location.run, call.guest)

    def warn(host: Host) -> None:
        log.warnings(problems_of(host))

    log.report(settle(connect(location), call.guest, return_ways=options.shrink_default, on_host=warn))


def _settle_others(location: Location, log: HookLog) -> None:
    """Remove what guests that ended have left, for they may have what this one needs; failing to is not its fault."""
    if not departures.departed(location.run):
        return
    try:
        report = settle(connect(location), return_ways=False)
    except CachetuneError as error:
        log.change(f"note: groups of guests that have ended remain: {error}")
        return
    log.report(report) if not report.exit_code else log.change(f"note: groups remain: {report.error}")


_OPERATIONS: dict[str, Callable[[Call, HookLog], None]] = {
    "prepare": _prepare,
    "started": _started,
    "release": _release,
    "reconnect": _started,
}


def _tuning(call: Call) -> GuestTuning:
    """The guest's tuning. Raises PlanRefusedError for XML with errors, InputError if there are two tunings."""
    own = _checked(load(call.xml, "", live=True))
    if own.name != call.guest:
        raise WrongGuestError("standard input", own.name, call.guest)
    directory = Path(call.values["--guests-d"])
    found = tuning_of(call.guest, directory, own.vcpus)
    file = msgspec.structs.replace(_checked(found), uuid=own.uuid) if found else None
    if own.groups and file:
        raise InputError(
            f"both the guest's own XML and {directory / call.guest}.xml request tuning; libvirt's groups stay",
            hint="keep one of them",
        )
    if own.groups and own.id is None:
        raise InputError("standard input is not the XML of a running guest: it has no id")
    return GuestTuning(own if own.groups else None, file)


def _checked(loaded: Loaded) -> Domain:
    if loaded.domain is None:
        raise PlanRefusedError(msgspec.structs.replace(f, document=f.document or loaded.name) for f in loaded.findings)
    return loaded.domain


def _planning(call: Call) -> Options:
    """The options of a plan, with the host's policy. Raises InputError."""
    path = call.values["--policy"]
    return msgspec.structs.replace(_options(call), policy=read_policy(Path(path) if path else None))


def _options(call: Call) -> Options:
    """The options of the hook. Raises InputError."""
    flags, given = call.flags, call.values["--round"]
    rounding = next((each for each in ROUNDINGS if each == given), None)
    if given and rounding is None:
        raise InputError(f"--round must be {listed(ROUNDINGS, joint='or')}")
    return Options(
        shrink_default="--shrink-default" in flags, assign_counters="--assign-counters" in flags, rounding=rounding
    )


def _location(call: Call) -> Location:
    """The host of the hook's options. Raises InputError."""
    values = call.values
    try:
        seconds = float(values["--lock-timeout"])
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _LONGEST_WAIT:
        raise InputError(f"--lock-timeout must be between 0 and {_LONGEST_WAIT:g} seconds")
    resctrl, run, sysfs, proc = (Path(values[name]) for name in ("--resctrl", "--run", "--sysfs", "--proc"))
    return Location(
        resctrl=resctrl,
        run=run,
        sysfs=sysfs,
        proc=proc,
        lock_timeout=seconds,
        log=Path(values["--log"]) if values["--log"] else None,
        program=f"hook {call.operation}",
    )


def _guest(call: Call, domain: Domain, location: Location) -> Guest:
    """The process that libvirt started, from its pid file. Raises InputError."""
    if "/" in call.guest:
        raise InputError("the name of a libvirt guest cannot contain a slash")
    path = Path(call.values["--libvirt-run"]) / f"{call.guest}.pid"
    try:
        with path.open("rb") as file:
            text = file.read(32)
    except OSError as error:
        raise UnreadableFileError(path, error.strerror, hint="libvirt writes it when QEMU starts") from None
    if not re.fullmatch(rb"[1-9][0-9]{0,9}\n?", text):
        raise UnreadableFileError(path, "it does not contain a process id")
    return guest_of_process(int(text), domain, location)
