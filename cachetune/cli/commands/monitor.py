"""``cachetune monitor``: the counters of a guest's groups, or of all groups of ours and libvirt's."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cachetune import documents
from cachetune.cli import options
from cachetune.cli.show.console import show, table
from cachetune.domain.model import Domain
from cachetune.errors import HostError, InputError
from cachetune.guests.model import SourceName
from cachetune.host.model import Host
from cachetune.host.read import read_host
from cachetune.plan.groups.names import belongs_to, machine_name, machine_name_of
from cachetune.service.hosts import open_resctrl
from cachetune.service.owned import owned_groups
from cachetune.text import printable
from cachetune.units import about
from cachetune.watch import Counter, Reading, Readings, read_counters

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from cachetune.guests.find import SourceOptions
    from cachetune.guests.model import RunningGuest

Line = tuple[Reading, str, dict[str, Counter]]
_OURS = {"default", "cachetune", "libvirt"}


@click.command("monitor")
@click.argument("file", metavar="[GUEST.xml | -]", required=False)
@options.stack(options.as_json, options.guest, options.all_guests, options.machine_name)
@options.stack(options.host, options.resctrl, options.run, options.where)
def command(  # noqa: PLR0913 - one parameter for each option
    *,
    file: str | None,
    as_json: bool,
    guest: str | None,
    all_guests: bool,
    machine_name: str | None,
    host: str | None,
    resctrl: Path,
    run: Path,
    source: SourceName | None,
    **where: Any,
) -> None:
    """Read the counters of a guest's groups: cache occupancy, memory bandwidth, energy.

    With a guest's XML, its name or its machine name all its groups are read, with --all-guests those of all that run;
    without, the default group and every group of libvirt's and ours. A control group's value includes those of its
    monitor groups. llc_occupancy is what is in the cache now, mbm_* count from the moment the group was made. A value
    that the kernel does not have is shown with the kernel's word for it, such as Unavailable.

    \b
    Examples:
      cachetune monitor --guest web
      cachetune monitor guest.xml
      cachetune monitor --machine-name qemu-1-web
      cachetune monitor --json | jq '.monitors[].counters[] | select(.event == "llc_occupancy")'
    """
    fs = open_resctrl(host, resctrl)
    began = time.time()
    given = read_host(fs, None, owned_groups(run))
    if not given.monitors:
        raise HostError(given.source, "no monitoring", hint="there is no info/L3_MON; see `cachetune show`")
    running = _running(guest, options.source_options(**where), source) if guest or all_guests else []
    readings = read_counters(fs, given, _paths(given, file, machine_name, running))
    document = Readings(source=given.source, time=round(began, 6), monitors=readings)
    if as_json:
        click.echo(documents.encode(document), nl=False)
    else:
        show(page(document, given))


def _running(key: str | None, source_options: "SourceOptions", source: SourceName | None) -> Sequence["RunningGuest"]:
    """The guest that runs under this name, or all that run. Raises InputError, also if none does."""
    from cachetune.guests.find import guest_named, running_guests

    found = (
        [guest_named(key, source_options, source, per_vcpu=False)] if key else running_guests(source_options, source)
    )
    if not found:
        raise InputError(
            "no guest runs here", hint="without --all-guests the groups of all are shown, whether they run"
        )
    return found


def _paths(host: Host, file: str | None, machine: str | None, running: Sequence["RunningGuest"]) -> list[str]:
    """The groups to read. Raises InputError when the guest has none."""
    if file is None and machine is None and not running:
        return [group.path for group in host.groups if group.owner in _OURS]
    names: set[str] = set()
    machines = [name for guest in running for name in _machine_names(guest)]
    if file is not None:
        domain = _load(file)
        machine = machine or machine_name_of(domain)
        names = {f"{machine}-{i}" for i in _ids(domain)}
    machines += [machine] if machine else []
    found = [
        group.path
        for group in host.groups
        if any(belongs_to(group.path, each) for each in machines) or group.path.rpartition("/")[2] in names
    ]
    if not found:
        raise InputError(f"{host.source} has no groups of {' or '.join(map(repr, machines))}", hint=_machines(host))
    return found


def _machine_names(guest: "RunningGuest") -> Iterator[str]:
    """The names that a running guest's groups can have: ours, and libvirt's where libvirt runs it."""
    for number in {None, guest.libvirt_id}:
        with contextlib.suppress(InputError):
            yield machine_name(guest.name, number)


def _load(file: str) -> Domain:
    from cachetune.domain import load, read_file

    loaded = load(read_file(file), file)
    if loaded.domain is None:
        raise InputError(f"{file} is not valid", hint=f"`cachetune validate {file}` says why")
    return loaded.domain


def _ids(domain: Domain) -> Iterator[str]:
    """The identifiers of all groups and monitors; live XML may have other ones than ``vcpus_0-1``."""
    for group in domain.groups:
        yield from (i for i in (group.id, *(monitor.id for monitor in group.monitors)) if i is not None)


def _machines(host: Host) -> str:
    names = {
        g.path.rpartition("/")[2].partition("-vcpus_")[0] for g in host.groups if g.owner in {"cachetune", "libvirt"}
    }
    return f"there are groups of {', '.join(sorted(map(printable, names)))}" if names else "apply a plan first"


def page(document: Readings, host: Host) -> Iterator["RenderableType"]:
    """One table for each resource that has counters, then the groups that have none."""
    resources = [monitor.name.removesuffix("_MON") for monitor in host.monitors]
    lines_of = {resource: [line for r in document.monitors for line in _lines(r, resource)] for resource in resources}
    for resource, lines in lines_of.items():
        if lines:
            yield _table("package" if resource == "PERF_PKG" else "cache", lines)
    gone = [reading.path for reading in document.monitors if not reading.counters]
    if gone:
        yield f"No counters, or vanished meanwhile: {', '.join(map(printable, gone))}"


def _table(what: str, lines: list[Line]) -> "Table":
    """A line for a group and cache, a column for an event. A group's name stands in its first line only."""
    events = list(dict.fromkeys(event for _, _, values in lines for event in values))
    headers = [event.removesuffix("_bytes") for event in events]  # the values have their units with them
    rows = table("group", what, *headers, right=headers)
    before = None
    for reading, where, values in lines:
        name = "" if reading is before else _name(reading)
        rows.add_row(name, where, *(_value(values.get(event)) for event in events))
        before = reading
    return rows


def _name(reading: Reading) -> str:
    if reading.owner == "default":
        return ". (default group)"
    return f"  {printable(reading.name)}" if reading.kind == "monitor" else printable(reading.name)


def _lines(reading: Reading, resource: str) -> Iterator[Line]:
    source_options: dict[tuple[int, int | None], dict[str, Counter]] = {}
    for counter in reading.counters:
        if counter.resource == resource:
            source_options.setdefault((counter.id, counter.node), {})[counter.event] = counter
    for (number, node), values in source_options.items():
        yield reading, f"{number}" if node is None else f"{number} node {node}", values


def _value(counter: Counter | None) -> str:
    if counter is None:
        return ""
    if counter.value is None:
        return counter.state
    if isinstance(counter.value, int) and counter.event.startswith(("llc_", "mbm_")):
        return about(counter.value)
    return f"{counter.value}"
