"""Output: tables and text through rich (plain if stdout is a pipe), and documents on stdout or in a file."""

import io
import os
import stat
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from cachetune import documents
from cachetune.errors import UnwritableFileError
from cachetune.files import replace_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.console import Console, RenderableType

_NO_LIMIT = 1 << 20
_ASCII = str.maketrans("█░…▸▾▁▂▃▄▅▆▇", "*:~>v_,;!/+%")
_COERCED = ("C.UTF-8", "C.utf8", "UTF-8")


def console(file: "IO[str]") -> "Console":
    """The console for stdout or stderr: colors and the terminal's width, or plain lines of any length in a pipe.

    It does not write to the file itself, because it would end the process if the reader of the file has ended.
    """
    from rich.console import Console

    width = None if file.isatty() or "COLUMNS" in os.environ else _NO_LIMIT
    is_terminal = file.isatty() or None  # None: if FORCE_COLOR says so
    return Console(
        file=io.StringIO(), force_terminal=is_terminal, width=width, highlight=False, markup=False, emoji=False
    )


def show(parts: "Iterable[RenderableType]", columns: int | None = None, *, err: bool = False) -> None:
    """Print the parts, in ASCII if that is what the locale has. A sentence wraps on a terminal, but no size does.

    ``columns`` is the width of prose, by default that of the console.
    """
    click.echo(rendered(parts, columns, sys.stderr if err else sys.stdout), nl=False, color=True, err=err)


def rendered(parts: "Iterable[RenderableType]", columns: int | None = None, file: "IO[str] | None" = None) -> str:
    """What ``show`` prints to the file, or to stdout."""
    from rich.text import Text

    from cachetune.cli.show.table import Sentence

    file = sys.stdout if file is None else file
    out = console(file)
    out.width = columns or out.width
    with out.capture() as captured:
        for part in parts:
            out.print(Sentence(part) if isinstance(part, str | Text) else part, crop=False)
    text = "\n".join(line.rstrip(" ") for line in captured.get().split("\n"))
    encoding = getattr(file, "encoding", None) or "utf-8"
    if has_unicode(encoding, os.environ):
        return text
    return in_ascii(text).encode(encoding, "backslashreplace").decode(encoding)


def has_unicode(encoding: str | None, environment: "Mapping[str, str]") -> bool:
    """Whether a stream with the encoding shows more than ASCII: not if the user has set the locale C or POSIX.

    Python then sets LC_CTYPE to C.UTF-8, which does not mean that the terminal has it. Source: PEP 538.
    """
    if not (encoding or "utf-8").lower().startswith("utf"):
        return False
    ctype = environment.get("LC_CTYPE", "")
    names = (environment.get("LC_ALL"), "" if ctype in _COERCED else ctype, environment.get("LANG"))
    return next((name for name in names if name), "") not in ("C", "POSIX")


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
