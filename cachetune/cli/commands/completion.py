"""``cachetune completion``: the script that completes the command in a shell."""

import click

from cachetune.cli.completion.shells import SHELLS, script_of
from cachetune.cli.verb import Verb


@click.command("completion", cls=Verb, exit_codes={0: "printed", 2: "no such shell"})
@click.argument("shell", type=click.Choice(SHELLS), metavar="SHELL")
def command(*, shell: str) -> None:
    """Print the completion script for SHELL: bash, zsh or fish.

    It completes verbs, options, files, running guests, simulated hosts, rules, and the cache ids of this host. Load it
    in the start file of the shell, as below.

    \b
    Examples:
      eval "$(cachetune completion bash)"   in ~/.bashrc
      eval "$(cachetune completion zsh)"    in ~/.zshrc, after compinit
      cachetune completion fish | source    in ~/.config/fish/config.fish
    """
    click.echo(script_of(shell), nl=False)
