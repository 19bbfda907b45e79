"""Checks, their verdicts, and the document of ``cachetune doctor``.

A check is data: a rule (CT6xx) and a pure function from an Examination to a Verdict. The function may use ``known`` on
any part of the Examination: if that part is Unknown, the check is skipped with its reason.
"""

from collections.abc import Callable
from typing import Literal, TypeVar

import msgspec

from cachetune.doctor.examination import Examination, Unknown
from cachetune.findings import Rule

Status = Literal["ok", "info", "warn", "fail", "skipped"]
Topic = Literal["hardware", "kernel", "mount", "counters", "others", "guests", "state", "installation"]
T = TypeVar("T")
Judge = Callable[[Rule, Examination], "Verdict"]


class Repair(msgspec.Struct, frozen=True):
    """A change that is safe: it affects only what cachetune made, or mounts resctrl.

    ``machines`` are the machine names whose empty groups are removed; ``argv`` is the command that mounts.
    """

    kind: Literal["mount", "recover", "remove"]
    argv: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()


class Verdict(msgspec.Struct, frozen=True):
    """The result of one check: a phrase without a full stop, and for problems ``fix``, an instruction.

    ``command`` is the shell command in the fix, "" without one. ``details`` are all cases where the text has only
    the first or their number.
    """

    status: Status
    text: str
    fix: str = ""
    command: str = ""
    details: tuple[str, ...] = ()
    repair: Repair | None = None


class Check(msgspec.Struct, frozen=True):
    """One check. ``title`` names what it looks at, in a few words."""

    rule: Rule
    topic: Topic
    title: str
    judge: Judge

    @property
    def id(self) -> str:
        """The id of its rule, such as CT621."""
        return self.rule.id


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one check in the document. ``fixable`` is whether ``doctor --fix`` can fix it."""

    id: str
    topic: Topic
    title: str
    status: Status
    text: str
    fix: str = ""
    command: str = ""
    details: tuple[str, ...] = ()
    fixable: bool = False


Worst = Literal["ok", "warn", "fail", "skipped"]


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """The document that ``doctor --json`` prints.

    ``source`` is the host, ``worst`` the worst status ("ok" if nothing is worse than info, "skipped" if nothing was
    checked), ``fixed`` says what ``--fix`` has done and ``not_fixed`` what it could not do.
    """

    schema_version: Literal[1] = 1
    source: str
    worst: Worst
    checks: tuple[CheckResult, ...]
    fixed: tuple[str, ...] = ()
    not_fixed: tuple[str, ...] = ()


class NotCheckedError(Exception):
    """A part of the examination that a check needs is Unknown. It never leaves this package."""


def known(part: T | Unknown) -> T:
    """The part, if it is known; otherwise the check ends as skipped."""
    if isinstance(part, Unknown):
        raise NotCheckedError(part.why)
    return part


def check(rule: Rule, topic: Topic, title: str) -> Callable[[Judge], Check]:
    """Make a check of a function."""
    return lambda judge: Check(rule, topic, title, judge)


def ok(text: str) -> Verdict:
    """All is well."""
    return Verdict("ok", text)


def info(text: str, fix: str = "", details: tuple[str, ...] = ()) -> Verdict:
    """Worth knowing, but not a problem."""
    return Verdict("info", text, fix, details=details)


def skipped(why: str) -> Verdict:
    """Not checked."""
    return Verdict("skipped", why)


def broken(
    rule: Rule,
    *,
    status: Literal["warn", "fail"] | None = None,
    command: str = "",
    details: tuple[str, ...] = (),
    repair: Repair | None = None,
    text: str | None = None,
    fix: str | None = None,
    **values: object,
) -> Verdict:
    """The rule is broken: its message and fix, filled with ``values``, or ``text`` and ``fix`` instead.

    ``status`` is the rule's severity unless given.
    """
    return Verdict(
        status or ("fail" if rule.severity == "error" else "warn"),
        rule.message.format_map(values) if text is None else text,
        rule.fix.format_map({"command": command, **values}) if fix is None else fix,
        command,
        details,
        repair,
    )


def result_of(each: Check, seen: Examination) -> tuple[CheckResult, Repair | None]:
    """Run one check."""
    try:
        verdict = each.judge(each.rule, seen)
    except NotCheckedError as error:
        verdict = skipped(str(error))
    result = CheckResult(
        id=each.id,
        topic=each.topic,
        title=each.title,
        status=verdict.status,
        text=verdict.text,
        fix=verdict.fix,
        command=verdict.command,
        details=verdict.details,
        fixable=verdict.repair is not None,
    )
    return result, verdict.repair
