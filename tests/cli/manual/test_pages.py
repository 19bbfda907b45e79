"""The manual pages: complete, without a complaint from man and mandoc, and as true as --help."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import click
import msgspec
import pytest

from cachetune import __version__
from cachetune.cli.main import VERBS, command
from cachetune.cli.manual import roff
from cachetune.cli.manual.verbs import Page
from cachetune.cli.manual.write import PROSE, main, pages
from cachetune.hook import FLAGS, VALUES
from cachetune.service.policy import PolicyFile
from tests.cli.test_help import COMMANDS
from tests.missing import skip_without

ROOT = Path(__file__).parents[3]
PAGES = {page.name: page for page in pages(ROOT / "docs")}
VERB_PAGES = {f"cachetune-{name.replace(' ', '-')}": verb for name, verb in COMMANDS.items()}
WORD = re.compile(r"[\w./-]+")


def need(program: str) -> str:
    """The path of a program."""
    return shutil.which(program) or skip_without(f"{program} is missing (Debian packages man-db and mandoc)")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All pages as files."""
    directory = tmp_path_factory.mktemp("man")
    main(directory, ROOT / "docs")
    return directory


def shown(text: str) -> str:
    """What a terminal shows of a page."""
    command = [need("mandoc"), "-Tutf8", "-Owidth=100"]
    run = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return re.sub(".\b", "", run.stdout)


def headings(page: Page) -> list[str]:
    return re.findall(r"^\.SH (.*)$", page.text, re.MULTILINE)


def test_every_verb_has_a_page_and_the_other_pages_are_prose() -> None:
    assert set(PAGES) == {"cachetune", *VERB_PAGES, *(about.name for about in PROSE.values())}
    assert [page.name for page in PAGES.values() if page.section == 8] == ["cachetune-agent", "cachetune-hook"]
    assert [page.name for page in PAGES.values() if page.section == 5] == ["cachetune-tuning", "cachetune-host.toml"]


def test_mandoc_has_no_complaint(directory: Path) -> None:
    files = sorted(directory.glob("man*/*"))
    assert len(files) == len(PAGES)
    run = subprocess.run([need("mandoc"), "-Tlint", *files], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout + run.stderr) == (0, "")


@pytest.mark.slow
def test_man_has_no_warning_even_where_there_is_only_ascii(directory: Path) -> None:
    files = sorted(directory.glob("man*/*"))
    environment = {"LC_ALL": "C", "MANWIDTH": "80", "PATH": "/usr/bin:/bin", "MANPAGER": "cat"}
    run = subprocess.run([need("man"), "--warnings", "-l", *files], env=environment, capture_output=True, check=False)
    assert (run.returncode, run.stderr) == (0, b"")


@pytest.mark.parametrize("name", VERB_PAGES)
def test_the_page_of_a_verb_says_all_that_its_help_says(name: str) -> None:
    verb = VERB_PAGES[name]
    text = shown(PAGES[name].text)
    words = set(WORD.findall(text))
    context = click.Context(verb, info_name=name)
    records = [record for each in verb.get_params(context) if (record := each.get_help_record(context))]
    helped = " ".join([(verb.help or "").replace("\b", ""), *(" ".join(record) for record in records)])
    missing = {word.lower().rstrip(".") for word in WORD.findall(helped)} - {word.lower().rstrip(".") for word in words}
    assert not missing - {"example", "examples"}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_its_sections_in_the_usual_order(name: str) -> None:
    page = PAGES[name]
    found = headings(page)
    usual = [
        "NAME",
        "SYNOPSIS",
        "DESCRIPTION",
        "OPTIONS",
        "COMMANDS",
        "EXIT STATUS",
        "ENVIRONMENT",
        "FILES",
        "EXAMPLES",
    ]
    assert found[0] == "NAME"
    assert found[-1] == "SEE ALSO"
    assert re.search(rf"^{re.escape(roff.code(name))} \\- \S", page.text, re.MULTILINE)
    if page.section == 1:
        assert {"SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES"} <= set(found)
        assert found[:-1] == [title for title in usual if title in found]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_refers_to_pages_that_exist(name: str) -> None:
    named = re.findall(r"\b(cachetune[\w.-]*)\(([158])\)", shown(PAGES[name].text))
    assert named
    assert {(word, int(number)) for word, number in named} <= {(page.name, page.section) for page in PAGES.values()} | {
        (name.upper(), PAGES[name].section)
    } | {(word.upper(), page.section) for word, page in PAGES.items()}


