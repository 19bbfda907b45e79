"""Check many documents: search directories, read and check each file, in several processes if there are many.

Imports little until there is something to report: the start of ``cachetune validate`` must stay short.
"""

import os
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from cachetune.domain.check import Checker, Checks
from cachetune.domain.xml.document import read_file, unreadable
from cachetune.errors import InputError
from cachetune.service.rule_selection import ALL_RULES, RuleSelection
from cachetune.service.search import Search
from cachetune.text import printable

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from cachetune.findings import FileReport, Finding, Findings
    from cachetune.units import Rounding

    FindingsIn = Callable[[bytes], tuple[Finding, ...]]
    Progress = Callable[[int], AbstractContextManager[Callable[[int], None]]]

STDIN = "<stdin>"
"""What standard input is called in reports."""

MANY_FILES = 300
"""From this number of files on, all processors are used, and progress is reported."""


class Outcome(NamedTuple):
    """The result for one file: its findings, or why it could not be read. ``skipped``: it is another kind of XML."""

    file: str
    findings: "tuple[Finding, ...]" = ()
    unreadable: str = ""
    hint: str = ""
    skipped: bool = False

    @property
    def invalid(self) -> bool:
        """Whether any finding is an error."""
        return any(finding.severity == "error" for finding in self.findings)


class Validation(NamedTuple):
    """The result for all files. ``outcomes`` leaves out files without findings; ``missing`` could not be searched.

    ``skipped`` is the number of files of another kind, which are not in ``files``.
    """

    files: Sequence[str]
    outcomes: Sequence[Outcome]
    missing: Sequence[Outcome]
    skipped: int = 0

    @property
    def reported(self) -> Sequence[Outcome]:
        """Everything that there is to report, directories that could not be searched first."""
        return (*self.missing, *self.outcomes)

    @property
    def checked(self) -> int:
        """The number of files that could be read."""
        return len(self.files) - sum(bool(outcome.unreadable) for outcome in self.outcomes)

    def for_each_file(self) -> Sequence[Outcome]:
        """An outcome for every file, and those of directories that could not be searched."""
        by_file = {outcome.file: outcome for outcome in self.outcomes}
        names = (_name_of(path) for path in self.files)
        return (*(by_file.get(name, Outcome(name)) for name in names), *self.missing)

    def document(self) -> "Findings":
        """The document of ``validate --json``: a report for every file."""
        from cachetune.findings import Findings

        return Findings(files=tuple(map(_file_report, self.for_each_file())))


class Fitting(NamedTuple):
    """The host on which each domain is to fit, a snapshot or ``sim:NAME``, and options of ``plan``."""

    host: str
    rounding: "Rounding | None" = None
    shrink_default: bool = False


def validate(
    files: Sequence[str],
    checks: Checks,
    *,
    fitting: Fitting | None = None,
    rules: RuleSelection = ALL_RULES,
    skip_others: bool = False,
    jobs: int | None = None,
    progress: "Progress | None" = None,
) -> Validation:
    """Check files, directories (searched for ``*.xml``), and standard input ("-").

    Files that are neither a domain nor a tuning file are skipped if a directory was searched for them; with
    ``skip_others`` also if they are named. ``jobs`` is the number of processes; by default all processors are used for
    many files. For many files ``progress`` is entered with their number, and what it yields is called with the number
    done so far.

    Raises InputError for a host that cannot be read, and CachetuneError if a worker process is killed.
    """
    search = Search(files)
    skippable = {*search.files} if skip_others else {path for _, found in search.found for path in found}
    findings_in = _on_host(fitting, checks, rules) if fitting else _selected(Checker(checks).findings, rules)
    examine = partial(_examine, findings_in=findings_in, skippable=skippable)
    outcomes = _examine_all(examine, search.files, jobs, progress)
    skipped = {outcome.file for outcome in outcomes if outcome.skipped}
    search.leave_out(skipped)
    return Validation(
        files=search.files,
        outcomes=[outcome for outcome in outcomes if not outcome.skipped],
        missing=[Outcome(name, unreadable=reason) for name, reason in search.missing],
        skipped=len(skipped),
    )


def _selected(findings_in: "FindingsIn", rules: RuleSelection) -> "FindingsIn":
    """The function, with its findings restricted to the rules."""
    if rules == ALL_RULES:
        return findings_in
    return lambda data: tuple(finding for finding in findings_in(data) if rules.has(finding.rule))


def _on_host(fitting: Fitting, checks: Checks, rules: RuleSelection) -> "FindingsIn":
    """A function that checks as Checker does, and whether the domain fits on the host.

    A domain with errors is not checked against the host, so they are reported even if they are not selected.
    """
    from cachetune.domain.loading import load_checked
    from cachetune.plan import Options
    from cachetune.plan import check as check_host
    from cachetune.service.connection import Location
    from cachetune.service.hosts import read_location

    state = read_location(Location(host=fitting.host)).host
    options = Options(rounding=fitting.rounding, shrink_default=fitting.shrink_default)

    def findings_in(data: bytes) -> "tuple[Finding, ...]":
        loaded = load_checked(data, "", checks)
        if loaded.domain is None:
            return tuple(each for each in loaded.findings if each.severity == "error" or rules.has(each.rule))
        findings = (*loaded.findings, *check_host(loaded.domain, state, options))
        selected = (finding for finding in findings if rules.has(finding.rule))
        return tuple(sorted(selected, key=lambda finding: (finding.line, finding.column)))

    return findings_in


def _examine(path: str, *, findings_in: "FindingsIn", skippable: Collection[str]) -> Outcome | None:
    """The outcome for one file, None if there is nothing to report."""
    try:
        findings = findings_in(read_file(path))
    except InputError as error:
        return Outcome(_name_of(path), unreadable=str(error), hint=error.hint)
    if not findings:
        return None
    if path in skippable:
        from cachetune.domain.xml.diagnosis import is_of_another_kind

        if is_of_another_kind(findings[0]):
            return Outcome(path, skipped=True)
    return Outcome(_name_of(path), findings)


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
    return STDIN if path == "-" else path


def _file_report(outcome: Outcome) -> "FileReport":
    from cachetune.findings import FileReport

    findings = outcome.findings
    if outcome.unreadable:
        findings = (unreadable(printable(outcome.unreadable), outcome.hint),)
    valid = not outcome.invalid and not outcome.unreadable
    return FileReport(file=printable(outcome.file), valid=valid, findings=findings)
