"""The page of a verb, from the same texts as its ``--help``, with the files it uses and the pages to read next."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import click

from cachetune.cli.main import VERBS, command
from cachetune.cli.manual import roff
from cachetune.cli.verb import sections_of

SECTIONS = {"agent": 8}
"""The section of a verb's page; that of all others is 1."""

TUNING, POLICY, HOOK = "cachetune-tuning(5)", "cachetune-host.toml(5)", "cachetune-hook(8)"

# By the parameter that names the file, the file and what it is. The order is that of the page.
_FILES = {
    "guests_d": ("/etc/cachetune/guests.d/NAME.xml", "The tuning file of the guest NAME."),
    "policy": ("/etc/cachetune/host.toml", "The host's policy."),
    "run": ("/run/cachetune", "The journal of an interrupted run, and the ledger of groups that cachetune made."),
    "log": ("/var/log/cachetune/changes.jsonl", "The change log."),
    "db": ("/var/lib/cachetune/history.db", "The history of counters."),
    "resctrl": ("/sys/fs/resctrl", "The resctrl file system of the kernel."),
}
_WITHOUT_DEFAULT = {"policy": "/etc", "log": "/var"}
"""Options whose default is decided later, and where that file is."""
_PAGES_OF = {"guests_d": TUNING, "policy": POLICY}
_RELATED: Mapping[str, Sequence[str]] = {
    "validate": ("explain", "schema", "plan"),
    "explain": ("validate", "doctor"),
    "plan": ("apply", "diff", "show", "validate"),
    "diff": ("apply", "plan", "agent"),
    "fit": ("plan", "snapshot", "diff-hosts"),
    "diff-hosts": ("snapshot", "show"),
    "apply": ("plan", "diff", "remove", "recover", "set", "log"),
    "set": ("apply", "remove", "show"),
    "remove": ("apply", "show", "recover"),
    "default": ("show", "compact"),
    "compact": ("show", "default", "plan"),
    "recover": ("apply", "log", "doctor"),
    "agent": ("guests", "diff", "install"),
    "doctor": ("explain", "show", "recover"),
    "install": ("uninstall", "agent", "exporter", "record"),
    "uninstall": ("install",),
    "show": ("doctor", "snapshot", "guests"),
    "monitor": ("top", "record", "exporter", "noisy"),
    "top": ("monitor", "noisy", "record"),
    "record": ("report", "noisy", "advise", "top"),
    "report": ("record", "noisy", "log"),
    "noisy": ("record", "report", "set"),
    "exporter": ("monitor", "record"),
    "advise": ("record", "set", "apply"),
    "log": ("report", "recover"),
    "guests": ("diff", "agent", "show"),
    "export": ("convert", "apply"),
    "convert": ("export", "validate"),
    "snapshot": ("show", "plan", "diff-hosts"),
    "schema": ("validate",),
    "sim": ("demo", "snapshot"),
    "demo": ("sim", "plan"),
}


# Sections of single verbs that --help has no room for.
_MORE: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "cachetune agent": {
        "Signals": {
            "SIGHUP": "Start a round at once, and retry guests that could not be placed.",
            "SIGTERM": "Stop, and leave all groups in place.",
            "SIGINT": "As SIGTERM.",
        },
        "Service": {
            "cachetune install --agent": "Write the unit of systemd. It is of the type notify: systemd knows when the "
            "first round is done, shows counts in its status, and restarts an agent that is silent for a minute.",
            "AGENT_OPTIONS": "The options of the service, in /etc/default/cachetune.",
            "systemctl reload cachetune-agent": "Send SIGHUP.",
        },
    },
}


_EXAMPLES = ("Example", "Examples", "First steps")


class Page(NamedTuple):
    """A page: its file is ``man{section}/{name}.{section}``."""

    name: str
    section: int
    text: str


class _Block(NamedTuple):
    """Lines of a help text below a title."""

    title: str
    lines: list[str]


