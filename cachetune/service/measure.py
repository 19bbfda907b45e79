"""Measure what guests read from memory with one number of ways after another, and restore the ways that they had.

Each size is planned and applied under the lock like any other change; in between the lock is free. A guest is measured
with its own ways and the free ones beside them, the most first; of several guests that are measured, each is also
given the ways of the others, who make room for it. Everybody else keeps theirs. Whatever ends the
measurement, the ways of before come back: at the end, after an error or a signal here, after SIGKILL by ``recover``.
"""

import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from statistics import fmean, median

import msgspec
from msgspec.structs import replace

from cachetune.apply.measure import arrange, begin, restore
from cachetune.apply.run import Connection
from cachetune.apply.state import measurement
from cachetune.apply.state.ledger import Ledger, load_ledger
from cachetune.apply.state.measurement import Held, MeasuredGroup, Measurement
from cachetune.cbm import Cbm
from cachetune.errors import CachetuneError, HostError, InputError, MeasurementLostError, NotRestoredError, error_text
from cachetune.guests.model import RunningGuest
from cachetune.host.model import CacheControl, Host, is_monitor
from cachetune.plan.allocate.occupancy import mask_of
from cachetune.plan.groups.names import scope_of
from cachetune.plan.model import PlanGuest
from cachetune.plan.policy import Policy
from cachetune.plan.sizes import arrangement, masks_by_size
from cachetune.service.applied import applied_guests
from cachetune.service.stopping import Stoppable, undisturbed
from cachetune.text import count
from cachetune.watch.curve import Curve, Point, confidence_of, knee_of
from cachetune.watch.meter import TOTAL, Meter, Used

LEAST_SECONDS = 2.0
"""The time that each size takes at least: half of it to settle, half of it for readings."""
_READINGS = 5
_LOCK_SECONDS = 60.0
_MARGIN_SECONDS = 120.0


