"""``cachetune convert``: the configuration of another tool as tuning XML."""

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn, TypeVar

import click

from cachetune.cli import options
from cachetune.cli.show.findings import show_warnings
from cachetune.cli.verb import VerbGroup, option
from cachetune.errors import InputError
from cachetune.host.model import Host
from cachetune.idset import parse_vcpus
from cachetune.service.convert import convert, goresctrl, pqos, rdtset
from cachetune.service.convert.guest import located
from cachetune.service.convert.model import Foreign
from cachetune.service.hosts import read_location
from cachetune.service.requests import Document, read_document
from cachetune.service.select import select_guests

F = TypeVar("F", bound=Callable[..., Any])
EXIT_CODES = {0: "converted", 1: "converted, without what the warnings name", 2: "could not run"}


# Without a type argument, which older versions of click do not have.
class _ClassVcpus(click.ParamType):  # type: ignore[type-arg]
    name = "CLASS=LIST"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, frozenset[int]]:
        name, _, text = str(value).rpartition("=")
        try:
            found = parse_vcpus(text)
        except ValueError as error:
            self.fail(f"{value!r} is not a class and its vCPUs, such as 1=0-3: {error}", param, ctx)
        if not name or not found:
            self.fail(f"{value!r} is not a class and its vCPUs, such as 1=0-3", param, ctx)
        return name, found


_chosen = options.stack(
    options.guest_option("A running guest, whose threads or pinning show the class of each vCPU."),
    option("--class", "chosen", metavar="NAME", heading="Which guest", help="The class of the whole guest."),
    option(
        "--vcpus",
        type=_ClassVcpus(),
        multiple=True,
        metavar="CLASS=LIST",
        heading="Which guest",
        help="The class of some vCPUs of the guest. Repeatable.",
    ),
    *(options.finding, options.host, options.resctrl, options.sysfs, options.run),
)


@click.group("convert", cls=VerbGroup, exit_codes=EXIT_CODES)
def command() -> None:
    """Print the configuration of another tool as tuning XML. Changes nothing.

    Masks become sizes, which depend on the host: pass --host for another one. What tuning XML cannot express is a
    warning.

    \b
    Examples:
      cachetune convert pqos 'llc:1=0x7;mba:1=50' > web.xml
      cachetune convert rdtset -t 'l3=0xf;cpu=0-3'
      cachetune convert pqos --script set.sh --vcpus 1=0-1 --vcpus 2=2-3
    """


@command.command("pqos", exit_codes=EXIT_CODES)
@click.argument("definitions", nargs=-1)
@option("-e", "classes", multiple=True, metavar="CLASSDEF", heading="How", help="As pqos -e. Repeatable.")
@option("-a", "associations", multiple=True, metavar="CLASS2ID", heading="How", help="As pqos -a. Repeatable.")
@option("--script", metavar="FILE", heading="How", help="A shell script that runs pqos; - for standard input.")
@_chosen
def of_pqos(
    *,
    definitions: tuple[str, ...],
    classes: tuple[str, ...],
    associations: tuple[str, ...],
    script: str | None,
    **values: Any,
) -> None:
    """Convert classes of pqos. DEFINITIONS are values of its option -e.

    \b
    Examples:
      cachetune convert pqos 'llc:1=0x7;mba:1=50'
      cachetune convert pqos -e 'llc@0:1=0x7;llc:2=0x70' --class 2
      cachetune export --format pqos | cachetune convert pqos --script - --class 1
    """
    found: list[pqos.Option] = []
    if document := read_document(script):
        found += pqos.options_of_script(document.data.decode(errors="replace"), document.name)
    found += [(f"-e {number}", "-e", text) for number, text in enumerate((*definitions, *classes), 1)]
    found += [(f"-a {number}", "-a", text) for number, text in enumerate(associations, 1)]
    _print(lambda host: pqos.read(found, host), found, values)


@command.command("rdtset", exit_codes=EXIT_CODES)
@click.argument("definitions", nargs=-1)
@option("-t", "classes", multiple=True, metavar="CLASSDEF", heading="How", help="As rdtset -t. Repeatable.")
@option("-p", "pids", metavar="PIDLIST", default="", heading="How", help="As rdtset -p.")
@option("-c", "cpus", metavar="CPULIST", default="", heading="How", help="As rdtset -c.")
@_chosen
def of_rdtset(*, definitions: tuple[str, ...], classes: tuple[str, ...], pids: str, cpus: str, **values: Any) -> None:
    """Convert options of rdtset. DEFINITIONS are values of its option -t, numbered from 1. Quotes and t= may stay.

    \b
    Examples:
      cachetune convert rdtset 'l3=0xf;mba=50;cpu=0-3'
      cachetune convert rdtset -t 'l3=0xf;cpu=2' -t 'l3=0xf0;cpu=3-5' --class 1
    """
    found = [(f"-t {number}", text) for number, text in enumerate((*definitions, *classes), 1)]
    _print(lambda host: rdtset.read(found, host, pids, cpus), found, values)


@command.command("goresctrl", exit_codes=EXIT_CODES)
@click.argument("file")
@_chosen
def of_goresctrl(*, file: str, **values: Any) -> None:
    """Convert the classes of goresctrl's configuration, as CRI-O, containerd and NRI plugins use it.

    FILE is YAML, or - for standard input. Needs the extra convert (PyYAML).

    \b
    Examples:
      cachetune convert goresctrl /etc/rdt.yaml --class guaranteed
      cachetune convert goresctrl rdt.yaml --vcpus gold=0-1 --vcpus silver=2
    """
    document = read_document(file) or Document(file, b"")
    _print(lambda host: goresctrl.read(document.data, document.name, host), [document], values)


def _print(read: Callable[[Host], Foreign], given: Sequence[object], values: dict[str, Any]) -> NoReturn:
    """Print the XML of the classes that ``read`` finds, and exit with 1 if something is left out."""
    if not given:
        raise InputError("nothing to convert", hint="pass a definition")
    chosen, guest, vcpus = values.pop("chosen"), values["guest"], _by_class(values.pop("vcpus"))
    if sum((chosen is not None, guest is not None, bool(vcpus))) > 1:
        raise InputError("--class, --vcpus and --guest exclude each other", hint="pass one of them")
    reading = read_location(options.location(values))
    show_warnings(reading.notes)
    foreign = read(reading.host)
    if guest is not None:
        (running,) = select_guests(options.selection(values)).guests
        foreign, vcpus = located(foreign, running)
    converted = convert(foreign, reading.host, chosen, vcpus)
    click.echo(converted.xml, nl=False)
    show_warnings(converted.notes)
    sys.exit(1 if converted.notes else 0)


def _by_class(pairs: Iterable[tuple[str, frozenset[int]]]) -> dict[str, frozenset[int]]:
    found: dict[str, frozenset[int]] = {}
    for name, vcpus in pairs:
        found[name] = found.get(name, frozenset()) | vcpus
    return found
