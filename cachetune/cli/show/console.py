"""Output: tables and text through rich (plain if stdout is a pipe), and documents on stdout or in a file."""

import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cachetune import documents
from cachetune.errors import UnwritableFileError
from cachetune.files import replace_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console, RenderableType

_PIPE_WIDTH = 160
_ASCII = str.maketrans("█▓░·…▸▾▁▂▃▄▅▆▇", "#%:.~>v.,-~=+*")


def console() -> "Console":
    """The console on stdout: colors and the terminal's width, or plain and wider lines in a pipe."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PIPE_WIDTH
    return Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)


def show(parts: "Iterable[RenderableType]", columns: int | None = None) -> None:
    """Print the parts, with ASCII pictures if stdout cannot encode Unicode. A sentence wraps, but no size does.

    ``columns`` is the width of prose, by default that of the console.
    """
    click.echo(rendered(parts, columns), nl=False, color=True)


def rendered(parts: "Iterable[RenderableType]", columns: int | None = None) -> str:
    """What ``show`` prints."""
    from rich.text import Text

    from cachetune.cli.show.table import Sentence

    out = console()
    out.width = columns or out.width
    with out.capture() as captured:
        for part in parts:
            out.print(Sentence(part) if isinstance(part, str | Text) else part, crop=False)
    text = "\n".join(line.rstrip(" ") for line in captured.get().split("\n"))
    return text if (sys.stdout.encoding or "utf-8").lower().startswith("utf") else in_ascii(text)


def in_ascii(text: str) -> str:
    """The text with its pictures in ASCII."""
    return text.translate(_ASCII)


def print_document(document: object) -> None:
    """Print a value as a JSON document on stdout."""
    click.echo(documents.encode(document), nl=False)


def write_document(data: bytes, path: str) -> None:
    """Write a document to a file, atomically, or to stdout for "-". Raises UnwritableFileError."""
    if path == "-":
        click.echo(data, nl=False)
        return
    target = Path(path)
    try:
        if target.exists() and not stat.S_ISREG(target.stat().st_mode):
            target.write_bytes(data)  # a pipe or a device cannot be replaced
        else:
            replace_file(target, data, mode=0o666)
    except OSError as error:
        raise UnwritableFileError(path, error.strerror) from None
