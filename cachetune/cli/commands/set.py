"""``cachetune set``: change one value of a running guest."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cachetune.apply.run import Planner
from cachetune.apply.state.ledger import Ledger
from cachetune.cli import options
from cachetune.cli.amounts import BANDWIDTHS, NONE, Amount, AmountType
from cachetune.cli.changing import EXIT_CODES, change, within
from cachetune.cli.members import Monitored, ThreadList, VcpuList
from cachetune.cli.saving import Saving, naming
from cachetune.cli.show.findings import show_warnings
from cachetune.cli.verb import Verb, option
from cachetune.domain import tuning_text
from cachetune.domain.model import CacheType
from cachetune.errors import InputError
from cachetune.findings import Source
from cachetune.guests.tuning_files import head_in
from cachetune.host.model import Host
from cachetune.plan.model import Plan
from cachetune.service.connection import connect
from cachetune.service.edits import CacheEdit, Edit, NodeEdit, base_of, edit_planner, edited
from cachetune.service.hosts import read_for_planning
from cachetune.service.members import Members
from cachetune.service.select import select_guests, warnings_about
from cachetune.service.wanted import file_of
from cachetune.units import Rate, Size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_CACHES: dict[str, tuple[int, CacheType]] = {
    "l3": (3, "both"),
    "l3code": (3, "code"),
    "l3data": (3, "data"),
    "l2": (2, "both"),
    "l2code": (2, "code"),
    "l2data": (2, "data"),
}
_SIZE, _RATE = AmountType("SIZE", Size.parse, droppable=True), AmountType("RATE", Rate.parse, droppable=True)
_OF = {"both": "of", "code": "for code of", "data": "for data of"}


def _cache_options() -> "Callable[[Any], Any]":
    return options.stack(
        *(
            option(
                f"--{name}",
                type=_SIZE,
                multiple=True,
                metavar=_SIZE.name,
                heading="What",
                help=f"Size {_OF[kind]} L{level} caches. Repeatable.",
            )
            for name, (level, kind) in _CACHES.items()
        )
    )


@click.command("set", cls=Verb, exit_codes=EXIT_CODES)
@click.argument("guest", metavar="GUEST")
@option(
    "--vcpus", type=VcpuList(), metavar="LIST", heading="Which group", help="The group of these vCPUs, or a new one."
)
@option(
    "--threads",
    type=ThreadList(),
    metavar="KIND",
    heading="Which group",
    help="The group of emulator, iothreads, iothreads:LIST or vhost, or a new one.",
)
@option("--all", "whole", is_flag=True, heading="Which group", help="The group of the whole process, or a new one.")
@_cache_options()
@option(
    "--mb",
    type=_RATE,
    multiple=True,
    metavar=_RATE.name,
    heading="What",
    help="Memory bandwidth. Repeatable.",
)
@option(
    "--smba",
    type=_RATE,
    multiple=True,
    metavar=_RATE.name,
    heading="What",
    help="Bandwidth of slow memory (AMD). Repeatable.",
)
@option(
    "--monitor",
    "monitors",
    type=Monitored(),
    multiple=True,
    metavar="LIST",
    heading="What",
    help="Add a monitor of these vCPUs (or KIND of threads) of the group; 'none' removes all. Repeatable.",
)
@option(
    "--exclusive/--shareable",
    default=None,
    heading="What",
    help="Whether no other group and no device may have the group's ways.",
)
@option("--clear", is_flag=True, heading="What", help="Drop everything that the group requests, then set the rest.")
@option("--save", is_flag=True, heading="How", help="Also write the result to the guest's tuning file.")
@option("--xml", is_flag=True, heading="Output", help="Print the result as tuning XML, and change nothing.")
@options.stack(options.schema, options.as_json, options.how, options.consent, options.lock_timeout)
@options.stack(options.guests_d, options.finding, options.resctrl, options.sysfs, options.run, options.policy)
def command(
    *,
    guest: str,
    guests_d: Path,
    yes: bool,
    dry_run: bool,
    save: bool,
    xml: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Change one value of what a running guest has, and leave the rest as it is.

    GUEST is a name or UUID. What it has is, in this order, its tuning file in guests.d, what is applied to it, and its
    live XML. If it has one group, that is changed; otherwise choose with --vcpus, --threads or --all. Shows the plan
    and prompts for confirmation, as apply does.

    SIZE is 6MiB, 3ways, 30% or none; RATE is 50%, 500MiB/s, 6.25GB/s, a number in the host's unit, or none. ID is a
    cache id or a list such as 0-3; without it, a value is for all of the host. 'none' drops the request.

    \b
    Examples:
      cachetune set web --l3 0=6MiB
      cachetune set web --vcpus 0-1 --l3 3ways --mb 0=50% --save
      cachetune set web --vcpus 2-3 --clear
      cachetune set web --l3 1=none --xml
    """
    edit = _edit(values)
    if edit.is_empty:
        raise InputError("nothing to change", hint="pass a value, such as --l3 0=3ways, or --clear")
    schema = values["schema"]
    if schema is not None and not (save or xml):
        raise InputError("--schema is for the tuning file", hint="pass --save or --xml, or omit --schema")
    location, selection = options.location(values), options.selection({**values, "guest": guest})
    (running,) = select_guests(selection).guests
    show_warnings(warnings_about(running))
    file = file_of(running, guests_d)
    if xml:
        if save or dry_run or as_json:
            raise InputError("--xml only prints the result", hint="omit --save, --dry-run and --json")
        reading = read_for_planning(location)
        base = base_of(running, file, reading.host, reading.ledger)
        show_warnings(reading.notes)
        domain, _ = edited(base.domain, edit, reading.host)
        click.echo(tuning_text(domain, naming(head_in(guests_d, running.name), schema)), nl=False)
        return
    saving = Saving(guests_d if save and not dry_run else None, schema)
    how = options.plan_options(values)
    planner = within(how.policy, edit_planner(running, file, edit, how, saving.stage))
    if file and not save and not dry_run:
        planner = _beside(file.name, planner)
    with saving:
        change(planner, connect(location), running.name, yes=yes, dry_run=dry_run, as_json=as_json, adopt=how.adopt)


