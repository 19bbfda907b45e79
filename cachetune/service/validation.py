"""Check many documents: search directories, read and check each file, in several processes if there are many.

Imports little until there is something to report: the start of ``cachetune validate`` must stay short.
"""

# importing pathlib would add a tenth to the start of the command
# ruff: noqa: PTH112, PTH118

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from cachetune.domain.check import Checker, Checks
from cachetune.domain.xml.document import read_file, unreadable
from cachetune.errors import InputError
from cachetune.text import printable

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from cachetune.findings import FileReport, Finding, Findings
    from cachetune.units import Rounding

    FindingsIn = Callable[[bytes], tuple[Finding, ...]]
    Progress = Callable[[int], AbstractContextManager[Callable[[int], None]]]

MANY_FILES = 300
"""From this number of files on, all processors are used, and progress is reported."""


class Outcome(NamedTuple):
    """The result for one file: its findings, or why it could not be read."""

    file: str
    findings: "tuple[Finding, ...]" = ()
    unreadable: str = ""
    hint: str = ""

    @property
    def invalid(self) -> bool:
        """Whether any finding is an error."""
        return any(finding.severity == "error" for finding in self.findings)


class Validation(NamedTuple):
    """The result for all files. ``outcomes`` leaves out files without findings; ``missing`` could not be searched."""

    files: Sequence[str]
    outcomes: Sequence[Outcome]
    missing: Sequence[Outcome]

    @property
    def reported(self) -> Sequence[Outcome]:
        """Everything that there is to report, directories that could not be searched first."""
        return (*self.missing, *self.outcomes)

    @property
    def checked(self) -> int:
        """The number of files that could be read."""
        return len(self.files) - sum(bool(outcome.unreadable) for outcome in self.outcomes)

    def document(self) -> "Findings":
        """The document of ``validate --json``: a report for every file."""
        from cachetune.findings import Findings

        by_file = {outcome.file: outcome for outcome in self.outcomes}
        names = (_name_of(path) for path in self.files)
        outcomes = (*(by_file.get(name, Outcome(name)) for name in names), *self.missing)
        return Findings(files=tuple(map(_file_report, outcomes)))


def validate(
    files: Sequence[str],
    checks: Checks,
    *,
    host: str | None = None,
    rounding: "Rounding | None" = None,
    jobs: int | None = None,
    progress: "Progress | None" = None,
) -> Validation:
    """Check files, directories (searched for ``*.xml``), and standard input ("-").

    ``host`` is a snapshot or ``sim:NAME``: also check whether each domain fits there, with sizes rounded as
    ``rounding`` says. ``jobs`` is the number of processes; by default all processors are used for many files. For many
    files ``progress`` is entered with their number, and what it yields is called with the number done so far.

    Raises InputError for a host that cannot be read, and CachetuneError if a worker process is killed.
    """
    paths, missing = _expand(files)
    examine = partial(_examine, findings_in=_on_host(host, checks, rounding) if host else Checker(checks).findings)
    return Validation(paths, _examine_all(examine, paths, jobs, progress), missing)


def _expand(files: Sequence[str]) -> tuple[list[str], list[Outcome]]:
    """The files to check, with those in directories, and the directories that could not be searched."""
    paths: list[str] = []
    missing: list[Outcome] = []

    def note(error: OSError) -> None:
        missing.append(Outcome(str(error.filename), unreadable=f"cannot read {error.filename}: {error.strerror}"))

    for file in files:
        if file == "-" or not os.path.isdir(file):
            paths.append(file)
            continue
        found = [*_search(file, note)]
        paths += found
        if not found:
            missing.append(Outcome(file, unreadable=f"no *.xml files in {file}"))
    return paths, missing


def _search(directory: str, note: Callable[[OSError], None]) -> Iterator[str]:
    for parent, directories, names in os.walk(directory, onerror=note):
        directories.sort()
        for name in sorted(names):
            if name.endswith(".xml"):
                yield os.path.join(parent, name)


def _on_host(host: str, checks: Checks, rounding: "Rounding | None") -> "FindingsIn":
    """A function that checks as Checker does, and whether the domain fits on the host."""
    from cachetune.domain.loading import load_checked
    from cachetune.plan import Options
    from cachetune.plan import check as check_host
    from cachetune.service.connection import Location
    from cachetune.service.hosts import read_location

    state, options = read_location(Location(host=host)).host, Options(rounding=rounding)

    def findings_in(data: bytes) -> "tuple[Finding, ...]":
        loaded = load_checked(data, "", checks)
        if loaded.domain is None:
            return loaded.findings
        findings = (*loaded.findings, *check_host(loaded.domain, state, options))
        return tuple(sorted(findings, key=lambda finding: (finding.line, finding.column)))

    return findings_in


def _examine(path: str, *, findings_in: "FindingsIn") -> Outcome | None:
    """The outcome for one file, None if there is nothing to report."""
    try:
        findings = findings_in(read_file(path))
    except InputError as error:
        return Outcome(_name_of(path), unreadable=str(error), hint=error.hint)
    return Outcome(_name_of(path), findings) if findings else None


def _examine_all(
    examine: Callable[[str], Outcome | None], paths: list[str], jobs: int | None, progress: "Progress | None"
) -> list[Outcome]:
    if len(paths) == 1:
        outcome = examine(paths[0])
        return [outcome] if outcome else []
    from cachetune.service.workers import map_forked

    if jobs is None:
        jobs = len(os.sched_getaffinity(0)) if len(paths) >= MANY_FILES else 1
    if progress is None or len(paths) <= MANY_FILES:
        return map_forked(examine, paths, jobs, None)
    with progress(len(paths)) as tick:
        return map_forked(examine, paths, jobs, tick)


def _name_of(path: str) -> str:
    return "<stdin>" if path == "-" else path


def _file_report(outcome: Outcome) -> "FileReport":
    from cachetune.findings import FileReport

    findings = outcome.findings
    if outcome.unreadable:
        findings = (unreadable(printable(outcome.unreadable), outcome.hint),)
    valid = not outcome.invalid and not outcome.unreadable
    return FileReport(file=printable(outcome.file), valid=valid, findings=findings)
