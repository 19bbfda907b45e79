"""The formats of ``validate``'s report: one module each, in the order in which --help lists them.

``report`` is what a format is given, ``places`` is shared by several, and ``sarif_log`` has the parts of SARIF; all
other modules are formats.

To add a format, write ``formats/NAME.py`` with ``render`` and add the name to ``FormatName``; the choices of --format
follow. Add a row to docs/how-to/ci.md, and a program that reads the format to tests/cli/formats.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Literal, Protocol, cast, get_args

if TYPE_CHECKING:
    from cachetune.cli.formats.report import Report

FormatName = Literal["text", "json", "github", "gitlab", "sarif", "junit"]
NAMES: tuple[FormatName, ...] = get_args(FormatName)


class Format(Protocol):
    """What the module of a format contains."""

    def render(self, report: "Report") -> str | bytes:
        """Return the whole report: bytes in UTF-8, or text, colored with ANSI sequences, for people."""


def load(name: FormatName) -> Format:
    """Import the module of a format."""
    return cast("Format", import_module(f"{__name__}.{name}"))
