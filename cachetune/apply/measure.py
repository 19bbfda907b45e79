"""Give groups other ways for a while and restore those of before, whatever happens in between.

The measurement is recorded before its first change (``cachetune.apply.state.measurement``). Each change is a run like
any other: planned and checked under the lock, journaled, read back. ``restore`` is called by the process that measures,
at its end or after any error, and by ``recover`` if that process has ended.
"""

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from cachetune.apply.guard import refused
from cachetune.apply.guard_measured import measuring
from cachetune.apply.report import Report
from cachetune.apply.run import Connection, apply_locked, interrupted
from cachetune.apply.state import journal, measurement
from cachetune.apply.state.ledger import Ledger, load_ledger
from cachetune.apply.state.measurement import Held, MeasuredGroup, Measurement
from cachetune.cbm import Cbm
from cachetune.errors import MeasurementLostError
from cachetune.host.model import CacheControl, Host
from cachetune.plan.allocate.occupancy import mask_of
from cachetune.plan.model import Plan
from cachetune.plan.sizes import plan_masks


def begin(make: Callable[[Host, Ledger], Measurement], connection: Connection) -> Held:
    """Record the measurement that ``make`` returns for the host, under the lock. It has changed nothing then.

    Raises what ``make`` raises, and ApplyRefusedError (CT503, CT509) where an earlier run or measurement must be
    recovered first, or another measurement is in progress; LockTimeoutError, HostError, StateFileError.
    """
    with connection.locked():
        if journal.exists(connection.run):
            raise interrupted(connection.run)
        if found := measurement.read(connection.run):
            raise measuring(found, connection.run)
        ledger = load_ledger(connection.run)
        host = connection.look(ledger)
        return measurement.begin(make(host, ledger.without_lost(host)), connection.run)


def arrange(masks: Mapping[str, Cbm], held: Held, connection: Connection) -> Report:
    """Give the measured groups at these paths masks of theirs, under a separate lock.

    Raises MeasurementLostError if the measurement is no longer in force or another program has changed a mask or taken
    ways, and what ``apply`` raises; a failure after that is rolled back and is in the report.
    """
    found = held.measurement

    def planner(host: Host, _ledger: Ledger) -> Plan:
        if not held.is_valid:
            raise MeasurementLostError("its time was up, and its ways of before have been restored")
        control = _control(found, host)
        for group in found.groups:
            now = _mask_now(group, control, found, host)
            if not now:
                raise MeasurementLostError(f"group {group.path} was removed")
            if now not in group.all_masks:
                raise MeasurementLostError(f"another program gave {group.path} the mask {now:x}")
            mask = masks.get(group.path, now)
            if taker := _taker(mask & ~now, control, found, host):
                raise MeasurementLostError(f"{taker} has some of the ways {mask:x} now")
        return plan_masks(host, [group.plan_guest for group in found.groups], masks, control, found.cache_id)

    mine = replace(connection, measurement=found.id)
    with mine.locked():
        return apply_locked(planner, mine, adopt=True)


def restore(held: Held, connection: Connection) -> Report:
    """Restore the ways of before, and end the measurement; ``notes`` of the report say what could not be restored.

    The file stays for ``recover`` if that fails. Raises what ``apply`` raises.
    """
    with connection.locked():
        if not held.is_valid:  # recover has done it
            return Report(outcome="nothing to do", machine_names=())
        report = restore_locked(held.measurement, connection)
    held.release()
    return report


def restore_locked(found: Measurement, connection: Connection) -> Report:
    """``restore`` for a caller that holds the lock, on behalf of whichever process."""
    if found.resctrl != connection.resctrl.source:
        raise refused(
            "CT507", record="measurement", run=connection.run, theirs=found.resctrl, ours=connection.resctrl.source
        )
    notes: list[str] = []

    def planner(host: Host, _ledger: Ledger) -> Plan:
        control = _control(found, host)
        masks = _restorable(control, found, host, notes)
        return plan_masks(host, [group.plan_guest for group in found.groups], masks, control, found.cache_id)

    report = apply_locked(planner, replace(connection, measurement=found.id), adopt=True)
    if not report.exit_code:
        measurement.delete(connection.run)
    return replace(report, notes=(*notes, *report.notes))


def _restorable(control: CacheControl, found: Measurement, host: Host, notes: list[str]) -> dict[str, Cbm]:
    """The masks of before of the groups that are as the measurement left them, if their ways are free; else a note."""
    now = {g.path: mask for g in found.groups if (mask := _mask_now(g, control, found, host))}
    masks = {}
    for group in found.groups:
        if group.path not in now:
            continue
        if now[group.path] in group.all_masks:
            masks[group.path] = group.before
        else:
            where = f"group {group.path}: {control.name} cache {found.cache_id}"
            notes.append(f"{where} was changed by another program since, so it stays {now[group.path]:x}")
    while lost := {path: taker for path in masks if (taker := _blocker(path, masks, now, control, found, host))}:
        for path, taker in lost.items():
            where = f"group {path}: {control.name} cache {found.cache_id}"
            notes.append(f"{where} keeps its mask {now[path]:x}, because {taker} has the other ways now")
            del masks[path]
    return masks


def _blocker(
    path: str,
    masks: Mapping[str, Cbm],
    now: Mapping[str, Cbm],
    control: CacheControl,
    found: Measurement,
    host: Host,
) -> str:
    """A group that keeps some of the ways that a group would get back; "" for none."""
    ways = masks[path] & ~now[path]
    if taker := _taker(ways, control, found, host):
        return taker
    return next((other for other, mask in now.items() if other not in masks and other != path and mask & ways), "")


def _taker(ways: Cbm, control: CacheControl, found: Measurement, host: Host) -> str:
    """A group that is not measured and has some of the ways; "" for none."""
    others = (group for group in host.control_groups() if found.of(group.path) is None)
    return next((group.path for group in others if mask_of(group, control, found.cache_id) & ways), "")


def _mask_now(group: MeasuredGroup, control: CacheControl, found: Measurement, host: Host) -> Cbm:
    """The mask of the group on the host, empty if it does not exist."""
    there = host.group(group.path)
    return mask_of(there, control, found.cache_id) if there else Cbm(0)


def _control(found: Measurement, host: Host) -> CacheControl:
    """The cache resource that is measured. Raises MeasurementLostError if the host no longer has it."""
    for control in host.caches:
        if control.name == found.resource and found.cache_id in control.size_bytes:
            return control
    raise MeasurementLostError(f"the host has no {found.resource} cache {found.cache_id} now")
