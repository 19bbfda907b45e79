"""The report of a history: its numbers are those of the moments, by guest and cache."""

import statistics
from collections.abc import Iterable
from pathlib import Path

import pytest
from msgspec.structs import replace

from cachetune.cbm import Cbm
from cachetune.errors import InputError
from cachetune.service import history_report
from cachetune.service.history_report import HistoryReport, Tenant, report_of
from cachetune.watch.history import History, Recorder
from cachetune.watch.usage import Moment, Usage
from tests.watch.moments import CACHES, NOON, moments

WAY = 3 << 20


def report(tmp_path: Path, made: Iterable[Moment], guest: str | None = None, **period: float) -> HistoryReport:
    with Recorder(tmp_path / "history.db") as recorder:
        for moment in made:
            recorder.add(moment)
    with History(tmp_path / "history.db") as history:
        return report_of(history, period.get("since", 0), period.get("until", 1e11), guest)


def tenant(found: HistoryReport, name: str, cache_id: int = 0) -> Tenant:
    return next(each for each in found.tenants if (each.name, each.cache_id) == (name, cache_id))


def usage(path: str, guest: str | None, mask: int, occupancy: int | None, **more: object) -> Usage:
    values = {"kind": "control", "total_bytes_per_second": 10.0, "local_bytes_per_second": 5.0, **more}
    return Usage(path=path, guest=guest, cache_id=0, mask=Cbm(mask), occupancy_bytes=occupancy, **values)  # type: ignore[arg-type]


def test_means_highest_and_last_values_are_those_of_the_moments(tmp_path: Path) -> None:
    made = [*moments(600)]
    found = report(tmp_path, made)
    assert (found.period.moments, found.period.used, found.period.spans) == (600, 600, 120)
    for name in ("guest-0", "guest-1", "guest-2"):
        for cache_id in (0, 1):
            values = [u for m in made for u in m.usages if (u.guest, u.cache_id) == (name, cache_id)]
            occupancy = [u.occupancy_bytes for u in values if u.occupancy_bytes is not None]
            rates = [u.total_bytes_per_second for u in values if u.total_bytes_per_second is not None]
            course = tenant(found, name, cache_id).occupancy
            assert (course.highest, course.last) == (max(occupancy), occupancy[-1])
            assert course.mean == pytest.approx(statistics.fmean(occupancy))
            assert course.spans[0] == pytest.approx(statistics.fmean(occupancy[:5]))
            assert tenant(found, name, cache_id).total.mean == pytest.approx(statistics.fmean(rates))
            assert tenant(found, name, cache_id).allotted.spans == (2 * WAY,) * 120


def test_groups_of_a_guest_are_added_and_monitor_groups_are_in_them_already(tmp_path: Path) -> None:
    usages = (
        usage("web-vcpus_0", "web", 0b0011, 100),
        usage("web-vcpus_0/mon_groups/a", "web", 0b0011, 60, kind="monitor"),
        usage("web-vcpus_1", "web", 0b0110, 20, local_bytes_per_second=None),
        usage("COS1", None, 0b1000, None),
    )
    found = report(tmp_path, [Moment(NOON, CACHES, usages)])
    web, other = tenant(found, "web"), tenant(found, "COS1")
    assert (web.occupancy.last, web.total.last, web.local.last) == (120, 20, 5)
    assert (web.ways, web.allotted.last) == (Cbm(0b0111), 3 * WAY)
    assert (other.occupancy.last, other.occupancy.spans) == (None, (None,))
    assert found.caches[0].owners == (("web", Cbm(0b0111)), ("COS1", Cbm(0b1000)))
    assert found.caches[0].free.last == 12 - 4
    assert found.findings[1:] == ("COS1 in L3 cache 0: no occupancy was recorded; 'cachetune monitor' shows why",)


def test_tenants_are_sorted_by_bandwidth_and_the_default_group_is_the_last(tmp_path: Path) -> None:
    usages = tuple(
        usage(path, guest, 1, 1, total_bytes_per_second=rate)
        for path, guest, rate in ((".", None, 99.0), ("a", "a", 1.0), ("b", "b", 3.0), ("c", "c", None))
    )
    assert [t.name for t in report(tmp_path, [Moment(NOON, CACHES, usages)]).tenants] == ["b", "a", "c", "."]


