"""cachetune explain: one rule, lists, words, and the pages of the manual."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cachetune.cli.main import command
from cachetune.cli.show.rules_page import pages
from cachetune.explain.catalog import AREAS, RULES, explained_rules
from cachetune.explain.model import ExplainedRule
from cachetune.explain.samples import pretty

EXPLAINED = explained_rules()
PAGES = pages(EXPLAINED)
TITLES = ["What it means", "Why it matters", "Breaks it", "Satisfies it", "How to fix it", "Related"]
each_rule = pytest.mark.parametrize("rule", EXPLAINED.values(), ids=lambda rule: rule.id)


def run(*arguments: str, columns: int = 80) -> Result:
    return CliRunner(env={"COLUMNS": str(columns)}).invoke(command, ["explain", *arguments])


def ids_of(result: Result) -> list[str]:
    assert result.exit_code == 0, result.exception
    return re.findall(r"^  (CT\d{3})  ", result.stdout, re.MULTILINE)


@each_rule
def test_a_rule_is_explained_in_all_its_parts_within_eighty_columns(rule: ExplainedRule) -> None:
    result = run(rule.id.lower())
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == f"{rule.id} ({rule.severity})"
    assert [line for line in lines if line in TITLES] == TITLES
    assert set(lines[1:]) >= {line for line in rule.remedy.splitlines() if line.startswith("    ")}
    prose = [line for line in lines if not line.lstrip().startswith(("<", "$", "…")) and not line.startswith("    ")]
    assert max(map(len, prose)) <= 80
    assert f"[{rule.id}]" in "".join(line.strip() for line in lines)


def test_the_fault_in_a_sample_is_marked_and_the_message_is_that_of_validate() -> None:
    lines = run("CT003").stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if "levl=" in line)
    assert lines[at + 1].strip() == "^" * len("levl='3'")
    assert lines[at + 1].index("^") == lines[at].index("levl=")
    said = next(line for line in lines if line.startswith("  sample.xml:"))
    column = lines[at].index("levl=") - 2 + 1
    assert re.match(rf"  sample\.xml:\d+:{column}: error: attribute 'levl' is not allowed", said)


RUN = [rule for rule in EXPLAINED.values() if rule.host.partition(":")[0] in ("", "libvirt", "sim")]


@pytest.mark.parametrize("rule", RUN, ids=lambda rule: rule.id)
def test_the_command_of_a_sample_prints_the_message_that_is_shown(rule: ExplainedRule, tmp_path: Path) -> None:
    shown = run(rule.id, columns=80).stdout
    words = re.search(r"^  \$ cachetune (.*) sample\.xml$", shown, re.MULTILINE)[1].split()
    said = re.search(r"^  sample\.xml:.*?(?=^\w)", shown, re.MULTILINE | re.DOTALL)[0].split()
    (tmp_path / "sample.xml").write_text(pretty(rule.bad))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        result = CliRunner().invoke(command, [*words, "sample.xml"])
    assert " ".join(said[: said.index("hint:")]) in result.output
    (tmp_path / "sample.xml").write_text(pretty(rule.good))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        result = CliRunner().invoke(command, [*words, "sample.xml"])
    assert result.exit_code == 0
    assert rule.id not in result.output


def test_without_arguments_all_rules_are_listed_by_area() -> None:
    result = run()
    assert ids_of(result) == sorted(RULES)
    titles = [line for line in result.stdout.splitlines() if not line.startswith(" ")]
    assert titles == [f"{area.prefix}xx: {area.title}" for area in AREAS]


@pytest.mark.parametrize(
    ("prefix", "expected"), [("CT2", "CT2"), ("ct6xx", "CT6"), ("CT65", "CT65"), ("ct40x", "CT40"), ("CT", "CT")]
)
def test_a_prefix_lists_its_rules(prefix: str, expected: str) -> None:
    assert ids_of(run(prefix)) == [rule for rule in RULES if rule.startswith(expected)]


def test_several_rules_are_explained_one_after_another() -> None:
    text = run("CT207", "204").stdout
    assert re.findall(r"^(CT\d+) \(", text, re.MULTILINE) == ["CT207", "CT204"]


def test_words_find_rules_the_best_match_first() -> None:
    assert ids_of(run("no", "room"))[0] == "CT207"
    assert ids_of(run("room"))[0] == "CT207"
    assert {"CT212", "CT633", "CT641"} == set(ids_of(run("CLOSID"))[:3])
    assert ids_of(run("ROOM")) == ids_of(run("room"))
    assert ids_of(run("units")) == ids_of(run("unit"))
    assert ids_of(run("Not", "enough", "room", "for", "allocation"))[0] == "CT207"


def test_words_with_json_and_markdown_give_the_same_rules() -> None:
    found = ids_of(run("iothread"))
    assert [rule["id"] for rule in json.loads(run("--json", "iothread").stdout)["rules"]] == found
    assert re.findall(r"^## (CT\d+)$", run("--markdown", "iothread").stdout, re.MULTILINE) == found


def test_json_has_the_fields_of_the_rule_and_its_prose() -> None:
    document = json.loads(run("--json", "CT104").stdout)
    assert document["schema_version"] == 1
    (rule,) = document["rules"]
    assert rule["id"] == "CT104"
    assert {"severity", "summary", "message", "fix", "bad", "good", "host", "why", "meaning", "remedy"} <= set(rule)
    assert all(rule[part] for part in ("meaning", "why", "remedy", "related"))
    assert [rule["id"] for rule in json.loads(run("--json").stdout)["rules"]] == sorted(RULES)


@pytest.mark.parametrize(
    ("words", "says", "hint"),
    [
        (["CT1044"], "no such rule: 'CT1044'", "CT104"),
        (["CT299"], "no such rule: 'CT299'", "did you mean CT219 or CT239 or CT249?"),
        (["CT9"], "no rule has 'CT9'", "'cachetune explain' lists all rules"),
        (["iothraed"], "no rule has 'iothraed'", "did you mean 'iothread'?"),
        (["xyzzy", "room"], "no rule has 'xyzzy'", "'cachetune explain room' finds CT207"),
        (["iothread", "clock"], "no rule has all of these words", "try fewer words"),
        ([""], "no rule has ''", "lists all rules"),
    ],
)
def test_what_is_not_found_gets_a_suggestion(words: list[str], says: str, hint: str) -> None:
    result = run(*words)
    assert result.exit_code != 0
    assert says in str(result.exception)
    assert hint in result.exception.hint


def test_every_rule_has_a_section_on_its_page_and_a_row_in_the_index() -> None:
    for area in AREAS:
        rules = [rule.id for rule in EXPLAINED.values() if rule.area == area.name]
        assert re.findall(r"^## (CT\d+)$", PAGES[f"{area.name}.md"], re.MULTILINE) == rules
        linked = re.findall(rf"^\| \[(CT\d+)\]\({area.name}\.md#ct\d+\)", PAGES["index.md"], re.MULTILINE)
        assert linked == rules


def test_every_link_between_the_pages_leads_to_the_section_of_its_rule() -> None:
    for name, page in PAGES.items():
        for title, target, anchor in re.findall(r"\[(CT\d+)\]\(([\w.]*)#(\w+)\)", page):
            assert anchor == title.lower()
            assert f"\n## {title}\n" in PAGES[target or name]


def test_markdown_prints_the_index_an_area_or_a_rule() -> None:
    assert run("--markdown").stdout == PAGES["index.md"]
    assert run("--markdown", "ct2").stdout == PAGES["host.md"]
    assert run("--markdown", "CT207").stdout.startswith("## CT207\n")
    assert run("--markdown", "--json").exit_code == 2


def test_elements_in_markdown_are_code() -> None:
    for page in PAGES.values():
        prose = re.sub(r"^```.*?^```$|`[^`]*`", "", page, flags=re.MULTILINE | re.DOTALL)
        assert "<" not in prose
