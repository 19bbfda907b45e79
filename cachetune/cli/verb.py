"""The layout of --help: options under headings, and exit codes in a section at the end."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_ORDER = ("Which guest", "How", "Where", "Finding guests", "Output", "")
_FEW = 8


class VerbOption(click.Option):
    """An option that --help lists under ``heading``; "" is for general options."""

    def __init__(self, *args: Any, heading: str = "", **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.heading = heading


class Verb(click.Command):
    """A command with an "Exit codes" section in --help."""

    def __init__(self, *args: Any, exit_codes: Mapping[int, str] | None = None, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.exit_codes = exit_codes or {}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under their headings, and the exit codes."""
        write_options(self, ctx, formatter)
        write_exit_codes(self.exit_codes, formatter)


class VerbGroup(click.Group):
    """A verb with subcommands, such as ``agent status``."""

    command_class = Verb

    def __init__(self, *args: Any, exit_codes: Mapping[int, str] | None = None, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.exit_codes = exit_codes or {}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under their headings, the subcommands, and the exit codes."""
        write_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)
        write_exit_codes(self.exit_codes, formatter)


def option(*names: str, heading: str = "", **attributes: Any) -> Callable[[F], F]:
    """click.option, with the heading for --help."""
    return click.option(*names, cls=VerbOption, heading=heading, **attributes)


def write_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """Write the options under their headings, or a few options in one list."""
    sections: dict[str, list[tuple[str, str]]] = {heading: [] for heading in _ORDER}
    for parameter in command.get_params(ctx):
        if isinstance(parameter, click.Option) and (record := parameter.get_help_record(ctx)):
            sections[getattr(parameter, "heading", "")].append(record)
    filled = {heading: records for heading, records in sections.items() if records}
    if sum(map(len, filled.values())) <= _FEW:
        filled = {"": [record for records in filled.values() for record in records]}
    general = filled.pop("", [])
    for heading, records in (*filled.items(), ("Options" if not filled else "Other options", general)):
        if records:
            with formatter.section(heading):
                formatter.write_dl(records)


def write_exit_codes(exit_codes: Mapping[int, str], formatter: click.HelpFormatter) -> None:
    """Write the section "Exit codes"."""
    if exit_codes:
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in exit_codes.items()])
