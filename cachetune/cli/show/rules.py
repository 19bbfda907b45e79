"""Rules on a terminal: lists, and one rule with its prose and its samples."""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from cachetune.cli.show.console import console, show
from cachetune.explain.catalog import AREAS
from cachetune.explain.model import ExplainedRule
from cachetune.explain.samples import NAME, Line, Sample, bad_sample, checked_with, good_sample
from cachetune.findings import Rule, location_of

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_MOST_COLUMNS = 80
_COLORS = {"error": "bold red", "warning": "bold yellow"}
_CODE = re.compile(r"`[^`]+`")


def list_rules(rules: Iterable[Rule]) -> None:
    """Print one line for each rule, under the titles of their areas."""
    from rich.text import Text

    given = list(rules)
    parts: list[RenderableType] = []
    for area in AREAS:
        of_area = [rule for rule in given if rule.id.startswith(area.prefix)]
        if of_area:
            parts += [Text(f"{area.prefix}xx: {area.title}", style="bold"), *map(_entry, of_area)]
    show(parts, _columns())


def list_found(rules: Iterable[Rule]) -> None:
    """Print one line for each rule, in the given order."""
    show([_entry(rule) for rule in rules], _columns())


def explain_rule(rule: ExplainedRule, rules: Mapping[str, Rule]) -> None:
    """Print one rule: what it means, why it matters, its samples, how to fix a violation, and related rules."""
    show(_explanation(rule, rules), _columns())


def _columns() -> int:
    return min(console(sys.stdout).width, _MOST_COLUMNS)


def _entry(rule: Rule) -> "RenderableType":
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column()
    grid.add_row(Text(rule.id, style="bold"), Text(_listed(rule)))
    return Padding(grid, (0, 0, 0, 2))


def _listed(rule: Rule) -> str:
    return rule.summary if rule.severity == "error" else f"{rule.summary.removesuffix('.')} (warning)."


def _explanation(rule: ExplainedRule, rules: Mapping[str, Rule]) -> "Iterator[RenderableType]":
    from rich.text import Text

    yield Text.assemble((rule.id, "bold"), " (", (rule.severity, _COLORS[rule.severity]), ")")
    yield Text(rule.summary, style="bold")
    yield from _section("What it means", _prose(rule.meaning))
    yield from _section("Why it matters", _prose(rule.why))
    yield from _section("Breaks it", _bad(rule))
    yield from _section("Satisfies it", _lines(good_sample(rule), "green"))
    yield from _section("How to fix it", _prose(rule.remedy))
    if rule.related:
        yield from _section("Related", (_entry(rules[name]) for name in rule.related), indent=0)
    if rule.pages:
        yield from _section("Read more", (Text(f"docs/{page}") for page in rule.pages))


def _section(title: str, parts: "Iterable[RenderableType]", indent: int = 2) -> "Iterator[RenderableType]":
    from rich.padding import Padding
    from rich.text import Text

    yield Text("")
    yield Text(title, style="bold")
    for part in parts:
        yield Padding(part, (0, 0, 0, indent)) if part else part  # padding drops an empty line


def paragraphs(prose: str) -> Iterator[tuple[bool, str]]:
    """The paragraphs of a rule's prose: whether it is a block of commands, and its text."""
    for paragraph in re.split(r"\n{2,}", prose):
        is_code = paragraph.startswith("    ")
        yield is_code, "\n".join(line[4:] for line in paragraph.split("\n")) if is_code else " ".join(paragraph.split())


def _prose(prose: str) -> "Iterator[RenderableType]":
    from rich.text import Text

    for number, (is_code, text) in enumerate(paragraphs(prose)):
        if number:
            yield Text("")
        if is_code:
            yield Text(
                "\n".join(f"  {line}" for line in text.split("\n")), style="cyan", no_wrap=True, overflow="ignore"
            )
        else:
            wrapped = Text(text)
            wrapped.highlight_regex(_CODE, "cyan")
            yield wrapped


def _bad(rule: ExplainedRule) -> "Iterator[RenderableType]":
    from rich.text import Text

    sample = bad_sample(rule)
    if command := checked_with(rule):
        yield Text(f"$ {command}", style="cyan", no_wrap=True, overflow="ignore")
        yield Text("")
    if rule.host != "file":  # it is the file that the command names
        yield from _lines(sample, "red")
        yield Text("")
    yield from _message(rule, sample)


def _message(rule: ExplainedRule, sample: Sample) -> "Iterator[RenderableType]":
    """What is found in a sample, as ``validate`` prints it, or what the situation is reported as."""
    from rich.padding import Padding
    from rich.text import Text

    severity = (f"{rule.severity}:", _COLORS[rule.severity])
    if sample.finding is None:
        yield Text.assemble(severity, f" {rule.prints} [{rule.id}]")
        return
    yield Text.assemble(location_of(sample.finding, NAME), severity, f" {sample.finding.text}")
    yield Padding(Text(f"hint: {sample.finding.hint}"), (0, 0, 0, 4))


def _lines(sample: Sample, style: str) -> "Iterator[RenderableType]":
    """The lines of a sample, with carets below what is marked. A situation in words wraps."""
    from rich.text import Text

    if not sample.is_xml:
        yield Text(sample.lines[0].text)
        return
    for line in sample.lines:
        yield _line(line, style)
        start, end = line.marked
        if end:
            yield Text(" " * start + "^" * (end - start), style="bold red", no_wrap=True, overflow="ignore")


def _line(line: Line, style: str) -> "Text":
    from rich.text import Text

    text = Text(line.text, no_wrap=True, overflow="ignore")
    if line.marked[1]:
        text.stylize(style, *line.marked)
    elif line.changed:
        text.stylize(style)
    elif not line.number:
        text.stylize("dim")
    return text
