"""The words of everything that a person reads: help, messages, rules, docstrings, comments, names of tests, pages.

``WORDS`` lists phrases that no native engineer would write, each with a better one. A hit is reported as
``file:line: phrase -> better``, all hits of an area at once. To see those of one package::

    python -m pytest tests/test_words.py -k plan

Code is not prose: fenced blocks, spans in backticks and identifiers are left out, except names of tests.
"""

import ast
import io
import itertools
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from cachetune.apply.rules import RULES as APPLY_RULES
from cachetune.cli.main import VERBS, Verbs
from cachetune.doctor.checks import RULES as DOCTOR_RULES
from cachetune.domain.rules import RULES as DOMAIN_RULES
from cachetune.findings import Rule
from cachetune.plan.rules import RULES as PLAN_RULES

ROOT = Path(__file__).parent.parent
RULES = {**DOMAIN_RULES, **PLAN_RULES, **APPLY_RULES, **DOCTOR_RULES}

WORDS = {
    r"tells?|told|telling": "reports, shows, knows; 'distinguish' for 'tell apart'",
    r"(is|are|was|that is|there is|there are) none": "is not a ..., there is no ...",
    r"anew": "again, new",
    r"mend(s|ed|ing)?": "fix, repair",
    r"who(m)?ever": "the user who, any process that",
    r"(held|holds?|holding) (\w+ ){0,3}against": "compared with",
    r"(stand|stands|stood|standing) (in(?! for)|there|before|beside|behind|with|below|above|at|on|under)": "is in",
    r"so many": "that many, as many",
    r"at best": "preferably",
    r"side by side": "contiguous, alongside",
    r"(to be|can be|be|cannot be|could be) had": "available, supported",
    r"(whose|its own|his own|their own) word": "the source; unverified",
    r"save for|, save": "except",
    r"of (its|their|his|our|your) own": "own, separate",
    r"(and|or) the like": "name the things",
    r"in the end": "finally",
    r"ones (that|who|which)": "those that",
    r"(some|any|no)body": "another program, any user, no ...",
    r"(some|any)one else('s)?": "another program, another user",
    r"that is so": "this holds",
    r"(is|are|was|were|be|been|as) asked( for)?": "requested; prompted",
    r"ask(s|ed|ing)? for": "request",
    r"by (itself|themselves)": "alone, automatically, or nothing",
    r"without a word|aloud": "silently; reported",
    r"(comes|come|came) in(?!to)|(goes|go|went) out": "takes, returns; input, output",
    r"in order of": "sorted by",
    r"such as it is|as it stands": "unchanged, as shown",
    r"(its|their) (like|kin)": "similar ...",
    r"from [\w.<>]+ on(?! )|from [\w.<>]+ on (?!the|a |an |one|another|all|each|every|its)": "... or later, ... and up",
    r"gone": "removed, ended, missing",
    r"begun": "started",
    r"meanwhile": "in the meantime, since",
    r"to be as": "to match",
    r"on order": "on demand",
    r"half-?way": "part-way",
    r"all the same": "still, anyway",
    r"all the while": "continuously",
    r"just now": "currently",
    r"(is|are) to have": "gets, has",
    r"wish(es)?": "request",
    r"born": "started, created",
    r"pass(es|ed)? over": "skip, ignore",
    r"put(s)? (\w+ )?right": "repair",
    r"(goes|go|going) on (with|by|as|and)|(goes|go) on[.;,]": "continue",
    r"sa(y|ys|id|ying) of": "says about",
    r"(each|one) for itself": "separately",
    r"thereof|therein|wherein|whereof|hitherto|herewith|amongst|whilst": "plain words",
    r"as ever": "as always",
    r"(groups?|files?|threads?|tools?|ways|those|programs?|masks?|changes?) of others": "foreign ...",
    r"how (it|they|guests) (is|are)[.,;:)]": "the state of ...",
    r"(runs?|running) here": "running",
    r"shall": "will, must",
    r"see(s)? to (it|the)": "handle",
    r"he|his|him": "they, their, the user",
    r"what (is|was) wanted": "the request",
    r"nought|naught": "nothing",
    r"nor is it|neither can": "plain words",
    r"is (a|an) other|are others": "differs, is another",
    r"of no (use|matter)": "useless, does not matter",
    r"told apart|tell apart": "distinguish",
    r"cannot but|nothing but": "only",
    r"who says|who told": "the source",
    r"for (its|his|their) sake": "for",
    r"to the letter": "exactly",
    r"for good": "permanently",
    r"be(comes?|came) (too )?(much|many)": "exceed",
    r"(makes?|made|making) of it": "turn into",
    r"ways? of the data": "data flow",
    r"cannot be undone of": "cannot be undone",
    r"what it costs": "Consequences, cost",
    r"doing it again": "Reproducing",
    r"any more": "no longer",
    r"for ever": "forever",
    r"deeds?": "change, operation",
}

