"""Order, filter and unfolding of rows."""

import pytest
from msgspec.structs import replace

from cachetune.cli.top.model import Row
from cachetune.cli.top.rows import rows_of
from cachetune.cli.top.view import SORTINGS, View
from tests.cli.top.scenes import every_state


def rows() -> tuple[Row, ...]:
    seen = every_state().seen
    return rows_of(seen.host, seen.readings.monitors)


def shown(view: View) -> list[str]:
    return [row.name[:6] for row in view.visible(rows())]


@pytest.mark.parametrize(
    ("sorting", "names"),
    [
        ("name", ["[bold]", "COS1", "db", "defaul", "mail", "web"]),
        ("occupancy", ["db", "web", "defaul", "[bold]", "COS1", "mail"]),
        ("fill", ["web", "defaul", "db", "[bold]", "COS1", "mail"]),
        ("total", ["web", "db", "defaul", "[bold]", "mail", "COS1"]),
        ("local", ["web", "db", "defaul", "[bold]", "mail", "COS1"]),
        ("state", ["db", "web", "[bold]", "defaul", "COS1", "mail"]),
    ],
)
def test_rows_are_sorted(sorting: str, names: list[str]) -> None:
    assert shown(View(sorting=sorting)) == names  # type: ignore[arg-type]
    assert shown(View(sorting=sorting, backwards=True)) == names[::-1]  # type: ignore[arg-type]


def test_every_order_has_a_case() -> None:
    for sorting in SORTINGS:
        assert len(View(sorting=sorting).visible(rows())) == 6


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("WEB", ["web"]),
        ("vcpus_0-1", ["web"]),
        ("mon_groups", ["db", "web", "defaul"]),
        ("pqos", ["COS1"]),
        ("libvirt", ["mail"]),
        ("cadvisor", ["defaul"]),
        ("[bold]", ["[bold]"]),
        (".*", []),
    ],
)
def test_a_filter_is_a_part_of_a_name_an_owner_or_a_path(pattern: str, names: list[str]) -> None:
    assert shown(View(pattern=pattern)) == names


def test_rows_are_unfolded_one_by_one_or_all_at_once() -> None:
    view = View(sorting="name", pattern="web")
    assert shown(view) == ["web"]
    web = view.visible(rows())[0]
    assert shown(view.toggled(web)) == ["web", "vCPUs "]
    assert shown(view.toggled(web).toggled(web)) == ["web"]
    everything = replace(view, unfold_all=True)
    assert shown(everything) == ["web", "vCPUs ", "mon vC", "L3 0", "L3 1", "L3 0", "L3 1"]
    assert shown(everything.toggled(web)) == ["web"]


def test_a_row_without_rows_is_never_unfolded() -> None:
    view = View(unfold_all=True)
    cache = view.visible(rows())[-1]
    assert (cache.kind, view.is_unfolded(cache)) == ("cache", False)
