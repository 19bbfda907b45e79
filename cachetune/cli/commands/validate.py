"""``cachetune validate``: all findings in domain XML, with their lines and columns."""

# importing pathlib would add a tenth to the start of the command
# ruff: noqa: PTH112, PTH118

import gc
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import click

from cachetune.cli.verb import Verb, option
from cachetune.domain.check import Checker, Checks, Engine
from cachetune.domain.xml.document import read_file, unreadable
from cachetune.domain.xml.schema import LIBVIRT_SCHEMA
from cachetune.domain.xml.schema import libvirt_schema as read_libvirt_schema
from cachetune.errors import InputError
from cachetune.text import count, printable

if TYPE_CHECKING:
    from cachetune.findings import FileReport, Finding

    FindingsIn = Callable[[bytes], tuple[Finding, ...]]

MANY_FILES = 300


class _Outcome(NamedTuple):
    """The result for one file: its findings, or why it could not be read."""

    file: str
    findings: "tuple[Finding, ...]" = ()
    unreadable: str = ""
    hint: str = ""

    @property
    def invalid(self) -> bool:
        return any(finding.severity == "error" for finding in self.findings)


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
    engine: Engine,
    libvirt: str | None,
    libvirt_schema: str | None,
    host: str | None,
    jobs: int | None,
    as_json: bool,
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
    paths, missing = _expand(files)
    examine = partial(_examine, findings_in=_on_host(host, checks) if host else Checker(checks).findings)
    outcomes = [*missing, *_examine_all(examine, paths, jobs)]
    if as_json:
        click.echo(_json(paths, missing, outcomes), nl=False)
    else:
        _print(outcomes)
    for outcome in outcomes:
        if outcome.unreadable:
            from cachetune.cli.show.findings import show_error

            show_error(outcome.unreadable, outcome.hint)
    if not as_json:
        checked = len(paths) - sum(bool(outcome.unreadable) for outcome in outcomes[len(missing) :])
        click.echo(_summary(checked, outcomes), err=True)
    gc.freeze()  # skips the garbage collection at exit, a tenth of a cold start
    sys.exit(2 if any(o.unreadable for o in outcomes) else int(any(o.invalid for o in outcomes)))


def _expand(files: tuple[str, ...]) -> tuple[list[str], list[_Outcome]]:
    """The files to check, with those in directories, and the directories that could not be searched."""
    paths: list[str] = []
    missing: list[_Outcome] = []

    def note(error: OSError) -> None:
        missing.append(_Outcome(file=str(error.filename), unreadable=f"cannot read {error.filename}: {error.strerror}"))

    for file in files:
        if file == "-" or not os.path.isdir(file):
            paths.append(file)
            continue
        found = [*_search(file, note)]
        paths += found
        if not found:
            missing.append(_Outcome(file=file, unreadable=f"no *.xml files in {file}"))
    return paths, missing


def _search(directory: str, note: Callable[[OSError], None]) -> Iterator[str]:
    for parent, directories, names in os.walk(directory, onerror=note):
        directories.sort()
        for name in sorted(names):
            if name.endswith(".xml"):
                yield os.path.join(parent, name)


def _version(libvirt: str | None) -> tuple[int, int] | None:
    if libvirt is None:
        return None
    from cachetune.domain.compat import parse_version

    return parse_version(libvirt)


def _on_host(host: str, checks: Checks) -> "FindingsIn":
    """A function that checks as Checker does, and whether the domain fits on the host."""
    from cachetune.domain.loading import load_checked
    from cachetune.plan import check as check_host
    from cachetune.service.connection import Location
    from cachetune.service.hosts import read_location

    state = read_location(Location(host=host)).host

    def findings_in(data: bytes) -> "tuple[Finding, ...]":
        loaded = load_checked(data, "", checks)
        if loaded.domain is None:
            return loaded.findings
        findings = (*loaded.findings, *check_host(loaded.domain, state))
        return tuple(sorted(findings, key=lambda finding: (finding.line, finding.column)))

    return findings_in


def _examine(path: str, *, findings_in: "FindingsIn") -> _Outcome | None:
    """The outcome for one file, None if there is nothing to report."""
    name = "<stdin>" if path == "-" else path
    try:
        findings = findings_in(read_file(path))
    except InputError as error:
        return _Outcome(file=name, unreadable=str(error), hint=error.hint)
    return _Outcome(file=name, findings=findings) if findings else None


def _examine_all(examine: Callable[[str], _Outcome | None], paths: list[str], jobs: int | None) -> list[_Outcome]:
    if len(paths) == 1:
        outcome = examine(paths[0])
        return [outcome] if outcome else []
    from cachetune.cli.workers import map_forked

    if jobs is None:
        jobs = len(os.sched_getaffinity(0)) if len(paths) >= MANY_FILES else 1
    if len(paths) <= MANY_FILES or not sys.stderr.isatty():
        return map_forked(examine, paths, jobs, None)
    from cachetune.cli.show.progress import progress

    with progress("Checking", len(paths)) as tick:
        return map_forked(examine, paths, jobs, tick)


def _print(outcomes: list[_Outcome]) -> None:
    if not any(outcome.findings for outcome in outcomes):
        return
    from cachetune.cli.show.findings import finding_text

    color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    lines = [finding_text(finding, outcome.file) for outcome in outcomes for finding in outcome.findings]
    click.echo("".join(lines), nl=False, color=color)


def _json(paths: list[str], missing: list[_Outcome], outcomes: list[_Outcome]) -> bytes:
    from cachetune import documents
    from cachetune.findings import Findings

    by_file = {outcome.file: outcome for outcome in outcomes}
    names = ("<stdin>" if path == "-" else path for path in paths)
    reported = (*(by_file.get(name, _Outcome(file=name)) for name in names), *missing)
    return documents.encode(Findings(files=tuple(map(_file_report, reported))))


def _file_report(outcome: _Outcome) -> "FileReport":
    from cachetune.findings import FileReport

    findings = outcome.findings
    if outcome.unreadable:
        findings = (unreadable(printable(outcome.unreadable), outcome.hint),)
    valid = not outcome.invalid and not outcome.unreadable
    return FileReport(file=printable(outcome.file), valid=valid, findings=findings)


def _summary(checked: int, outcomes: list[_Outcome]) -> str:
    """The summary in one sentence. ``checked`` is the number of files that could be read."""
    invalid = sum(outcome.invalid for outcome in outcomes)
    warnings = sum(finding.severity == "warning" for outcome in outcomes for finding in outcome.findings)
    unreadable = sum(bool(outcome.unreadable) for outcome in outcomes)
    if checked == 0:
        parts = ["no file checked"]
    elif checked == 1:
        parts = ["1 file checked", "invalid" if invalid else "valid"]
    else:
        parts = [f"{checked} files checked", f"{invalid} invalid" if invalid else "all valid"]
    if warnings:
        parts.append(count(warnings, "warning"))
    if unreadable:
        parts.append(f"{unreadable} could not be read")
    return ", ".join(parts) + "."