def examples() -> Iterator[tuple[str, list[str]]]:
    """Each call of cachetune in an example of --help."""
    for name, verb in COMMANDS.items():
        _, _, block = re.sub(r"^ {4}", "", verb.help or "", flags=re.MULTILINE).partition("Example")
        for line in block.splitlines()[1:]:
            text = re.sub(r'^eval "\$\((.*?)\)"', r"\1", line.strip().partition("  ")[0])
            text = re.sub(r"\$\((?!cachetune)[^)]*\)", "7", text)  # $(pidof qemu-system-x86_64) is a number
            lexer = shlex.shlex(text, posix=True, punctuation_chars="|;<>()&")
            lexer.whitespace_split, lexer.commenters = True, ""
            for operator, words in groupby(lexer, key=lambda word: not word.strip("|;<>()&")):
                called = list(words)
                if not operator and called[0] == "cachetune":
                    yield name, called[1:]


@pytest.mark.parametrize(("name", "words"), list(examples()))
def test_an_example_is_a_command_that_the_verb_takes(name: str, words: list[str]) -> None:
    assert words[0] in VERBS
    context = click.Context(command, info_name="cachetune")
    found: click.Command = command
    while isinstance(found, click.Group) and words and not words[0].startswith("-"):
        inner = found.get_command(context, words[0])
        if inner is None:
            break
        found, words = inner, words[1:]
    found.make_context(name, words, parent=context)  # raises a usage error for words that the verb does not take


def test_pages_are_the_same_for_the_same_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    first = next(pages(ROOT / "docs")).text
    assert first.startswith(f'.TH CACHETUNE 1 "1970-01-01" "cachetune {__version__}"')
    assert first == next(pages(ROOT / "docs")).text


@pytest.mark.parametrize("text", ["a\\fBb", ".TH x", "'x", "--l3 -1 'a' \"b\" `c` ~d ^e", "a\\", "…"])
def test_a_text_is_shown_as_it_is(text: str) -> None:
    page = roff.page(
        "x", 1, "2026-01-01", "1", [roff.section("Name"), *roff.lines(roff.prose(text)), *roff.example([text])]
    )
    assert " ".join(shown(page).split()).count(text.replace("…", "...")) == 2


def test_the_page_of_the_tuning_file_has_every_element_and_attribute_of_the_schema() -> None:
    text = (ROOT / "docs/reference/tuning-file.md").read_text()
    schema = (ROOT / "schemas/cachetune.rng").read_text()
    assert {name for name in re.findall(r'<element name="(\w+)"', schema) if f"`<{name}>`" not in text} == set()
    assert {name for name in re.findall(r'<attribute name="(\w+)"', schema) if f"| `{name}` |" not in text} == set()


def test_the_page_of_the_policy_has_every_key() -> None:
    text = (ROOT / "docs/reference/host-policy.md").read_text()
    for section in msgspec.structs.fields(PolicyFile):
        for field in msgspec.structs.fields(section.type):
            assert re.search(rf"\b{field.encode_name}\b", text), field.encode_name
    assert {"default.RESOURCE.least", "default.MB.value", "reserved.RESOURCE.ID"} <= set(re.findall(r"`([^`]+)`", text))


def test_the_page_of_the_hook_has_every_option() -> None:
    text = (ROOT / "docs/reference/hook-program.md").read_text()
    assert {name for name in (*FLAGS, *VALUES) if f"`{name}`" not in text} == set()
    for name, default in VALUES.items():
        assert default in text, name
