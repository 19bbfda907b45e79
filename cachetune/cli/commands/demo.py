"""``cachetune demo``: the whole pipeline on a simulated host, with the same code that runs on a real one."""

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import click
from msgspec.structs import replace

from cachetune.apply.run import Connection
from cachetune.apply.state.ledger import load_ledger
from cachetune.cli.show.console import show
from cachetune.cli.show.findings import show_findings
from cachetune.cli.show.plan import show_plan
from cachetune.cli.show.readings import readings_page
from cachetune.cli.show.report import show_report
from cachetune.cli.show.table import Sentence
from cachetune.cli.streams import read_or_not
from cachetune.cli.top.session import Session, screen_width
from cachetune.cli.top.view import View
from cachetune.cli.verb import Verb
from cachetune.guests.model import Guest, Thread
from cachetune.host.model import DEFAULT_GROUP, Host
from cachetune.host.read import read_host
from cachetune.host.usage import usage_of
from cachetune.picture import io_picture, legend, letter_of, owners_picture
from cachetune.plan.model import Plan
from cachetune.plan.render import describe
from cachetune.plan.request import GuestRequest, Options
from cachetune.plan.steps import Step
from cachetune.service.changes import carry_out
from cachetune.service.looks import Look
from cachetune.service.plans import planner_of
from cachetune.service.readings import HostReadings
from cachetune.service.requests import Document, load_document
from cachetune.sim import SimulatedResctrl, load_profile
from cachetune.sim.workloads import Workload
from cachetune.watch import Readings, Sampler, rated, read_counters
from cachetune.watch.counters import events_of, labels

DOMAIN = """\
<domain type='kvm'>
  <name>web</name>
  <vcpu>4</vcpu>
  <cputune>
    <cachetune vcpus='0-1'>
      <cache id='0' level='3' type='both' size='6912' unit='KiB'/>
      <cache id='1' level='3' type='both' size='4608' unit='KiB'/>
      <monitor level='3' vcpus='0-1'/>
      <monitor level='3' vcpus='0'/>
    </cachetune>
    <memorytune vcpus='0-1'>
      <node id='0' bandwidth='50'/>
    </memorytune>
    <cachetune vcpus='3'>
      <monitor level='3' vcpus='3'/>
    </cachetune>
  </cputune>
</domain>
"""
_PROFILE = "skylake-2s"
_FIRST_TID = 4711
_BUSY = Workload(kind="reuse", bytes_per_second=float(6 << 30), working_set_bytes=9 << 20)
_WATCHED_SECONDS = 1.0


@click.command("demo", cls=Verb, exit_codes={0: "shown", 2: "could not run"})
def command() -> None:
    """Run the whole pipeline on a simulated host: validate, plan, apply, monitor, the ways before and after, and top.

    Does not read or change this machine's resctrl. The simulated host follows the kernel's rules.

    \b
    Example:
      cachetune demo
    """
    resctrl = SimulatedResctrl(load_profile(_PROFILE))
    guest = Guest(_FIRST_TID, tuple(Thread(_FIRST_TID + n, 0, f"CPU {n}/KVM", n) for n in range(4)))
    for thread in guest.threads:
        resctrl.add_task(thread.tid)
    resctrl.run("web", _BUSY, [thread.tid for thread in guest.threads[:2]])

    _title("The domain requests cache, memory bandwidth and monitors")
    click.echo(DOMAIN)
    domain, findings = load_document(Document("web.xml", DOMAIN.encode()))
    show_findings(findings, "web.xml")

    def show_made(plan: Plan) -> None:
        with read_or_not():
            show_plan(plan, "web.xml")
            _title("Apply: one lock, a journal, every step read back")

    _title(f"The plan on a fresh {_PROFILE}: the default group owns every way, so it must shrink")
    before = read_host(resctrl)
    planner = planner_of([GuestRequest(domain, guest)], Options(shrink_default=True))
    with tempfile.TemporaryDirectory(prefix="cachetune-demo-") as run:
        connection = Connection(resctrl, Path(run))
        show_report(carry_out(planner, connection, show=show_made, on_step=_show_step))
        ledger = load_ledger(connection.run)
        after = connection.look(ledger)

    _title("The monitors count")
    paths = [g.path for g in after.groups if g.path != DEFAULT_GROUP]
    show(readings_page(Readings(source=after.source, time=0, monitors=read_counters(resctrl, after, paths)), after))

    _title("The ways before and after")
    _show_ways(before, after)

    _title(f"What 'cachetune top --once' shows after {_WATCHED_SECONDS:g} s")
    _show_top(resctrl, after, ledger.guest_names)


def _show_step(step: Step) -> None:
    with read_or_not():  # an error here would undo the steps
        show([Sentence(f"  {describe(step)}", 4)])


def _title(text: str) -> None:
    from rich.text import Text

    show(["", Sentence(Text(f"== {text}", "bold"), 3)])


def _show_top(resctrl: SimulatedResctrl, host: Host, guests: Mapping[str, str]) -> None:
    """Show the frame of two looks at the host; ``guests`` are the names of guests by the paths of their groups."""
    with Sampler(lambda: resctrl, lambda: events_of(host)) as sampler:
        before = sampler.sample()
        time.sleep(_WATCHED_SECONDS)
        after = sampler.sample()
    readings = Readings(
        source=host.source,
        time=after.time,
        monitors=tuple(
            replace(label, counters=rated(before.groups[label.path], after.groups[label.path]))
            for label in labels(host, after.groups, guests)
        ),
    )
    session = Session(Look(HostReadings(readings, host), usage_of(host), is_live=False), time.monotonic())
    show(session.frame(View(unfold_all=True), screen_width()))


def _show_ways(before: Host, after: Host) -> None:
    """Show the caches of both hosts, with a letter for each group."""
    letters = {group.path: letter_of(i) for i, group in enumerate(after.control_groups())}
    shown: list[str] = []
    for cache in after.caches:
        for cache_id in cache.size_bytes:
            pictures = [
                owners_picture(
                    [(letters[g.path], g.masks[cache.name][cache_id]) for g in host.control_groups()],
                    cache.ways,
                )
                for host in (before, after)
            ]
            click.echo(f"  {cache.name} cache {cache_id}   {pictures[0]}  ->  {pictures[1]}")
            marks = io_picture(cache.io_ways(cache_id), cache.ways)
            click.echo(f"  {'':{len(cache.name) + 8}}   {marks}      {marks}".rstrip())
            shown += [*pictures, marks]
    click.echo()
    for path, letter in letters.items():
        click.echo(f"  {letter}  {'the default group' if path == DEFAULT_GROUP else path}")
    show(["", legend(shown, "group above")])
