"""The values of ``explain``: an area, the prose of a rule, a rule with its prose, and the document of ``--json``."""

from typing import Literal

import msgspec

from cachetune.findings import Rule


class Area(msgspec.Struct, frozen=True):
    """The rules with a prefix such as CT2. ``name`` is also that of its texts and of its page."""

    prefix: str
    name: str
    title: str
    about: str


class RuleText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The prose of a rule: ``meaning`` says what is checked, ``why`` the reason, ``remedy`` how to fix a violation.

    ``prints`` is a real message, for rules whose samples cannot be run alone. ``pages`` are files below docs/.
    """

    meaning: str
    why: str
    remedy: str
    related: tuple[str, ...] = ()
    prints: str = ""
    pages: tuple[str, ...] = ()


class ExplainedRule(Rule, frozen=True, kw_only=True):
    """A rule with its prose. ``related`` is sorted by id and symmetric."""

    area: str
    meaning: str
    why: str
    remedy: str
    related: tuple[str, ...]
    prints: str
    pages: tuple[str, ...]


class RuleTable(msgspec.Struct, frozen=True, kw_only=True):
    """The document that ``explain --json`` prints: all rules, or those that were requested."""

    schema_version: Literal[1] = 1
    rules: tuple[ExplainedRule, ...]