def test_a_guest_that_has_ended_has_a_past_and_no_present(tmp_path: Path) -> None:
    both, one = (usage("a", "a", 1, 7), usage("b", "b", 2, 8)), (usage("a", "a", 1, 7),)
    made = [Moment(NOON + k, CACHES, both if k < 5 else one) for k in range(10)]
    gone = tenant(report(tmp_path, made), "b")
    assert not gone.is_present
    assert (gone.ways, gone.occupancy.last, gone.allotted.last) == (None, None, None)
    assert (gone.occupancy.mean, gone.occupancy.highest) == (8, 8)
    assert gone.occupancy.spans[-1] is None


def test_a_time_without_moments_is_a_gap_and_its_spans_are_unknown(tmp_path: Path) -> None:
    made = [moment for k, moment in enumerate(moments(600)) if not 200 < k < 300]
    found = report(tmp_path, made)
    assert found.period.gaps == ((NOON + 200, NOON + 300),)
    course = tenant(found, "guest-0").occupancy.spans
    assert [value is None for value in course] == [41 <= k <= 59 for k in range(120)]


def test_of_a_long_period_as_many_moments_are_read_as_can_be_shown_and_always_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_report, "_MOST_USAGES", 3000)
    made = [*moments(3001)]
    found = report(tmp_path, made)
    assert found.period.moments == 3001
    assert 480 <= found.period.used <= 502
    assert None not in tenant(found, "guest-0").occupancy.spans
    assert tenant(found, "guest-0").occupancy.last == made[-1].usages[0].occupancy_bytes


def test_a_guest_that_fills_its_ways_and_one_that_does_not_need_them_are_findings(tmp_path: Path) -> None:
    usages = (
        usage("a", "a", 0b11, 2 * WAY - 1000),
        usage("b", "b", 0b1100, WAY // 2),
        usage("c", "c", 0b10000, WAY // 2),
    )
    assert report(tmp_path, [Moment(NOON + k, CACHES, usages) for k in range(20)]).findings == (
        "a in L3 cache 0: full, 100% of its ways on average; it may need more",
        "b in L3 cache 0: never used more than 25% of its ways",
    )


def test_one_guest_alone_is_shown_with_the_owners_of_all_ways(tmp_path: Path) -> None:
    found = report(tmp_path, moments(20), guest="guest-1")
    assert {t.name for t in found.tenants} == {"guest-1"}
    assert [name for name, _ in found.caches[0].owners] == ["guest-0", "guest-1", "guest-2"]
    with pytest.raises(InputError, match="no guest 'guest-9' in this period") as refused:
        report(tmp_path, moments(20), guest="guest-9")
    assert refused.value.hint == "it has guest-0, guest-1 and guest-2"


def test_a_period_without_moments_is_refused_with_one_that_has_some(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no moment in this period") as refused:
        report(tmp_path, moments(20), since=NOON + 50)
    assert refused.value.hint == f"it ends at @{NOON + 19:.0f}; pass --since @{NOON:.0f}"


def test_the_first_moment_alone_makes_a_report(tmp_path: Path) -> None:
    (moment,) = moments(1)
    unknown = tuple(replace(u, total_bytes_per_second=None, local_bytes_per_second=None) for u in moment.usages)
    found = report(tmp_path, [replace(moment, usages=unknown)])
    assert (found.period.spans, found.period.seconds) == (1, 0.0)
    assert tenant(found, "guest-0").total.spans == (None,)


def test_a_host_without_allocation_has_no_ways(tmp_path: Path) -> None:
    (moment,) = moments(1)
    bare = replace(
        moment,
        caches=tuple(replace(cache, ways=0, size_bytes=None) for cache in CACHES),
        usages=tuple(replace(each, mask=None) for each in moment.usages),
    )
    found = report(tmp_path, [bare])
    assert found.caches[0].owners == ()
    assert found.caches[0].free.last is None
    assert {each.allotted.last for each in found.tenants} == {None}
