"""The agent's status as a table."""

import time

from cachetune.agent.model import AgentStatus
from cachetune.cli.show.console import show
from cachetune.cli.show.findings import show_error
from cachetune.cli.show.table import Table, names, numbers, words
from cachetune.text import printable


def show_status(status: AgentStatus) -> None:
    """Show the managed guests on stdout, and the problem of the last round on stderr."""
    show([_rows(status)] if status.guests else ["No managed guests."])
    if status.is_complete:
        show([f"Left by agent --once at {_time(status.looked)}; no agent is running."])
    if status.problem:
        show_error(status.problem)


def _rows(status: AgentStatus) -> Table:
    since = numbers("since", right=False)
    why = (words("requested by"), words("reason or last change"))
    rows = Table(names("guest"), words("state"), since, numbers("pid"), names("groups"), *why)
    for guest in status.guests:
        rows.add_row(
            printable(guest.name),
            guest.state,
            _time(guest.since),
            str(guest.pid or ""),
            printable(guest.machine_name),
            "guests.d" if guest.requested_by == "file" else "libvirt",
            printable(guest.reason or guest.change),
        )
    return rows


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
