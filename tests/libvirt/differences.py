"""Where our answer is not libvirt's: each such case belongs to one of ``REASONS``, or a test fails.

``SAME_REFUSALS`` says which of libvirt's refusals are which of ours. The tables of
docs/reference/libvirt-differences.md are made from this and the recorded answers: ``record`` writes them, a test holds
them.
"""

import collections
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from tests.libvirt.answers import GOLDEN, Answer
from tests.libvirt.bodies import CASES, HOSTS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "libvirt-differences.md"
GROUPS = "groups"
Answers = Mapping[str, Answer]
_PART = re.compile(r"^(<!-- (compared|different) -->\n).*?(?=^<!-- end -->)", re.DOTALL | re.MULTILINE)
_RULE = re.compile(r"\[(CT[0-9]+)\]")


class Reason(msgspec.Struct, frozen=True):
    """Why we answer otherwise. ``theirs`` is a pattern of what libvirt says, ``ours`` one of our rules.

    In place of either stands ``GROUPS``: the guest gets groups. ``cases`` is a pattern of the cases that are meant.
    """

    subject: str
    theirs: str
    ours: str
    why: str
    cases: str = ".*"

    def covers(self, key: str, theirs: Answer, ours: Answer) -> bool:
        """Whether these two answers to a case differ in this way."""
        said = theirs.refused[0] if theirs.refused else GROUPS
        return bool(
            re.fullmatch(self.theirs, said)
            and self.ours in (rules_of(ours) if ours.refused else {GROUPS})
            and re.fullmatch(self.cases, key)
        )


REASONS = (
    Reason(
        "anything on AMD: `min_bandwidth` is 0",
        "internal error: Missing or inconsistent resctrl info for memory bandwidth allocation",
        GROUPS,
        "the minimum on AMD is 0; 9.0 mistakes it for a missing value",
    ),
    Reason(
        "bandwidth above 100 on AMD",
        "XML error: Memory Bandwidth value exceeding 100 is invalid.",
        GROUPS,
        "it is not a percentage there; libvirt 10.8 and later know this",
    ),
    Reason(
        "`<cachetune>` without `vcpus`",
        "XML error: Missing cachetune attribute 'vcpus'",
        GROUPS,
        "the whole process, as in libvirt 12.8 and later",
    ),
    Reason(
        "`<monitor>` without `vcpus`",
        "XML error: Missing monitor attribute 'vcpus'",
        GROUPS,
        "the vCPUs of its group, as in libvirt 12.8 and later",
    ),
    Reason(
        "`<monitor>` without `level`",
        "XML error: Missing required attribute 'level' in element 'monitor'",
        GROUPS,
        "the 2018 proposal has no level, and it can only be 3",
    ),
    Reason(
        "`<energytune>`",
        GROUPS,
        GROUPS,
        "libvirt before 12.4 ignores it; the monitor group is that of 12.8",
        cases=".* / energy",
    ),
    Reason(
        "a default group below the maximum bandwidth",
        GROUPS,
        GROUPS,
        "9.0 copies its bandwidth too; later versions and cachetune leave bandwidth without a request at the maximum",
        cases=".* / throttled default group / .*",
    ),
    Reason(
        "sizes in ways or percent",
        "invalid argument: unknown suffix '(ways|%)'",
        GROUPS,
        "for tuning files, which libvirt does not read; in domain XML with warning CT160",
        cases=".* / size in (ways|percent)",
    ),
    Reason(
        "bandwidth with decimals",
        "XML error: Invalid value for attribute 'bandwidth' .*",
        GROUPS,
        "for tuning files, which libvirt does not read; in domain XML with warning CT160",
        cases=".* / bandwidth in percent with decimals",
    ),
    Reason("blanks or a trailing comma in a list", GROUPS, "CT005", "libvirt's own schema allows neither"),
    Reason("a misspelled attribute", GROUPS, "CT003", "the guest would miss the intended setting"),
    Reason("an unknown element", GROUPS, "CT006", "the guest would miss the intended setting"),
)
# Both must refuse a guest for the same reason: libvirt's message, and our rules for it.
SAME_REFUSALS = {
    r"Cannot create resctrl directory '.*': No space left on device": {"CT212", "CT219"},
    r"Cannot write into schemata file '.*': Invalid argument": {"CT209", "CT211", "CT219"},
    r"XML error: Colliding cache allocations for cache level .*": {"CT105"},
    r"XML error: Identical vcpus in cachetunes found": {"CT102"},
    r"XML error: Invalid cachetune attribute 'vcpus' value '.*'": {"CT101"},
    r"XML error: Invalid monitor cache level '.*'": {"CT108"},
    r"XML error: Invalid value .*": {"CT005", "CT116"},
    r"XML error: Memory Bandwidth already defined for node [0-9]+": {"CT107"},
    r"XML error: Memory Bandwidth value exceeding 100 is invalid\.": {"CT208", "CT211"},
    r"XML error: Overlapping vcpus in resctrls": {"CT103"},
    r"internal error: Missing or inconsistent resctrl info .*": {f"CT{number}" for number in range(201, 220)},
    r"invalid argument: Identical vcpus found in same type monitors": {"CT113"},
    r"invalid argument: Monitor vcpus conflicts with allocation": {"CT112"},
    r"invalid argument: unknown suffix '.*'": {"CT005"},
    r"invalid argument: vcpus is empty": {"CT109"},
    r"invalid argument: vcpus overlaps in resctrl groups": {"CT114"},
    r"numerical overflow: value too large: .*": {"CT106"},
    r"unsupported configuration: Cache allocation for the whole cache is not possible, .*": {"CT204"},
    r"unsupported configuration: Cache allocation of size [0-9]+ is not divisible by granularity [0-9]+": {"CT205"},
    r"unsupported configuration: Cache allocation of size [0-9]+ is smaller than the minimum .*": {"CT206"},
    r"unsupported configuration: Cache level [0-9]+ does not support tuning": {"CT201"},
    r"unsupported configuration: Cache level [0-9]+ does not support tuning for scope type '.*'": {"CT202"},
    r"unsupported configuration: Cache level [0-9]+ id [0-9]+ does not support tuning .*": {"CT203"},
    r"unsupported configuration: Cache with id [0-9]+ does not exists for level [0-9]+": {"CT203"},
    r"unsupported configuration: Memory Bandwidth allocation of size .* is not divisible by .*": {"CT210", "CT211"},
    r"unsupported configuration: Memory Bandwidth allocation of size .* is smaller than .*": {"CT211"},
    r"unsupported configuration: Not enough room for allocation of [0-9]+ bytes .*": {"CT207"},
    r"unsupported configuration: RDT Memory Bandwidth allocation unsupported": {"CT208"},
    r"unsupported configuration: bandwidth controller id [0-9]+ does not exist, max .*": {"CT209"},
}
VERDICTS = ("same groups", "refused by both", "different")


