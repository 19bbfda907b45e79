"""The entry point: imports only the verb's module, and turns an error into a message and an exit code."""

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from cachetune import __version__
from cachetune.cli.streams import (
    ReaderEndedError,
    end_by_sigpipe,
    ending_with_the_reader,
    name_streams,
    open_closed_streams,
)
from cachetune.errors import CachetuneError, error_text

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

VERBS = {
    "validate": "Check domain XML; report every finding.",
    "explain": "Explain a rule, or find rules by words.",
    "plan": "Show what a domain's XML needs on a host.",
    "diff": "Dry run of apply: exit 1 if anything would change.",
    "fit": "Show which hosts can take a guest, the best first.",
    "diff-hosts": "Show in what two hosts differ for tuning.",
    "apply": "Carry out a plan: all of it, or nothing.",
    "set": "Change one value of a running guest.",
    "remove": "Remove a guest's groups.",
    "default": "Set the ways and the bandwidth of the default group.",
    "compact": "Move groups so that the free ways are contiguous.",
    "recover": "Finish or undo an interrupted run.",
    "agent": "Keep guests' allocations in place; report their state.",
    "doctor": "Check a host; say what is wrong and what fixes it.",
    "install": "Write systemd's units and libvirt's hook.",
    "uninstall": "Remove what install has written.",
    "show": "Show a host: ways and owners, free space, limits.",
    "monitor": "Read the counters of a guest's groups.",
    "top": "Show what guests use now, full screen.",
    "record": "Keep a history of the counters.",
    "report": "Show what guests used over a period.",
    "noisy": "Rank who takes cache from whom.",
    "exporter": "Export metrics to Prometheus.",
    "advise": "Say how many ways a guest should have.",
    "log": "Show what was changed, when and by whom.",
    "guests": "List running guests and how each was found.",
    "export": "Print what is applied to guests, as XML or for pqos.",
    "convert": "Print another tool's configuration as XML.",
    "snapshot": "Save a host as JSON, to plan for it elsewhere.",
    "schema": "Print the schema of a document.",
    "sim": "Mount a simulated resctrl as a file system.",
    "completion": "Print the completion script for a shell.",
    "demo": "Run the whole pipeline on a simulated host.",
    "help": "Show the help of a verb.",
}


class Verbs(click.Group):
    """A group that imports a command when it is called, to keep cold starts short."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """List the verbs in the order in which they are normally used."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import cachetune.cli.commands.VERB and return its ``command``; "-" in the verb is "_" there."""
        if name not in VERBS:
            return None
        module = name.replace("-", "_")
        command: click.Command = importlib.import_module(f"cachetune.cli.commands.{module}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve as click does, with a suggestion for a misspelled verb."""
        if args and not args[0].startswith("-") and args[0] not in VERBS:
            import difflib

            near = difflib.get_close_matches(args[0], VERBS, 1)
            ctx.fail(f"no such verb: {args[0]!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem[Any]]":
        """Complete a verb without importing any, or an option."""
        from click.shell_completion import CompletionItem

        verbs = [CompletionItem(verb, help=text) for verb, text in VERBS.items() if verb.startswith(incomplete)]
        return [*verbs, *click.Command.shell_complete(self, ctx, incomplete)]

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the arguments, or print the help. Raises ReaderEndedError if its reader has ended."""
        with ending_with_the_reader():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb. Raises ReaderEndedError if the reader of the output ends before the verb."""
        with ending_with_the_reader():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="%(prog)s %(version)s")
def command() -> None:
    """Cache and memory-bandwidth allocation for libvirt guests.

    Reads domain XML with <cachetune>, <memorytune> and <energytune>, validates it, plans the resctrl groups, masks and
    task moves that it needs on a host, and applies the plan to running guests.

    \b
    First steps:
      cachetune demo                          see all of it work, without hardware
      cachetune validate guest.xml            check domain XML
      cachetune show                          see who has which ways of this host
      cachetune guests                        list running guests
      cachetune plan --guest web tuning.xml   see what apply would do
      cachetune apply --guest web tuning.xml  do it
    """


def main() -> None:
    """Run the command and exit: with 2 if it could not run, by SIGPIPE if its reader ends, else as the verb says."""
    open_closed_streams()
    name_streams()
    if os.environ.get("_CACHETUNE_COMPLETE"):  # a shell asks, by the script of 'cachetune completion'
        from cachetune.cli.completion.shells import register

        register()
    try:
        color = False if os.environ.get("NO_COLOR") else None  # None: on a terminal only
        code = command.main(prog_name="cachetune", standalone_mode=False, color=color)
    except click.ClickException as error:
        _show_usage_error(error)
        sys.exit(2)
    except click.Abort:
        click.echo("Aborted.", err=True)
        sys.exit(2)
    except CachetuneError as error:
        _fail(error)
    except ReaderEndedError:
        end_by_sigpipe()
    except OSError as error:
        _fail(CachetuneError(error_text(error)))
    sys.exit(code if isinstance(code, int) else 0)


def _show_usage_error(error: click.ClickException) -> None:
    """Show an invalid option or argument in the form of all other errors, or the help if there is no argument."""
    from cachetune.cli.show.findings import show_error

    if isinstance(
        error, getattr(click.exceptions, "NoArgsIsHelpError", ())
    ):  # since click 8.2; its message is the help
        error.show()
        return
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None:
        click.echo(context.get_usage(), err=True)
    help_hint = f"see '{context.command_path} --help'" if context is not None else ""
    show_error(error.format_message().replace("\n\t", " "), help_hint)  # click puts each choice on its own line


def _fail(error: CachetuneError) -> NoReturn:
    from cachetune.cli.show.findings import show_failure

    show_failure(error)
    sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
