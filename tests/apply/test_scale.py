"""The checks before the first step stay fast with many groups; their work is counted, not timed."""

from collections.abc import Callable

import pytest

from cachetune.apply.guard import check_plan
from cachetune.apply.state.ledger import Ledger
from cachetune.plan import Plan, plan, plan_removal
from cachetune.plan.model import PlanGuest
from tests.plan.test_scale import MACHINE, big_domain, big_guest, big_host, effort, planned_host


def to_make(groups: int) -> int:
    host = big_host()
    made = plan(big_domain(groups, groups), host, big_guest(groups))
    return effort(lambda: check_plan(made, host, Ledger()))


def to_remove(groups: int) -> int:
    host = planned_host(groups, groups, "cachetune")
    made: Plan = plan_removal(host, [PlanGuest("big", MACHINE)])
    return effort(lambda: check_plan(made, host, Ledger()))


@pytest.mark.parametrize("work", [to_make, to_remove])
def test_the_effort_is_linear_in_the_groups(work: Callable[[int], int]) -> None:
    assert work(128) <= 4.2 * work(32)