def rules_of(ours: Answer) -> set[str]:
    """The rules by which we refuse."""
    return set(_RULE.findall(" ".join(ours.refused)))


def verdict(theirs: Answer, ours: Answer) -> str:
    """How two answers stand to each other, one of ``VERDICTS``."""
    if theirs.refused and ours.refused:
        return "refused by both"
    return "same groups" if theirs.groups == ours.groups and not (theirs.refused or ours.refused) else "different"


def same_refusal(theirs: Answer, ours: Answer) -> bool:
    """Whether both refuse for the same reason."""
    rules = [of for pattern, of in SAME_REFUSALS.items() if re.fullmatch(pattern, theirs.refused[0])]
    return len(rules) == 1 and bool(rules[0] & rules_of(ours))


def reasons_of(key: str, theirs: Answer, ours: Answer) -> list[Reason]:
    """The reasons for a difference; there should be one."""
    return [reason for reason in REASONS if reason.covers(key, theirs, ours)]


def recorded_versions() -> list[str]:
    """The libvirt versions whose answers are kept, the oldest first."""
    return sorted((file.stem for file in GOLDEN.glob("*.json")), key=lambda v: [int(n) for n in v.split(".")])


def filled(text: str, theirs: Mapping[str, Answers], ours: Answers) -> str:
    """The page's text with its tables; ``theirs`` are the answers by version and case."""
    tables = {"compared": _compared, "different": _different}
    return _PART.sub(lambda found: "\n".join([found[1], *tables[found[2]](theirs, ours), "\n"]), text)


def _compared(theirs: Mapping[str, Answers], ours: Answers) -> Iterator[str]:
    yield f"| libvirt | host | requests | {' | '.join(VERDICTS)} |"
    yield f"| --- | --- | ---: |{' ---: |' * len(VERDICTS)}"
    for version, answers in theirs.items():
        for host in (*HOSTS, "all"):
            keys = [case.key for case in CASES if host in {case.host, "all"}]
            found = collections.Counter(verdict(answers[key], ours[key]) for key in keys)
            yield f"| {version} | {host} | {len(keys)} | {' | '.join(str(found[name]) for name in VERDICTS)} |"


def _different(theirs: Mapping[str, Answers], ours: Answers) -> Iterator[str]:
    yield f"| request | {' | '.join(f'libvirt {version}' for version in theirs)} | cachetune | why |"
    yield f"| --- |{' --- |' * len(theirs)} --- | --- |"
    for reason in REASONS:
        cells = [_times(reason, answers, ours) for answers in theirs.values()]
        told = "accepted" if reason.ours == GROUPS else f"{reason.ours}"
        yield f"| {reason.subject} | {' | '.join(cells)} | {told} | {reason.why} |"


def _times(reason: Reason, theirs: Answers, ours: Answers) -> str:
    """How often libvirt answers otherwise for this reason."""
    keys = [case.key for case in CASES if verdict(theirs[case.key], ours[case.key]) == "different"]
    found = sum(reason in reasons_of(key, theirs[key], ours[key]) for key in keys)
    how = "refused" if reason.theirs != GROUPS else "other groups" if reason.ours == GROUPS else "accepted"
    return f"{how}, {found} times" if found > 1 else f"{how}, once" if found else "the same"
