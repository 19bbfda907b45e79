"""What mkdocs adds to these pages: a page for each verb, the rules, and the pages at the root of the project."""

import posixpath
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import dedent

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from cachetune.cli.main import VERBS, command
from cachetune.cli.show.rules_page import pages
from cachetune.explain.catalog import AREAS, explained_rules

ROOT = Path(__file__).parent.parent
AT_ROOT = ("CHANGELOG.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "SECURITY.md")
HOME = {"README.md": "index.md"}
_SHIM = re.compile(r'<script src="https://unpkg.com/iframe-worker/shim"></script>')
_LINK = re.compile(r"(?<=\]\()([^)#:\s]+)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the pages of the verbs and of the rules to the navigation, as the first parts of the reference."""
    reference = next(section["Reference"] for section in config.nav if "Reference" in section)
    areas = [{f"{area.prefix}xx: {area.title}": f"reference/rules/{area.name}.md"} for area in AREAS]
    reference.insert(0, {"Commands": [{verb: f"reference/commands/{verb}.md"} for verb in VERBS]})
    reference.insert(1, {"Rules": ["reference/rules/index.md", *areas]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for name in AT_ROOT:
        files.append(File.generated(config, name, content=(ROOT / name).read_text()))
    for verb in VERBS:
        files.append(File.generated(config, f"reference/commands/{verb}.md", content=_page_of(verb)))
    for name, text in pages(explained_rules()).items():
        files.append(File.generated(config, f"reference/rules/{name}", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Let links to files of the project outside docs/ point to their pages."""
    here = page.file.src_uri
    source = here if here in AT_ROOT else f"docs/{here}"

    def target(link: re.Match[str]) -> str:
        named = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[0]))
        found = HOME.get(named, named.removeprefix("docs/"))
        return posixpath.relpath(found, posixpath.dirname(here) or ".") if found in files.src_uris else link[0]

    return _LINK.sub(target, markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:  # noqa: ARG001
    """Remove the one request to another server: a script for searching in pages that are read from a directory."""
    return _SHIM.sub("", output)


class _Markdown(click.HelpFormatter):
    """A verb's help as Markdown: usage and examples are code, lists are tables."""

    def __init__(self, *, nested: bool) -> None:
        super().__init__()
        self.nested = nested

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:  # noqa: ARG002
        self.write(f"\n```text\n{prog} {args}\n```\n")

    def write_heading(self, heading: str) -> None:
        self.write(f"\n#### {heading}\n" if self.nested else f"\n## {heading}\n")

    def write_text(self, text: str) -> None:
        for paragraph in text.split("\n\n"):
            kept = paragraph.removeprefix("\b\n")
            if kept == paragraph:
                self.write(f"\n{_escaped(' '.join(paragraph.split()))}\n")
            else:
                title, _, lines = kept.partition("\n")
                self.write(f"\n{title}\n\n```text\n{dedent(lines)}\n```\n")

    def write_dl(self, rows: Sequence[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:  # noqa: ARG002
        body = [f"| {_term(term)} | {_escaped(text)} |\n" for term, text in rows]
        head = "code" if rows[0][0].isdigit() else "option"
        self.write(f"\n| {head} | meaning |\n| --- | --- |\n" + "".join(body))


def _escaped(text: str) -> str:
    """The text without what Markdown would take as HTML or as a cell's end."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "&#124;")


def _term(term: str) -> str:
    """An option as code, in HTML, for a cell's code may not have |."""
    return f"<code>{_escaped(term)}</code>"


def _page_of(verb: str) -> str:
    """The help of a verb, and of the verbs below it."""
    root = click.Context(command, info_name="cachetune")
    found = command.get_command(root, verb)
    helps = _helps(click.Context(found, parent=root, info_name=verb)) if found else iter(())
    return "".join(f"{'###' if nested else '#'} {title}\n{text}\n" for nested, title, text in helps)


def _helps(context: click.Context) -> Iterator[tuple[bool, str, str]]:
    nested = context.parent is not context.find_root()
    formatter = _Markdown(nested=nested)
    context.command.format_help(context, formatter)
    yield nested, context.command_path, formatter.getvalue()
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            inner = context.command.get_command(context, name)
            if inner is not None and not inner.hidden:
                yield from _helps(click.Context(inner, parent=context, info_name=name))
