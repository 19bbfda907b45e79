"""What each operation of libvirt means for a guest that is ours.

A guest whose own XML asks for tuning is libvirt's to place: we see beforehand that it fits, with ``--shrink-default``
make room for it in the default group, and look afterwards whether it is placed; libvirt's groups are never written.
A guest that has a file in guests.d is placed by us. One that has both is refused: two allocations for one guest would
take its share twice.
"""

import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from cachetune.apply.run import Connection, apply_planned
from cachetune.apply.state import reservations
from cachetune.apply.state.ledger import Ledger
from cachetune.domain import Loaded, load
from cachetune.domain.model import Domain
from cachetune.errors import CachetuneError, InputError, MachineNameError, UnreadableFileError, WrongGuestError
from cachetune.guests import Guest, find_guest, find_process
from cachetune.guests.tuning_files import tuning_of
from cachetune.hook import Call
from cachetune.hook.log import HookLog
from cachetune.host.model import Host
from cachetune.plan import Options, Plan, PlanRefusedError, machine_name, plan_removal
from cachetune.plan.model import PlanGuest
from cachetune.plan.render import describe
from cachetune.plan.request import GuestRequest
from cachetune.plan.reserve import only_default_group, upcoming_groups
from cachetune.service.connection import connect
from cachetune.service.requests import plan_requests

_LONGEST_WAIT = 60.0
_NOBODY = "qemu-0-nobody"  # whose groups nobody has: libvirt counts from 1


class Tuning(msgspec.Struct, frozen=True):
    """What is wanted for the guest: by its ``own`` XML, which libvirt carries out, or by a ``file``, which we do."""

    own: Domain | None = None
    file: Domain | None = None


def carry_out(call: Call) -> int:
    """Carry out one call; the exit code: 1 where the guest must not go on, else 0."""
    log = HookLog(call.guest, call.operation)
    try:
        _OPERATIONS[call.operation](call, log)
    except PlanRefusedError as refused:
        log.findings(refused.findings)
    except CachetuneError as error:
        log.failure(error)
    except OSError as error:
        log.trouble(f"{error.filename or 'input or output'}: {error.strerror}")
    return int(log.failed and call.may_stop)


def _prepare(call: Call, log: HookLog) -> None:
    """Before QEMU starts: does it fit? Makes room in the default group where that is allowed, and nothing else."""
    wanted = _tuning(call)
    domain = wanted.own or wanted.file
    if domain is None:
        return
    connection = _connection(call)
    reservations.release(connection.run, call.guest)
    shrink = "--shrink-default" in call.flags

    def planner(host: Host, ledger: Ledger) -> Plan:
        made = plan_requests([GuestRequest(domain)], host, ledger, Options(shrink_default=shrink))
        if wanted.file or not shrink:
            return msgspec.structs.replace(made, groups=(), steps=())
        reservations.reserve(connection.run, call.guest, upcoming_groups(made))
        return only_default_group(made, host)

    done = False
    try:
        report = apply_planned(planner, connection)
        done = report.exit_code == 0
    finally:
        if not done:
            reservations.release(connection.run, call.guest)
    log.report(report)


def _started(call: Call, log: HookLog) -> None:
    """QEMU runs: place its threads, or see that libvirt has placed them."""
    wanted = _tuning(call)
    if not wanted.own and not wanted.file:
        return
    connection = _connection(call)
    reservations.release(connection.run, call.guest)
    if wanted.own:
        _verify(call, wanted.own, connection, log)
    elif wanted.file:
        request = GuestRequest(wanted.file, _guest(call, wanted.file))
        options = Options(shrink_default="--shrink-default" in call.flags)
        log.report(apply_planned(lambda host, ledger: plan_requests([request], host, ledger, options), connection))


