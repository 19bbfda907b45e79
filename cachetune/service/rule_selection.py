"""Which findings ``validate`` reports: rules are selected and ignored by ids or beginnings of ids, as in ruff."""

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from cachetune.errors import InputError
from cachetune.text import listed

if TYPE_CHECKING:
    from cachetune.findings import Rule

ALWAYS = ("CT001", "CT002", "CT008", "CT009", "CT010", "CT011", "CT013")
"""A document that breaks one of these is not checked, or not to its end, so they are reported whatever is selected."""


class RuleSelection(NamedTuple):
    """Ids or beginnings of ids, such as CT207 or CT2: of those that match a rule, the longest decides.

    A rule that is selected and ignored by equal ones is ignored. An empty ``select`` selects all rules.
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    def has(self, rule: str) -> bool:
        """Whether to report findings of this rule."""
        selected = _longest(rule, self.select) if self.select else 0
        return rule in ALWAYS or selected > _longest(rule, self.ignore)


ALL_RULES = RuleSelection()


def rule_selection(select: Iterable[str], ignore: Iterable[str]) -> RuleSelection:
    """The selection for values such as "CT2,ct157".

    Raises InputError for a value that no rule of ``validate`` begins with, and for a rule of ALWAYS in ``ignore``.
    """
    known = rules_of_validate()
    selected, ignored = ([_known(part, known) for part in _parts(values)] for values in (select, ignore))
    for part in ignored:
        if part in ALWAYS:
            raise InputError(
                f"{part} cannot be ignored: the rest of such a document is not checked",
                hint="remove the file from those to check",
            )
    return RuleSelection(tuple(selected), tuple(ignored))


def rules_of_validate() -> "Mapping[str, Rule]":
    """The rules about documents and hosts, by id; apply and doctor have others."""
    from cachetune.domain.rules import RULES
    from cachetune.plan.rules import RULES as PLAN_RULES

    return {**RULES, **PLAN_RULES}


def _parts(values: Iterable[str]) -> Iterable[str]:
    return (part.strip().upper() for value in values for part in value.split(","))


def _known(part: str, known: Collection[str]) -> str:
    if part and any(rule.startswith(part) for rule in known):
        return part
    areas = listed(sorted({rule[:3] for rule in known}), joint="or")
    nearest = max(sorted(known), key=lambda rule: _equal_characters(rule, part))
    hint = f"did you mean {nearest}?" if _equal_characters(nearest, part) > len("CT") else f"use {areas}, or an id"
    raise InputError(f"no rule of validate begins with {part!r}", hint=f"{hint} ('cachetune explain' lists all rules)")


def _equal_characters(rule: str, part: str) -> int:
    """How many characters are equal at the same place: an id is a number, not a word with letters left out."""
    return sum(a == b for a, b in zip(rule, part, strict=False))


def _longest(rule: str, beginnings: Iterable[str]) -> int:
    """The length of the longest beginning of the rule's id, or -1."""
    return max((len(each) for each in beginnings if rule.startswith(each)), default=-1)
