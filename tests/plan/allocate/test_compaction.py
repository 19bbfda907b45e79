"""Compaction of one cache: every sequence is legal, and none is better. The judge enumerates all states.

The judge is an exhaustive search without any estimate, which knows only what one write may do.
"""

import heapq
import random
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import combinations, product

import pytest
from msgspec.structs import replace

from cachetune.cbm import Cbm, is_contiguous, largest_run, run
from cachetune.plan.allocate import compaction
from cachetune.plan.allocate.compaction import Block, Compaction, Crowd, compact, largest_hole
from tests.effort import examples

_HOSTS = 100

State = tuple[int, ...]


# -- the judge ------------------------------------------------------------------------------------------------------


def may_write(crowd: Crowd, state: State, index: int, mask: int) -> bool:
    """Whether one write may give a block this mask, in a state."""
    block, now = crowd.blocks[index], state[index]
    others = [held for i, held in enumerate(state) if i != index]
    return (
        (crowd.sparse or is_contiguous(mask))
        and mask.bit_count() in ({now.bit_count(), block.ways} if now.bit_count() <= block.ways else {block.ways})
        and not mask & ~crowd.usable
        and not any(mask & held for held in others)
        and not mask & ~now & crowd.avoided
        and not block.kept & ~mask
    )


@cache
def all_masks(width: int, *, sparse: bool) -> tuple[int, ...]:
    return tuple(mask for mask in range(1, 1 << width) if sparse or is_contiguous(mask))


def fits(free: int, new: Sequence[int]) -> bool:
    """Whether groups of these sizes fit together, tried in every place."""
    if not new:
        return True
    width = free.bit_length()
    windows = [((1 << new[0]) - 1) << start for start in range(width - new[0] + 1)]
    return any(window & ~free == 0 and fits(free & ~window, new[1:]) for window in windows)


def best(crowd: Crowd, new: Sequence[int]) -> tuple[int, int, State] | None:
    """The ways entered, the writes and the final masks of the best sequence; None if no sequence is possible."""
    start = tuple(int(block.now) for block in crowd.blocks)
    queue: list[tuple[int, int, State]] = []
    for i, block in enumerate(crowd.blocks):
        for mask in block.starts:
            state = (*start[:i], int(mask), *start[i + 1 :])
            queue.append((0, block.groups * (state != start), state))
    queue = queue or [(0, 0, start)]
    heapq.heapify(queue)
    seen: set[State] = set()
    found: list[tuple[int, int, State]] = []
    while queue:
        entered, writes, state = heapq.heappop(queue)
        if found and (entered, writes) > found[0][:2]:
            break
        if state in seen:
            continue
        seen.add(state)
        sized = all(mask.bit_count() == block.ways for mask, block in zip(state, crowd.blocks, strict=True))
        if sized and fits(int(crowd.usable) & ~sum(state), new):
            found.append((entered, writes, state))
        for i, mask in product(range(len(state)), all_masks(crowd.usable.bit_length(), sparse=crowd.sparse)):
            if mask != state[i] and may_write(crowd, state, i, mask):
                groups = crowd.blocks[i].groups
                after = (*state[:i], mask, *state[i + 1 :])
                cold = groups * (mask & ~state[i]).bit_count()
                heapq.heappush(queue, (entered + cold, writes + groups, after))
    return min(found, default=None)


def check(crowd: Crowd, new: Sequence[int], made: Compaction) -> tuple[int, int, State]:
    """Follow the moves: each is legal, and they lead to the result. Return what they cost."""
    state = tuple(int(block.now) for block in crowd.blocks)
    entered = writes = 0
    for number, (i, mask) in enumerate((move.block, int(move.mask)) for move in made.moves):
        block = crowd.blocks[i]
        shrinks = number == 0 and mask in block.starts
        assert shrinks or may_write(crowd, state, i, mask)
        entered += block.groups * (mask & ~state[i]).bit_count()
        writes += block.groups
        state = (*state[:i], mask, *state[i + 1 :])
    assert state == made.masks
    assert entered == made.entered
    assert fits(int(crowd.usable) & ~sum(state), new)
    return entered, writes, state


# -- random caches ---------------------------------------------------------------------------------------------------


def crowds(seed: int, *, ways: int, sparse: bool = False) -> Iterator[Crowd]:
    """Up to four blocks and some foreign ways in a cache; some blocks have another size afterwards."""
    draw = random.Random(seed)  # noqa: S311 - a test
    for _ in range(examples(_HOSTS)):
        usable = Cbm((1 << ways) - 1)
        for _ in range(draw.choice([0, 0, 1, 2])):
            usable &= ~(1 << draw.randrange(ways))
        free, blocks = usable, list[Block]()
        for _ in range(draw.randint(1, 4)):
            size = draw.randint(1, 3)
            places = [run(s, size) for s in range(ways - size + 1) if not run(s, size) & ~free]
            if places:
                now = draw.choice(places)
                free &= ~now
                after = draw.choice([size] * 5 + [size + 1, max(1, size - 1)])
                blocks.append(Block(now, after, groups=draw.choice([1, 1, 1, 2])))
        if len(blocks) > 1 and draw.random() < 0.3:
            first = blocks[0]
            size = draw.randint(1, first.now.bit_count())
            starts = [Cbm(m) for m in range(1, 1 << ways) if not m & ~first.now and m.bit_count() == size]
            starts = [mask for mask in starts if is_contiguous(mask)]
            blocks[0] = replace(first, ways=size, starts=tuple(starts), kept=Cbm(0))
        elif blocks and draw.random() < 0.2:
            one = blocks[-1]
            if one.ways >= one.now.bit_count():
                blocks[-1] = replace(one, kept=one.now & -one.now)
        yield Crowd(usable, tuple(blocks), Cbm(draw.choice([0, 0, 0b11])), sparse)


