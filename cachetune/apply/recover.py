"""Finish or undo what a killed run left, guided by its journal. Doing it twice changes nothing more."""

import msgspec

from cachetune.apply import journal, ledger
from cachetune.apply.applier import Place, undo
from cachetune.apply.guard import refused
from cachetune.apply.journal import JournalDamagedError, Unfinished
from cachetune.apply.ledger import Ledger
from cachetune.apply.model import Report
from cachetune.apply.steps import Hands
from cachetune.host.cbm import Cbm
from cachetune.host.schemata import Masks, parse
from cachetune.host.state import DEFAULT_GROUP, Host
from cachetune.plan.model import CreateGroup, Step, WriteSchemata


def recover(place: Place) -> Report:
    """Bring the host to the state after the interrupted run if that had done all its steps, else to the one before.

    Raises ApplyRefusedError for a damaged journal, LockTimeoutError, HostError.
    """
    with place.resctrl.lock(exclusive=True, timeout=place.lock_timeout):
        try:
            unfinished = journal.read(place.run)
        except JournalDamagedError as error:
            raise refused("CT506", path=error.path, why=error.why) from None
        if unfinished is None:
            return Report(outcome="nothing to do", machine_name="")
        if unfinished.plan is None:
            return _discard(place, "", "the run was stopped before it had begun anything")
        machine = unfinished.plan.guest.machine_name
        if not unfinished.same_boot:
            ledger.save(Ledger(), place.run)
            return _discard(place, machine, "the machine has been restarted since, so nothing of the run is left")
        if unfinished.complete:
            ledger.save(ledger.load(place.run).after(unfinished.plan), place.run)
            return _discard(place, machine, "the run had done all its steps; its records are in order now")
        return _undo(place, unfinished, machine)


def _discard(place: Place, machine: str, note: str) -> Report:
    journal.delete(place.run)
    return Report(outcome="done", machine_name=machine, notes=(note,))


def _undo(place: Place, unfinished: Unfinished, machine: str) -> Report:
    assert unfinished.plan is not None  # noqa: S101 - the caller has looked
    made = frozenset(s.path for s in unfinished.begun if isinstance(s, CreateGroup))
    host = place.look(ledger.load(place.run))
    steps: list[Step] = []
    notes: list[str] = []
    for step in unfinished.begun:
        if isinstance(step, WriteSchemata) and (note := _changed_since(step, host, made)):
            notes.append(note)
        else:
            steps.append(step)
    undone, failures = undo(steps, Hands(place.resctrl, place.proc, unfinished.plan.guest.threads))
    report = Report(outcome="done", machine_name=machine, undone=undone, undo_errors=failures, notes=tuple(notes))
    if failures:
        return msgspec.structs.replace(report, outcome="rollback incomplete")
    journal.delete(place.run)
    return report


def _changed_since(step: WriteSchemata, host: Host, made: frozenset[str]) -> str:
    """Why a write must not be undone: somebody else has changed the group since, or has taken the ways."""
    group = host.group(step.path)
    if group is None or not step.before:
        return ""
    before, after = parse(step.before).masks, parse(step.after).masks
    if not (_has(group.masks, before) or _has(group.masks, after)):
        return f"group {step.path} was changed by somebody else since; it is left as it is"
    for name, masks in before.items():
        for cache_id, mask in masks.items():
            returned = mask & ~group.masks.get(name, {}).get(cache_id, Cbm(0))
            for other in host.control_groups():
                ours = other.path in made or other.owner in ("default", "cachetune")
                if not ours and other.masks.get(name, {}).get(cache_id, 0) & returned:
                    what = "the default group" if step.path == DEFAULT_GROUP else f"group {step.path}"
                    return f"{what} does not get its ways of {name} cache {cache_id} back: {other.path} has them now"
    return ""


def _has(found: Masks, wanted: Masks) -> bool:
    return all(found.get(n, {}).get(i) == mask for n, of in wanted.items() for i, mask in of.items())
