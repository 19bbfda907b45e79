"""``cachetune agent``: keep guests' allocations in place; ``cachetune agent status``: report their state."""

import os
import sys
from pathlib import Path
from typing import Any

import click
import msgspec

from cachetune.agent import status_file
from cachetune.agent.decide import AgentOptions
from cachetune.agent.loop import Setup, run_agent
from cachetune.agent.model import AgentStatus
from cachetune.cli import options
from cachetune.cli.show.agent import show_status
from cachetune.cli.show.console import print_document
from cachetune.cli.show.stderr_log import log_to_stderr
from cachetune.cli.verb import VerbGroup, option
from cachetune.errors import AgentNotRunningError


@click.group(
    "agent",
    cls=VerbGroup,
    invoke_without_command=True,
    exit_codes={
        0: "stopped by a signal; with --once: every guest matches its request",
        1: "with --once: a guest could not be placed or has drifted",
        2: "could not start",
    },
)
@option("--once", is_flag=True, heading="How", help="Exit once nothing is left to do.")
@option(
    "--period",
    type=click.FloatRange(min=0.1, max=86400),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    heading="How",
    help="Time between two rounds without an event.",
)
@option(
    "--adopt", is_flag=True, heading="How", help="Also repair groups that libvirt made (default: only compare them)."
)
@options.stack(options.shrink_default, options.assign_counters, options.rounding)
@options.stack(options.lock_timeout, options.guests_d)
@options.stack(options.finding, options.resctrl, options.sysfs, options.run, options.policy)
@click.pass_context
def command(ctx: click.Context, /, **values: Any) -> None:
    """Keep guests' allocations in place: from their start, through vCPU hotplug and restarts, to their end.

    Manages every guest that has a tuning file in guests.d (domain XML, or only <cputune>), and compares libvirt's
    groups with the guests' live XML. A guest that cannot be placed is reported once and retried; it does not affect the
    others. SIGHUP starts a round at once; SIGTERM stops the agent and leaves the groups in place.

    \b
    Examples:
      cachetune agent --once --shrink-default
      cachetune agent --period 2 --guests-d /etc/cachetune/guests.d
      cachetune agent status
    """
    if ctx.invoked_subcommand is not None:
        return
    setup = Setup(
        location=options.location(values),
        selection=options.selection(values),
        guests_d=values["guests_d"],
        options=AgentOptions(**{name: values[name] for name in AgentOptions.__struct_fields__ if name != "policy"}),
        once=values["once"],
        policy=values["policy"],
    )
    status = run_agent(setup, log_to_stderr(os.environ), os.environ)
    ctx.exit(_code(status) if setup.once else 0)


@command.command(
    "status",
    exit_codes={
        0: "every guest is placed, or not running",
        1: "a guest could not be placed or has drifted, or the agent cannot read the host",
        2: "no agent is running, and the last one was not agent --once",
    },
)
@options.run
@options.as_json
def status(*, run: Path, as_json: bool) -> None:
    """Show the state of managed guests: now, or as the last agent --once left it.

    \b
    Example:
      cachetune agent status --json
    """
    found = status_file.read(run)
    if found is None:
        raise AgentNotRunningError(run)
    alive = status_file.is_alive(found)
    if as_json:
        print_document(found if alive else msgspec.structs.replace(found, running=False))
    else:
        show_status(found)
    if not (alive or found.is_complete):
        raise AgentNotRunningError(run, found.pid)
    sys.exit(_code(found))


def _code(status: AgentStatus) -> int:
    return 1 if status.problem or any(guest.state in {"failed", "drifted"} for guest in status.guests) else 0