def _beside(file: str, planner: Planner) -> Planner:
    """The planner, which warns of the tuning file if there is something to change."""

    def plan_and_warn(host: Host, ledger: Ledger) -> Plan:
        plan = planner(host, ledger)
        if plan.steps:
            show_warnings([f"{file} stays as it is, so a running agent undoes this change; pass --save to change both"])
        return plan

    return plan_and_warn


def _edit(values: "Mapping[str, Any]") -> Edit:
    """The change that the options describe."""
    chosen = [values["vcpus"], values["threads"], Members() if values["whole"] else None]
    if sum(members is not None for members in chosen) > 1:
        raise InputError("--vcpus, --threads and --all exclude each other", hint="pass one of them")
    monitors = values["monitors"]
    return Edit(
        members=next((members for members in chosen if members is not None), None),
        caches=tuple(_cache_edits(values)),
        nodes=tuple(
            NodeEdit(of, _ids(each), each.amount, _place(name, each))
            for name, of in BANDWIDTHS.items()
            for each in values[name]
        ),
        monitors=tuple(members for members in monitors if members != NONE),
        no_monitors=NONE in monitors,
        exclusive=values["exclusive"],
        clear=values["clear"],
    )


def _cache_edits(values: "Mapping[str, Any]") -> "Iterator[CacheEdit]":
    for name, (level, kind) in _CACHES.items():
        for each in values[name]:
            yield CacheEdit(level, kind, _ids(each), each.amount, _place(name, each))


def _ids(amount: Amount[Any]) -> frozenset[int] | None:
    return None if amount.ids is None else frozenset(amount.ids)


def _place(name: str, value: Amount[Any]) -> Source:
    return Source(document=f"--{name} {value.text}")
