"""Running guests as a table."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cachetune.cli.show.table import Table, names, numbers, words
from cachetune.idset import format_ids
from cachetune.plan.model import Summary
from cachetune.service.drift import Drift, GuestDrift
from cachetune.service.status import Guests, GuestState, Tuning
from cachetune.text import count, counts, listed, printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

TUNING_STYLES = {"applied": "green", "drifted": "yellow", "refused": "red", "invalid": "red"}


def guests_page(found: Guests) -> Iterator["RenderableType"]:
    """One row for each guest, and remarks below the table. A column is left out if no guest has what it shows."""
    if not found.guests:
        yield "No guests are running."
        return
    threads = [numbers("pid"), words("vCPUs"), words("threads")]
    others = any(guest.iothreads or guest.vhost for guest in found.guests)
    if others:
        threads.append(words("other threads"))
    rows = Table(names("guest"), names("uuid"), *threads, names("found by"), words("tuning"))
    for guest in found.guests:
        rows.add_row(
            printable(guest.name) or "-",
            guest.uuid or "-",
            str(guest.pid),
            format_ids(guest.vcpus) or "-",
            format_ids(guest.vcpus.values()) or "-",
            *([_others(guest)] if others else []),
            guest.source,
            _tuning(guest),
        )
    yield rows
    remarks = [line for guest in found.guests for line in _remarks(guest)]
    remarks += _planned_with(found.agent_options)
    if remarks:
        yield ""
        yield from remarks


def _others(guest: GuestState) -> str:
    """The iothreads and vhost workers with their ids: "iothreads 4713-4714, vhost 4720"."""
    kinds = (("iothreads", guest.iothreads.values()), ("vhost", guest.vhost))
    return ", ".join(f"{kind} {format_ids(tids)}" for kind, tids in kinds if tids) or "-"


def drift_page(drift: Drift) -> Iterator["RenderableType"]:
    """One row for each guest, the reasons below the table, and a summary."""
    if not drift.guests:
        yield "No guests are running."
        return
    rows = Table(names("guest"), names("requested by"), words("tuning"))
    for guest in drift.guests:
        rows.add_row(_who(guest), _requested_by(guest.tuning), _state(guest.tuning))
    yield rows
    yield ""
    for guest in drift.guests:
        yield from (f"{_who(guest)}: {printable(sentence)}" for sentence in guest.tuning.why)
    yield from _planned_with(drift.agent_options)
    states = Counter(guest.tuning.state for guest in drift.guests)
    yield f"{count(len(drift.guests), 'guest')}: {listed([f'{n} {state}' for state, n in states.items()])}."


def _planned_with(words: Sequence[str]) -> list[str]:
    """A line about the options that are the agent's, if there are any."""
    return [f"Planned as the agent plans: {printable(' '.join(words))}"] if words else []


def _who(guest: GuestDrift | GuestState) -> str:
    return printable(guest.name) or f"process {guest.pid}"


def _requested_by(tuning: Tuning) -> str:
    """The tuning file, or libvirt; "-" if nothing is requested or known."""
    if tuning.file:
        return printable(tuning.file)
    return "libvirt" if tuning.requested_by and tuning.state != "none" else "-"


def _tuning(guest: GuestState) -> "Text":
    """The state of the tuning. A guest without tuning can still be in groups, which are then shown."""
    from rich.text import Text

    state = guest.tuning.state
    if state in ("unknown", "none") and guest.groups:
        more = f" and {count(len(guest.groups) - 1, 'other')}" if len(guest.groups) > 1 else ""
        return Text(f"{state}, but in {printable(guest.groups[0])}{more}")
    return _state(guest.tuning)


def _state(tuning: Tuning) -> "Text":
    from rich.text import Text

    differs = f": {differences(tuning.summary)}" if tuning.summary else ""
    return Text(f"{tuning.state}{differs}", TUNING_STYLES.get(tuning.state, ""))


def differences(summary: Summary) -> str:
    """What apply would do: "1 group to create, 2 tasks to move"."""
    return counts(
        (summary.control_groups_created + summary.monitor_groups_created, "group", "to create"),
        (summary.groups_changed, "group", "to change"),
        (summary.groups_removed, "group", "to remove"),
        (summary.tasks_moved, "task", "to move"),
    )


def _remarks(guest: GuestState) -> Iterator[str]:
    """Problems, disagreements and reasons, one line each."""
    sentences = (guest.problem, *guest.disagreements, *guest.tuning.why)
    yield from (f"{_who(guest)}: {printable(sentence)}" for sentence in sentences if sentence)
