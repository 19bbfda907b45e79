"""All rules with their prose, by id.

``texts/AREA.toml`` has one table for each rule of the area. Prose is Markdown: paragraphs, code in backticks, and
commands in lines that are indented by four spaces. "Related" is symmetric: one side names the other.
"""

import tomllib
from pathlib import Path

import msgspec

from cachetune.apply import rules as apply_rules
from cachetune.doctor.checks import RULES as DOCTOR_RULES
from cachetune.domain import rules as domain_rules
from cachetune.explain.model import Area, ExplainedRule, RuleText
from cachetune.findings import Rule
from cachetune.plan import rules as plan_rules

AREAS = (
    Area("CT0", "xml", "XML and schema", "What `validate` finds before it looks at the meaning of a document."),
    Area("CT1", "meaning", "What the domain means", "What libvirt 12.8 refuses or silently ignores, on any host."),
    Area("CT2", "host", "Against a host", "What `plan` and `validate --host` find on a host, or a simulated one."),
    Area("CT3", "libvirt", "Against a version of libvirt", "What `validate --libvirt VERSION` finds."),
    Area("CT4", "guest", "Against a running guest", "What `plan` and `apply` find about the guest's threads."),
    Area("CT5", "apply", "While applying", "What `apply`, `remove` and `recover` refuse before they change anything."),
    Area("CT6", "doctor", "A whole host", "What `cachetune doctor` checks."),
)
_TEXTS = Path(__file__).parent / "texts"
_TABLES = (domain_rules.RULES, plan_rules.RULES, apply_rules.RULES, DOCTOR_RULES)
RULES: dict[str, Rule] = dict(sorted((name, rule) for table in _TABLES for name, rule in table.items()))


def area_of(rule_id: str) -> Area:
    """The area of a rule or of a prefix such as CT2. Raises KeyError for an id without an area."""
    return {area.prefix: area for area in AREAS}[rule_id[:3]]


def texts_of(area: Area) -> dict[str, RuleText]:
    """The prose of an area's rules, by id. Raises msgspec.ValidationError for a missing or unknown field."""
    return msgspec.convert(tomllib.loads((_TEXTS / f"{area.name}.toml").read_text()), dict[str, RuleText])


def explained_rules() -> dict[str, ExplainedRule]:
    """All rules with their prose, sorted by id."""
    texts = {name: text for area in AREAS for name, text in texts_of(area).items()}
    related = _related(texts)
    return {name: _explained(rule, texts[name], related[name]) for name, rule in RULES.items()}


def _related(texts: dict[str, RuleText]) -> dict[str, tuple[str, ...]]:
    """For each rule those that it names, and those that name it."""
    both: dict[str, set[str]] = {name: set(text.related) for name, text in texts.items()}
    for name, text in texts.items():
        for other in text.related:
            both[other].add(name)
    return {name: tuple(sorted(others)) for name, others in both.items()}


def _explained(rule: Rule, text: RuleText, related: tuple[str, ...]) -> ExplainedRule:
    return ExplainedRule(
        **msgspec.structs.asdict(rule),
        area=area_of(rule.id).name,
        meaning=text.meaning.strip(),
        why=text.why.strip(),
        remedy=text.remedy.strip(),
        prints=text.prints,
        related=related,
        pages=text.pages,
    )
