"""Make room in one cache by moving groups: the final masks, and the writes that lead there.

A write changes one mask. It is legal if the new mask is contiguous, has no fewer ways than before, and includes no way
that another group has at that moment. The kernel replaces a mask at once, so a group can jump to any free place.

Ways that a group enters are cold: the data that it had in the ways that it left must be fetched again. So the best
sequence enters the fewest ways in all its writes together, then has the fewest writes, then the lowest final masks.
``compact`` finds it unless that takes more than ``_STATES`` states; then it takes what a greedy search finds first.
Proof: an enumeration of all states (tests/plan/allocate/test_compaction.py).
"""

import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from cachetune.cbm import Cbm, largest_run, run, runs
from cachetune.plan.allocate.search import arrange

_STATES = 3000
_GLANCE = 200  # for a hint
_WAY = 1 << 16  # a way entered outweighs any number of writes
_GREED = 1 << 10
_DEMANDS = 4  # the estimate looks at the largest demands only

_State = tuple[int, ...]


class Block(msgspec.Struct, frozen=True):
    """Groups with the same ways, which move together, one write for each; ``groups`` is their number.

    ``ways`` is how many they have afterwards: other than now only if that was requested. No move gives up the ways
    ``kept``. ``starts`` are the masks to which the block may be reduced before its first move, for a default group
    that shrinks; all have ``ways`` ways.
    """

    now: Cbm
    ways: int
    groups: int = 1
    kept: Cbm = Cbm(0)
    starts: tuple[Cbm, ...] = ()


class Crowd(msgspec.Struct, frozen=True):
    """One cache: the blocks in it, which do not overlap, within the ``usable`` ways, which no other group has.

    No block enters ``avoided`` ways: devices use them as well. ``sparse``: masks may have holes.
    """

    usable: Cbm
    blocks: tuple[Block, ...]
    avoided: Cbm = Cbm(0)
    sparse: bool = False

    @property
    def free(self) -> Cbm:
        """The usable ways that no block has now."""
        return self.usable & ~sum(block.now for block in self.blocks)


class Move(msgspec.Struct, frozen=True):
    """One write of ``mask`` to each group of the block with this index."""

    block: int
    mask: Cbm


class Compaction(msgspec.Struct, frozen=True):
    """The moves in order, the final mask of each block, and the ways ``entered`` in all writes together.

    ``exact`` is False if the search was cut short: there may be a better sequence.
    """

    moves: tuple[Move, ...]
    masks: tuple[Cbm, ...]
    entered: int
    exact: bool = True