class Progress(msgspec.Struct, frozen=True):
    """The measurement of ``path`` with ``ways`` begins: it is number ``done`` + 1 of ``total``."""

    guest: str
    path: str
    ways: int
    done: int
    total: int
    seconds_left: float


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to measure, in which L3 cache (None: the one where they have ways), and for how long in all."""

    guests: tuple[RunningGuest, ...]
    cache_id: int | None = None
    budget_seconds: float = 180.0
    policy: Policy | None = None


class Pace(msgspec.Struct, frozen=True):
    """The clock, in seconds, and how to wait; a ``wait`` of None can be stopped by signals."""

    clock: Callable[[], float] = time.monotonic
    wait: Callable[[float], None] | None = None


def measure(
    request: Request,
    connection: Connection,
    on_progress: Callable[[Progress], None] = lambda _: None,
    pace: Pace = Pace(),  # noqa: B008 - it is frozen
) -> tuple[Curve, ...]:
    """Measure each group of the guests that has its own ways in the cache, one after another.

    Raises InputError, HostError, ApplyRefusedError, LockTimeoutError or StateFileError if nothing was changed. After
    that, the ways of before are restored first, and it raises InterruptedRunError for a signal, MeasurementLostError if
    it cannot continue, and NotRestoredError if ``recover`` must restore them.
    """
    with Stoppable() as signals:
        held = begin(partial(_measurement, request), connection)
        series = _Series(held, connection, request, on_progress, replace(pace, wait=pace.wait or signals.wait))
        try:
            curves = series.curves()
        except BaseException as error:
            _restore(held, connection, error)
            if isinstance(error, CachetuneError):
                error.hint = error.hint or "the ways of before are restored"
            raise
        _restore(held, connection)
    return curves


def preview(request: Request, connection: Connection) -> Measurement:
    """What ``measure`` would do now: the groups, with the masks of before and all that they would get.

    Changes nothing, and shares the lock. Raises InputError, HostError and LockTimeoutError.
    """
    with connection.locked(exclusive=False):
        ledger = load_ledger(connection.run)
        host = connection.look(ledger)
    return _measurement(request, host, ledger.without_lost(host))


def _restore(held: Held, connection: Connection, error: BaseException | None = None) -> None:
    """Restore the ways of before. Raises NotRestoredError, which says what else went wrong."""
    before = error_text(error) if isinstance(error, Exception) else ""
    with undisturbed():
        try:
            patient = replace(connection, lock_timeout=max(connection.lock_timeout, _LOCK_SECONDS))
            report = restore(held, patient)
        except (CachetuneError, OSError) as failure:
            raise NotRestoredError(held.measurement.guests, (error_text(failure),), before) from error
        finally:
            held.release()
        if report.exit_code or report.notes:
            why = (report.error, *report.undo_errors, *report.notes)
            raise NotRestoredError(held.measurement.guests, tuple(filter(None, why)), before) from error


# -- what to measure --------------------------------------------------------------------------------------------------


def l3_of(host: Host) -> CacheControl:
    """The L3 resource whose ways are measured; with CDP those for data. Raises HostError."""
    for kind in ("both", "data"):
        for control in host.caches:
            if (control.level, control.type) == (3, kind):
                return control
    raise HostError(host.source, "no L3 allocation", hint="'cachetune doctor' says why")


def _measurement(request: Request, host: Host, ledger: Ledger) -> Measurement:
    """The measurement for a host. Raises InputError and HostError."""
    control = l3_of(host)
    if not any(TOTAL in monitor.features for monitor in host.monitors):
        raise HostError(host.source, f"no counter {TOTAL}", hint="the memory bandwidth of a group cannot be measured")
    cache_id, groups = _place(request, control, host, ledger)
    _check_budget(request, groups)
    seconds = request.budget_seconds + _MARGIN_SECONDS
    return measurement.new(host.source, control.name, cache_id, groups, seconds)


def _place(
    request: Request, control: CacheControl, host: Host, ledger: Ledger
) -> tuple[int, tuple[MeasuredGroup, ...]]:
    """The cache and the groups. Raises InputError."""
    if request.cache_id is not None and request.cache_id not in control.size_bytes:
        known = ", ".join(map(str, control.size_bytes))
        raise InputError(f"the host has no {control.name} cache {request.cache_id}", hint=f"it has {known}")
    ids = control.size_bytes if request.cache_id is None else [request.cache_id]
    found = {cache_id: _groups(request, control, cache_id, host, ledger) for cache_id in ids}
    names = [guest.name for guest in request.guests]
    complete = [i for i, groups in found.items() if {group.guest for group in groups} == set(names)]
    if len(complete) > 1:
        caches = ", ".join(map(str, complete))
        raise InputError(f"there are ways to measure in {control.name} caches {caches}", hint="choose one with --cache")
    if not complete:
        cache_id = next(iter(ids))
        guest = next(name for name in names if name not in {group.guest for group in found[cache_id]})
        raise InputError(
            f"guest {guest!r} has no own ways in {control.name} cache {cache_id} that could be fewer or more",
            hint=f"give it some first, such as: cachetune set {shlex.quote(guest)} --l3 {cache_id}=4ways "
            "--shrink-default",
        )
    return complete[0], found[complete[0]]


def _groups(
    request: Request, control: CacheControl, cache_id: int, host: Host, ledger: Ledger
) -> tuple[MeasuredGroup, ...]:
    """The control groups of the guests that have own ways, and more than one possible size."""
    owners = {path: owner for guest in request.guests for path, owner in _owned(guest, host, ledger)}
    own = {path: masks[-1] for path in owners if (masks := masks_by_size(path, host, control, cache_id, None, {}))}
    before = {path: mask_of(group, control, cache_id) for path in own if (group := host.group(path))}
    sizes = {path: masks_by_size(path, host, control, cache_id, request.policy, before) for path in before}
    least = max(control.min_cbm_bits, 1)
    made = [arrangement(path, mask, before, least) for path, masks in sizes.items() for mask in masks]
    return tuple(
        MeasuredGroup(
            guest=owners[path].name,
            machine_name=owners[path].machine_name,
            uuid=owners[path].uuid,
            path=path,
            before=before[path],
            masks=tuple(masks),
            pushed=tuple(sorted({each[path] for each in made} - {before[path], *masks})),
        )
        for path, masks in sizes.items()
        if len(masks) > 1
    )


def _owned(running: RunningGuest, host: Host, ledger: Ledger) -> Iterator[tuple[str, PlanGuest]]:
    """The control groups of a running guest, each with its machine name."""
    for applied in applied_guests(host, ledger, [running]):
        if applied.name == running.name:
            guest = PlanGuest(running.name, applied.machine_name, running.uuid or applied.domain.uuid)
            yield from ((path, guest) for path in applied.groups if not is_monitor(path))


def _check_budget(request: Request, groups: Sequence[MeasuredGroup]) -> None:
    least = 3 * LEAST_SECONDS * len(groups)  # two sizes, and the first of them again
    if request.budget_seconds < least:
        raise InputError(
            f"{request.budget_seconds:g} s are too few to measure {count(len(groups), 'group')}",
            hint=f"pass a --budget of at least {least:g}s",
        )


# -- the series of sizes ----------------------------------------------------------------------------------------------


class _Series:
    """The sizes of all groups, one after another."""

    def __init__(
        self,
        held: Held,
        connection: Connection,
        request: Request,
        on_progress: Callable[[Progress], None],
        pace: Pace,
    ) -> None:
        self._held, self._connection, self._on_progress, self._pace = held, connection, on_progress, pace
        self._found = held.measurement
        each = request.budget_seconds / len(self._found.groups)
        self._sizes = {group.path: _chosen(group.masks, int(each / LEAST_SECONDS) - 1) for group in self._found.groups}
        self._total = sum(len(sizes) + 1 for sizes in self._sizes.values())
        self._seconds = request.budget_seconds / self._total
        self._ends = pace.clock() + request.budget_seconds
        self._done, self._least = 0, 1

    def curves(self) -> tuple[Curve, ...]:
        host = self._connection.look(Ledger())
        control = l3_of(host)
        self._least = max(control.min_cbm_bits, 1)
        return tuple(self._curve(group, host, control) for group in self._found.groups)

    def _curve(self, group: MeasuredGroup, host: Host, control: CacheControl) -> Curve:
        meter = Meter(self._connection.resctrl, host, group.path, self._found.cache_id)
        way_bytes = control.way_bytes(self._found.cache_id)
        sizes = self._sizes[group.path]
        down = [self._point(group, mask, meter, way_bytes) for mask in reversed(sizes) if self._has_time(mask, sizes)]
        again = self._point(group, sizes[-1], meter, way_bytes)
        self._give(group, group.before)  # and with it all others
        points = tuple(sorted(down, key=lambda point: point.ways))
        confidence, reasons = confidence_of(points, again)
        scope = scope_of(group.path)
        return Curve(
            guest=group.guest,
            path=group.path,
            vcpus=scope.vcpus,
            threads=scope.threads,
            resource=control.name,
            cache_id=self._found.cache_id,
            way_bytes=way_bytes,
            before_ways=group.before.bit_count(),
            least_ways=self._least,
            points=points,
            again=again,
            knee_ways=knee_of(points, self._least),
            confidence=confidence,
            reasons=reasons,
        )

    def _has_time(self, mask: Cbm, sizes: Sequence[Cbm]) -> bool:
        """Whether another size fits into the budget; two are measured in any case."""
        return mask in sizes[-2:] or self._pace.clock() < self._ends

    def _point(self, group: MeasuredGroup, mask: Cbm, meter: Meter, way_bytes: int | None) -> Point:
        left = max(0.0, self._ends - self._pace.clock())
        ways = mask.bit_count()
        self._on_progress(Progress(group.guest, group.path, ways, self._done, self._total, left))
        self._give(group, mask)
        self._wait(self._seconds / 2)
        rates, occupancies = self._read(group, meter)
        self._done += 1
        return Point(
            ways=ways,
            mask=mask,
            size_bytes=ways * way_bytes if way_bytes else None,
            bytes_per_second=round(fmean(rates), 1),
            lowest_bytes_per_second=round(min(rates), 1),
            highest_bytes_per_second=round(max(rates), 1),
            occupancy_bytes=round(median(occupancies)) if occupancies else None,
        )

    def _read(self, group: MeasuredGroup, meter: Meter) -> tuple[list[float], list[int]]:
        """The traffic between readings, in bytes per second, and the occupancies. Raises MeasurementLostError."""
        rates: list[float] = []
        seen: list[Used] = []
        before = None
        for number in range(_READINGS + 1):
            if number:
                self._wait(self._seconds / 2 / _READINGS)
            now, used = self._pace.clock(), meter.read()
            seen.append(used)
            if isinstance(used.total_bytes, int):
                if before and now > before[0] and used.total_bytes >= before[1]:
                    rates.append((used.total_bytes - before[1]) / (now - before[0]))
                before = now, used.total_bytes
        if not rates:
            words = {str(used.total_bytes) for used in seen if not isinstance(used.total_bytes, int)}
            if "Vanished" in words:
                raise MeasurementLostError(f"group {group.path} was removed")
            raise MeasurementLostError(f"{TOTAL} of {group.path} cannot be read: {', '.join(sorted(words)) or 'reset'}")
        return rates, [used.occupancy_bytes for used in seen if isinstance(used.occupancy_bytes, int)]

    def _wait(self, seconds: float) -> None:
        assert self._pace.wait is not None  # noqa: S101 - measure sets it
        self._pace.wait(seconds)

    def _give(self, group: MeasuredGroup, mask: Cbm) -> None:
        before = {each.path: each.before for each in self._found.groups}
        report = arrange(arrangement(group.path, mask, before, self._least), self._held, self._connection)
        if report.exit_code:
            raise MeasurementLostError(report.error)


def _chosen(masks: Sequence[Cbm], most: int) -> list[Cbm]:
    """At most that many of the masks, evenly spread, the smallest and the largest among them."""
    if len(masks) <= most:
        return list(masks)
    return [masks[round(n * (len(masks) - 1) / (most - 1))] for n in range(most)]
