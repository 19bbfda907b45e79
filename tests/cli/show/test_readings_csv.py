"""Readings as CSV, which people paste into spreadsheets and next to the output of pqos."""

import csv
import io
import posixpath

import pytest

from cachetune.cli.show.readings_csv import csv_header, csv_rows
from cachetune.watch import Counter, Reading, Readings

TIME = "2026-11-30 14:31:07"
MIB = 1 << 20


def reading(path: str, *counters: Counter) -> Reading:
    return Reading(path=path, name=path, kind="control", owner="cachetune", vcpus=None, counters=counters)


def rows(*readings: Reading) -> list[list[str]]:
    document = Readings(source="x", time=0.0, monitors=readings)
    return list(csv.reader(io.StringIO(csv_rows(document, TIME).decode())))


def l3(
    cache: int, occupancy: int | None, total: float | None, local: float | None, node: int | None = None
) -> list[Counter]:
    """The counters of one cache; None is a value that is not known."""

    def counted(event: str, rate: float | None) -> Counter:
        return Counter(
            "L3",
            cache,
            event,
            None if rate is None else 7,
            "ok" if rate is not None else "Unassigned",
            node,
            per_second=rate,
        )

    held = Counter("L3", cache, "llc_occupancy", occupancy, "ok" if occupancy is not None else "Unavailable", node)
    return [held, counted("mbm_total_bytes", total), counted("mbm_local_bytes", local)]


def test_the_columns_are_those_of_pqos() -> None:
    assert csv_header() == b"Time,Group,LLC[KB],MBL[MB/s],MBR[MB/s]\n"


def test_a_row_has_the_sums_of_a_group_over_its_caches_in_the_units_of_pqos() -> None:
    web = reading("web", *l3(0, 3 * MIB, 5 * MIB, 3 * MIB), *l3(1, 1536, 1.5 * MIB, 0.0))
    assert rows(web) == [[TIME, "web", "3073.5", "3.0", "3.5"]]


def test_a_node_of_a_cache_does_not_count_twice() -> None:
    web = reading("web", *l3(0, 2048, 4.0 * MIB, 1.0 * MIB), *l3(0, 1024, 9.0 * MIB, 9.0 * MIB, node=1))
    assert rows(web) == [[TIME, "web", "2.0", "1.0", "3.0"]]


@pytest.mark.parametrize(
    ("second_cache", "cells"),
    [
        (l3(1, None, 1.0, 1.0), ["", "2.0", "0.0"]),
        (l3(1, 1024, None, 1.0), ["2.0", "2.0", ""]),
        (l3(1, 1024, 2.0 * MIB, None), ["2.0", "", ""]),
        ([], ["1.0", "2.0", "0.0"]),
    ],
    ids=["occupancy", "total", "local", "none"],
)
def test_a_sum_is_empty_if_one_of_its_parts_is_not_known(second_cache: list[Counter], cells: list[str]) -> None:
    web = reading("web", *l3(0, 1024, 2.0 * MIB, 2.0 * MIB), *second_cache)
    assert rows(web)[0][2:] == cells


def test_a_sum_that_lacks_a_group_is_empty() -> None:
    counter = Counter("L3", 0, "mbm_local_bytes", 7, "ok", partial=True, per_second=1.0 * MIB)
    assert rows(reading("web", counter))[0][2:] == ["", "", ""]


def test_nothing_is_remote_if_the_local_count_is_ahead_of_the_total() -> None:
    assert rows(reading("web", *l3(0, 0, 1.0 * MIB, 1.2 * MIB)))[0][2:] == ["0.0", "1.2", "0.0"]


def test_a_group_without_counters_has_no_row() -> None:
    assert rows(reading("gone"), reading("web", *l3(0, 0, 0.0, 0.0))) == [[TIME, "web", "0.0", "0.0", "0.0"]]


@pytest.mark.parametrize(
    "path",
    [
        "=cmd|'calc'!A0",
        '=HYPERLINK("http://x","y")',
        "+1",
        "-1+1",
        "@SUM(A1)",
        " =1",
        "'=1",
        "\uff1d1",
        ";=1",
        'a,"b"\',=1',
        "mon_groups/=1",
        ".",
        "cachetune-web-vcpus_0-1",
        "gäste",
        "_a",
    ],
)
def test_no_spreadsheet_takes_a_group_for_a_formula_and_the_path_is_still_the_groups(path: str) -> None:
    ((_, cell, *_),) = rows(reading(path, *l3(0, 0, 0.0, 0.0)))
    assert cell[0].isalnum() or cell[0] in "._"
    assert posixpath.normpath(cell) == posixpath.normpath(path)


@pytest.mark.parametrize("path", ["a\tb", "a\x1b[31mb", "a\rb", "\t=1", "a\udc80"])
def test_control_characters_are_escaped(path: str) -> None:
    data = csv_rows(Readings(source="x", time=0.0, monitors=(reading(path, *l3(0, 0, 0.0, 0.0)),)), TIME)
    assert data.decode().rstrip("\n").isprintable()
    assert data.startswith(TIME.encode())
