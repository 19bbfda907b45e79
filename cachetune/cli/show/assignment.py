"""The page of ``fit --assign``: hosts with their guests and what is available, guests with their hosts, and why not."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from cachetune.cli.show.table import Sentence, Table, names, numbers, words
from cachetune.fleet.assign.model import AssignedHost, CacheAvailable, FleetAssignment, Why
from cachetune.idset import format_ids
from cachetune.text import count, printable

if TYPE_CHECKING:
    from rich.console import ConsoleRenderable
    from rich.text import Text


def assignment_page(found: FleetAssignment) -> "Iterator[ConsoleRenderable | str]":
    """The assignment, and how good it is."""
    yield Sentence(_bold(_summary(found)))
    yield _quality(found)
    if found.hosts:
        yield ""
        yield _hosts(found.hosts)
        yield ""
        yield _guests(found)
    if found.placed < len(found.guests):
        yield ""
        yield "Without a host, beside the guests above:" if found.hosts else "Without a host:"
        yield _without(found)


def _summary(found: FleetAssignment) -> str:
    of = f"{found.placed} of {count(len(found.guests), 'guest')}"
    return f"{of} placed on {found.hosts_used} of {count(len(found.candidates), 'host')}"


def _quality(found: FleetAssignment) -> str:
    if found.optimal and found.placed:
        better = "is more even" if found.spread else "needs fewer hosts"
        if found.placed == len(found.guests):
            return f"No assignment {better}."
        return f"No assignment places more, and none of these {better}."
    if found.optimal:
        return "No host can take any of them with these options."
    if found.solver == "greedy":
        return "A greedy assignment: there may be one that places more guests or needs fewer hosts."
    bounds = []
    if found.placed_at_most is not None and found.placed < found.placed_at_most:
        bounds.append(f"at most {found.placed_at_most} can be placed")
    if found.hosts_at_least is not None and found.hosts_at_least < found.hosts_used:
        bounds.append(f"at least {count(found.hosts_at_least, 'host')} are needed")
    why = "it was stopped" if found.stopped else f"{found.budget_seconds:g} s were over; --budget allows more"
    known = found.placed_at_most is not None and found.hosts_at_least is not None
    best = f" ({', '.join(bounds)})" if bounds else "" if known or found.spread else "; there may be a better one"
    return f"The best found{best}. The search ended because {why}."


def _hosts(hosts: Iterable[AssignedHost]) -> Table:
    table = Table(
        names("host"),
        words("guests (in order)"),
        numbers("cache", right=False),
        numbers("available"),
        numbers("largest"),
        numbers("closids"),
    )
    for host in hosts:
        rows = [*_cache_rows(host.caches)] or [("-", "-", "-")]
        columns = ["\n".join(cells) for cells in zip(*rows, strict=True)]
        guests = ", ".join(map(printable, host.guests))
        table.add_row(
            printable(host.host), guests, *columns, "-" if host.closids_left is None else str(host.closids_left)
        )
    return table


def _cache_rows(caches: Iterable[CacheAvailable]) -> Iterator[tuple[str, str, str]]:
    """For caches that are alike: which, the ways available, and the largest group that fits."""
    alike: dict[tuple[str, int, int], list[int]] = {}
    for cache in caches:
        alike.setdefault((cache.resource, cache.available_ways, cache.largest_group_ways), []).append(cache.id)
    for (resource, available, largest), ids in alike.items():
        yield f"{resource} {format_ids(ids)}", str(available), str(largest)


def _guests(found: FleetAssignment) -> Table:
    table = Table(names("guest"), names("host"), names("file"))
    for guest in found.guests:
        if guest.host is not None:
            table.add_row(printable(guest.guest), printable(guest.host), printable(guest.file))
    return table


def _without(found: FleetAssignment) -> Table:
    table = Table(names("guest"), numbers("hosts"), numbers("rule", right=False), words("for example"))
    for guest in found.guests:
        if guest.host is None:
            name = printable(guest.guest)
            for why in guest.why:
                table.add_row(name, str(len(why.hosts)), _red(why.rule or "-"), _example(why))
                name = ""
    return table


def _example(why: Why) -> str:
    return f"{printable(why.hosts[0])}: {printable(why.example.partition('; ')[0])}"


def _red(text: str) -> "Text":
    from rich.text import Text

    return Text(text, "red")


def _bold(text: str) -> "Text":
    from rich.text import Text

    return Text(text, "bold")
