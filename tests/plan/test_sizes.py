"""Which masks a group may be given for a measurement, and the plans that give them."""

from itertools import combinations, pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from cachetune.cbm import Cbm, Masks
from cachetune.host.model import CacheControl, Group, Host
from cachetune.host.resctrl.schemata import parse
from cachetune.plan.model import PlanGuest
from cachetune.plan.policy import Policy, Reserved
from cachetune.plan.sizes import arrangement, free_ways, masks_by_size, plan_masks
from cachetune.plan.steps import WriteSchemata

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
    return [f"{mask:x}" for mask in masks_by_size("cachetune-web", on, control, 0, policy, {})]


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
def test_sizes_are_nested_contiguous_and_no_other_groups(web: int, default: int, other: int) -> None:
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


def beside(*, web: int, **others: int) -> tuple[Host, dict[str, Cbm]]:
    """A host whose default group has way 0, and guests' groups that are all measured."""
    names = {"cachetune-web": web, **{f"cachetune-{name}": mask for name, mask in others.items()}}
    on = host(web, 0x001)
    groups = tuple(
        Group(path, "control", "cachetune", masks=Masks.of([("L3", 0, Cbm(mask))])) for path, mask in names.items()
    )
    return replace(on, groups=(on.groups[0], *groups)), {path: Cbm(mask) for path, mask in names.items()}


def test_a_group_is_given_what_its_neighbors_can_give_up() -> None:
    on, before = beside(web=0x030, db=0x0C0, mail=0x00E)
    sizes = masks_by_size("cachetune-web", on, CONTROL, 0, None, before)
    assert [f"{mask:x}" for mask in sizes] == ["10", "30", "70", "f0", "1f0", "1f8", "1fc"]
    found = arrangement("cachetune-web", sizes[3], before, 1)
    assert found == {"cachetune-web": 0x0F0, "cachetune-db": 0x100, "cachetune-mail": 0x00E}
    found = arrangement("cachetune-web", sizes[-1], before, 1)
    assert found == {"cachetune-web": 0x1FC, "cachetune-db": 0x200, "cachetune-mail": 0x002}


def test_a_neighbor_keeps_the_ways_that_are_not_needed() -> None:
    _, before = beside(web=0x006, db=0x0F8)
    assert arrangement("cachetune-web", Cbm(0x01E), before, 1)["cachetune-db"] == 0x0E0
    assert arrangement("cachetune-web", Cbm(0x002), before, 1) == before | {"cachetune-web": 0x002}


@st.composite
def neighbors(draw: st.DrawFn) -> tuple[Host, dict[str, Cbm], int]:
    """Contiguous groups, with gaps that are free or another program's, and the least number of ways."""
    least, way, masks, taken = draw(st.integers(1, 2)), 1, {}, 0
    while way < 12 and len(masks) < 4:
        gap, ways = draw(st.integers(0, 2)), draw(st.integers(least, 5))
        if draw(st.booleans()):
            taken |= ((1 << gap) - 1) << way
        way += gap
        if way + ways > 12:
            break
        masks[f"cachetune-{len(masks)}"] = Cbm(((1 << ways) - 1) << way)
        way += ways
    assume(masks)
    control = replace(CONTROL, min_cbm_bits=least)
    of = {".": (1, "default"), "COS1": (taken, "pqos"), **{path: (mask, "cachetune") for path, mask in masks.items()}}
    groups = tuple(
        Group(path, "control", owner, masks=Masks.of([("L3", 0, Cbm(mask))]))  # type: ignore[arg-type]
        for path, (mask, owner) in of.items()
    )
    return Host(source="test", caches=(control,), groups=groups), masks, least


@given(neighbors(), st.data())
def test_from_any_arrangement_to_any_other_no_two_groups_share_a_way(
    scene: tuple[Host, dict[str, Cbm], int], data: st.DataObject
) -> None:
    on, before, least = scene
    control = on.caches[0]
    made = [before]
    for path in before:
        sizes = masks_by_size(path, on, control, 0, None, before)
        assert before[path] in sizes
        made += [arrangement(path, mask, before, least) for mask in sizes]
    others = [
        on.default_group.masks.at("L3", 0) or 0,
        *(g.masks.at("L3", 0) or 0 for g in on.groups if g.path == "COS1"),
    ]
    for masks in made:
        assert not any(a & b for a, b in combinations([*masks.values(), *others], 2))
        assert all(mask.bit_count() >= least and mask <= 0xFFF for mask in masks.values())
    start, end = data.draw(st.sampled_from(made)), data.draw(st.sampled_from(made))
    groups = tuple(replace(g, masks=Masks.of([("L3", 0, start.get(g.path, g.masks.at("L3", 0)))])) for g in on.groups)  # type: ignore[misc]
    now = dict(start)
    for step in plan_masks(replace(on, groups=groups), [WEB], end, control, 0).steps:
        assert isinstance(step, WriteSchemata)
        now[step.path] = parse(step.after).masks.at("L3", 0) or Cbm(0)
        assert not any(a & b for a, b in combinations([*now.values(), *others], 2)), (start, end, step)
    assert now == end


def test_the_plan_writes_only_what_changes_and_what_exists() -> None:
    on = host(0x00F, 0xF00, 0x010)
    plan = plan_masks(on, [WEB, WEB], {"COS0": Cbm(0x018), "cachetune-web": Cbm(0x007), "gone": Cbm(1)}, CONTROL, 0)
    assert [(step.path, step.before, step.after) for step in plan.steps] == [  # type: ignore[union-attr]
        ("cachetune-web", "L3:0=00f\n", "L3:0=007\n"),
        ("COS0", "L3:0=010\n", "L3:0=018\n"),
    ]
    assert plan.guests == (WEB,)
    assert plan_masks(on, [WEB], {"cachetune-web": Cbm(0x00F)}, CONTROL, 0).steps == ()
