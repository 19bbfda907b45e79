"""Record a run that changed something: one line in the change log, one entry in systemd's journal.

The runs themselves call this, under the lock and while their journal still exists: a run that is killed before its line
is recorded by ``recover``, one that is killed after it at most twice, with the same run id. A run never fails because
of its record; what cannot be written is a note in the report.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from cachetune.apply.state import change_log, systemd_journal
from cachetune.apply.state.change_log import Change, ChangedGuest, GroupChange, LoggedGroup, Outcome
from cachetune.apply.state.journal import boot_id
from cachetune.apply.state.ledger import Ledger, load_ledger
from cachetune.errors import CachetuneError, error_text
from cachetune.host.groups import GroupReader
from cachetune.host.model import DEFAULT_GROUP, Group, Host
from cachetune.host.resctrl.files import is_kernels
from cachetune.plan.group_state import GroupState
from cachetune.plan.groups.names import scope_of
from cachetune.plan.model import NO_GUEST, Plan
from cachetune.plan.render import summary_sentence
from cachetune.plan.settings import ASSIGNMENTS
from cachetune.plan.steps import Step, effect_of
from cachetune.text import count

if TYPE_CHECKING:
    from cachetune.apply.run import Connection

MESSAGE_ID = "2fba50c9d3214aecb883d9b79e88a27c"
"""The type of our entries in systemd's journal: ``journalctl MESSAGE_ID=…`` lists them."""

Before = Callable[[str], LoggedGroup | None]


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A run that has ended: its plan, the steps that it started, and what was at a path before it."""

    run_id: str
    plan: Plan
    started: Sequence[Step]
    before: Before
    outcome: Outcome
    error: str = ""
    notes: Sequence[str] = ()


def record(connection: "Connection", ended: Ended) -> tuple[str, ...]:
    """Record a run, unless it has changed nothing. Returns a note for the report if that is impossible."""
    if not ended.started:
        return ()
    try:
        change = _change(connection, ended)
        line = change_log.line_of(change)
    except Exception as error:  # noqa: BLE001 - the change is made, and even a bug of ours must not undo it
        return (f"this change could not be recorded: {error_text(error)}",)
    if is_kernels(connection.resctrl):
        _send(change)
    try:
        change_log.append(connection.change_log, line)
    except OSError as error:
        return (f"this change is not in the log {connection.change_log}: {error.strerror or error}",)
    return ()


def found_on(host: Host) -> Before:
    """The groups as they were on the host."""
    return lambda path: _logged(host.group(path))


def planned_on(plan: Plan) -> Before:
    """The groups as they were when the plan was made; nothing has kept how many tasks they had."""
    states = plan.host_groups
    return lambda path: LoggedGroup(str(states[path])) if path in states else None


def _logged(group: Group | None) -> LoggedGroup | None:
    if group is None:
        return None
    return LoggedGroup(str(GroupState.of(group)), len(group.tids) + len(group.other_tasks))


def _change(connection: "Connection", ended: Ended) -> Change:
    paths = dict.fromkeys(path for step in ended.started for path in effect_of(step).groups)
    after = _read(connection, paths)
    return Change(
        time=datetime.now(UTC),
        boot_id=boot_id(),
        run_id=ended.run_id,
        program=connection.program,
        user=change_log.this_user(),
        resctrl=connection.resctrl.source,
        outcome=ended.outcome,
        guests=tuple(_guests(ended, load_ledger(connection.run))),
        plan=_sentence(ended),
        groups=tuple(GroupChange(path, ended.before(path), after[path]) for path in paths),
        error=ended.error,
        notes=tuple(ended.notes),
    )


def _guests(ended: Ended, ledger: Ledger) -> Iterator[ChangedGuest]:
    """The guests of the plan, then those whose groups it wrote: to make room, or because they follow the default group.

    Those are known from the ledger, and others, such as libvirt's, by the machine name in the group's name.
    """
    plan = ended.plan
    guests = [guest for guest in plan.guests if guest != NO_GUEST]
    yield from (ChangedGuest(guest.name, guest.machine_name, guest.uuid) for guest in guests)
    known = {path: machine for machine, entry in ledger.guests.items() for path in entry.groups}
    written = {effect_of(step).written: None for step in ended.started}
    others = [path for path in written if path and path not in {DEFAULT_GROUP, *(group.path for group in plan.groups)}]
    for machine in dict.fromkeys(known.get(path) or scope_of(path).machine for path in others):
        if machine not in plan.machine_names:
            entry = ledger.guests.get(machine)
            yield ChangedGuest(entry.name if entry else "", machine, entry.uuid if entry else None)


def _sentence(ended: Ended) -> str:
    """The plan in a sentence. Threads that started after it are moved even if there was nothing else to do."""
    if ended.plan.steps:
        return summary_sentence(ended.plan)
    moved = {tid for step in ended.started for tid in effect_of(step).tids}
    return f"{count(len(moved), 'new task')} to move."


def _read(connection: "Connection", paths: Iterable[str]) -> dict[str, LoggedGroup | None]:
    """The groups as they are now; None for those that do not exist."""
    reader = GroupReader(connection.resctrl, assignments=connection.resctrl.exists(ASSIGNMENTS))
    found: dict[str, LoggedGroup | None] = {}
    for path in paths:
        try:
            found[path] = _logged(reader.group(path))
        except CachetuneError:
            found[path] = LoggedGroup("")
    return found


def _send(change: Change) -> None:
    """MESSAGE is what journalctl shows; the fields are for its filters and for programs."""
    names = ", ".join(guest.name or guest.machine_name for guest in change.guests)
    whose = f"{names}: " if names else ""
    systemd_journal.send(
        MESSAGE=f"{change.program}: {whose}{change.outcome}: {change.plan}{change.error and f' {change.error}'}",
        MESSAGE_ID=MESSAGE_ID,
        PRIORITY="5" if change.outcome in {"done", "finished", "undone"} else "4",
        SYSLOG_IDENTIFIER="cachetune",
        CACHETUNE_RUN_ID=change.run_id,
        CACHETUNE_PROGRAM=change.program,
        CACHETUNE_OUTCOME=change.outcome,
        CACHETUNE_GUESTS=names,
    )