def verb_pages(date: str, version: str) -> Iterator[Page]:
    """The page of the command and those of all verbs, also of the verbs below a verb."""
    root = click.Context(command, info_name="cachetune")
    yield _page(root, date, version)
    for verb in VERBS:
        found = command.get_command(root, verb)
        if found is None:
            raise LookupError(verb)
        yield from _pages(click.Context(found, info_name=verb, parent=root), date, version)


def page_name(context: click.Context) -> str:
    """The name of a verb's page: cachetune-sim-mount."""
    return context.command_path.replace(" ", "-")


def number_of(context: click.Context) -> int:
    """The section of the manual that a verb's page is in."""
    return SECTIONS.get(context.command_path.partition(" ")[2], 1)


def _pages(context: click.Context, date: str, version: str) -> Iterator[Page]:
    yield _page(context, date, version)
    for inner in _below(context):
        yield from _pages(inner, date, version)


def _below(context: click.Context) -> Iterator[click.Context]:
    if isinstance(context.command, click.Group):
        for word in context.command.list_commands(context):
            inner = context.command.get_command(context, word)
            if inner is not None:
                yield click.Context(inner, info_name=word, parent=context)


def _page(context: click.Context, date: str, version: str) -> Page:
    name, number = page_name(context), number_of(context)
    return Page(name, number, roff.page(name, number, date, version, _body(context)))


def _body(context: click.Context) -> Iterator[str]:
    description, blocks = _help_of(context.command)
    examples = [line for block in blocks if block.title in _EXAMPLES for line in block.lines]
    replaced = _values(context)
    yield roff.section("Name")
    yield from roff.lines(f"{roff.code(page_name(context))} \\- {roff.prose(_summary(context))}")
    yield roff.section("Synopsis")
    yield from roff.lines(_synopsis(context))
    yield roff.section("Description")
    for text in description:
        yield from roff.paragraph(roff.prose(text, replaced))
    for block in blocks:
        if block.title not in _EXAMPLES:
            yield from roff.paragraph(roff.prose(f"{block.title}:", replaced))
            yield from roff.example(block.lines)
    yield from _options(context, replaced)
    if below := list(_below(context)):
        yield roff.section("Commands")
        for inner in below:
            page = f"{roff.bold(page_name(inner))}({number_of(inner)})"
            yield from roff.tagged(page, roff.prose(_sentence(inner)))
    for title, rows in _MORE.get(context.command_path, {}).items():
        yield roff.section(title)
        for tag, text in rows.items():
            yield from roff.tagged(roff.bold(tag), roff.prose(text))
    yield from _exit_status(context)
    yield from _environment(context)
    yield from _files(context)
    if examples:
        yield roff.section("Examples")
        yield from _examples(examples)
    yield from _see_also(context)


def _help_of(verb: click.Command) -> tuple[list[str], list[_Block]]:
    """The paragraphs of a help text, and its blocks of lines that keep their breaks."""
    paragraphs: list[str] = []
    blocks: list[_Block] = []
    for text in re.split(r"\n\s*\n", re.sub(r"^ {4}", "", verb.help or "", flags=re.MULTILINE)):
        if not text.startswith("\b"):
            paragraphs.append(" ".join(text.split()))
            continue
        for line in text.splitlines()[1:]:
            if line.startswith(" ") and blocks:
                blocks[-1].lines.append(line[2:])
            else:
                blocks.append(_Block(line.removesuffix(":"), []))
    return paragraphs, blocks


def _summary(context: click.Context) -> str:
    """The summary as a name line has it: in lower case, without a full stop."""
    summary = _sentence(context).removesuffix(".")
    return summary[0].lower() + summary[1:]


def _begun(text: str) -> str:
    """The text as the beginning of a sentence."""
    return text[0].upper() + text[1:]