def _verify(call: Call, domain: Domain, connection: Connection, log: HookLog) -> None:
    """Say where libvirt's groups are not what the XML asks for."""
    request = GuestRequest(domain, _guest(call, domain))
    missing: list[str] = []

    def planner(host: Host, ledger: Ledger) -> Plan:
        made = plan_requests([request], host, ledger, Options())
        missing.extend(map(describe, made.steps))
        return msgspec.structs.replace(made, groups=(), steps=())

    apply_planned(planner, connection)
    for what in missing:
        log.trouble(
            f"libvirt has not placed the guest as its XML asks: there remains to {what}",
            f"'cachetune apply --guest {call.guest} --adopt' does it",
        )


def _release(call: Call, log: HookLog) -> None:
    """The guest has ended: remove its groups, and give the default group its ways back."""
    connection = _connection(call)
    reservations.release(connection.run, call.guest)
    shrink = "--shrink-default" in call.flags

    def planner(host: Host, ledger: Ledger) -> Plan:
        guest = _ours(call.guest, ledger) or PlanGuest("", _NOBODY)
        owned = ledger.groups_of(guest.machine_name)
        return plan_removal(host, [guest], owned, ledger.shrunk if owned or shrink else None)

    log.report(apply_planned(planner, connection))


_OPERATIONS: dict[str, Callable[[Call, HookLog], None]] = {
    "prepare": _prepare,
    "started": _started,
    "release": _release,
    "reconnect": _started,
}


def _tuning(call: Call) -> Tuning:
    """What is wanted, and by whom. Raises PlanRefusedError for XML with errors, InputError where both are wanted."""
    own = _checked(load(call.xml, ""))
    if own.name != call.guest:
        raise WrongGuestError("standard input", own.name, call.guest)
    directory = Path(call.values["--guests-d"])
    found = tuning_of(call.guest, directory, own.vcpus)
    file = msgspec.structs.replace(_checked(found), uuid=own.uuid) if found else None
    if own.groups and file:
        raise InputError(
            f"the guest's own XML asks for tuning and so does {directory / call.guest}.xml; libvirt's is left as it is",
            hint="keep one of them",
        )
    if own.groups and own.id is None:
        raise InputError("standard input is not the XML of a running guest: it has no id")
    return Tuning(own if own.groups else None, file)


def _checked(loaded: Loaded) -> Domain:
    if loaded.domain is None:
        raise PlanRefusedError(msgspec.structs.replace(f, document=f.document or loaded.name) for f in loaded.findings)
    return loaded.domain


def _connection(call: Call) -> Connection:
    """Where the options say that plans are carried out. Raises InputError."""
    values = call.values
    try:
        seconds = float(values["--lock-timeout"])
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _LONGEST_WAIT:
        raise InputError(f"--lock-timeout must be seconds from 0 to {_LONGEST_WAIT:g}")
    resctrl, run, sysfs, proc = (Path(values[name]) for name in ("--resctrl", "--run", "--sysfs", "--proc"))
    return connect(resctrl, run, sysfs, proc, seconds)


def _guest(call: Call, domain: Domain) -> Guest:
    """The guest's threads. Raises InputError."""
    if "/" in call.guest:
        raise InputError("no guest of libvirt's has a slash in its name")
    path = Path(call.values["--libvirt-run"]) / f"{call.guest}.pid"
    try:
        with path.open("rb") as file:
            text = file.read(32)
    except OSError as error:
        raise UnreadableFileError(path, error.strerror, hint="libvirt writes it when QEMU starts") from None
    if not re.fullmatch(rb"[1-9][0-9]{0,9}\n?", text):
        raise UnreadableFileError(path, "it does not contain a process id")
    find = find_guest if domain.needs_vcpus else find_process
    return find(int(text), Path(call.values["--proc"]))


def _ours(name: str, ledger: Ledger) -> PlanGuest | None:
    """The guest as it is called in our groups; None where such groups would be another guest's."""
    try:
        machine = machine_name(name)
    except MachineNameError:  # no character of the name can be used, so it has no groups of ours
        return None
    known = ledger.guests.get(machine)
    if known and known.name != name:
        return None
    return PlanGuest(name, machine, known.uuid if known else None)
