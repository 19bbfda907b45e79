"""Readings on terminals of several widths."""

import re

import pytest
from rich.console import Console

from cachetune.cli.show.readings import readings_page
from cachetune.host.model import Group, Host, MonitorControl
from cachetune.watch import Counter, Reading, Readings

EVENTS = (
    "core_energy",
    "activity",
    "stalls_llc_hit",
    "c1_res",
    "unhalted_core_cycles",
    "stalls_llc_miss",
    "c6_res",
    "unhalted_ref_cycles",
    "uops_retired",
)
GROUPS = (".", "cachetune-web-vcpus_0-1", "goresctrl.Guaranteed.0123456789abcdef0123456789abcdef")


def reading(path: str, counters: tuple[Counter, ...], kind: str = "control") -> Reading:
    name = path.rpartition("/")[2]
    owner = "default" if path == "." else "unknown"
    return Reading(path=path, name=name, kind=kind, owner=owner, vcpus=None, counters=counters)  # type: ignore[arg-type]


def telemetry(packages: int) -> list[Reading]:
    """Nine events for each package; the values are as long as they get on a machine that has run for months."""

    def value(group: int, event: int, package: int) -> int | str:
        number = 10**13 + 10**6 * group + 1000 * event + package
        return f"{number // 10**6}.{number % 10**6:06}" if event < 2 else number

    return [
        reading(
            path,
            tuple(
                Counter("PERF_PKG", package, event, value(g, e, package), "ok")
                for package in range(packages)
                for e, event in enumerate(EVENTS)
            ),
        )
        for g, path in enumerate(GROUPS)
    ]


def caches(*counters: Counter) -> list[Reading]:
    return [reading(".", counters)]


def page(readings: list[Reading], width: int) -> list[str]:
    resources = {counter.resource for each in readings for counter in each.counters}
    monitors = tuple(MonitorControl(f"{name}_MON", ()) for name in sorted(resources))
    default = Group(path=".", kind="control", owner="default")
    host = Host(source="x", monitors=monitors, groups=(default,))
    console = Console(width=width, color_system=None, markup=False)
    with console.capture() as captured:
        for part in readings_page(Readings(source="x", time=0, monitors=tuple(readings)), host):
            console.print(part, crop=False)
    return [line.rstrip() for line in captured.get().splitlines()]


@pytest.mark.parametrize("width", [60, 80, 100, 140, 200])
@pytest.mark.parametrize("packages", [1, 2, 8])
def test_every_number_of_nine_events_is_whole_and_no_line_is_too_long(width: int, packages: int) -> None:
    readings = telemetry(packages)
    lines = page(readings, width)
    assert max(map(len, lines)) <= width
    shown = [
        word for line in lines for word in re.findall(r"(?<= )[0-9]{7,}[0-9.]*$|(?<= )[0-9]{7,}[0-9.]*(?= )", line)
    ]
    assert sorted(shown) == sorted(f"{counter.value}" for each in readings for counter in each.counters)


def test_names_stay_whole_if_fewer_packages_beside_each_other_allow_it() -> None:
    readings = [each for each in telemetry(2) if each.path in GROUPS[:2]]
    lines = page(readings, 80)
    assert [line.split()[0] for line in lines if line[:1] not in ("", " ")] == 2 * ["GROUP", ".", GROUPS[1]]
    assert len(page(readings, 100)) == len(lines) // 2


def test_two_packages_fit_on_eighty_columns() -> None:
    assert page(telemetry(2), 80)[:4] == [
        "GROUP                 EVENT                           PACKAGE 0        PACKAGE 1",
        ". (default group)     core_energy (joules)      10000000.000000  10000000.000001",
        "                      activity (farads)         10000000.001000  10000000.001001",
        "                      stalls_llc_hit (cycles)    10000000002000   10000000002001",
    ]


def test_few_events_have_one_column_each_with_their_units() -> None:
    values = (("core_energy", "0.000099"), ("activity", "36028797018963968.000000"), ("uops_retired", 2**63))
    lines = page(caches(*(Counter("PERF_PKG", 0, event, value, "ok") for event, value in values)), 120)
    assert lines == [
        "GROUP              PACKAGE  CORE_ENERGY (joules)         ACTIVITY (farads)         UOPS_RETIRED",
        ". (default group)  0                    0.000099  36028797018963968.000000  9223372036854775808",
    ]


def test_the_rows_of_nodes_are_below_the_sum_of_their_cache() -> None:
    def l3(number: int, value: int, node: int | None = None) -> Counter:
        return Counter("L3", number, "llc_occupancy", value, "ok", node)

    assert page(caches(l3(0, 30), l3(0, 10, 0), l3(0, 20, 1), l3(1, 7), l3(1, 3, 2), l3(1, 4, 3)), 80) == [
        "GROUP              CACHE  NODE  LLC_OCCUPANCY",
        ". (default group)  0      sum            30 B",
        "                   0      0              10 B",
        "                   0      1              20 B",
        "                   1      sum             7 B",
        "                   1      2               3 B",
        "                   1      3               4 B",
    ]


def test_a_cache_without_nodes_has_no_sum() -> None:
    assert page(caches(Counter("L3", 0, "llc_occupancy", 1024, "ok")), 80) == [
        "GROUP              CACHE  LLC_OCCUPANCY",
        ". (default group)  0              1 KiB",
    ]


def test_nodes_are_named_where_each_place_is_a_column() -> None:
    counters = [Counter("L3", 0, event, 1, "ok", node) for node in (None, 0, 1) for event in EVENTS]
    header = page(caches(*counters), 100)[0]
    assert re.split(" {2,}", header) == ["GROUP", "EVENT", "CACHE 0 SUM", "CACHE 0 NODE 0", "CACHE 0 NODE 1"]


def test_an_event_that_a_place_lacks_is_blank() -> None:
    counters = (Counter("L3", 0, "llc_occupancy", 1, "ok"), Counter("L3", 1, "mbm_total_bytes", 2, "ok"))
    assert page(caches(*counters), 80) == [
        "GROUP              CACHE  LLC_OCCUPANCY  MBM_TOTAL",
        ". (default group)  0                1 B",
        "                   1                           2 B",
    ]