def _sentence(context: click.Context) -> str:
    path = context.command_path.split()
    if len(path) == 2:
        return VERBS[path[1]]
    return re.split(r"(?<=\.)\s", context.command.help or "", maxsplit=1)[0].replace("\n", " ")


def _synopsis(context: click.Context) -> str:
    pieces = context.command.collect_usage_pieces(context)
    return " ".join([roff.bold(context.command_path), *map(roff.values, pieces)])


def _values(context: click.Context) -> set[str]:
    """The names of values: FILE, SIZE. Short ones could be words."""
    found: set[str] = set()
    for parameter in context.command.get_params(context):
        if not (isinstance(parameter, click.Option) and parameter.is_flag):
            found |= set(re.findall(r"[A-Z]{3,}", parameter.metavar or parameter.make_metavar(context)))
    return found


def _options(context: click.Context, replaced: set[str]) -> Iterator[str]:
    sections = sections_of(context.command, context)
    yield roff.section("Options")
    for heading, records in sections:
        if len(sections) > 1:
            yield roff.subsection(heading)
        for names, text in records:
            yield from roff.tagged(roff.values(names), roff.prose(text, replaced))


def _exit_status(context: click.Context) -> Iterator[str]:
    codes: Mapping[int, str] = getattr(context.command, "exit_codes", {})
    yield roff.section("Exit status")
    if not codes:
        yield "Each verb says what its codes mean; 2 is always that it could not run."
    for code, meaning in codes.items():
        yield from roff.tagged(roff.bold(str(code)), roff.prose(f"{_begun(meaning)}."))
    if codes:
        yield from roff.paragraph(
            "A verb whose reader ends before it, as in a pipe to "
            + roff.bold("head")
            + ", is ended by the signal SIGPIPE."
        )


def _environment(context: click.Context) -> Iterator[str]:
    if context.parent is None:
        yield roff.section("Environment")
        yield from roff.tagged(roff.bold("NO_COLOR"), "If it is set, the output has no colors.")


def _files(context: click.Context) -> Iterator[str]:
    used = {each.name: each.default for each in context.command.get_params(context)}
    found = [
        (path, text)
        for name, (path, text) in _FILES.items()
        if context.parent is None or (name in used and path.startswith(str(used[name] or _WITHOUT_DEFAULT.get(name))))
    ]
    if found:
        yield roff.section("Files")
        for path, text in found:
            yield from roff.tagged(
                re.sub("NAME", r"\\fINAME\\fI", roff.code(path)).join(("\\fI", "\\fR")), roff.prose(text, {"NAME"})
            )


def _examples(examples: Sequence[str]) -> Iterator[str]:
    """Commands, with what they do if a comment says so."""
    plain: list[str] = []
    for line in examples:
        text, gap, comment = line.partition("  ")
        if gap and comment.strip() and not line.startswith(" "):
            if plain:
                yield from roff.example(plain)
                plain = []
            yield from roff.tagged(roff.bold(text), roff.prose(f"{_begun(comment.strip())}."))
        else:
            plain.append(line)
    if plain:
        yield from roff.example(plain)


def _see_also(context: click.Context) -> Iterator[str]:
    path = context.command_path.split()
    pages = ["cachetune(1)"] if context.parent is not None else []
    if context.parent is not None and context.parent.parent is not None:
        pages.append(f"{page_name(context.parent)}({number_of(context.parent)})")
    elif context.parent is not None:
        pages += [f"cachetune-{verb}({SECTIONS.get(verb, 1)})" for verb in _RELATED.get(path[1], ()) if verb in VERBS]
    names = {parameter.name for parameter in context.command.get_params(context)}
    pages += [page for name, page in _PAGES_OF.items() if name in names or context.parent is None]
    if context.parent is None or path[1:] == ["agent"]:
        pages.append(HOOK)
    yield roff.section("See also")
    yield from roff.lines(", ".join(roff.prose(page) for page in dict.fromkeys(pages)))