@pytest.mark.parametrize("ways", [6, 8])
def test_no_sequence_of_writes_is_better(ways: int) -> None:
    draw = random.Random(ways)  # noqa: S311 - a test
    moved = impossible = 0
    for crowd in crowds(ways, ways=ways):
        new = [draw.randint(1, 3) for _ in range(draw.choice([0, 1, 1, 1, 2, 2, 3]))]
        made, wanted = compact(crowd, new), best(crowd, new)
        if made is None:
            assert wanted is None, (crowd, new)
            impossible += 1
            continue
        assert made.exact
        assert check(crowd, new, made) == wanted, (crowd, new)
        moved += bool(made.moves)
    assert min(moved, impossible) > 10


def layouts(ways: int) -> Iterator[tuple[Cbm, ...]]:
    """Every way to have up to four blocks in a cache, from the lowest to the highest."""
    for blocks in range(1, 5):
        # A block begins and ends between ways, or a later one begins where it ends: the bounds are shifted apart.
        for bounds in combinations(range(ways + blocks), 2 * blocks):
            pairs = [(bounds[2 * i] - i, bounds[2 * i + 1] - i) for i in range(blocks)]
            yield tuple(run(start, end - start) for start, end in pairs)


@pytest.mark.slow
@pytest.mark.parametrize("ways", range(2, 9))
def test_every_small_cache_is_compacted_in_the_best_way(ways: int) -> None:
    everything = Cbm((1 << ways) - 1)
    tried = 0
    for masks in layouts(ways):
        crowd = Crowd(everything, tuple(Block(mask, mask.bit_count()) for mask in masks))
        for size in range(largest_run(crowd.free) + 1, crowd.free.bit_count() + 1):
            made, wanted = compact(crowd, [size]), best(crowd, [size])
            assert (made and check(crowd, [size], made)) == wanted, (crowd, size)
            tried += 1
    assert tried or ways < 3


@pytest.mark.parametrize("seed", [1, 2])
def test_where_masks_may_have_holes_no_sequence_enters_fewer_ways_or_has_fewer_writes(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 - a test
    moved = 0
    for crowd in crowds(seed, ways=6, sparse=True):
        if any(block.ways != block.now.bit_count() or block.starts or block.kept for block in crowd.blocks):
            continue
        new = [draw.randint(1, max(1, crowd.free.bit_count()))]
        made, wanted = compact(crowd, new), best(crowd, new)
        assert (made and check(crowd, new, made)[:2]) == (wanted and wanted[:2]), (crowd, new)
        moved += bool(made and made.moves)
    assert moved > 3


# -- examples -------------------------------------------------------------------------------------------------------


def crowd_of(*masks: int, usable: int = 0xFFFFF, **options: int) -> Crowd:
    return Crowd(Cbm(usable), tuple(Block(Cbm(m), m.bit_count()) for m in masks), Cbm(options.get("avoided", 0)))


def test_two_groups_change_places_only_if_one_of_them_has_another_place_to_go() -> None:
    full = replace(crowd_of(0x03, 0x0C, usable=0x0F), blocks=(Block(Cbm(0x03), 2), Block(Cbm(0x0C), 2)))
    assert compact(full, [1]) is None
    grows = Crowd(Cbm(0x3F), (Block(Cbm(0x01), 2), Block(Cbm(0x02), 1), Block(Cbm(0x0C), 2)))
    made = compact(grows)
    assert made is not None
    assert check(grows, [], made) == best(grows, [])


def test_a_group_slides_into_ways_next_to_it() -> None:
    made = compact(crowd_of(0b0110, usable=0b1111), [2])
    assert made is not None
    assert ([(m.block, m.mask) for m in made.moves], made.entered) == ([(0, 0b0011)], 1)


def test_no_group_enters_ways_of_devices_and_none_leaves_those_it_must_keep() -> None:
    assert compact(crowd_of(0b010, usable=0b111, avoided=0b101), [2]) is None
    assert compact(Crowd(Cbm(0b111), (Block(Cbm(0b010), 1, kept=Cbm(0b010)),)), [2]) is None


def test_the_largest_hole_is_all_that_is_free_if_all_groups_can_move() -> None:
    crowd = crowd_of(0b1, 0b1100, 0b10000000, usable=0xFF)
    ways, made = largest_hole(crowd)
    assert ways == 4
    assert made is not None
    assert check(crowd, [4], made) == best(crowd, [4])
    assert largest_hole(crowd_of(0b11, usable=0xFF)) == (6, None)


def test_a_search_that_is_cut_short_says_so_and_stays_legal(monkeypatch: pytest.MonkeyPatch) -> None:
    crowd = crowd_of(0b110, 0b110000, 0b11000000000, 0b11000000000000, 0b110000000000000000)
    exact = compact(crowd, [9])
    monkeypatch.setattr(compaction, "_STATES", 12)
    hurried = compact(crowd, [9])
    assert exact is not None
    assert hurried is not None
    assert exact.exact
    assert not hurried.exact
    assert check(crowd, [9], hurried) >= check(crowd, [9], exact)
