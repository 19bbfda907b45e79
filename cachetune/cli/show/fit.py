"""The page of ``fit``: for each guest a table of the best hosts, then why the others cannot take it, by rule."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from cachetune.cli.show.findings import show_error, show_findings
from cachetune.cli.show.host import age
from cachetune.cli.show.table import Sentence, Table, names, numbers, words
from cachetune.errors import InputError
from cachetune.fleet.model import CacheFit, Fit, FleetFit, FleetHost, GuestFit, Unusable
from cachetune.idset import format_ids
from cachetune.picture import DEFAULT_LETTER, legend, letter_of, owners_picture
from cachetune.plan.render import loss
from cachetune.text import count, listed, printable
from cachetune.units import about

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType
    from rich.text import Text

BEST = 10
"""How many hosts are listed without --all."""

_NAMED = 3
_ROOM = 24  # columns of the terminal for what has to be done, at the end of a row
_SHORT = len("now")


def fit_page(found: FleetFit, best: int | None = BEST) -> "Iterator[ConsoleRenderable | str]":
    """The answers for each guest; only the ``best`` hosts are listed, None for all of them."""
    hosts = {host.host: host for host in found.hosts}
    pictures: list[str] = []
    for number, guest in enumerate(found.guests):
        if number:
            yield ""
        yield from _guest_page(guest, hosts, best, pictures)
    if pictures:
        yield ""
        yield Sentence(_dim(legend(pictures, f"a group of the guest ({DEFAULT_LETTER} = the default group)")))


def fit_notes(found: FleetFit) -> Iterator[str]:
    """What limits the answers: snapshots that are old, do not say when they were taken, or do not count."""
    stale = sorted((host for host in found.hosts if host.stale), key=lambda host: -(host.age_seconds or 0))
    if stale:
        oldest = listed([f"{host.host} ({age(host.age_seconds or 0)})" for host in stale], _NAMED)
        yield f"{count(len(stale), 'snapshot')} of {len(found.hosts)} may be out of date: {oldest}"
    older = [(file, host) for host in found.hosts for file in host.older]
    if older:
        named = listed([f"{file} ({host.file} is newer)" for file, host in older], _NAMED)
        yield f"{count(len(older), 'older snapshot')} of the same hosts not used: {named}"


def show_unusable(unusable: Iterable[Unusable]) -> None:
    """Show the files that were not used, and why, on stderr."""
    for each in unusable:
        show_findings(each.findings, each.file)
        show_error(f"{each.file}: {each.reason}", each.hint)


def check_asked(guests: Sequence[object], hosts: Sequence[object]) -> None:
    """Raise InputError without a guest or without a host; if files were unusable, they may be the reason."""
    if not guests:
        raise InputError(
            "no guest to find a host for", hint="pass domain XML or a tuning file: cachetune fit GUEST.xml"
        )
    if not hosts:
        raise InputError("no host to ask", hint="pass snapshots, a directory of them, or sim:NAME")


def _guest_page(
    guest: GuestFit, hosts: dict[str, FleetHost], best: int | None, pictures: list[str]
) -> "Iterator[ConsoleRenderable | str]":
    fits, possible, refused = (guest.answering(answer) for answer in ("fits", "possible", "refused"))
    yield Sentence(_bold(f"{printable(guest.guest)}: {_summary(len(fits), len(possible), len(guest.hosts))}"))
    listing = (*fits, *possible)[:best]
    if listing:
        yield ""
        yield _Hosts([(fit, hosts[fit.host]) for fit in listing], pictures)
    if rest := len(fits) + len(possible) - len(listing):
        yield Sentence(_dim(f"{count(rest, 'more host')} can take it or could; --all lists them."))
    if refused:
        yield ""
        yield f"{'Does not fit on' if listing else 'Fits on none of'} {count(len(refused), 'host')}:"
        alone = best is None or len(refused) <= best
        yield _reasons(refused) if alone else _reasons_by_rule(refused)


def _summary(fits: int, possible: int, hosts: int) -> str:
    here = f"fits on {fits} of {count(hosts, 'host')}" if fits else f"fits on none of {count(hosts, 'host')}"
    return f"{here}; with other options on {possible}{' more' if fits else ''}" if possible else here


class _Hosts:
    """The table of hosts; on a narrow terminal, what has to be done is below each host."""

    def __init__(self, rows: "Sequence[tuple[Fit, FleetHost]]", pictures: list[str]) -> None:
        self._rows = rows
        pictures += [_picture(cache) for fit, _ in rows for cache in fit.caches]

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterator[RenderableType]":
        narrow = self._table(wide=False)
        has_room = options.max_width - narrow.full_width >= _ROOM
        yield self._table(wide=True) if has_room else narrow

    def _table(self, *, wide: bool) -> Table:
        table = Table(
            names("host"),
            numbers("cache", right=False),
            numbers("ways", right=False),
            numbers("free"),
            numbers("hole"),
            words("fits"),
        )
        for fit, host in self._rows:
            rows = [*_cache_rows(fit.caches)] or [("-", "-", "-", "-")]
            cells = ["\n".join(column) for column in zip(*rows, strict=True)]
            how = _how(fit, host)
            if wide or len(how) <= _SHORT:
                table.add_row(printable(fit.host), *cells, how)
            else:
                table.add_row(printable(fit.host), *cells, "", below=how)
        return table


def _cache_rows(caches: Sequence[CacheFit]) -> Iterator[tuple[str, str, str, str]]:
    """For caches that are alike: which, their ways, the free ways, and the largest hole."""
    alike: dict[tuple[str, str, int, int], list[int]] = {}
    for cache in caches:
        key = cache.resource, _picture(cache), cache.free_ways, cache.largest_hole_ways
        alike.setdefault(key, []).append(cache.id)
    for (resource, picture, free, hole), ids in alike.items():
        yield f"{resource} {format_ids(ids)}", picture, str(free), str(hole)


def _picture(cache: CacheFit) -> str:
    masks = [(letter_of(number), mask) for number, mask in enumerate(cache.masks.values(), start=1)]
    return owners_picture([(DEFAULT_LETTER, cache.default), *masks], cache.ways, cache.others)


def _how(fit: Fit, host: FleetHost) -> "Text":
    """What has to be done, and its cost to others."""
    parts = ["there already" if fit.present else "now"] if not fit.means else [*_costs(fit)]
    text = "; ".join(parts)
    if fit.missing:
        text = f"with {' '.join(fit.missing)}: {text}"
    if host.stale:
        text += f"; snapshot is {age(host.age_seconds or 0)} old"
    return _styled(printable(text), "green" if fit.answer == "fits" else "yellow")


def _costs(fit: Fit) -> Iterator[str]:
    if "rounded" in fit.means:
        amounts = dict.fromkeys(f"{each.requested} is {_amount(each.ways, each.amount)}" for each in fit.rounded)
        yield listed(list(amounts), _NAMED)
    if "shrunk" in fit.means:
        kept: dict[str, None] = {}
        for cache in fit.caches:
            if cache.default != cache.default_before:
                kept[f"{cache.default.bit_count()} of {cache.default_before.bit_count()}"] = None
        yield f"default group keeps {listed(list(kept), _NAMED)} ways"
    if "compacted" in fit.means:
        yield listed([loss(moved) for moved in fit.moved], _NAMED)


def _amount(ways: int | None, amount: int) -> str:
    if ways is None:
        return str(amount)
    return f"{count(ways, 'way')} ({about(amount)})" if amount else count(ways, "way")


def _reasons(refused: Sequence[Fit]) -> Table:
    """The first error of each host, and how many more it has."""
    table = Table(names(""), numbers(""), words(""))
    for fit in refused:
        first, more = fit.reasons[0], len(fit.reasons) - 1
        text = _short(first.message) + (f" (and {count(more, 'more error')})" if more else "")
        table.add_row(f"  {printable(fit.host)}", _styled(first.rule, "red"), text)
    return table


def _reasons_by_rule(refused: Sequence[Fit]) -> Table:
    """How many hosts refuse by which rule first, the most frequent first, with an example."""
    by_rule: dict[str, list[Fit]] = {}
    for fit in refused:
        by_rule.setdefault(fit.reasons[0].rule, []).append(fit)
    table = Table(numbers("hosts"), numbers("rule", right=False), words("for example"))
    for rule, fits in sorted(by_rule.items(), key=lambda item: (-len(item[1]), item[0])):
        table.add_row(
            str(len(fits)), _styled(rule, "red"), f"{printable(fits[0].host)}: {_short(fits[0].reasons[0].message)}"
        )
    return table


def _short(message: str) -> str:
    """The message without its list of all groups."""
    return printable(message.partition("; ")[0])


def _styled(text: str, style: str) -> "Text":
    from rich.text import Text

    return Text(text, style)


def _bold(text: str) -> "Text":
    return _styled(text, "bold")


def _dim(text: str) -> "Text":
    return _styled(text, "dim")
