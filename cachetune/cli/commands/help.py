"""``cachetune help``: the help of a verb, as ``cachetune VERB --help`` prints it."""

import click

from cachetune.cli.verb import Verb


@click.command("help", cls=Verb, exit_codes={0: "shown", 2: "no such verb"})
@click.argument("verb", nargs=-1)
@click.pass_context
def command(context: click.Context, *, verb: tuple[str, ...]) -> None:
    """Show the help of VERB, or the list of all verbs.

    \b
    Examples:
      cachetune help
      cachetune help plan
      cachetune help sim mount
    """
    shown = context.find_root()
    for word in verb:
        group = shown.command
        if not isinstance(group, click.Group):
            raise click.UsageError(f"{shown.command_path} has no subcommands", context)
        _, found, _ = group.resolve_command(shown, [word])
        if found is None:
            raise click.UsageError(f"no such verb: {word!r}", context)
        shown = click.Context(found, parent=shown, info_name=word)
    click.echo(shown.get_help())
