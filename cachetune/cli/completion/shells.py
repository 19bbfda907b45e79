"""The three shells: the script of each, how it says what is typed, and how it is answered.

A script gets one line for each item: type, value and description, separated by tabs. A value with a control character
is left out: a guest can have any name. The shells quote what they insert.
"""

import re
import shlex
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

FILE, DIRECTORY, PART = "file", "dir", "part"
"""Types of items besides "plain". The value of FILE is a pattern of names; after a PART, more of the word follows."""

_SPECIAL = re.compile(r"[^\w.:,=+/@%-]")


class _Shell(ShellComplete):
    """What the three have in common."""

    def source(self) -> str:
        """The script that completes in this shell."""
        return script_of(self.name)

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        """Find the parameter at the cursor, and what it can be."""
        with declarations():
            context = _resolve_context(self.cli, self.ctx_args, self.prog_name, args)
            found, begun = _resolve_incomplete(context, args, incomplete)
        self.begin(incomplete, begun)
        if isinstance(found, click.Parameter):
            from cachetune.cli.completion.values import completer_of

            completer = completer_of(found, context)
            if completer is not None:
                return list(completer(context, found, begun))
        return found.shell_complete(context, begun)

    def begin(self, word: str, begun: str) -> None:
        """Get the ``word`` before the cursor, and the part of it that is the value, as "n" in "--host=n"."""

    def inserted(self, value: str) -> str:
        """What the shell gets to insert for a value; "" leaves it out."""
        return value

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """One line: type, value, and description."""
        if not item.value.isprintable():
            return ""
        value = item.value if item.type in (FILE, DIRECTORY) else self.inserted(item.value)
        return f"{item.type}\t{value}\t{printable(' '.join((item.help or '').split()))}" if value else ""


class Bash(_Shell):
    """bash: called with the line up to the cursor, and the text that bash replaces.

    That text begins after a "=" or ":" of the word (COMP_WORDBREAKS). bash inserts a value as it is, so it is quoted
    here; within quotes, what would need more of them is left out.
    """

    name = "bash"
    _before, _skipped = "", 0

    def get_completion_args(self) -> tuple[list[str], str]:
        """Split the line as a shell does, up to the cursor: "|" marks it, which belongs to the last word."""
        words = split_arg_string(f"{sys.argv[1]}|")
        return words[1:-1], words[-1][:-1]

    def begin(self, word: str, begun: str) -> None:
        """Find how much of the word bash keeps."""
        self._before, replaced = word.removesuffix(begun), sys.argv[2]
        self._skipped = len(word) - len(replaced) if word.endswith(replaced) else len(self._before)

    def inserted(self, value: str) -> str:
        """The end of the value, quoted."""
        end = f"{self._before}{value}"[self._skipped :]
        if _SPECIAL.search(end) and _is_in_quotes(sys.argv[1]):
            return ""
        return _SPECIAL.sub(r"\\\g<0>", end)


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


def _is_in_quotes(line: str) -> bool:
    try:
        shlex.split(line)
    except ValueError as error:
        return "quotation" in str(error)
    return False


def script_of(shell: str) -> str:
    """The script for one of SHELLS."""
    return (resources.files("cachetune.cli.completion") / "scripts" / f"cachetune.{shell}").read_text("utf-8")


def register() -> None:
    """Make click use these shells in place of its defaults."""
    for shell in (Bash, Zsh, Fish):
        add_completion_class(shell)
