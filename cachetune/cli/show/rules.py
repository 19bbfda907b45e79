"""Rules as text: the list, one rule with its samples, and the page docs/reference/rules.md."""

import re

import click

from cachetune.apply import rules as apply_rules
from cachetune.doctor.checks import RULES as DOCTOR_RULES
from cachetune.domain import rules as domain_rules
from cachetune.findings import Rule
from cachetune.plan import rules as plan_rules

_TABLES = (domain_rules.RULES, plan_rules.RULES, apply_rules.RULES, DOCTOR_RULES)
RULES: dict[str, Rule] = dict(sorted((name, rule) for table in _TABLES for name, rule in table.items()))
SECTIONS = {
    "CT0": "XML and schema",
    "CT1": "What the domain means",
    "CT2": "Against a host",
    "CT3": "Against a version of libvirt (`--libvirt`)",
    "CT4": "Against a running guest",
    "CT5": "While applying",
    "CT6": "A whole host (`cachetune doctor`)",
}
_JUDGES = {
    "schema": "judged with --libvirt-schema",
    "file": "given as the name of a file",
    "live": "judged as the XML of a running guest",
    "scene": "a situation, in words",
    "engine": "only where no finer rule explains what the schema engine refuses",
}
_LONGEST_SAMPLE = 600
_TAG = re.compile(r"(?:<[^<>`]+>)+(?:[0-9]+</[a-z]+>)?")


def list_rules() -> None:
    """Print one line for each rule."""
    for prefix, title in SECTIONS.items():
        click.secho(title.replace("`", ""), bold=True)
        for rule in RULES.values():
            if rule.id.startswith(prefix):
                click.echo(f"  {rule.id}  {rule.severity:<7}  {rule.summary}")


def explain_rule(rule: Rule) -> None:
    """Print one rule: what it requires, its message and hint, and samples."""
    click.secho(f"{rule.id} ({rule.severity})", bold=True)
    click.echo(rule.summary)
    if rule.why:
        click.echo(rule.why)
    click.echo(f"\n  message: {_with_dots(rule.message)}\n  hint:    {_with_dots(rule.fix)}")
    if rule.host:
        click.echo(f"  {_judge(rule.host)}")
    for title, sample in (("breaks it", rule.bad), ("satisfies it", rule.good)):
        if sample:
            click.echo(f"\n{title}:\n\n{_indented(sample)}")


def rules_page() -> str:
    """All rules in Markdown."""
    lines = [
        "# Rules",
        "",
        "Printed by `cachetune explain --markdown`. Errors make a document invalid, warnings do not. Ids are stable.",
        "`cachetune explain CT104` explains one rule and also shows a sample that satisfies it.",
    ]
    for prefix, title in SECTIONS.items():
        lines += ["", f"## {prefix}xx: {title}"]
        for rule in RULES.values():
            if rule.id.startswith(prefix):
                lines += _entry(rule)
    return "\n".join(lines) + "\n"


def _entry(rule: Rule) -> list[str]:
    texts = [
        rule.summary,
        *(["", rule.why] if rule.why else []),
        "",
        f"- message: {_with_dots(rule.message)}",
        f"- hint: {_with_dots(rule.fix)}",
    ]
    lines = ["", f"### {rule.id} ({rule.severity})", "", *(_TAG.sub(r"`\g<0>`", text) for text in texts)]
    if rule.host:
        lines.append(f"- sample: {_judge(rule.host)}")
    if rule.bad:
        language = "text" if rule.host == "scene" else "xml"
        lines += ["", f"```{language}", _cut(_pretty(rule.bad)), "```"]
    return lines


def _judge(host: str) -> str:
    if host.startswith("libvirt:"):
        return f"judged with --libvirt {host.removeprefix('libvirt:')}"
    return _JUDGES.get(host, f"judged with --host {host}")


def _with_dots(template: str) -> str:
    """A message with dots for its placeholders."""
    text, depth = "", 0
    for character in template:
        depth += (character == "{") - (character == "}")
        if character == "{" and depth == 1:
            text += "…"
        elif not depth and character != "}":
            text += character
    return text.replace("……", "…")


def _pretty(sample: str) -> str:
    """The sample, indented if it is well-formed."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_blank_text=True)
    if "<!" in sample:
        return sample
    try:
        root = etree.fromstring(sample, parser)
    except etree.XMLSyntaxError:
        return sample
    return etree.tostring(root, pretty_print=True, encoding="unicode").rstrip().replace('"', "'")


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_SAMPLE else text[:_LONGEST_SAMPLE].rsplit("\n", 1)[0] + "\n…"


def _indented(sample: str) -> str:
    return "\n".join("    " + line for line in _cut(_pretty(sample)).splitlines())
