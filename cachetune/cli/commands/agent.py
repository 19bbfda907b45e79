"""``cachetune agent``: keep running guests placed; ``cachetune agent status``: how they are."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cachetune import documents
from cachetune.agent import events, signals, status_file
from cachetune.agent.decide import AgentOptions
from cachetune.agent.loop import Agent
from cachetune.agent.model import AgentStatus, GuestStatus
from cachetune.agent.notify import notifier
from cachetune.agent.reconcile import Inputs, Level, Say
from cachetune.agent.tuning_files import read_files
from cachetune.cli import options
from cachetune.cli.show.console import show, table
from cachetune.errors import InputError
from cachetune.guests.find import running_guests
from cachetune.guests.tuning_files import GUESTS_D
from cachetune.service.connection import connect
from cachetune.text import printable

if TYPE_CHECKING:
    from rich.table import Table

_PRIORITIES: dict[Level, int] = {"error": 3, "warning": 4, "notice": 5, "info": 6}
_DIRECTORY = click.Path(path_type=Path, file_okay=False)


@click.group("agent", invoke_without_command=True)
@click.option("--once", is_flag=True, help="Look and act, then end; for a timer, or to try it.")
@click.option(
    "--guests-d",
    type=_DIRECTORY,
    default=GUESTS_D,
    show_default=True,
    help="The directory with one file per guest, NAME.xml.",
)
@click.option(
    "--period",
    type=click.FloatRange(min=0.1, max=86400),
    default=5.0,
    show_default=True,
    metavar="S",
    help="Seconds between two looks when nothing tells of a change.",
)
@click.option("--adopt", is_flag=True, help="Mend the groups that libvirt made, too; without, they are only compared.")
@click.option("--shrink-default", is_flag=True, help="Take ways from the default group, just enough.")
@options.where
@options.lock_timeout
@options.stack(options.resctrl, options.sysfs, options.run)
@click.pass_context
def command(ctx: click.Context, /, **asked: Any) -> None:
    """Keep running guests placed: at their start, through vCPU hotplug and restarts, until they end.

    It keeps every guest that has a file in the directory (domain XML, or only <cputune>: groups cachetune-NAME), and
    compares libvirt's guests with their own XML. Each guest is on its own: one that cannot be placed is reported once
    and tried again. SIGHUP has it look at once, SIGTERM ends it; the groups stay.
    Exit code: 0 ended when told to (with --once: all is as asked), 1 with --once if a guest could not be placed or has
    drifted, 2 could not start.

    \b
    Examples:
      cachetune agent --once --shrink-default
      cachetune agent --period 2 --guests-d /etc/cachetune/guests.d
      cachetune agent status
    """
    if ctx.invoked_subcommand is None:
        ctx.exit(_keep(asked))


@command.command("status")
@options.run
@options.as_json
def status(*, run: Path, as_json: bool) -> None:
    """How the guests are that the agent keeps.

    Exit code: 0 all are placed, or wait for their guest; 1 one could not be placed or has drifted, or the agent cannot
    look; 2 no agent runs.

    \b
    Example:
      cachetune agent status --json
    """
    found = status_file.read(run)
    if found is None:
        raise InputError(f"no agent has run with {run}", hint="start one: systemctl start cachetune-agent")
    if not as_json:
        _show(found)
    alive = status_file.is_alive(found)
    if as_json:
        click.echo(documents.encode(found if alive else _ended(found)), nl=False)
    if not alive:
        raise InputError(f"no agent runs; the last one was process {found.pid}", hint="its guests stay as they are")
    sys.exit(_code(found))


def _keep(asked: Mapping[str, Any]) -> int:
    signals.block()
    say = _speaker(os.environ)
    agent_options = AgentOptions(shrink_default=asked["shrink_default"], adopt=asked["adopt"], period=asked["period"])
    inputs = _inputs(asked)
    inputs.connection()  # what is wrong from the beginning ends it here, with a hint
    with status_file.only_agent(asked["run"]):
        telling = _libvirt_events(asked, say)
        agent = Agent(inputs, agent_options, asked["run"], say, notifier(os.environ), telling)
        return _code(agent.once()) if asked["once"] else _ended_well(agent.keep())


def _inputs(asked: Mapping[str, Any]) -> Inputs:
    source_options = options.source_options(
        **{name: asked[name] for name in ("proc", "libvirt_run", "cgroup", "connect", "qmp")}
    )
    where = [asked[name] for name in ("resctrl", "run", "sysfs", "proc", "lock_timeout")]
    return Inputs(
        connection=lambda: connect(*where),
        files=lambda vcpus: read_files(asked["guests_d"], vcpus),
        guests=lambda: running_guests(source_options, asked["source"]),
    )


def _libvirt_events(asked: Mapping[str, Any], say: Say) -> Callable[[], bool]:
    """Start to listen to libvirt where there is one to listen to; what comes says whether it tells us just now."""
    module = events.libvirt_module()
    if asked["once"] or module is None or asked["source"] not in {None, "libvirt", "libvirt-status"}:
        return lambda: False
    if asked["connect"] is None and not asked["libvirt_run"].exists():
        return lambda: False
    listener = events.LibvirtEvents(module, asked["connect"] or events.DEFAULT_URI, signals.wake, say)
    listener.start()
    return lambda: listener.connected


def _speaker(environment: Mapping[str, str]) -> Say:
    """One line on stderr for each change; for the journal with its priority in front. Source: sd-daemon(3).

    Where nobody listens any more, the guests are kept all the same.
    """
    journal = environment.get("JOURNAL_STREAM", "-") == _stream_of_stderr()

    def say(level: Level, text: str) -> None:
        with contextlib.suppress(OSError):
            start = f"<{_PRIORITIES[level]}>" if journal else f"{level}: "
            click.echo(f"{start}{printable(text)}", err=True)

    return say


def _stream_of_stderr() -> str:
    try:
        connection = os.fstat(2)
    except OSError:
        return ""
    return f"{connection.st_dev}:{connection.st_ino}"


def _code(status: AgentStatus) -> int:
    return 1 if status.problem or any(guest.state in {"failed", "drifted"} for guest in status.guests) else 0


def _ended_well(_: AgentStatus) -> int:
    return 0


def _ended(status: AgentStatus) -> AgentStatus:
    import msgspec

    return msgspec.structs.replace(status, running=False)


def _show(status: AgentStatus) -> None:
    show([_rows(status.guests)] if status.guests else ["No guest to keep."])
    if status.problem:
        click.echo(f"error: {printable(status.problem)}", err=True)


def _rows(guests: tuple[GuestStatus, ...]) -> "Table":
    rows = table("GUEST", "STATE", "SINCE", "PID", "GROUPS", "ASKED BY", "REASON, OR LAST CHANGE", right=("PID",))
    for guest in guests:
        rows.add_row(
            printable(guest.name),
            guest.state,
            _ago(guest.since),
            str(guest.pid or ""),
            printable(guest.machine_name),
            "guests.d" if guest.requested_by == "file" else "libvirt",
            printable(guest.reason or guest.change),
        )
    return rows


def _ago(since: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since))
