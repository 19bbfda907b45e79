"""Hints of a plan, as the hook gives them to the user who starts a guest."""

import pytest

from cachetune.hook.hints import hint_for_hook
from cachetune.plan.rules import RULES

OURS = "HOOK_OPTIONS in /etc/default/cachetune"


@pytest.mark.parametrize(
    ("hint", "said"),
    [
        ("request less", "request less"),
        ("", ""),
        ("run 'cachetune apply --guest web --adopt'", "run 'cachetune apply --guest web --adopt'"),
        (
            "plan with --shrink-default: the default group would keep 7fc, or with --compact: db would move",
            (
                "use --shrink-default: the default group would keep 7fc, or with 'cachetune compact': db would move"
                f" (--shrink-default: {OURS})"
            ),
        ),
        (
            "another program is changing resctrl; try again or raise --lock-timeout",
            f"another program is changing resctrl; try again or raise --lock-timeout (--lock-timeout: {OURS})",
        ),
        (
            "move it out first, or plan with --take-tasks",
            "move it out first, or use --take-tasks (--take-tasks: 'cachetune apply')",
        ),
    ],
)
def test_options_of_the_hook_are_named_as_such_and_others_with_their_command(hint: str, said: str) -> None:
    assert hint_for_hook(hint) == said


def test_no_rule_leaves_the_hook_with_an_option_that_a_plan_has() -> None:
    for rule in RULES.values():
        said = hint_for_hook(rule.fix)
        assert "plan with" not in said
        assert "--" not in rule.fix or "cachetune" in said, said
