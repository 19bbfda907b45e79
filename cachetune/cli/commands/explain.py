"""``cachetune explain``: what a rule requires, why, and how to fix a violation."""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import NoReturn

import click

from cachetune.cli import options
from cachetune.cli.show.console import print_document
from cachetune.cli.show.rules import explain_rule, list_found, list_rules
from cachetune.cli.show.rules_page import page_of
from cachetune.cli.verb import Verb, option
from cachetune.errors import InputError
from cachetune.explain.catalog import explained_rules
from cachetune.explain.model import ExplainedRule, RuleTable
from cachetune.explain.search import find, near
from cachetune.findings import Rule

_PREFIX = re.compile(r"(ct[0-9]{0,2})(x*)", re.IGNORECASE)
_LIKE_AN_ID = re.compile(r"ct[0-9]+|[0-9]{3}", re.IGNORECASE)


@click.command("explain", cls=Verb, exit_codes={0: "explained", 2: "no such rule"})
@options.as_json
@option("--markdown", is_flag=True, heading="Output", help="Print Markdown: an index, an area (CT2) or rules.")
@click.argument("words", metavar="[RULE|WORD]...", nargs=-1)
def command(*, words: tuple[str, ...], as_json: bool, markdown: bool) -> None:
    """Explain rules such as CT207, or find rules by words.

    The words can be anywhere in a rule and its explanation. The prefix of an
    area, such as CT2, lists its rules; without an argument all are listed.

    \b
    Examples:
      cachetune explain
      cachetune explain CT207
      cachetune explain no room
    """
    rules = explained_rules()
    if as_json and markdown:
        raise click.UsageError("--json and --markdown exclude each other")
    found = _found(rules, words)
    if markdown:
        click.echo(page_of(rules, words, found), nl=False)
    elif as_json:
        print_document(RuleTable(rules=found))
    elif _are_ids(words):
        _explain_each(found, rules)
    elif not words or _PREFIX.fullmatch(words[0]):
        list_rules(found)
    else:
        list_found(found)


def _are_ids(words: tuple[str, ...]) -> bool:
    """Whether all words are ids, which need not exist; a prefix such as CT2 is no id."""
    return bool(words) and all(_LIKE_AN_ID.fullmatch(word) and not _PREFIX.fullmatch(word) for word in words)


def _explain_each(found: Iterable[ExplainedRule], rules: Mapping[str, Rule]) -> None:
    for number, rule in enumerate(found):
        if number:
            click.echo()
        explain_rule(rule, rules)


def _found(rules: Mapping[str, ExplainedRule], words: tuple[str, ...]) -> tuple[ExplainedRule, ...]:
    """The rules with these ids, with this prefix, or with these words. Raises InputError if nothing matches."""
    if not words:
        return tuple(rules.values())
    if _are_ids(words):
        return tuple(_by_id(rules, word) for word in words)
    if len(words) == 1 and (prefix := _PREFIX.fullmatch(words[0])):
        found = tuple(rule for rule in rules.values() if rule.id.startswith(prefix[1].upper()))
    else:
        found = find(rules, words)
    return found or _refuse(rules, words)


def _refuse(rules: Mapping[str, ExplainedRule], words: tuple[str, ...]) -> NoReturn:
    """Say which words no rule has, and what would be found without them."""
    missing = [word for word in words if not find(rules, [word])]
    if not missing:
        raise InputError("no rule has all of these words", hint="try fewer words")
    message = f"no rule has {' and '.join(map(repr, missing))}"
    if similar := near(rules, missing[0]):
        raise InputError(message, hint=f"did you mean {similar!r}?")
    others = [word for word in words if word not in missing]
    if others and (rest := find(rules, others)):
        raise InputError(message, hint=f"'cachetune explain {' '.join(others)}' finds {rest[0].id}")
    raise InputError(message, hint="'cachetune explain' lists all rules")


def _by_id(rules: Mapping[str, ExplainedRule], name: str) -> ExplainedRule:
    wanted = name.upper() if name[:1].isalpha() else f"CT{name}"
    if wanted not in rules:
        close = difflib.get_close_matches(wanted, rules, n=3, cutoff=0)
        raise InputError(f"no such rule: {name!r}", hint=f"did you mean {' or '.join(sorted(close))}?")
    return rules[wanted]