def compact(crowd: Crowd, new: Sequence[int] = ()) -> Compaction | None:
    """Move blocks until all have the ways requested and groups of ``new`` ways fit; None if no sequence is found."""
    if sum(block.ways for block in crowd.blocks) + sum(new) > crowd.usable.bit_count():
        return None
    search = _Search(crowd, new)
    hurried, _ = search.explore(_GREED, states=_STATES)
    if hurried is None:
        return None
    found, complete = search.explore(1, hurried.cost, states=_STATES)
    best = found or hurried
    return Compaction(best.moves(), tuple(map(Cbm, best.state)), best.cost // _WAY, complete)


def has_room(crowd: Crowd, new: Sequence[int]) -> bool:
    """Whether moving blocks makes room for groups of ``new`` ways, as far as a short search shows."""
    if sum(block.ways for block in crowd.blocks) + sum(new) > crowd.usable.bit_count():
        return False
    return _Search(crowd, new).explore(_GREED, states=_GLANCE)[0] is not None


def largest_hole(crowd: Crowd) -> tuple[int, Compaction | None]:
    """The size of the largest hole that moves can make, and the moves; None if the largest hole is that large now."""
    largest = largest_run(crowd.free)
    for ways in range(min(crowd.free.bit_count(), largest_run(crowd.usable)), largest, -1):
        if made := compact(crowd, [ways]):
            return ways, made
    return largest, None


class _Node(NamedTuple):
    """A state, and the block whose move leads to it; ``cost`` counts ways entered in units of ``_WAY``, and writes."""

    state: _State
    cost: int
    moved: int = -1
    before: "_Node | None" = None

    def moves(self) -> tuple[Move, ...]:
        """All moves that lead here."""
        made: list[Move] = []
        node: _Node | None = self
        while node is not None and node.before is not None:
            made.append(Move(node.moved, Cbm(node.state[node.moved])))
            node = node.before
        return tuple(reversed(made))


class _Search:
    """A search through the masks that all blocks can have at the same time."""

    def __init__(self, crowd: Crowd, new: Sequence[int]) -> None:
        self._crowd, self._blocks = crowd, crowd.blocks
        self._new = sorted((ways for ways in new if ways), reverse=True)
        self._usable, self._avoided = int(crowd.usable), int(crowd.avoided)
        self._width = self._usable.bit_length()
        self._sizes = [block.ways for block in self._blocks]
        self._special = [
            i for i, block in enumerate(self._blocks) if block.groups > 1 or block.now.bit_count() != block.ways
        ]
        self._estimates: dict[tuple[int, int, tuple[int, ...]], int | None] = {}
        self._runs: dict[int, list[int]] = {}
        self._overlapping: dict[tuple[int, int], list[int]] = {}

    def explore(self, greed: int, limit: int | None = None, *, states: int) -> tuple[_Node | None, bool]:
        """The best state in which all is done and that costs at most ``limit``, and whether the search was complete.

        It visits at most that many ``states``.

        ``greed`` is the weight of the estimate of what remains. With 1, states are visited in the order of the least
        that they can finally cost (A*); with more, the first state in which all is done is taken.
        """
        best: dict[_State, int] = {}
        queue: list[tuple[int, int, int, _Node]] = []
        number = itertools.count()  # of equals, the one reached first is visited first
        done: _Node | None = None
        visited = 0
        reached: Iterable[tuple[_Node, int]] = self._beginnings()
        while True:
            for node, left in reached:
                if node.cost < best.get(node.state, node.cost + 1):
                    best[node.state] = node.cost
                    heapq.heappush(queue, (node.cost + greed * left, left, next(number), node))
            if not queue:
                return done, True
            least, _, _, node = heapq.heappop(queue)
            if done and (greed > 1 or least > done.cost):
                return done, True
            visited += 1
            if visited > states:
                return done, False
            reached = ()
            if node.cost > best[node.state]:
                continue
            if self._is_done(node.state):
                done = node if done is None or node.state < done.state else done
                limit = done.cost
            else:
                reached = self._nexts(node, limit)

    def _beginnings(self) -> Iterator[tuple[_Node, int]]:
        """The state now, or those in which the default group has shrunk, each with what remains."""
        start = _Node(tuple(int(block.now) for block in self._blocks), 0)
        nodes = [start]
        for i, block in enumerate(self._blocks):
            if block.starts:
                masks = (int(mask) for mask in block.starts)
                nodes = [self._after(start, i, mask) if mask != block.now else start for mask in masks]
        for node in nodes:
            state = node.state
            special = tuple(state[i] for i in self._special)
            if (left := self._remaining(sum(state), sum([now & -now for now in state]), special)) is not None:
                yield node, left

    def _nexts(self, node: _Node, limit: int | None) -> Iterator[tuple[_Node, int]]:
        """The states after each legal write, each with what remains, as far as they can stay within the limit."""
        state = node.state
        taken, lowest = sum(state), sum([now & -now for now in state])
        special = tuple(state[i] for i in self._special)
        free = self._usable & ~taken & ~self._avoided
        places: dict[int, list[int]] = {}
        for i, (block, now) in enumerate(zip(self._blocks, state, strict=True)):
            others, others_lowest, kept = taken & ~now, lowest & ~(now & -now), int(block.kept)
            for mask in self._targets(now, block.ways, free, places):
                if kept & ~mask:
                    continue
                if i in self._special:
                    special = tuple(mask if each == i else state[each] for each in self._special)
                left = self._remaining(others | mask, others_lowest | (mask & -mask), special)
                cost = node.cost + self._price(i, now, mask)
                if left is not None and (limit is None or cost + left <= limit):
                    yield _Node((*state[:i], mask, *state[i + 1 :]), cost, i, node), left
            if i in self._special:
                special = tuple(state[each] for each in self._special)

    def _after(self, node: _Node, index: int, mask: int) -> _Node:
        after = (*node.state[:index], mask, *node.state[index + 1 :])
        return _Node(after, node.cost + self._price(index, node.state[index], mask), index, node)

    def _price(self, index: int, now: int, mask: int) -> int:
        """What one write to each group of a block costs."""
        return self._blocks[index].groups * ((mask & ~now).bit_count() * _WAY + 1)

    def _targets(self, now: int, ways: int, free: int, places: dict[int, list[int]]) -> Iterator[int]:
        """The masks that a block with ``now`` can get in one write: of ``ways`` ways, or of as many as it has so far.

        ``places`` collects the ``free`` runs by length. Where masks may have holes, the block also leaves any window
        for the lowest ways outside.
        """
        size = now.bit_count()
        for each in (size, ways) if 0 < size < ways else (ways,):
            if each not in places:
                places[each] = [mask for mask in self._runs_of(each) if not mask & ~free]
            yield from places[each]
            yield from (mask for mask in self._beside(now, each) if not mask & ~(free | now))
        if self._crowd.sparse:
            for window in (window for demand in self._new for window in self._runs_of(demand) if window & now):
                outside = [bit for bit in range(self._width) if free >> bit & 1 and not (now | window) >> bit & 1]
                leaving = (now & window).bit_count()
                if leaving <= len(outside):
                    yield now & ~window | sum(1 << bit for bit in outside[:leaving])

    def _beside(self, now: int, ways: int) -> list[int]:
        """All other runs of that many usable ways that include some of ``now``."""
        if (now, ways) not in self._overlapping:
            self._overlapping[now, ways] = [mask for mask in self._runs_of(ways) if mask & now and mask != now]
        return self._overlapping[now, ways]

    def _runs_of(self, ways: int) -> list[int]:
        """All runs of that many usable ways."""
        if ways not in self._runs:
            places = [(start + i, ways) for start, n in runs(self._crowd.usable) for i in range(n - ways + 1)]
            self._runs[ways] = [int(run(*place)) for place in places]
        return self._runs[ways]

    def _is_done(self, state: _State) -> bool:
        if [now.bit_count() for now in state] != self._sizes:
            return False
        free = Cbm(self._usable & ~sum(state))
        if len(self._new) == 1:
            return largest_run(free) >= self._new[0]
        return arrange(free, (), self._new) is not None

    # -- what remains ---------------------------------------------------------------------------------------------

    def _remaining(self, taken: int, lowest: int, special: tuple[int, ...]) -> int | None:
        """The least that any sequence from a state costs; None if no sequence is possible.

        Each group that is created needs a window without other groups' ways, and each block with a new size needs one
        with none but its own. A block with ways in such a window must enter as many elsewhere.

        That depends on which ways are ``taken``, and on the ``lowest`` way of each block, not on which block has them;
        except for blocks of several groups and of another size, whose masks are ``special``.
        """
        key = (taken, lowest, special)
        if key not in self._estimates:
            masks = dict(zip(self._special, special, strict=True))
            pending = [i for i, mask in masks.items() if mask.bit_count() != self._sizes[i]]
            heavy = [(mask, self._blocks[i].groups - 1) for i, mask in masks.items() if i not in pending]
            if len(self._new) == 1 and not pending:
                self._estimates[key] = self._cheapest_window(taken, lowest, heavy)
            else:
                self._estimates[key] = self._cheapest(taken, heavy, {i: masks[i] for i in pending})
        return self._estimates[key]

    def _cheapest(self, taken: int, heavy: Sequence[tuple[int, int]], pending: Mapping[int, int]) -> int | None:
        """The least cost of clearing windows for several groups; ``pending`` are the blocks with another size."""
        writes = sum(self._blocks[i].groups for i in pending)
        settled = taken & ~sum(pending.values())
        price = [
            (settled >> bit & 1) + sum(more for mask, more in heavy if mask >> bit & 1) for bit in range(self._width)
        ]
        demands = [(ways, price) for ways in self._new]
        for i, now in pending.items():
            groups = self._blocks[i].groups
            own = [each + (0 if now >> bit & 1 else groups) for bit, each in enumerate(price)]
            demands.append((self._blocks[i].ways, own))
        demands.sort(key=lambda demand: -demand[0])
        ways = self._cheapest_windows(demands[:_DEMANDS])
        return None if ways is None else ways * _WAY + writes

    def _cheapest_window(self, taken: int, lowest: int, heavy: Sequence[tuple[int, int]]) -> int | None:
        """The least cost of clearing one window for the only group to be created.

        ``heavy`` are the masks of blocks of several groups, each with the number of groups beyond one.
        """
        windows = self._runs_of(self._new[0])
        ways = [(window & taken).bit_count() for window in windows]
        for now, more in heavy:
            ways = [each + (window & now).bit_count() * more for each, window in zip(ways, windows, strict=True)]
        least = min(ways, default=None)
        if not least:
            return least
        cheapest = [window for each, window in zip(ways, windows, strict=True) if each == least]
        return least * _WAY + min(self._writes_to_clear(cheapest, taken, lowest, heavy))

    def _writes_to_clear(
        self, windows: list[int], taken: int, lowest: int, heavy: Sequence[tuple[int, int]]
    ) -> list[int]:
        """For each window, how many groups have ways in it. The lowest way of each block stands for it."""
        if self._crowd.sparse:
            return [0 for _ in windows]  # blocks may have holes, so that is not known
        reaching = taken & ~lowest  # in the lowest way of a window: of a block that begins below it
        writes = [(window & lowest).bit_count() + (window & -window & reaching > 0) for window in windows]
        for now, more in heavy:
            writes = [each + more * (window & now > 0) for each, window in zip(writes, windows, strict=True)]
        return writes

    def _cheapest_windows(self, demands: Sequence[tuple[int, Sequence[int]]]) -> int | None:
        """The fewest ways to clear for one window for each demand, none of which overlap."""
        sums = [[0, *itertools.accumulate(price)] for _, price in demands]
        usable = [[0] * (self._width + 1) for _ in demands]
        for number, (ways, _) in enumerate(demands):
            for window in self._runs_of(ways):
                usable[number][(window & -window).bit_length() - 1] = 1
        # least[bit]: the fewest ways by the demands met (a bit each), with all windows below ``bit``
        least: list[dict[int, int]] = [{0: 0}]
        for bit in range(1, self._width + 1):
            reached = dict(least[bit - 1])
            for number, (ways, _) in enumerate(demands):
                start = bit - ways
                for met, cost in least[start].items() if start >= 0 and usable[number][start] else ():
                    if not met >> number & 1:
                        total = cost + sums[number][bit] - sums[number][start]
                        reached[met | 1 << number] = min(reached.get(met | 1 << number, total), total)
            least.append(reached)
        return least[self._width].get((1 << len(demands)) - 1)
