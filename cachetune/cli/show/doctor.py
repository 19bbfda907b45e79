"""The doctor's diagnosis: one line for each check, then what was skipped, then a summary.

Lines are wrapped on a terminal only, so that in a pipe each check is one line. Commands are never broken.
"""

import os
import shutil
import sys
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Mapping

import click

from cachetune.doctor.model import CheckResult, Diagnosis, Repair, Status
from cachetune.doctor.repairs import described
from cachetune.idset import format_ids
from cachetune.text import count, printable

_COLORS: dict[Status, str] = {"ok": "green", "info": "cyan", "warn": "yellow", "fail": "red", "skipped": "bright_black"}
_PROBLEMS = ("warn", "fail")
_MARK_WIDTH = max(map(len, _COLORS)) + 1
_INDENT = " " * (_MARK_WIDTH + 7)
_WIDEST = 120
_NO_LIMIT = 1 << 20


def show_diagnosis(diagnosis: Diagnosis, *, verbose: bool, quiet: bool) -> None:
    """Print the diagnosis; ``verbose`` adds details and each skipped check, ``quiet`` leaves only the problems."""
    width = _width()
    for result in diagnosis.checks:
        if result.status == "skipped" and not verbose:
            continue
        if result.status in _PROBLEMS or not quiet:
            for line in _lines(result, width, details=verbose):
                click.echo(line)
    if not (verbose or quiet):
        for line in _skipped(diagnosis, width):
            click.echo(line)
    for line in diagnosis.fixed:
        click.echo(f"{click.style('fixed', fg='green')} {printable(line)}")
    for line in diagnosis.not_fixed:
        click.echo(f"{click.style('not fixed', fg='red')} {printable(line)}")
    if not quiet or diagnosis.worst != "ok":
        click.echo("\n" + textwrap.fill(_summary(diagnosis), width, break_long_words=False))


def show_repairs(repairs: Mapping[str, Repair]) -> None:
    """Print on stderr what will be done."""
    for check, repair in repairs.items():
        click.echo(f"{check}: {printable(described(repair))}", err=True)


def _width() -> int:
    """The width to wrap at: the terminal's, or no limit in a pipe."""
    if not sys.stdout.isatty() and "COLUMNS" not in os.environ:
        return _NO_LIMIT
    return min(shutil.get_terminal_size().columns, _WIDEST)


def _lines(result: CheckResult, width: int, *, details: bool) -> Iterator[str]:
    mark = click.style(f"{result.status:<{_MARK_WIDTH}}", fg=_COLORS[result.status], bold=result.status in _PROBLEMS)
    text = result.text
    if result.status == "skipped":
        text = f"{result.title}: {text}"
    first, *more = _wrapped(printable(text), width, "")
    yield f"{mark}{result.id}  {first}"
    yield from (f"{_INDENT}{line}" for line in more)
    if result.fix:
        yield from (f"{_INDENT}{line}" for line in _fix(result, width))
    if details:
        for detail in result.details:
            yield from (f"{_INDENT}{line}" for line in _wrapped(printable(detail), width, "- "))


def _fix(result: CheckResult, width: int) -> list[str]:
    """The fix in as few lines as possible, the command in it in one piece."""
    fix, command = printable(result.fix), printable(result.command)
    if len(_INDENT) + len("fix: ") + len(fix) <= width or not command or command not in fix:
        return _wrapped(fix, width, "fix: ")
    before, after = fix.split(command, 1)
    lines = [*_wrapped(before.rstrip(), width, "fix: "), f"     {command}"]
    return [*lines, *(_wrapped(after.strip(" ;"), width, "     ") if after.strip(" ;") else [])]


def _wrapped(text: str, width: int, start: str) -> list[str]:
    """The text in lines that fit beside the indent; ``start`` begins the first, the others are indented as far."""
    room = max(width - len(_INDENT), 20)
    return textwrap.wrap(
        text, room, initial_indent=start, subsequent_indent=" " * len(start),
        break_long_words=False, break_on_hyphens=False,
    ) or [start]  # fmt: skip


def _skipped(diagnosis: Diagnosis, width: int) -> Iterator[str]:
    """The skipped checks by reason: "CT602-604,622: resctrl is not mounted"."""
    by_reason: dict[str, list[int]] = defaultdict(list)
    for result in diagnosis.checks:
        if result.status == "skipped":
            by_reason[result.text].append(int(result.id.removeprefix("CT")))
    for reason, numbers in by_reason.items():
        mark = click.style(f"{'skipped':<{_MARK_WIDTH}}", fg=_COLORS["skipped"])
        first, *more = _wrapped(printable(f"CT{format_ids(numbers)}: {reason}"), width, "")
        yield f"{mark}{first}"
        yield from (f"{'':<{_MARK_WIDTH}}{line}" for line in more)


def _summary(diagnosis: Diagnosis) -> str:
    problems = [result for result in diagnosis.checks if result.status in _PROBLEMS]
    ran = sum(result.status != "skipped" for result in diagnosis.checks)
    if not problems:
        return f"No problems found by {count(ran, 'check')}." if ran else "Nothing was checked."
    failures, warnings = (sum(result.status == status for result in problems) for status in ("fail", "warn"))
    found = [count(failures, "failure")] if failures else []
    found += [count(warnings, "warning")] if warnings else []
    summary = f"{', '.join(found)}; 'cachetune explain {problems[0].id}' explains the first."
    fixable = [result.id for result in problems if result.fixable]
    return summary + (f" 'cachetune doctor --fix' can fix {', '.join(fixable)}." if fixable else "")