ALLOWED = {
    ("tests/libvirt/bodies.py", "nobody"): "in the key of an answer that is recorded under tests/golden/libvirt",
}
"""By file (or folder) and phrase: hits that are right, with the reason."""


class Text(NamedTuple):
    """A piece of prose: newlines in ``text`` are those of the file, beginning at ``line``."""

    file: str
    line: int
    text: str


def _compiled(phrase: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{phrase})(?!\w)".replace(" ", r"\s+"))


PATTERNS = {_compiled(phrase): better for phrase, better in WORDS.items()}
_SPAN = re.compile(r"``[^`]*``|`[^`\n]*`")


def _blank(found: re.Match[str]) -> str:
    """As many characters without words, on as many lines."""
    return re.sub(r"[^\n]", "_", found[0])


# the texts


def markdown(path: Path) -> Iterator[Text]:
    """The prose of a page, without blocks and spans of code."""
    text = re.sub(r"^```.*?^```", _blank, path.read_text(), flags=re.MULTILINE | re.DOTALL)
    yield Text(_name(path), 1, re.sub(r"`[^`]*`", _blank, text))


def plain(path: Path) -> Iterator[Text]:
    """A file as it is: units, scripts, configuration, XML."""
    yield Text(
        _name(path), 1, re.sub(r"^\s*#", lambda found: " " * len(found[0]), path.read_text(), flags=re.MULTILINE)
    )


def toml(path: Path) -> Iterator[Text]:
    """The prose of rules, without code and commands."""
    text = re.sub(r"^(?: {4}| *#|\w+ = \").*", _blank, path.read_text(), flags=re.MULTILINE)
    yield Text(_name(path), 1, _SPAN.sub(_blank, text))


def python(path: Path) -> Iterator[Text]:
    """Docstrings, comments, strings with several words, and names of tests."""
    source = path.read_text()
    yield from _comments(path, source)
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Constant(value=str(text)) if " " in text and not text.lstrip().startswith("<"):
                yield Text(_name(path), node.lineno, _SPAN.sub(_blank, text))
            case ast.FunctionDef(name=name) if name.startswith("test_"):
                yield Text(_name(path), node.lineno, name.replace("_", " "))


def _comments(path: Path, source: str) -> Iterator[Text]:
    """Comments; those on consecutive lines are one text."""
    lines: list[str] = []
    start = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if token.start[0] != start + len(lines):
            yield Text(_name(path), start, "\n".join(lines))
            lines, start = [], token.start[0]
        lines.append(_SPAN.sub(_blank, token.string.lstrip("#")))
    yield Text(_name(path), start, "\n".join(lines))


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _under(*names: str, endings: tuple[str, ...]) -> Iterator[Path]:
    for name in names:
        path = ROOT / name
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        yield from (
            file for file in files if file.suffix in endings and file.is_file() and "__pycache__" not in file.parts
        )


def _areas() -> dict[str, list[Path]]:
    """The files of each area: a package, its tests, the pages, and the rest."""
    pages = [path.name for path in ROOT.glob("*.md")]
    areas = {
        "docs": list(_under("docs", ".github", *pages, endings=(".md", ".yml"))),
        "examples": list(
            _under("examples", "scripts", "schemas", ".ci", endings=("", ".xml", ".rng", ".xsd", ".service", ".mount"))
        ),
        "integrations": list(_under("integrations", endings=(".py", ".md", ".yml", ".yaml"))),
        "make": [ROOT / "Makefile", ROOT / "pyproject.toml"],
        "leaves": sorted((ROOT / "cachetune").glob("*.py")),
        "tests": [path for path in sorted((ROOT / "tests").glob("*.py")) if path != Path(__file__)],
    }
    for package in sorted(path for path in (ROOT / "cachetune").iterdir() if (path / "__init__.py").exists()):
        areas[package.name] = list(_under(f"cachetune/{package.name}", endings=(".py", ".toml")))
    for folder in sorted(path for path in (ROOT / "tests").iterdir() if list(path.glob("*.py"))):
        areas[f"tests/{folder.name}"] = list(_under(f"tests/{folder.name}", endings=(".py",)))
    return areas


