"""The move of a guest as text: each value on both hosts, what is left out, and the difference of the tuning files."""

import difflib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from cachetune.cli.show.comparison import title_of
from cachetune.cli.show.table import Table, numbers, unbroken, words
from cachetune.fleet.move.model import Lost, MovedValue
from cachetune.idset import format_ids
from cachetune.service.move import MovedGuest
from cachetune.text import listed, printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_RULES = {
    "cpus": "Requests follow the vCPUs to the caches of the CPUs on which they will run.",
    "all": "No pins of vCPUs are known: a request for every cache of A is for every cache of B.",
    "id": "No pins of vCPUs are known: a request keeps the id of its cache. Pass the guest's XML, or --cpus LIST.",
}
_STYLES = {"+": "green", "-": "red", "@": "cyan"}
_SEVERAL = 4


def move_page(moved: MovedGuest) -> Iterator["RenderableType"]:
    """Who moves, from which values to which, what is left out, and the difference of the tuning files."""
    origin = {"groups": "read from its groups on A", "file": "that of its XML"}[moved.request_from]
    yield unbroken(f"{printable(moved.guest)} moves from A to B; its request is {origin}", "bold")
    yield unbroken(f"A  {title_of(moved.a)}")
    yield unbroken(f"B  {title_of(moved.b)}")
    if moved.values:
        yield ""
        yield _values(moved.values)
        yield ""
        yield from (text for rule, text in _RULES.items() if any(value.rule == rule for value in moved.values))
    yield from _lost(moved.lost)
    yield ""
    yield from _difference(moved)


def _values(values: Iterable[MovedValue]) -> Table:
    table = Table(words(""), numbers("A", right=False), words(""), numbers("B", right=False), words(""))
    for value in values:
        ours, theirs = f"{value.resource} {format_ids(value.a_ids)}", f"{value.resource} {value.b_id}"
        table.add_row(value.group, ours, value.a, theirs, value.b)
    return table


def _lost(lost: Iterable[Lost]) -> Iterator["RenderableType"]:
    """What is left out, once for each reason."""
    by_reason: dict[tuple[str, str, str], list[str]] = {}
    for each in lost:
        by_reason.setdefault((each.reason, each.rule, each.hint), []).append(f"{each.group}: {each.what}")
    if not by_reason:
        return
    yield ""
    yield _styled("Left out on B:", "yellow")
    for (reason, rule, hint), names in by_reason.items():
        yield f"  {printable(listed(names, _SEVERAL))}"
        yield f"    {printable(reason)} [{rule}]"
        yield f"    hint: {printable(hint)}"


def _difference(moved: MovedGuest) -> Iterator["RenderableType"]:
    """The unified difference of the two tuning files; neither names a schema here."""
    before, after = (text[text.find("<cputune") :] for text in (moved.a_tuning, moved.b_tuning))
    name = printable(moved.guest)
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), f"{name} on A", f"{name} on B", lineterm="")
    shown = [unbroken(line, _STYLES.get(line[:1], "")) for line in lines]
    yield from shown
    if not shown:
        yield "The tuning file is the same on both hosts."


def _styled(text: str, style: str) -> "Text":
    from rich.text import Text

    return Text(text, style)
