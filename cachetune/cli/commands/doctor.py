"""``cachetune doctor``: check a whole host, and fix what is safe to fix."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from cachetune.cli import options
from cachetune.cli.changing import confirm, must_ask, show_wait
from cachetune.cli.show.console import print_document
from cachetune.cli.show.doctor import show_diagnosis, show_repairs
from cachetune.cli.streams import read_or_not
from cachetune.cli.verb import Verb, option
from cachetune.doctor.diagnose import checks_named, diagnose
from cachetune.doctor.examine import Scope, examine
from cachetune.doctor.model import Diagnosis
from cachetune.doctor.repairs import carry_out_repairs
from cachetune.errors import InputError

_DIR = click.Path(path_type=Path, file_okay=False, exists=True)


_CODES = {"ok": 0, "warn": 1, "fail": 1, "skipped": 2}


@click.command(
    "doctor",
    cls=Verb,
    exit_codes={
        0: "no problems",
        1: "at least one warning or failure",
        2: "could not run or check anything, or fix declined",
    },
)
@click.argument("checks", nargs=-1, metavar="[CHECK]...")
@option("--fix", is_flag=True, heading="How", help="Fix what is safe: mount, recover, remove our empty groups.")
@options.stack(options.yes, options.lock_timeout)
@option("-v", "--verbose", is_flag=True, heading="Output", help="Also show details, and checks that were skipped.")
@option("-q", "--quiet", is_flag=True, heading="Output", help="Show only warnings and failures.")
@options.stack(options.as_json, options.host, options.resctrl, options.sysfs, options.run, options.guests_d)
@option(
    "--root",
    type=_DIR,
    default=Path("/"),
    show_default=True,
    metavar="DIR",
    heading="Where",
    help="Root of the machine's files, such as an unpacked sosreport; has the default directories.",
)
@options.finding
def command(
    *, checks: tuple[str, ...], fix: bool, yes: bool, verbose: bool, quiet: bool, as_json: bool, **values: Any
) -> None:
    """Check a host: processor, kernel, mount, counters, other programs, guests, state and installation.

    Each line is one check; 'cachetune explain CHECK' says why it matters. CHECK limits the run to some checks. What
    cannot be read, for example without root, is skipped, with the reason.

    \b
    Examples:
      cachetune doctor
      cachetune doctor --host node7.json
      cachetune doctor --fix CT621 CT661
      cachetune doctor --json | jq '.checks[] | select(.status == "fail")'
    """
    selected, scope = checks_named(checks), _scope(values)
    if fix and values["host"] is not None:
        raise InputError("a snapshot or a simulated host cannot be fixed", hint="omit --host")
    prompt = fix and must_ask(yes=yes, hint="pass --yes to go ahead, or omit --fix to see what can be fixed")
    diagnosis, repairs = diagnose(examine(scope), selected)
    if fix:
        _check_fixable(checks, diagnosis)
    if fix and repairs:
        with read_or_not():
            show_repairs(repairs)
        if prompt:
            confirm("Do this?")
        fixed, not_fixed = carry_out_repairs(repairs, scope.settled.location, show_wait)
        after, _ = diagnose(examine(scope), selected)
        diagnosis = msgspec.structs.replace(after, fixed=fixed, not_fixed=not_fixed)
    if as_json:
        print_document(diagnosis)
    else:
        show_diagnosis(diagnosis, verbose=verbose, quiet=quiet)
    sys.exit(_CODES[diagnosis.worst])


def _scope(values: Mapping[str, Any]) -> Scope:
    selection = options.selection(values)
    return Scope(
        location=options.location(values),
        sources=selection.sources,
        source=selection.source,
        guests_d=values["guests_d"],
        root=values["root"],
    )


def _check_fixable(checks: tuple[str, ...], diagnosis: Diagnosis) -> None:
    """Refuse to start if a check that was named has a problem that is not safe to fix."""
    for result in diagnosis.checks if checks else ():
        if result.status in ("warn", "fail") and not result.fixable:
            raise InputError(f"{result.id} cannot be fixed automatically: {result.text}", hint=result.fix)
