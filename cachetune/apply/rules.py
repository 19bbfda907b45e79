"""The rules that ``apply``, ``remove`` and ``recover`` hold before they touch anything (CT5xx)."""

from cachetune.findings import Rule

_ALL = (
    Rule(
        id="CT501",
        severity="error",
        summary="A plan is only for the host, and the state of the host, that it was made for.",
        message="the host has changed since the plan was made: {changes}",
        fix="plan again",
    ),
    Rule(
        id="CT502",
        severity="error",
        summary="Only a mounted resctrl is written to.",
        message="{root} is not a mounted resctrl but ordinary files",
        fix="plans can be made on a copy, but not applied to it",
    ),
    Rule(
        id="CT503",
        severity="error",
        summary="What an interrupted run left is dealt with first.",
        message="an earlier run for {machines} was interrupted",
        fix="run 'cachetune recover' first",
    ),
    Rule(
        id="CT504",
        severity="error",
        summary="A plan touches only groups that are ours.",
        message="step {number} of the plan would {what}",
        fix="plan again; a plan file is not meant to be edited",
    ),
    Rule(
        id="CT505",
        severity="error",
        summary="Two guests cannot share a machine name or a group.",
        message="'{machine}' is in use by {other}",
        fix="give another --machine-name",
    ),
    Rule(
        id="CT506",
        severity="error",
        summary="The journal must be whole to be acted upon.",
        message="the journal {path} is damaged: {why}",
        fix="compare 'cachetune show' with what you expect, mend it by hand, then delete the journal",
    ),
    Rule(
        id="CT507",
        severity="error",
        summary="A journal is only for the resctrl that it was written for.",
        message="the journal in {run} belongs to {theirs}, not to {ours}",
        fix="give the same --resctrl as the interrupted run, or the --run directory of this one",
    ),
    Rule(
        id="CT508",
        severity="error",
        summary="Groups that libvirt made for a guest are changed only on request.",
        message="libvirt made {groups}, which would be changed",
        fix="apply with --adopt",
    ),
)

RULES = {rule.id: rule for rule in _ALL}
