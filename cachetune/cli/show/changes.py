"""The change log: a table with a row for each change, or a paragraph for each with its groups before and after."""

import pwd
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from cachetune.apply.state.change_log import Change, GroupChange, LoggedGroup, User
from cachetune.cli.show.table import Sentence, Table, names, numbers, words
from cachetune.host.model import DEFAULT_GROUP
from cachetune.host.resctrl.schemata import folded
from cachetune.service.change_log import ChangeLog
from cachetune.text import count, printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.text import Text

_SCHEMATA = re.compile(r"[A-Z0-9]+:[0-9]+=[0-9a-f]+(;[0-9]+=[0-9a-f]+)*", re.ASCII)
_ROOM = 30
"""How much wider than its least the table has to be, so that sentences in it are no ribbons."""
_STYLES = {"rolled back": "yellow", "rollback incomplete": "red"}


class Changes:
    """A row for each change, or a paragraph for each if the terminal is too narrow for that."""

    def __init__(self, changes: Iterable[Change]) -> None:
        self._changes = tuple(changes)

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterator[RenderableType]":
        table = _table(self._changes)
        if table.least_width + _ROOM <= options.max_width:
            yield table
            return
        for change in self._changes:
            yield Sentence(_headline(change))
            yield from (Sentence(f"  {printable(line)}") for line in (change.plan, change.error) if line)


def _table(changes: Iterable[Change]) -> Table:
    """The changes with the time in the zone of this machine."""
    times = numbers("time", right=False)
    table = Table(times, words("program"), names("user"), names("guests"), words("outcome"), words("plan"))
    for change in changes:
        plan = "\n".join(printable(line) for line in (change.plan, change.error) if line)
        table.add_row(_time(change), *_program_and_user(change), printable(guests_of(change)), _outcome(change), plan)
    return table


def changes_with_groups(changes: Iterable[Change]) -> Iterator["RenderableType"]:
    """A paragraph for each change, with the groups before and after."""
    for number, change in enumerate(changes):
        yield _headline(change, "\n" * bool(number))
        yield from (f"  {printable(line)}" for line in (change.plan, change.error, *change.notes) if line)
        yield from [_groups(change.groups)] if change.groups else []
        if change.groups_left_out:
            yield f"  and {count(change.groups_left_out, 'more group')}"


def _headline(change: Change, before: str = "") -> "Text":
    """When, by whom, for whom, and how it ended."""
    program, user = _program_and_user(change)
    guests = printable(guests_of(change))
    return _outcome(change, f"{before}{_time(change)}  {program} by {user}{guests and f', {guests}'}: ")


def damage_of(log: ChangeLog) -> Iterator[str]:
    """A sentence for each damaged line."""
    for damaged in log.damaged:
        place = f"{damaged.file}:{damaged.line}" if damaged.line else damaged.file
        yield printable(f"{place}: not a change: {damaged.reason}")
    if log.damaged_left_out:
        yield f"{count(log.damaged_left_out, 'more damaged line')}"


def _time(change: Change) -> str:
    return f"{change.time.astimezone():%Y-%m-%d %H:%M:%S}"


def _program_and_user(change: Change) -> tuple[str, str]:
    return printable(change.program), printable(user_of(change.user))


def _outcome(change: Change, before: str = "") -> "Text":
    from rich.text import Text

    return Text(before).append(change.outcome, _STYLES.get(change.outcome))


def user_of(user: User) -> str:
    """Who logged in, and as whom the program ran: "anna as root". Users who are deleted keep their number."""
    runs_as = _name(user.uid)
    who = user.sudo_user if user.login_uid is None else _name(user.login_uid)
    return f"{who} as {runs_as}" if who and who != runs_as else runs_as


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def guests_of(change: Change) -> str:
    """The guests of a change, as the log shows them."""
    more = [f"{change.guests_left_out} more"] if change.guests_left_out else []
    return ", ".join([*(guest.name or guest.machine_name for guest in change.guests), *more])


def _groups(groups: Iterable[GroupChange]) -> Table:
    table = Table(numbers("", right=False), names(""), words(""))
    for group in groups:
        name = "the default group" if group.path == DEFAULT_GROUP else group.path
        table.add_row(f"  {_mark(group)}", printable(name), printable(_difference(group.before, group.after)))
    return table


def _mark(group: GroupChange) -> str:
    if group.before is None or group.after is None:
        return "-" if group.after is None else "+"
    return " " if group.before == group.after else "~"


def _difference(before: LoggedGroup | None, after: LoggedGroup | None) -> str:
    """What a group had and has now, without what has not changed."""
    if before is None or after is None:
        return _whole(after or before)
    if before == after:
        return "unchanged"
    old, new = before.state.split(" "), after.state.split(" ")
    parts = []
    if old != new:
        was, now = (" ".join(map(_short, _without(a, b))) or "nothing" for a, b in ((old, new), (new, old)))
        parts.append(f"{was} -> {now}")
    if before.tasks != after.tasks:
        parts.append(f"{'?' if before.tasks is None else before.tasks} -> {_tasks(after)}")
    return ", ".join(parts)


def _short(word: str) -> str:
    """A word of a group's state, where ids with the same value are together if it is a line of schemata."""
    return folded(word) if _SCHEMATA.fullmatch(word) else word


def _without(words: list[str], others: list[str]) -> list[str]:
    return [word for word in words if word not in others]


def _whole(group: LoggedGroup | None) -> str:
    """All that is known of a group that exists only before or only after."""
    if group is None:
        return "removed again"
    state = " ".join(_short(word) for word in group.state.split(" ") if word != "shareable")  # what most groups are
    return ", ".join(filter(None, (state, _tasks(group))))


def _tasks(group: LoggedGroup) -> str:
    return "unknown tasks" if group.tasks is None else count(group.tasks, "task")
