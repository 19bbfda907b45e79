"""Rules in Markdown: the pages of the manual, an index and one for each area."""

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping

from cachetune.cli.show.rules import paragraphs
from cachetune.explain.catalog import AREAS
from cachetune.explain.model import Area, ExplainedRule
from cachetune.explain.samples import NAME, Sample, bad_sample, checked_with, good_sample
from cachetune.findings import location_of

_ELEMENT = re.compile(r"(?:<[^<>`]+>)+")


def pages(rules: Mapping[str, ExplainedRule]) -> dict[str, str]:
    """All pages by file name. They link to each other, and to pages of the manual two directories above."""
    return {"index.md": index(rules), **{f"{area.name}.md": area_page(area, rules) for area in AREAS}}


def page_of(rules: Mapping[str, ExplainedRule], words: tuple[str, ...], found: Iterable[ExplainedRule]) -> str:
    """The index without words, an area's page for its prefix, or the sections of the rules that were found."""
    if not words:
        return index(rules)
    area = next((area for area in AREAS if area.prefix == words[0].upper()), None)
    if area and len(words) == 1:
        return area_page(area, rules)
    return "\n".join("\n".join(_section(rule, rules, "")) for rule in found) + "\n"


def index(rules: Mapping[str, ExplainedRule]) -> str:
    """All rules by area, with links to their sections."""
    lines = [
        "# Rules",
        "",
        "Every finding ends with the id of its rule, such as `[CT207]`. Ids are stable.",
        "Errors make a document invalid, or a plan impossible; warnings do not.",
        "",
        "```",
        "cachetune explain CT207     # what it means, why it matters, how to fix it",
        "cachetune explain no room   # find rules by words",
        "```",
    ]
    for area in AREAS:
        lines += ["", f"## {area.prefix}xx: {area.title}", "", area.about, "", *_table(area, rules, f"{area.name}.md")]
    return "\n".join(lines) + "\n"


def area_page(area: Area, rules: Mapping[str, ExplainedRule]) -> str:
    """One area: a table of its rules, and a section for each."""
    lines = [f"# {area.prefix}xx: {area.title}", "", area.about, "", *_table(area, rules, "")]
    for rule in _rules_of(area, rules):
        lines += ["", *_section(rule, rules, area.name)]
    return "\n".join(lines) + "\n"


def _rules_of(area: Area, rules: Mapping[str, ExplainedRule]) -> Iterator[ExplainedRule]:
    return (rule for rule in rules.values() if rule.area == area.name)


def _table(area: Area, rules: Mapping[str, ExplainedRule], page: str) -> Iterator[str]:
    yield "| rule | severity | what it requires |"
    yield "| --- | --- | --- |"
    for rule in _rules_of(area, rules):
        yield f"| [{rule.id}]({page}#{rule.id.lower()}) | {rule.severity} | {_marked_up(rule.summary)} |"


def _section(rule: ExplainedRule, rules: Mapping[str, ExplainedRule], page: str) -> Iterator[str]:
    """One rule; ``page`` is the area of the page that it is on, for links."""
    bad, good = bad_sample(rule), good_sample(rule)
    yield f"## {rule.id}"
    yield ""
    yield f"**{_marked_up(rule.summary)}** ({rule.severity})"
    yield from _prose(rule.meaning)
    yield from _titled("Why it matters", rule.why)
    command = checked_with(rule)
    yield from ("", f"**Breaks it**, checked with `{command}`:" if command else "**Breaks it:**", *_block(bad))
    yield from ("", "```text", *_message(rule, bad), "```")
    yield from ("", "**Satisfies it:**", *_block(good))
    yield from _titled("How to fix it", rule.remedy)
    if rule.related:
        yield from ("", "**Related:**", "", *(f"- {_link(rules[name], page)}" for name in rule.related))
    if rule.pages:
        yield from ("", f"**Read more:** {', '.join(f'[{_name(each)}](../../{each})' for each in rule.pages)}")


def _titled(title: str, prose: str) -> Iterator[str]:
    first, *rest = _prose(prose)[1:]
    yield from ("", f"**{title}:** {first}", *rest)


def _prose(prose: str) -> list[str]:
    lines: list[str] = []
    for is_code, text in paragraphs(prose):
        lines += ["", *(("```", text, "```") if is_code else (_marked_up(text),))]
    return lines


def _message(rule: ExplainedRule, sample: Sample) -> list[str]:
    found = sample.finding
    if found is None:
        return _wrapped(f"{rule.severity}: {rule.prints} [{rule.id}]", "")
    return [
        *_wrapped(f"{location_of(found, NAME)}{rule.severity}: {found.text}", ""),
        *_wrapped(f"hint: {found.hint}", "    "),
    ]


def _wrapped(text: str, indent: str) -> list[str]:
    """Lines that are not wider than a page."""
    return textwrap.wrap(
        text, 76, initial_indent=indent, subsequent_indent=f"{indent}  ", break_long_words=False, break_on_hyphens=False
    )


def _block(sample: Sample) -> Iterator[str]:
    """A sample as a block. On the site, what breaks the rule or is repaired is highlighted."""
    if not sample.is_xml:
        yield from ("", f"> {_marked_up(sample.lines[0].text)}")
        return
    marked = [str(n) for n, line in enumerate(sample.lines, 1) if line.marked[1] or line.changed]
    yield from ("", f'```xml hl_lines="{" ".join(marked)}"' if marked else "```xml")
    yield from (line.text for line in sample.lines)
    yield "```"


def _marked_up(text: str) -> str:
    """Prose with elements as code, where they are not yet."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else _ELEMENT.sub(r"`\g<0>`", part) for part in parts)


def _link(rule: ExplainedRule, page: str) -> str:
    place = "" if rule.area == page else f"{rule.area}.md"
    return f"[{rule.id}]({place}#{rule.id.lower()}): {_marked_up(rule.summary)}"


def _name(page: str) -> str:
    """The heading or the file that a link leads to, in words."""
    return re.split(r"[/#]", page)[-1].removesuffix(".md").replace("-", " ")