AREAS = _areas()


def texts(path: Path) -> Iterator[Text]:
    """All prose of a file."""
    reader = {".py": python, ".md": markdown, ".toml": toml}.get(path.suffix, plain)
    return reader(path)


def hits(text: Text) -> Iterator[str]:
    """One line for each phrase of ``WORDS``."""
    lower = text.text.replace("None", "____").lower()  # the constant, not the word
    for pattern, better in PATTERNS.items():
        for found in pattern.finditer(lower):
            line = text.line + text.text[: found.start()].count("\n")
            phrase = " ".join(found[0].split())
            if not _allowed(text.file, phrase):
                yield f"{text.file}:{line}: {phrase!r} -> {better}"


def _allowed(file: str, phrase: str) -> bool:
    return any(file.startswith(name) and phrase == what for name, what in ALLOWED)


@pytest.mark.parametrize("area", AREAS)
def test_the_words_are_those_of_the_field(area: str) -> None:
    found = [hit for path in AREAS[area] for text in texts(path) for hit in hits(text)]
    assert not found, "\n".join([f"{len(found)} phrases to replace", *found])


def test_the_words_of_every_help_are_those_of_the_field() -> None:
    found = [hit for name, text in helps() for hit in hits(Text(f"cachetune {name} --help", 1, text))]
    assert not found, "\n".join(found)


def helps() -> Iterator[tuple[str, str]]:
    """The help of every verb and of every subcommand, as it is printed."""
    group = Verbs()
    context = click.Context(group)
    for name in VERBS:
        verb = group.get_command(context, name)
        assert verb
        inner = verb.commands if isinstance(verb, click.Group) else {}
        for words, command in ((name, verb), *((f"{name} {word}", command) for word, command in inner.items())):
            yield words, command.get_help(click.Context(command, info_name=words))


# messages: lower case, no full stop

# A message may begin with a name.
NAMES = re.compile(r"CLOSIDs?|CT\d|Debian|FUSE|I/O|L[23x{]|MB|QEMU|QMP|RMIDs?|Sub-NUMA|XML")
MESSAGE_ENDS = re.compile(r"(?<!\.\.)\.$")


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_a_rule_is_a_sentence_and_its_message_and_hint_are_not(rule: Rule) -> None:
    assert re.match(r"[A-Z`<]|vCPU|libvirt|resctrl", rule.summary), rule.summary
    assert rule.summary.endswith("."), rule.summary
    for text in (rule.message, rule.fix):
        assert _is_message(text), text


every_module = pytest.mark.parametrize("path", sorted((ROOT / "cachetune").rglob("*.py")), ids=_name)


@every_module
def test_errors_and_hints_begin_in_lower_case_and_have_no_full_stop(path: Path) -> None:
    wrong = [f"{_name(path)}:{line}: {text}" for line, text in _messages(path) if not _is_message(text)]
    assert not wrong, "\n".join(wrong)


@every_module
def test_a_number_of_things_is_counted_with_its_noun(path: Path) -> None:
    """``text.count(n, "guest")`` gives "1 guest"; a plural behind ``{len(...)}`` gives "1 guests"."""
    wrong = [
        f"{_name(path)}:{value.lineno}: {noun.value}"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.JoinedStr)
        for value, noun in itertools.pairwise(node.values)
        if isinstance(value, ast.FormattedValue) and _is_length(value.value) and _begins_with_plural(noun)
    ]
    assert not wrong, "\n".join(wrong)


def _messages(path: Path) -> Iterator[tuple[int, str]]:
    """The texts of errors and hints, with "x" for each value in them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).rpartition(".")[2]
        given = [keyword.value for keyword in node.keywords if keyword.arg == "hint"]
        if name.endswith("Error") or (name == "__init__" and path.name == "errors.py"):
            given += node.args[:1]
        yield from ((node.lineno, text) for text in map(_literal, given) if text)


def _literal(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(value.value if isinstance(value, ast.Constant) else "x" for value in values)
    return ""


def _is_message(text: str) -> bool:
    begins = not text[:1].isupper() or NAMES.match(text)
    return bool(begins) and not MESSAGE_ENDS.search(text)


def _is_length(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in {"len", "sum"}


def _begins_with_plural(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and bool(re.match(r" (?!of )(\w+ )?[a-z]+[a-rt-z]s\b", str(node.value)))
