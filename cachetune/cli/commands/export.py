"""``cachetune export``: what is applied to guests, as tuning XML or in the words of another tool."""

from pathlib import Path
from typing import Any

import click

from cachetune.cli import options
from cachetune.cli.show.console import print_document, write_document
from cachetune.cli.show.findings import show_warnings
from cachetune.cli.verb import Verb, option
from cachetune.domain import SCHEMA
from cachetune.errors import InputError, UnwritableFileError
from cachetune.guests.tuning_files import path_for
from cachetune.service.applied import read_applied
from cachetune.service.export import Exported, export_guests
from cachetune.text import listed, printable


@click.command("export", cls=Verb, exit_codes={0: "exported", 2: "could not run"})
@options.guest_option("A guest, running or not.")
@option("--all-guests", is_flag=True, heading="Which guest", help="Every guest that has groups. The default.")
@option(
    "--format",
    "words",
    type=click.Choice(["tuning", "pqos", "goresctrl"]),
    default="tuning",
    show_default=True,
    metavar="FORMAT",
    heading="Output",
    help="Format: tuning (XML), pqos (a shell script) or goresctrl (YAML).",
)
@option(
    *("-o", "--output"),
    metavar="FILE|DIR",
    default="-",
    heading="Output",
    help="Write to a file; tuning XML of several guests to a directory, one NAME.xml each (default: standard output).",
)
@options.stack(
    options.schema, options.as_json, options.host, options.resctrl, options.sysfs, options.run, options.finding
)
def command(
    *,
    guest: str | None,
    all_guests: bool,
    words: Any,
    output: str,
    schema: str | None,
    as_json: bool,
    **values: Any,
) -> None:
    """Print what is applied to guests, as tuning XML or in the words of another tool. Changes nothing.

    Reads the groups that cachetune or libvirt made, of guests that run or have ended. Planning the XML on the same host
    changes nothing; sizes are exact, and masks that a group copied from the default group are left out.

    \b
    Examples:
      cachetune export --guest web > web.xml
      cachetune export --all-guests -o /etc/cachetune/guests.d/
      cachetune export --host node7.json --format pqos
      cachetune export --guest web --format goresctrl -o rdt.yaml
    """
    if guest is not None and all_guests:
        raise InputError("--guest and --all-guests exclude each other", hint="omit one of them")
    if schema is not None and words != "tuning":
        raise InputError("--schema is for tuning XML", hint="omit it, or omit --format")
    applied = read_applied(options.location(values), options.selection({**values, "guest": guest}))
    show_warnings(applied.notes)
    exported = export_guests(
        applied.guests, applied.host, words, default=guest is None, schema=SCHEMA if schema is None else schema
    )
    if as_json:
        print_document(exported)
        return
    show_warnings(exported.notes)
    if not exported.texts:
        show_warnings([f"{applied.host.source} has no groups that cachetune or libvirt made: nothing to export"])
    _write(exported, output)


def _write(exported: Exported, output: str) -> None:
    """Write the texts to standard output or to files. Raises InputError and UnwritableFileError."""
    into = Path(output)
    if output != "-" and exported.format == "tuning" and (output.endswith("/") or into.is_dir()):
        _write_files(exported, into)
        return
    if len(exported.texts) > 1:
        names = listed([printable(str(text.guest)) for text in exported.texts], 8)
        raise InputError(
            f"one file cannot hold the tuning XML of several guests: {names}", hint="pass -o DIR/ or --guest NAME"
        )
    for text in exported.texts:
        write_document(text.text.encode(), output)


def _write_files(exported: Exported, directory: Path) -> None:
    try:
        directory.mkdir(exist_ok=True)
    except OSError as error:
        raise UnwritableFileError(directory, error.strerror) from None
    for text in exported.texts:
        path = path_for(text.guest or "", directory)
        if path is None:
            show_warnings([f"guest {text.guest!r} is left out: no file can have this name"])
        else:
            write_document(text.text.encode(), str(path))
