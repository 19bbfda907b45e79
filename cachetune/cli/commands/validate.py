"""``cachetune validate``: all findings in domain XML, with their lines and columns."""

import gc
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from cachetune.cli import formats
from cachetune.cli.formats.report import Report
from cachetune.cli.verb import Verb, option
from cachetune.domain.check import Checks
from cachetune.domain.xml.schema import LIBVIRT_SCHEMA
from cachetune.domain.xml.schema import libvirt_schema as read_libvirt_schema
from cachetune.service.rule_selection import ALL_RULES, rule_selection
from cachetune.service.validation import Fitting, Validation, validate
from cachetune.text import counts
from cachetune.units import ROUNDINGS

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager


@click.command(
    "validate",
    cls=Verb,
    exit_codes={
        0: "valid",
        1: "invalid; with --strict, also warnings",
        2: "a file could not be read, or could not run",
    },
)
@option(
    "--format",
    "format_name",
    type=click.Choice(formats.NAMES),
    heading="Output",
    help="How to print the findings (default: text).",
)
@option("--json", "as_json", is_flag=True, heading="Output", help="The same as --format json.")
@option(
    "-o",
    "--output",
    metavar="FILE",
    heading="Output",
    help="Write the report to FILE; findings are also shown as text, on stderr.",
)
@option(
    "--select",
    multiple=True,
    metavar="RULES",
    heading="Which findings",
    help="Report only these rules, such as CT207, or CT1,CT2 for all CT1xx and CT2xx.",
)
@option(
    "--ignore",
    multiple=True,
    metavar="RULES",
    heading="Which findings",
    help="Do not report these rules. For a rule that both options name, the longer name decides.",
)
@option("--strict", is_flag=True, heading="Which findings", help="Exit with 1 also if there are warnings.")
@option("--exit-zero", is_flag=True, heading="Which findings", help="Exit with 0 even if there are findings.")
@option(
    "--skip-others",
    is_flag=True,
    heading="How",
    help="Skip XML that is neither a domain nor a tuning file, as in directories.",
)
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
@option("--shrink-default", is_flag=True, heading="How", help="With --host: that option of 'plan'.")
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
    format_name: formats.FormatName | None,
    as_json: bool,
    output: str | None,
    strict: bool,
    exit_zero: bool,
    **how: Any,
) -> None:
    """Check domain XML: report every finding, with a suggested fix.

    Directories are searched for *.xml, without hidden files, and XML of other kinds in them is skipped; "-" is
    standard input.

    \b
    Examples:
      cachetune validate guest.xml
      virsh dumpxml guest | cachetune validate -
      cachetune validate --libvirt 11.3 --strict domains/
      cachetune validate --host sim:skylake-2s guest.xml
      cachetune validate --format sarif -o cachetune.sarif domains/
    """
    if as_json and format_name not in (None, "json"):
        raise click.UsageError(f"--json and --format {format_name} exclude each other")
    if how["libvirt_schema"] and not how["libvirt_schema"].endswith(".rng"):  # the value of the option is optional
        files, how["libvirt_schema"] = (how["libvirt_schema"], *files), LIBVIRT_SCHEMA
    if not files:
        raise click.UsageError("give a FILE, a DIRECTORY, or - for standard input")
    report = Report(_validate(files, **how), strict, exit_zero)
    _print_report(report, "json" if as_json else format_name or "text", output)
    gc.freeze()  # skips the garbage collection at exit, a tenth of a cold start
    sys.exit(report.exit_code)


def _validate(files: tuple[str, ...], **how: Any) -> Validation:
    if how["libvirt_schema"]:
        read_libvirt_schema(how["libvirt_schema"])  # once, rather than an error for every file
    checks = Checks(how["engine"], _version(how["libvirt"]), how["libvirt_schema"])
    return validate(
        files,
        checks,
        fitting=Fitting(how["host"], how["rounding"], how["shrink_default"]) if how["host"] else None,
        rules=rule_selection(how["select"], how["ignore"]) if how["select"] or how["ignore"] else ALL_RULES,
        skip_others=how["skip_others"],
        jobs=how["jobs"],
        progress=_progress if sys.stderr.isatty() else None,
    )


def _version(libvirt: str | None) -> tuple[int, int] | None:
    if libvirt is None:
        return None
    from cachetune.domain.compat import parse_version

    return parse_version(libvirt)


def _progress(total: int) -> "AbstractContextManager[Callable[[int], None]]":
    from cachetune.cli.show.progress import progress

    return progress("Checking", total)


def _print_report(report: Report, name: formats.FormatName, output: str | None) -> None:
    """Print the report, or write it to a file and show the findings; then what could not be read, and a summary."""
    text = formats.load(name).render(report)
    if output:
        from cachetune.cli.show.console import write_document

        write_document(click.unstyle(text).encode() if isinstance(text, str) else text, output)
    shown = formats.load("text").render(report) if output and name != "text" else text
    if shown:
        stream = sys.stderr if output else sys.stdout
        color = stream.isatty() and not os.environ.get("NO_COLOR")
        click.echo(shown, nl=False, color=color, err=bool(output))
    _print_unreadable(report.found)
    if output or name == "text":
        click.echo(_summary(report.found), err=True)


def _print_unreadable(found: Validation) -> None:
    for outcome in found.reported:
        if outcome.unreadable:
            from cachetune.cli.show.findings import show_error

            show_error(outcome.unreadable, outcome.hint)


def _summary(found: Validation) -> str:
    """The summary in a sentence or two."""
    severities = [finding.severity for outcome in found.outcomes for finding in outcome.findings]
    files = sum(bool(outcome.findings) for outcome in found.outcomes)
    number = found.checked
    if severities:
        findings = counts((severities.count("error"), "error", ""), (severities.count("warning"), "warning", ""))
        where = f" in {files} of {number} files" if number > 1 else ""
        sentence = f"Found {findings.replace(', ', ' and ')}{where}"
    elif number > 1:
        sentence = f"{number} files checked, all valid"
    else:
        sentence = "1 file checked, valid" if number else "No file checked"
    unreadable = sum(bool(outcome.unreadable) for outcome in found.reported)
    rest = counts((unreadable, "path", "not checked"), (found.skipped, "other XML file", "skipped"))
    return f"{sentence}; {rest}." if rest else f"{sentence}."
