"""Order, filter and unfolding of rows."""

import pytest
from msgspec.structs import replace

from cachetune.cli.top.model import Row
from cachetune.cli.top.rows import rows_of
from cachetune.cli.top.view import ORDERS, View
from tests.cli.top.scenes import every_state, with_requests


def rows() -> tuple[Row, ...]:
    seen = every_state().seen
    return rows_of(seen.host, seen.readings.monitors)


def shown(view: View) -> list[str]:
    return [row.name.split()[0][:7] for row in view.visible(rows())]


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("name", ["[bold]e", "COS1", "db", "default", "mail", "web"]),
        ("occupancy", ["db", "web", "default", "[bold]e", "COS1", "mail"]),
        ("fill", ["web", "default", "db", "[bold]e", "COS1", "mail"]),
        ("total", ["web", "db", "default", "[bold]e", "mail", "COS1"]),
        ("local", ["web", "db", "default", "[bold]e", "mail", "COS1"]),
        ("state", ["db", "web", "[bold]e", "default", "COS1", "mail"]),
    ],
)
def test_rows_are_sorted(order: str, names: list[str]) -> None:
    assert shown(View(order=order)) == names  # type: ignore[arg-type]
    assert shown(View(order=order, backwards=True)) == names[::-1]  # type: ignore[arg-type]


def test_by_state_requests_come_before_what_is_used_and_guests_without_requests_last() -> None:
    look = with_requests()
    found = View(order="state").visible(rows_of(look.seen.host, look.seen.readings.monitors, look.guests))
    assert [row.name.split()[0][:7] for row in found] == [
        *("[bold]e", "big", "mail", "new"),
        *("db", "web", "default", "COS1"),
        *("batch", "process"),
    ]


def test_every_order_has_a_case() -> None:
    for order in ORDERS:
        assert len(View(order=order).visible(rows())) == 6


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("WEB", ["web"]),
        ("vcpus_0-1", ["web"]),
        ("mon_groups", ["db", "web", "default"]),
        ("pqos", ["COS1"]),
        ("libvirt", ["mail"]),
        ("cadvisor", ["default"]),
        ("[bold]", ["[bold]e"]),
        (".*", []),
    ],
)
def test_a_filter_is_a_part_of_a_name_an_owner_or_a_path(pattern: str, names: list[str]) -> None:
    assert shown(View(pattern=pattern)) == names


def test_rows_are_unfolded_one_by_one_or_all_at_once() -> None:
    view = View(order="name", pattern="web")
    assert shown(view) == ["web"]
    web = view.visible(rows())[0]
    assert shown(view.toggled(web)) == ["web", "vCPUs"]
    assert shown(view.toggled(web).toggled(web)) == ["web"]
    everything = replace(view, unfold_all=True)
    assert shown(everything) == ["web", "vCPUs", "mon", "L3", "L3", "L3", "L3"]
    assert shown(everything.toggled(web)) == ["web"]


def test_a_row_without_rows_is_never_unfolded() -> None:
    view = View(unfold_all=True)
    cache = view.visible(rows())[-1]
    assert (cache.kind, view.is_unfolded(cache)) == ("cache", False)
