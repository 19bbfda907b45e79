"""The three shells: the script of each, how it says what is typed, and how it is answered.

A script gets one line for each item: type, value and description, separated by tabs. A value with a control character
is left out: a guest can have any name. The shells quote what they insert.
"""

import sys
from importlib import resources
from typing import Any

import click
from click.shell_completion import (
    CompletionItem,
    ShellComplete,
    _resolve_context,
    _resolve_incomplete,
    add_completion_class,
    split_arg_string,
)

from cachetune.cli.completion.declarations import declarations
from cachetune.text import printable

SHELLS = ("bash", "zsh", "fish")


class _Shell(ShellComplete):
    """What the three have in common. ``cut`` is what precedes, in each value, the text that the shell replaces."""

    cut = ""

    def source(self) -> str:
        """The script that completes in this shell."""
        return script_of(self.name)

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        """Find the parameter at the cursor, and what it can be."""
        from cachetune.cli.completion.values import completer_of

        with declarations():
            context = _resolve_context(self.cli, self.ctx_args, self.prog_name, args)
            found, begun = _resolve_incomplete(context, args, incomplete)
        self.begin(incomplete, begun)
        completer = completer_of(found, context) if isinstance(found, click.Parameter) else None
        if completer is None or not isinstance(found, click.Parameter):
            return found.shell_complete(context, begun)
        return list(completer(context, found, begun))

    def begin(self, word: str, begun: str) -> None:
        """Get the whole ``word`` before the cursor, and its part that is the value: all of it, or what follows "="."""

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """One line: type, value, and description."""
        if not item.value.isprintable():
            return ""
        value = item.value if item.type in ("file", "dir") else item.value.removeprefix(self.cut)
        return f"{item.type}\t{value}\t{printable(' '.join((item.help or '').split()))}"


class Bash(_Shell):
    """bash: called with the line up to the cursor, and the text that bash replaces.

    That text begins after a "=" or ":" of the word (COMP_WORDBREAKS), but a value begins with the word.
    """

    name = "bash"

    def get_completion_args(self) -> tuple[list[str], str]:
        """Split the line as a shell does, up to the cursor: "|" marks it, which belongs to the last word."""
        words = split_arg_string(f"{sys.argv[1]}|")
        return words[1:-1], words[-1][:-1]

    def begin(self, word: str, begun: str) -> None:
        """The text that bash replaces is the end of the word."""
        replaced = sys.argv[2]
        before = word.removesuffix(replaced) if word.endswith(replaced) else ""
        self.cut = before.removeprefix(word.removesuffix(begun))


class Zsh(_Shell):
    """zsh: called with the words up to the cursor."""

    name = "zsh"

    def get_completion_args(self) -> tuple[list[str], str]:
        """All words but the last are complete."""
        return sys.argv[1:-1], sys.argv[-1]


class Fish(_Shell):
    """fish: called with the words up to the cursor; the last is as typed, with quotes."""

    name = "fish"

    def get_completion_args(self) -> tuple[list[str], str]:
        """All words but the last are complete."""
        begun = split_arg_string(sys.argv[-1])
        return sys.argv[1:-1], begun[0] if begun else ""


def script_of(shell: str) -> str:
    """The script for one of SHELLS."""
    return (resources.files("cachetune.cli.completion") / "scripts" / f"cachetune.{shell}").read_text("utf-8")


def register() -> None:
    """Make click use these shells instead of its own."""
    for shell in (Bash, Zsh, Fish):
        add_completion_class(shell)
