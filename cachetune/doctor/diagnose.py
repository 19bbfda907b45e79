"""Run the checks on an Examination, and put the results into one document."""

from collections.abc import Collection, Iterable

from cachetune.doctor.checks import CHECKS
from cachetune.doctor.examination import Examination
from cachetune.doctor.model import Check, CheckResult, Diagnosis, Repair, Worst, result_of
from cachetune.errors import InputError


def checks_named(ids: Collection[str]) -> tuple[Check, ...]:
    """The checks with these ids (any case), or all checks without ids. Raises InputError for an id that is not one."""
    wanted = {each.upper() for each in ids}
    unknown = sorted(wanted - {check.id for check in CHECKS})
    if unknown:
        raise InputError(f"no such check: {unknown[0]!r}", hint="'cachetune explain' lists all checks (CT6xx)")
    return tuple(check for check in CHECKS if not wanted or check.id in wanted)


def diagnose(seen: Examination, checks: Iterable[Check] = CHECKS) -> tuple[Diagnosis, dict[str, Repair]]:
    """The document, and the repairs that are possible, by the id of their check."""
    results: list[CheckResult] = []
    repairs: dict[str, Repair] = {}
    for check in checks:
        result, repair = result_of(check, seen)
        results.append(result)
        if repair:
            repairs[check.id] = repair
    return Diagnosis(source=seen.source, worst=_worst(results), checks=tuple(results)), repairs


def _worst(results: Iterable[CheckResult]) -> Worst:
    """The worst status; "ok" if nothing is worse than info, "skipped" if nothing was checked."""
    statuses = {result.status for result in results}
    if "fail" in statuses:
        return "fail"
    if "warn" in statuses:
        return "warn"
    return "skipped" if statuses <= {"skipped"} else "ok"
