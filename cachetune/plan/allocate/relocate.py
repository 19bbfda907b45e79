"""Who may move in one cache, and what moving them achieves: from the groups of a host to ``compaction`` and back."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from cachetune.cbm import Cbm
from cachetune.host.model import DEFAULT_GROUP, CacheControl, Group, Host
from cachetune.host.usage import unexplained_ways
from cachetune.plan.allocate.compaction import Block, Compaction, Crowd, compact, has_room, largest_hole
from cachetune.plan.allocate.occupancy import io_to_avoid, mask_of, of_all_types
from cachetune.plan.allocate.place import Cache, WayRequest, fit, remainders

Moves = Mapping[tuple[str, int], Sequence[tuple[str, Cbm]]]
"""For each cache that is compacted (resource, cache id), the writes in order: (path, mask)."""


class Movable(msgspec.Struct, frozen=True):
    """The groups that may move, and whether the default group may, together with those of ours that share its ways."""

    paths: frozenset[str] = frozenset()
    default: bool = False


class Scene(msgspec.Struct, frozen=True):
    """One cache of a host. ``removed`` are groups that are removed beforehand."""

    host: Host
    control: CacheControl
    cache_id: int
    removed: frozenset[str]
    movable: Movable


class Relocation(msgspec.Struct, frozen=True):
    """The ``writes`` in order, as (path, mask), and afterwards the default group's mask and those of the requests."""

    writes: tuple[tuple[str, Cbm], ...]
    default: Cbm
    requested: tuple[Cbm, ...] = ()

    @property
    def final(self) -> dict[str, Cbm]:
        """The last mask of each group that moves."""
        return dict(self.writes)


class Mover(msgspec.Struct, frozen=True):
    """Moves groups of a cache so that requests fit; ``paths`` are the groups of the requests."""

    scene: Scene
    paths: tuple[str, ...]

    def relocated(self, ways: Sequence[WayRequest], *, shrink: bool) -> Relocation | None:
        """The moves that make room for such requests; None if no moves do."""
        return relocate(self.scene, list(zip(self.paths, ways, strict=True)), shrink=shrink)

    def has_room(self, ways: Sequence[WayRequest]) -> bool:
        """Whether such requests fit if the default group gives up all that it can, as far as a short search shows."""
        cast = _Cast(self.scene, list(zip(self.paths, ways, strict=True)))
        *_, crowd = cast.crowds(shrink=True)
        return has_room(crowd, [each for _, each in cast.new])

    def by_all_means(self) -> "Mover":
        """One that moves the default group, too."""
        movable = msgspec.structs.replace(self.scene.movable, default=True)
        return Mover(msgspec.structs.replace(self.scene, movable=movable), self.paths)


def movable_groups(host: Host, *, adopt: bool, default: bool) -> Movable:
    """Our groups; with ``adopt`` also those that libvirt made and that threads run in."""
    return Movable(
        frozenset(
            group.path
            for group in host.control_groups()
            if group.owner == "cachetune" or (adopt and group.owner == "libvirt" and group.tids)
        ),
        default,
    )


def relocate(scene: Scene, requests: Sequence[tuple[str, WayRequest]], *, shrink: bool) -> Relocation | None:
    """Make room for all requests of the cache, each with its group's path; None if no legal sequence of writes does.

    With ``shrink`` the default group gives up as few ways as possible, before any group moves.
    """
    cast = _Cast(scene, requests)
    for crowd in cast.crowds(shrink=shrink):
        if made := compact(crowd, [ways for _, ways in cast.new]):
            return cast.relocation(made)
    return None


def enlarge_hole(scene: Scene) -> tuple[int, Relocation | None]:
    """The largest contiguous hole that moves can make in the cache, in ways, and how; None if none is larger."""
    cast = _Cast(scene, ())
    ways, made = largest_hole(next(cast.crowds(shrink=False)))
    return ways, cast.relocation(made) if made else None


def smallest_crowd(scene: Scene, *, shrink: bool) -> Crowd:
    """A cache with all that may move in it; with ``shrink`` the default group has given up all that it can."""
    *_, crowd = _Cast(scene, ()).crowds(shrink=shrink)
    return crowd


