"""``cachetune validate``: all findings in domain XML, with their lines and columns."""

import gc
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from cachetune.cli.verb import Verb, option
from cachetune.domain.check import Checks, Engine
from cachetune.domain.xml.schema import LIBVIRT_SCHEMA
from cachetune.domain.xml.schema import libvirt_schema as read_libvirt_schema
from cachetune.service.validation import Validation, validate
from cachetune.text import count
from cachetune.units import ROUNDINGS

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager


@click.command(
    "validate",
    cls=Verb,
    exit_codes={0: "valid", 1: "invalid", 2: "a file could not be read, or could not run"},
)
@option("--json", "as_json", is_flag=True, heading="Output", help="Print a JSON document instead of text.")
@option(
    "--engine",
    type=click.Choice(["rng", "xsd"]),
    default="rng",
    show_default=True,
    heading="How",
    help="The schema language.",
)
@option(
    "--libvirt",
    metavar="VERSION",
    heading="How",
    help="Also report what this version of libvirt refuses: 9.0, 10.8, 11.3, 12.4, 12.8, …",
)
@option(
    "--libvirt-schema",
    metavar="[PATH.rng]",
    heading="How",
    is_flag=False,
    flag_value=LIBVIRT_SCHEMA,
    help=f"Also check against the schema of an installed libvirt (default: {LIBVIRT_SCHEMA}).",
)
@option(
    "--host",
    metavar="FILE|sim:NAME",
    heading="How",
    help="Also check whether the domain fits on a snapshot or a simulated host.",
)
@option("--round", "rounding", type=click.Choice(ROUNDINGS), heading="How", help="With --host: that option of 'plan'.")
@option(
    "-j",
    "--jobs",
    type=click.IntRange(1, 256),
    metavar="N",
    heading="How",
    help="Number of processes (default: as needed).",
)
@click.argument("files", nargs=-1, metavar="FILE|DIRECTORY|-...")
def command(
    files: tuple[str, ...],
    *,
    engine: Engine,
    libvirt: str | None,
    libvirt_schema: str | None,
    jobs: int | None,
    as_json: bool,
    **fitting: Any,
) -> None:
    """Check domain XML: report every finding, with a suggested fix.

    Directories are searched for *.xml; "-" is standard input.

    \b
    Examples:
      cachetune validate guest.xml
      virsh dumpxml guest | cachetune validate -
      cachetune validate --libvirt 11.3 --json domains/
      cachetune validate --host sim:skylake-2s guest.xml
    """
    if libvirt_schema and not libvirt_schema.endswith(".rng"):  # the value of the option is optional
        files, libvirt_schema = (libvirt_schema, *files), LIBVIRT_SCHEMA
    if not files:
        raise click.UsageError("give a FILE, a DIRECTORY, or - for standard input")
    if libvirt_schema:
        read_libvirt_schema(libvirt_schema)  # once, rather than an error for every file
    checks = Checks(engine=engine, libvirt=_version(libvirt), libvirt_schema=libvirt_schema)
    progress = _progress if sys.stderr.isatty() else None
    found = validate(files, checks, jobs=jobs, progress=progress, **fitting)
    if as_json:
        from cachetune.cli.show.console import print_document

        print_document(found.document())
    else:
        _print_findings(found)
    _print_unreadable(found)
    if not as_json:
        click.echo(_summary(found), err=True)
    gc.freeze()  # skips the garbage collection at exit, a tenth of a cold start
    sys.exit(2 if any(o.unreadable for o in found.reported) else int(any(o.invalid for o in found.reported)))


def _version(libvirt: str | None) -> tuple[int, int] | None:
    if libvirt is None:
        return None
    from cachetune.domain.compat import parse_version

    return parse_version(libvirt)


def _progress(total: int) -> "AbstractContextManager[Callable[[int], None]]":
    from cachetune.cli.show.progress import progress

    return progress("Checking", total)


def _print_findings(found: Validation) -> None:
    if not any(outcome.findings for outcome in found.outcomes):
        return
    from cachetune.cli.show.findings import finding_text

    color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    lines = [finding_text(finding, outcome.file) for outcome in found.outcomes for finding in outcome.findings]
    click.echo("".join(lines), nl=False, color=color)


def _print_unreadable(found: Validation) -> None:
    for outcome in found.reported:
        if outcome.unreadable:
            from cachetune.cli.show.findings import show_error

            show_error(outcome.unreadable, outcome.hint)


def _summary(found: Validation) -> str:
    """The summary in one sentence."""
    invalid = sum(outcome.invalid for outcome in found.outcomes)
    warnings = sum(finding.severity == "warning" for outcome in found.outcomes for finding in outcome.findings)
    unreadable = sum(bool(outcome.unreadable) for outcome in found.reported)
    if found.checked == 0:
        parts = ["no file checked"]
    elif found.checked == 1:
        parts = ["1 file checked", "invalid" if invalid else "valid"]
    else:
        parts = [f"{found.checked} files checked", f"{invalid} invalid" if invalid else "all valid"]
    if warnings:
        parts.append(count(warnings, "warning"))
    if unreadable:
        parts.append(f"{unreadable} could not be read")
    return ", ".join(parts) + "."
