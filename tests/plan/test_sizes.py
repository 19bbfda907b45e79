"""Which masks a group may be given for a measurement, and the plans that give them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from cachetune.cbm import Cbm, Masks
from cachetune.host.model import CacheControl, Group, Host
from cachetune.plan.model import PlanGuest
from cachetune.plan.policy import Policy, Reserved
from cachetune.plan.sizes import free_ways, masks_by_size, plan_masks

CONTROL = CacheControl("L3", 3, "both", Cbm(0xFFF), 1, {0: 12 << 20}, shareable_bits=Cbm(0xC00))
WEB = PlanGuest("web", "cachetune-web")


def host(web: int, default: int, *others: int, control: CacheControl = CONTROL) -> Host:
    masks = {".": default, "cachetune-web": web, **{f"COS{n}": mask for n, mask in enumerate(others)}}
    owners = {".": "default", "cachetune-web": "cachetune"}
    groups = tuple(
        Group(path, "control", owners.get(path, "pqos"), masks=Masks.of([("L3", 0, Cbm(mask))]))  # type: ignore[arg-type]
        for path, mask in masks.items()
    )
    return Host(source="test", caches=(control,), groups=groups)


def masks(on: Host, policy: Policy | None = None, control: CacheControl = CONTROL) -> list[str]:
    group = on.group("cachetune-web")
    assert group is not None
    return [f"{mask:x}" for mask in masks_by_size(group, on, control, 0, policy)]


def test_sizes_are_its_own_ways_then_free_ways_above_then_below() -> None:
    assert masks(host(0x030, 0xF00, 0x001)) == ["10", "30", "70", "f0", "f8", "fc", "fe"]


def test_ways_of_devices_are_not_borrowed_but_its_own_ones_stay() -> None:
    assert masks(host(0x300, 0x001)) == [
        "100",
        "300",
        *(f"{0x380 | 0x3FF & ~(2**n - 1):x}" for n in (7, 6, 5, 4, 3, 2, 1)),
    ]
    assert masks(host(0xC00, 0x3FF)) == ["400", "c00"]


def test_ways_that_the_policy_reserves_are_not_borrowed() -> None:
    policy = Policy("host.toml", reserved=(Reserved("L3", 0, Cbm(0x008)),))
    assert masks(host(0x003, 0xF00), policy) == ["1", "3", "7"]


def test_the_smallest_size_is_what_the_cache_allows() -> None:
    assert masks(host(0x00F, 0xFF0), control=replace(CONTROL, min_cbm_bits=2)) == ["3", "7", "f"]


@pytest.mark.parametrize(
    ("web", "default", "other"), [(0xFFF, 0xFFF, 0), (0x030, 0xFE0, 0), (0x030, 0xF00, 0x010), (0, 0xFFF, 0)]
)
def test_a_group_that_shares_ways_has_no_sizes(web: int, default: int, other: int) -> None:
    assert masks(host(web, default, other)) == []


def test_a_mask_with_gaps_has_only_sizes_within_it() -> None:
    assert masks(host(0x109, 0xE00), control=replace(CONTROL, sparse_masks=True)) == ["1", "9", "109"]


@given(st.integers(1, 0xFFF), st.integers(1, 0xFFF), st.integers(0, 0xFFF))
def test_sizes_are_nested_contiguous_and_nobody_elses(web: int, default: int, other: int) -> None:
    sizes = [int(mask, 16) for mask in masks(host(web, default, other))]
    for smaller, larger in pairwise(sizes):
        assert larger & smaller == smaller
        assert larger.bit_count() == smaller.bit_count() + 1
    contiguous = f"{web:b}".strip("0").count("0") == 0
    for mask in sizes:
        assert not mask & ~web & 0xC00
        assert not mask & (default | other)
        assert not contiguous or "0" not in f"{mask:b}".strip("0")
    if sizes:
        assert web in sizes


def test_free_ways_are_those_that_the_groups_together_may_have() -> None:
    on = host(0x003, 0x300, 0x0F0)
    assert free_ways(on, CONTROL, 0, ["cachetune-web"], None) == 0x00F
    assert free_ways(on, CONTROL, 0, ["cachetune-web", "COS0"], None) == 0x0FF


def test_the_plan_shrinks_before_it_grows_and_writes_only_what_changes() -> None:
    on = host(0x00F, 0xF00, 0x010)
    plan = plan_masks(on, [WEB, WEB], {"COS0": Cbm(0x018), "cachetune-web": Cbm(0x007), "gone": Cbm(1)}, CONTROL, 0)
    assert [(step.path, step.before, step.after) for step in plan.steps] == [  # type: ignore[union-attr]
        ("cachetune-web", "L3:0=00f\n", "L3:0=007\n"),
        ("COS0", "L3:0=010\n", "L3:0=018\n"),
    ]
    assert plan.guests == (WEB,)
    assert plan_masks(on, [WEB], {"cachetune-web": Cbm(0x00F)}, CONTROL, 0).steps == ()
