"""``cachetune explain``: what a rule requires, why, and how to fix a violation."""

import difflib

import click

from cachetune.cli import options
from cachetune.cli.show.console import print_document
from cachetune.cli.show.rules import RULES, explain_rule, list_rules, rules_page
from cachetune.cli.verb import Verb, option
from cachetune.errors import InputError
from cachetune.findings import Rule, RuleTable


@click.command("explain", cls=Verb, exit_codes={0: "explained", 2: "no such rule"})
@options.as_json
@option("--markdown", is_flag=True, heading="Output", help="Print all rules in Markdown (docs/reference/rules.md).")
@click.argument("rule", required=False)
def command(*, rule: str | None, as_json: bool, markdown: bool) -> None:
    """Explain RULE, such as CT104, or list all rules.

    \b
    Examples:
      cachetune explain
      cachetune explain CT104
    """
    found = None if rule is None else _find(rule)
    if markdown:
        click.echo(rules_page(), nl=False)
    elif as_json:
        print_document(RuleTable(rules=(found,) if found else tuple(RULES.values())))
    elif found is None:
        list_rules()
    else:
        explain_rule(found)


def _find(name: str) -> Rule:
    found = RULES.get(name.upper())
    if found is None:
        close = difflib.get_close_matches(name.upper(), RULES, n=1, cutoff=0)
        raise InputError(
            f"no such rule: {name!r}", hint=f"did you mean {close[0]}? 'cachetune explain' lists all rules"
        )
    return found