class _Cast:
    """The blocks of a cache with the paths of their groups, and the requests that need new ways."""

    def __init__(self, scene: Scene, requests: Sequence[tuple[str, WayRequest]]) -> None:
        self._scene, self._requests, self._wanted = scene, requests, dict(requests)
        self._groups = {g.path: g for g in scene.host.control_groups() if g.path not in scene.removed}
        self._held = {path: self._ways_of(group) for path, group in self._groups.items()}
        self._io = io_to_avoid(scene.control, scene.cache_id)
        self._now = mask_of(scene.host.default_group, scene.control, scene.cache_id)
        followers = [path for path in self._groups if self._follows(path)]
        rest = (DEFAULT_GROUP, *followers)  # the last: of equals, the one with the highest default group is the best
        companies = [*((path,) for path in sorted(self._groups) if path not in rest), rest]
        self._paths = [paths for paths in companies if self._may_move(paths)]
        self._blocks = tuple(self._block(paths) for paths in self._paths)
        moving = {path for paths in self._paths for path in paths}
        fixed = int(unexplained_ways(scene.host, scene.control, scene.cache_id, scene.removed))
        for path in self._groups.keys() - moving:
            fixed |= self._held[path]
        self._usable = scene.control.cbm_mask & ~fixed
        # In the order of the requests; those for no ways need none.
        self.new = [(i, each.ways) for i, (path, each) in enumerate(requests) if each.ways and path not in moving]

    def crowds(self, *, shrink: bool) -> Iterator[Crowd]:
        """The cache as it is, then with a default group that has shrunk, by as few ways as possible first."""
        crowd = Crowd(self._usable, self._blocks, self._io, self._scene.control.sparse_masks)
        yield crowd
        if not (shrink and self._paths and self._paths[-1][0] == DEFAULT_GROUP):
            return
        for ways, masks in itertools.groupby(remainders(self._cache(self._now)), int.bit_count):
            if ways < self._now.bit_count():
                block = msgspec.structs.replace(self._blocks[-1], ways=ways, starts=tuple(masks))
                yield msgspec.structs.replace(crowd, blocks=(*self._blocks[:-1], block))

    def relocation(self, made: Compaction) -> Relocation:
        """The moves of blocks as writes to their groups."""
        writes = tuple((path, move.mask) for move in made.moves for path in self._paths[move.block])
        final = {path: mask for paths, mask in zip(self._paths, made.masks, strict=True) for path in paths}
        default = final.get(DEFAULT_GROUP, self._now)
        taken = self._scene.control.cbm_mask & ~self._usable
        for mask in made.masks:
            taken |= mask
        placed = fit(self._cache(default, taken), [WayRequest(ways) for _, ways in self.new], default)
        new = {i: mask for (i, _), mask in zip(self.new, placed, strict=True)}
        requested = (
            default if each.ways is None else new[i] if i in new else final.get(path, Cbm(0))
            for i, (path, each) in enumerate(self._requests)
        )
        return Relocation(writes, default, tuple(requested))

    def _cache(self, default: Cbm, taken: Cbm = Cbm(0)) -> Cache:  # noqa: B008 - immutable
        return Cache(self._scene.control, default, taken & ~default, self._io)

    def _ways_of(self, group: Group) -> Cbm:
        """The ways that no other group may enter."""
        scene = self._scene
        if group.mode == "shareable":
            return mask_of(group, scene.control, scene.cache_id)
        return of_all_types(group, scene.control, scene.cache_id, scene.host)

    def _follows(self, path: str) -> bool:
        """Whether a group of ours shares the default group's ways and is not to have others."""
        group, wanted = self._groups[path], self._wanted.get(path)
        ours = group.owner == "cachetune" or path in self._wanted
        return path != DEFAULT_GROUP and ours and self._held[path] == self._now and (not wanted or wanted.ways is None)

    def _may_move(self, paths: tuple[str, ...]) -> bool:
        """Whether these groups may move, and no other group has any of their ways."""
        movable, wanted, held = self._scene.movable, self._wanted.get(paths[0]), self._held[paths[0]]
        if paths[0] == DEFAULT_GROUP:
            allowed = movable.default
        else:
            allowed = bool(wanted.ways) if wanted else paths[0] in movable.paths
        # An exclusive group's code keeps out others' data, which moves on its own.
        single = self._scene.control.type == "both" or self._groups[paths[0]].mode == "shareable"
        alone = not any(held & other for path, other in self._held.items() if path not in paths)
        return allowed and single and alone and held > 0

    def _block(self, paths: tuple[str, ...]) -> Block:
        now, wanted = self._held[paths[0]], self._wanted.get(paths[0])
        ways = now.bit_count() if wanted is None or wanted.ways is None else wanted.ways
        return Block(now, ways, len(paths), now & self._io if paths[0] == DEFAULT_GROUP else Cbm(0))
