"""The prose of every rule: all parts, related rules that exist, commands that exist, and messages that are real."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from cachetune.cli.main import VERBS, Verbs
from cachetune.doctor.checks import RULES as DOCTOR_RULES
from cachetune.explain.catalog import AREAS, RULES, area_of, explained_rules, texts_of
from cachetune.explain.model import ExplainedRule
from cachetune.explain.samples import NOT_RUN
from tests.doctor.scenes import SCENES as DOCTOR_SCENES
from tests.doctor.test_every_check import after
from tests.rules.judges import findings_of

DOCS = Path(__file__).parents[2] / "docs"
EXPLAINED = explained_rules()
each_rule = pytest.mark.parametrize("rule", EXPLAINED.values(), ids=lambda rule: rule.id)


def parts(rule: ExplainedRule) -> dict[str, str]:
    return {"meaning": rule.meaning, "why": rule.why, "remedy": rule.remedy}


@each_rule
def test_a_rule_says_what_it_means_why_it_matters_and_how_to_fix_it(rule: ExplainedRule) -> None:
    for part in parts(rule).values():
        sentences = part.split("\n\n    ")[0]
        assert re.match(r"[A-Z0-9`/]|libvirt|containerd|cachetune|guests\.d|resctrl|vCPU|mkdir|x86", part), part
        assert re.search(r"[.:]$", sentences.strip()), part
    assert len(set(parts(rule).values())) == 3


@each_rule
def test_the_prose_does_not_repeat_the_summary_or_the_message(rule: ExplainedRule) -> None:
    text = " ".join(" ".join(parts(rule).values()).split())
    assert rule.summary not in text
    assert rule.message not in text


@each_rule
def test_a_rule_has_two_to_twelve_sentences(rule: ExplainedRule) -> None:
    prose = re.sub(r"`[^`]*`|^    .*$", "", "\n".join(parts(rule).values()), flags=re.MULTILINE)
    assert 2 <= len(re.findall(r"[.:](?=\s|$)", prose)) <= 12


def test_every_area_explains_its_rules_and_no_other() -> None:
    for area in AREAS:
        assert list(texts_of(area)) == [name for name in RULES if name.startswith(area.prefix)]
    assert {area_of(name).name for name in RULES} == {area.name for area in AREAS}


@each_rule
def test_related_rules_exist_and_name_each_other(rule: ExplainedRule) -> None:
    assert rule.id not in rule.related
    assert len(rule.related) <= 9
    for other in rule.related:
        assert rule.id in EXPLAINED[other].related


def test_every_rule_has_a_related_rule() -> None:
    assert [rule.id for rule in EXPLAINED.values() if not rule.related] == []


@each_rule
def test_the_rules_and_the_pages_that_the_prose_names_exist(rule: ExplainedRule) -> None:
    text = " ".join((*parts(rule).values(), rule.prints))
    assert set(re.findall(r"CT\d{3}", text)) <= set(RULES)
    for page in rule.pages:
        name, _, anchor = page.partition("#")
        titles = re.findall(r"^#+ (.*)$", (DOCS / name).read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
        assert not anchor or anchor in anchors


def commands(text: str) -> list[str]:
    """The commands of cachetune in a text: in backticks, or in indented lines."""
    found = [*re.findall(r"`([^`]+)`", text), *re.findall(r"^ {4}(.+)$", text, re.MULTILINE)]
    return [each for each in found if re.match("cachetune [a-z]+( |$)", each)]


@each_rule
def test_the_commands_in_the_prose_exist_with_their_options(rule: ExplainedRule) -> None:
    group = Verbs()
    context = click.Context(group)
    for line in commands("\n".join(parts(rule).values())):
        words = shlex.split(line.partition(" > ")[0])[1:]
        assert words[0] in VERBS, line
        verb = group.get_command(context, words[0])
        if isinstance(verb, click.Group) and len(words) > 1:
            verb = verb.commands[words[1]]
        assert verb
        options = {name for option in verb.params for name in (*option.opts, *option.secondary_opts)}
        assert {word for word in words if word.startswith("-")} <= options, line


def normal(message: str) -> str:
    """A message without what differs from run to run: paths, processes and times."""
    message = re.sub(r"(?<![\w<])/[\w/.+-]+", "PATH", message)
    message = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "TIME", message)
    return re.sub(r"process \d+", "process N", message)


@each_rule
def test_the_message_of_a_rule_whose_samples_are_not_run_is_what_the_bad_one_prints(
    rule: ExplainedRule, tmp_path: Path
) -> None:
    if rule.host not in NOT_RUN:
        assert not rule.prints
    elif rule.id in DOCTOR_RULES:
        assert normal(after(DOCTOR_SCENES[rule.id].bad, tmp_path)[rule.id].text) == normal(rule.prints)
    else:
        messages = [f.message for f in findings_of(RULES[rule.id], "bad", tmp_path) if f.rule == rule.id]
        assert normal(messages[0]) == normal(rule.prints)


def test_validate_does_not_load_the_prose() -> None:
    code = "import sys, cachetune.cli.commands.validate; print('cachetune.explain' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n"
