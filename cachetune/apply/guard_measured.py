"""Only a measurement changes the ways that it measures: CT509 for every other run, until it has restored them."""

import datetime
from pathlib import Path

from cachetune.apply.guard import refused
from cachetune.apply.state import measurement
from cachetune.apply.state.measurement import Measurement
from cachetune.errors import ApplyRefusedError
from cachetune.host.resctrl.schemata import parse
from cachetune.plan.model import Plan
from cachetune.plan.steps import WriteSchemata


def check_measured(plan: Plan, run: Path, mine: str) -> None:
    """Raise ApplyRefusedError if the plan writes a mask that is being measured, except for the measurement ``mine``.

    A group may be removed, for its guest may have ended; and everything else of it may change.
    """
    found = measurement.read_if_usable(run)
    if found is None or found.id == mine:
        return
    for step in plan.steps:
        measured = found.of(step.path)
        if measured and isinstance(step, WriteSchemata) and _writes(step, found):
            raise measuring(found, run, measured.guest)


def _writes(step: WriteSchemata, found: Measurement) -> bool:
    return parse(step.after).masks.at(found.resource, found.cache_id) is not None


def measuring(found: Measurement, run: Path, guest: str = "") -> ApplyRefusedError:
    """The error for a measurement that is in progress, or was left by a process that has been killed."""
    ends = datetime.datetime.fromtimestamp(found.ends).astimezone().strftime("%H:%M:%S")
    hint = None
    if measurement.is_running(found, run):
        hint = f"wait until {ends} at the latest, or stop the process: it restores the ways of before"
    return refused("CT509", guest=guest or found.guests[0], pid=found.pid, hint=hint)
