"""What mkdocs adds to these pages: a page for each verb, the rules, and the pages at the root of the project."""

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

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


def _page_of(verb: str) -> str:
    """The help of a verb, and of the verbs below it."""
    root = click.Context(command, info_name="cachetune", terminal_width=100)
    parts = [f"# cachetune {verb}\n\n{VERBS[verb]}\n"]
    for title, text in _helps(click.Context(command.get_command(root, verb), parent=root, info_name=verb)):  # type: ignore[arg-type]
        parts.append(("" if len(parts) == 1 else f"\n## {title}\n") + f"\n```text\n{text}\n```\n")
    return "".join(parts)


def _helps(context: click.Context) -> Iterator[tuple[str, str]]:
    yield context.command_path, context.get_help()
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            inner = context.command.get_command(context, name)
            if inner is not None and not inner.hidden:
                yield from _helps(click.Context(inner, parent=context, info_name=name))
