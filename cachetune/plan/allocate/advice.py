"""What to do about a request that does not fit, or that gets ways which devices use as well.

A hint recommends only what has been tried with the same placement.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence

from msgspec.structs import replace

from cachetune.cbm import Cbm, largest_run
from cachetune.domain.model import CacheRequest
from cachetune.findings import Finding, Source
from cachetune.host.model import DEFAULT_GROUP, CacheControl, Host
from cachetune.plan.allocate.capacity import ways_around
from cachetune.plan.allocate.occupancy import mask_of
from cachetune.plan.allocate.place import Cache, DoesNotFitError, WayRequest, fit, shrink_default
from cachetune.plan.allocate.relocate import Mover, Relocation
from cachetune.plan.policy import holder_of
from cachetune.plan.rounding import exact_ways, valid_ways
from cachetune.plan.rules import RULES
from cachetune.text import count, listed
from cachetune.units import about

_OWNERS = 12
"""How many groups are listed with their masks."""

_Fit = Callable[[Sequence[WayRequest]], tuple[Cbm, list[Cbm]]]


class Situation:
    """One cache with all that is requested of it: ``ways`` in the order of ``requests`` (None: no size requested).

    ``mover`` moves groups to make room; None where that is not done.
    """

    def __init__(
        self,
        host: Host,
        cache: Cache,
        cache_id: int,
        requests: Sequence[CacheRequest | None],
        ways: list[WayRequest],
        mover: Mover | None = None,
    ) -> None:
        self.host, self.cache, self.cache_id = host, cache, cache_id
        self.requests, self.ways, self.mover = requests, ways, mover

    @property
    def control(self) -> CacheControl:
        """The resource that the cache belongs to."""
        return self.cache.control

    def no_room(self, error: DoesNotFitError, *, shrink: bool, compact: bool) -> Finding:
        """CT207 for the request that failed: who has which ways, and the most that fits."""
        request = self.requests[error.index]
        assert request is not None  # noqa: S101 - only a request can fail to fit
        return RULES["CT207"].at(
            request.at,
            ways=count(error.ways, "way"),
            size=about(self._bytes(error.ways)) if request.size.unit == "ways" else request.size,
            resource=self.control.name,
            id=self.cache_id,
            free=error.free.bit_count(),
            hole=error.largest_hole,
            owners=self._owners(),
            hint=self._advice_on_room(error, shrink=shrink, compact=compact),
        )

    def shared_with_io(self, masks: Sequence[Cbm], *, shrink: bool) -> tuple[Finding, ...]:
        """CT217 for each requested mask that includes ways which devices use; on MPAM all do, so that says nothing."""
        io = self.control.io_ways(self.cache_id)
        if self.control.shares_all:
            return ()
        return tuple(
            RULES["CT217"].at(
                request.at,
                mask=f"{masks[i]:x}",
                resource=self.control.name,
                id=self.cache_id,
                shared=f"{io:x}",
                hint=self._advice_on_io(i, masks, shrink=shrink),
            )
            for i, request in enumerate(self.requests)
            if request and self.ways[i].ways is not None and masks[i] & io
        )

    # -- a size that is not valid ---------------------------------------------------------------------------------

    def limits(self, *, shrink: bool, compact: bool) -> dict[Source, str]:
        """What fits for the requests of which the nearest valid sizes do not fit, by their place."""
        limits = {}
        for i, request in enumerate(self.requests):
            if request and self.ways[i].ways is None and valid_ways(self.control):
                way = self.control.way_bytes(self.cache_id) or 1
                wanted = ways_around(exact_ways(request.size, self.control, way), self.control)[-1]
                if self._most(i, self._shrunk, wanted, shrink=True) < wanted:
                    most = self._at_most(i, wanted, shrink=shrink, compact=compact)
                    limits[request.at] = most or self._nothing(i)
        return limits

    # -- no room --------------------------------------------------------------------------------------------------

    def _advice_on_room(self, error: DoesNotFitError, *, shrink: bool, compact: bool) -> str:
        if offers := self._offers(shrink=shrink, compact=compact):
            return f"plan with {', or with '.join(offers)}"
        most = self._at_most(error.index, error.ways - 1, shrink=shrink, compact=compact)
        scattered = "the free ways are not contiguous; " if error.free.bit_count() >= error.ways else ""
        return f"{scattered}{most}" if most else self._nothing(error.index)

    def _at_most(self, index: int, ways: int, *, shrink: bool, compact: bool) -> str:
        """The most that would fit for a request, up to a number of ways, in words; "" if nothing would."""
        now = self._most(index, self._shrunk if shrink else self._settled, ways, shrink=shrink)
        shrunk = now if shrink else self._most(index, self._shrunk, ways, shrink=True)
        compacted = 0 if compact else self._most_compacted(index, max(now, shrunk), ways)
        words = [f"at most {self._size(now)} {_fit(now)}"] if now else []
        if shrunk > now:
            words.append(f"with --shrink-default at most {self._size(shrunk)} {_fit(shrunk)}")
        if compacted:
            words.append(f"with --compact and --shrink-default at most {self._size(compacted)} {_fit(compacted)}")
        return "; ".join(words)

    def _offers(self, *, shrink: bool, compact: bool) -> list[str]:
        """The options that would make everything fit, and what each would cost."""
        offers = []
        if not shrink and (kept := self._kept_by_shrinking()) is not None:
            offers.append(f"--shrink-default: the default group would keep {kept:x} of {self.cache.default:x}")
        if self.mover and not compact and (made := self.mover.relocated(self.ways, shrink=False)):
            offers.append(f"--compact: {self._moving(made)}")
        all_means = self.mover.by_all_means() if self.mover and not offers and not (shrink and compact) else None
        if all_means and (made := all_means.relocated(self.ways, shrink=True)):
            offers.append(f"--compact and --shrink-default: {self._moving(made)}")
        return offers

    def _moving(self, made: Relocation) -> str:
        """Who would move, in a few words."""
        names = dict.fromkeys("the default group" if path == DEFAULT_GROUP else path for path, _ in made.writes)
        return f"{listed(list(names), 3)} would move"

    def _most_compacted(self, index: int, others: int, most: int) -> int:
        """The most ways, up to ``most``, if groups move and the default group shrinks; 0 if no more than ``others``."""
        if self.mover is None:
            return 0
        mover = self.mover.by_all_means()
        # What is enough for many ways is enough for fewer.
        fits, fails = max(others, self._least - 1), most + 1
        while fails - fits > 1:
            ways = (fits + fails) // 2
            fits, fails = (ways, fails) if mover.has_room(self._with(index, ways)) else (fits, ways)
        return fits if fits > max(others, self._least - 1) else 0

    def _kept_by_shrinking(self) -> Cbm | None:
        try:
            return self._shrunk(self.ways)[0]
        except DoesNotFitError:
            return None

    def _settled(self, ways: Sequence[WayRequest]) -> tuple[Cbm, list[Cbm]]:
        return self.cache.default, fit(self.cache, ways, self.cache.default)

    def _shrunk(self, ways: Sequence[WayRequest]) -> tuple[Cbm, list[Cbm]]:
        return shrink_default(self.cache, ways)

    def _most(self, index: int, fit: _Fit, ways: int, *, shrink: bool) -> int:
        """The most ways, up to ``ways``, that would fit for this request beside the others; 0 if none would."""
        cache = self.cache
        kept = cache.default & cache.io if shrink else cache.default
        free = cache.control.cbm_mask & ~(cache.taken | kept)
        left = free.bit_count() - sum(self.ways[i].ways or 0 for i in self._others(index))
        for tried in range(min(largest_run(free), left, ways), self._least - 1, -1):
            try:
                fit(self._with(index, tried))
            except DoesNotFitError:
                continue
            return tried
        return 0

    @property
    def _least(self) -> int:
        return max(self.control.min_cbm_bits, 1)

    def _with(self, index: int, ways: int) -> list[WayRequest]:
        changed = list(self.ways)
        changed[index] = replace(changed[index], ways=ways)
        return changed

    def _others(self, index: int) -> list[int]:
        """The other requests for ways of this cache."""
        return [i for i, request in enumerate(self.ways) if i != index and request.ways]

    def _nothing(self, index: int) -> str:
        """Why no request at all would fit."""
        if self._others(index):
            return "nothing is left beside the other requests for this cache; request less in each"
        others = [name for name, _ in self._holders() if name]
        if others:
            return f"nothing is left to give until other groups have fewer ways: {listed(others, 3)}"
        return "nothing is left to give: the default group needs the ways that it has"

    def _size(self, ways: int) -> str:
        return f"{count(ways, 'way')} ({about(self._bytes(ways))})"

    def _bytes(self, ways: int) -> int:
        return ways * (self.control.way_bytes(self.cache_id) or 0)

    def _owners(self) -> str:
        """Which group has which mask, in one line."""
        held = [f"{name or 'the default group'} has {mask:x}" for name, mask in self._holders()]
        return ", ".join(held[:_OWNERS]) + (f" and {len(held) - _OWNERS} more" if len(held) > _OWNERS else "")

    def _holders(self) -> Iterator[tuple[str, Cbm]]:
        """The groups with ways of the cache, by path and owner, "" for the default group."""
        for group in self.host.control_groups():
            if mask := mask_of(group, self.control, self.cache_id):
                yield "" if group.path == DEFAULT_GROUP else holder_of(group), mask

    # -- ways that devices use ------------------------------------------------------------------------------------

    def _advice_on_io(self, index: int, masks: Sequence[Cbm], *, shrink: bool) -> str:
        io = self.cache.io
        words = []
        if io and (ways := self._beside_io(index, shrink=shrink)):
            words.append(f"request {self._size(ways)}, which is free beside them")
        if io and (grown := self._given_back(index, masks)):
            back = grown & ~self.cache.default
            line = f"{self.control.name}:{self.cache_id}={grown:x}"
            words.append(
                f"give {back:x} back to the default group ({line} in its schemata) and plan with --shrink-default"
            )
        if masks[index] & self.control.io_alloc_cbm.get(self.cache_id, 0):
            words.append(f"give devices other ways (info/{self.control.name}/io_alloc_cbm)")
        return ", or ".join(words) or "no other ways are free; remove groups that are no longer needed, or accept it"

    def _beside_io(self, index: int, *, shrink: bool) -> int:
        """The number of ways nearest to the request that would be placed beside those of devices, 0 if none."""
        asked = self.ways[index].ways or 0
        clear = largest_run(self.control.cbm_mask & ~(self.cache.taken | self.cache.io))
        fit: _Fit = self._shrunk if shrink else self._settled
        fewer, more = range(min(asked - 1, clear), self._least - 1, -1), range(asked + 1, clear + 1)
        for ways in itertools.chain(fewer, more):
            try:
                mask = fit(self._with(index, ways))[1][index]
            except DoesNotFitError:
                continue
            if not mask & self.cache.io:
                return ways
        return 0

    def _given_back(self, index: int, masks: Sequence[Cbm]) -> Cbm | None:
        """The default group's mask with the free ways of devices, if the request then fits beside them."""
        used = self.cache.taken | (self.ways[index].now or 0)
        for i in self._others(index):
            used |= masks[i]
        grown = self.cache.default | (self.cache.io & ~used)
        if grown == self.cache.default:
            return None
        try:
            _, placed = shrink_default(replace(self.cache, default=grown), self.ways)
        except DoesNotFitError:
            return None
        return None if placed[index] & self.cache.io else grown


def _fit(ways: int) -> str:
    return "fits" if ways == 1 else "fit"
