"""What all verbs have in common: the layout of --help, and no option with two values.

--help lists options under headings, and exit codes in a section at the end.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

F = TypeVar("F", bound=Callable[..., Any])

_ORDER = (
    "Which guest",
    "Which group",
    "Which changes",
    "Which findings",
    "What",
    "How",
    "Assigning",
    "Where",
    "Finding guests",
    "Output",
    "",
)
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

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does, except that an option with one value must not be given twice, nor both names of a flag.

        click silently takes the last. Repeated flags are harmless.
        """
        given = list(args)
        rest = super().parse_args(ctx, args)
        if not ctx.resilient_parsing:
            _check_given_once(self.make_parser(ctx).parse_args(list(given))[2], given, ctx)
        return rest

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

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem[Any]]":
        """Complete a subcommand, with its first sentence, which click would cut off; or an option."""
        from click.shell_completion import CompletionItem

        found = {name: command for name, command in self.commands.items() if name.startswith(incomplete)}
        items = [CompletionItem(name, help=(command.help or "").partition("\n")[0]) for name, command in found.items()]
        return [*items, *click.Command.shell_complete(self, ctx, incomplete)]


def _check_given_once(order: list[click.Parameter], words: list[str], ctx: click.Context) -> None:
    """Raise a usage error for an option with one value that occurs twice, or a flag such as --on/--off that is both.

    ``order`` has the parameters of the ``words`` of the command line.
    """
    for parameter, times in Counter(order).items():
        if not isinstance(parameter, click.Option) or times == 1:
            continue
        if not (parameter.multiple or parameter.is_flag):
            raise click.UsageError(f"option {parameter.opts[-1]!r} is given {times} times, but has one value", ctx)
        names = [name for names in (parameter.opts, parameter.secondary_opts) for name in names if name in words]
        if parameter.secondary_opts and len(names) > 1:
            raise click.UsageError(f"{names[0]} and {names[1]} exclude each other", ctx)


def option(*names: str, heading: str = "", **attributes: Any) -> Callable[[F], F]:
    """click.option, with the heading for --help."""
    return click.option(*names, cls=VerbOption, heading=heading, **attributes)


def sections_of(command: click.Command, ctx: click.Context) -> list[tuple[str, list[tuple[str, str]]]]:
    """The options with their help under their headings, or a few options in one list."""
    sections: dict[str, list[tuple[str, str]]] = {heading: [] for heading in _ORDER}
    for parameter in command.get_params(ctx):
        if isinstance(parameter, click.Option) and (record := parameter.get_help_record(ctx)):
            sections[getattr(parameter, "heading", "")].append(record)
    filled = {heading: records for heading, records in sections.items() if records}
    if sum(map(len, filled.values())) <= _FEW:
        filled = {"": [record for records in filled.values() for record in records]}
    general = filled.pop("", [])
    last = ("Options" if not filled else "Other options", general)
    return [(heading, records) for heading, records in (*filled.items(), last) if records]


def write_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """Write the options under their headings."""
    for heading, records in sections_of(command, ctx):
        with formatter.section(heading):
            formatter.write_dl(records)


def write_exit_codes(exit_codes: Mapping[int, str], formatter: click.HelpFormatter) -> None:
    """Write the section "Exit codes"."""
    if exit_codes:
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in exit_codes.items()])
