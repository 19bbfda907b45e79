"""Carry out the repairs that ``doctor --fix`` offers.

They mount resctrl, recover an interrupted run, return unclaimed ways, and remove empty groups that cachetune made for
guests that have ended.
Everything else is left to the operator; a foreign group is never changed.
"""

import subprocess
from collections.abc import Mapping
from typing import assert_never

from cachetune.apply.recover import recover
from cachetune.apply.report import Report
from cachetune.apply.run import Planner
from cachetune.apply.state.ledger import Ledger
from cachetune.doctor.checks.groups import is_empty
from cachetune.doctor.model import Repair
from cachetune.errors import CachetuneError, HostError, InputError
from cachetune.host.model import Host
from cachetune.host.resctrl.port import OnWait, in_silence
from cachetune.plan.model import Plan
from cachetune.service.changes import carry_out
from cachetune.service.connection import Location, connect
from cachetune.service.plans import Removal, removal_planner
from cachetune.text import count

_SECONDS = 60.0


def described(repair: Repair) -> str:
    """What a repair will do, as an instruction."""
    match repair.kind:
        case "mount":
            return " ".join(repair.argv)
        case "recover":
            return "finish or undo an interrupted run, and return unclaimed ways"
        case "remove":
            return f"remove the empty groups of {', '.join(repair.machines)}"
        case _:
            assert_never(repair.kind)


def carry_out_repairs(
    repairs: Mapping[str, Repair], location: Location, on_wait: OnWait = in_silence
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Carry out all repairs, by the id of their check: what was done, and what failed, as sentences with the id."""
    done, failed = [], []
    for check, repair in repairs.items():
        try:
            done.append(f"{check}: {_carry_out(repair, location, on_wait)}")
        except CachetuneError as error:
            failed.append(f"{check}: {error}{f'; {error.hint}' if error.hint else ''}")
    return tuple(done), tuple(failed)


def _carry_out(repair: Repair, location: Location, on_wait: OnWait) -> str:
    match repair.kind:
        case "mount":
            return _mount(repair.argv)
        case "recover":
            return _reported(recover(connect(location, on_wait)))
        case "remove":
            reports = [carry_out(_removal_of(machine), connect(location, on_wait)) for machine in repair.machines]
            return "; ".join(map(_reported, reports))
        case _:
            assert_never(repair.kind)


def _mount(argv: tuple[str, ...]) -> str:
    try:
        ran = subprocess.run(  # noqa: S603 - the words of a Repair, without a shell
            argv, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError(argv[-1], f"{argv[0]} could not run: {error}") from None
    if ran.returncode:
        said = ran.stderr.strip().splitlines() or [f"{argv[0]} exited with {ran.returncode}"]
        raise HostError(argv[-1], said[0], hint="run as root")
    return f"ran {' '.join(argv)}"


def _removal_of(machine: str) -> Planner:
    """A planner that removes the groups of a guest unless something runs in them by now."""
    remove = removal_planner(Removal(machine_name=machine))

    def planner(host: Host, ledger: Ledger) -> Plan:
        for path in ledger.groups_of(machine):
            group = host.group(path)
            if group and not is_empty(group):
                raise InputError(f"{path} is in use again", hint="run 'cachetune doctor' again")
        return remove(host, ledger)

    return planner


def _reported(report: Report) -> str:
    """What a run did. Raises HostError if it failed."""
    machines = ", ".join(report.machine_names)
    if report.exit_code:
        raise HostError(machines or "the interrupted run", report.error or "; ".join(report.undo_errors))
    steps = len(report.done) + len(report.undone)
    verb = "undone" if report.undone else "done"
    notes = "".join(f"; {note}" for note in report.notes)
    whose = f"{machines}: " if machines else ""
    return f"{whose}{count(steps, 'step')} {verb}{notes}" if steps else f"{machines or 'nothing to do'}{notes}"
