"""The lines of a frame: what they say, how wide they are, and what hostile names do to them."""

import random
import re
import time
import unicodedata
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.cells import cell_len

from cachetune.cli.top.frame import detail, title
from cachetune.cli.top.model import REQUESTS, STATES
from cachetune.cli.top.rows import rows_of
from cachetune.cli.top.session import Session
from cachetune.cli.top.summary import summary_of
from cachetune.cli.top.view import ORDERS, Order, View
from cachetune.picture import FILLED, bar
from cachetune.service.looks import Look
from tests.cli.top import screens
from tests.cli.top.scenes import (
    COS,
    DB,
    HOSTILE,
    MAIL,
    REFUSED,
    WAY,
    every_state,
    host,
    look,
    reading,
    with_requests,
)

ROOT = Path(__file__).parents[3]
WIDTHS = [80, 100, 120, 132, 160, 200, 300]


def session(*looks: Look) -> Session:
    made = Session(looks[0], 100.0)
    for n, each in enumerate(looks[1:], 101):
        made.add(each, n, 1.0)
    return made


def frame(view: View, width: int, *looks: Look) -> list[str]:
    return screens.plain(list(session(*looks or (every_state(),)).frame(view, width, ["12:00:00"])))


@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize(
    ("name", "view"),
    [("once", View()), ("unfolded", View(unfold_all=True, order="name")), ("per-cache", View(per_cache=True))],
)
def test_a_frame_looks_as_it_did(name: str, view: View, width: int) -> None:
    screens.check(f"{name}-{width}", frame(view, width))


@pytest.mark.parametrize("width", [80, 120])
def test_a_frame_with_requests_looks_as_it_did(width: int) -> None:
    screens.check(f"requests-{width}", frame(View(order="state"), width, with_requests()))


def row_of(name: str, width: int) -> str:
    return next(line for line in frame(View(), width, with_requests()) if f" {name} " in line)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_guest_without_groups_is_a_row_that_says_so_and_has_no_number(width: int) -> None:
    for name, state in (("batch", "no request"), ("new", "drifted"), ("big", "refused"), ("process 17", "unknown")):
        words = row_of(name, width).split(name)[1].split()
        assert words[:2] == ["no", "groups"]
        assert set(words[2:5]) == {"-"}
        assert " ".join(words[5:]) == state


@pytest.mark.parametrize("width", WIDTHS)
def test_what_a_guest_lacks_of_its_request_comes_before_what_it_uses(width: int) -> None:
    words = row_of("mail", width).split()
    assert words[-1] == "drifted" if width < 100 else words[-2:] == ["drifted,", "idle"]


def test_the_detail_of_a_row_says_why_it_differs_from_its_request() -> None:
    seen = with_requests()
    rows = {row.name[:7]: row for row in rows_of(seen.seen.host, seen.seen.readings.monitors, seen.guests)}
    assert detail(rows["mail"], 200).plain.startswith(f"{MAIL}; drifted: 2 tasks to move; idle; ")
    here = "no groups; runs in the default group"
    assert detail(rows["new"], 200).plain == f"{here}; drifted: 1 group to create, 4 tasks to move"
    assert detail(rows["big"], 200).plain == f"{here}; refused: {REFUSED.why[0]}"
    assert detail(rows["batch"], 200).plain == f"{here}; no request"
    assert detail(rows["process"], 200).plain == f"no groups; runs in {COS}; its request is not known"
    assert "invalid: [red]line 3\\x1b[2J; " in detail(rows["[bold]e"], 200).plain


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("per_cache", [False, True])
def test_every_line_of_the_table_is_as_wide_as_the_others_and_fits(width: int, *, per_cache: bool) -> None:
    table = session(with_requests()).table(View(per_cache=per_cache, unfold_all=True), width)
    widths = {cell_len(line.plain) for line in (table.header, *table.lines)}
    assert len(widths) == 1
    assert widths.pop() <= width
    assert max(map(cell_len, frame(View(per_cache=per_cache, unfold_all=True), width))) <= width


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("order", ORDERS)
def test_no_header_is_cut_also_that_of_the_column_that_sorts(width: int, order: Order) -> None:
    assert "…" not in session(every_state()).table(View(order=order), width).header.plain


@pytest.mark.parametrize("width", WIDTHS)
def test_no_number_is_cut(width: int) -> None:
    of = host({"cachetune-big-vcpus_0": (0x7FF, 0x7FF)})
    big = [999_999.94, 99_999.94]
    seen = look(of, [reading(of, "cachetune-big-vcpus_0", (40 * WAY, *big), (WAY, *big), guest="big")])
    line = next(line for line in frame(View(), width, seen) if "big" in line)
    for number in ("92.2/49.5", "2000000", "200000"):
        assert number in line


def test_a_hostile_name_is_escaped_and_takes_its_columns_and_no_more() -> None:
    for width in WIDTHS:
        (line,) = (line for line in frame(View(pattern="[bold]"), width) if "evil" in line)
        assert "[bold]evil" in line
        assert all(unicodedata.category(c) not in {"Cc", "Cf"} for c in line)
        assert cell_len(line.rstrip()) <= width


def test_a_name_of_combining_characters_cannot_make_a_line_long() -> None:
    of = host({"cachetune-z-vcpus_0": (1, 1)})
    name = "z" + "\u0301" * 100_000
    seen = look(of, [reading(of, "cachetune-z-vcpus_0", (0, 0, 0), (0, 0, 0), guest=name)])
    assert max(map(len, frame(View(), 80, seen))) < 500
    assert max(map(cell_len, frame(View(), 80, seen))) <= 80


def test_names_of_any_characters_leave_the_columns_in_place() -> None:
    of = host({"cachetune-z-vcpus_0": (1, 1)})
    drawn = random.Random(11)  # noqa: S311 - to test with
    for _ in range(200):
        name = "".join(chr(drawn.randrange(0x110000)) for _ in range(drawn.randrange(1, 60)))
        name = name.encode("utf-8", "replace").decode()
        seen = look(of, [reading(of, "cachetune-z-vcpus_0", (WAY, 5.0, 5.0), (0, 0, 0), guest=name)])
        table = session(seen).table(View(), 80)
        assert cell_len(table.lines[0].plain) == cell_len(table.header.plain), ascii(name)


def test_markup_in_names_and_filters_is_text() -> None:
    assert HOSTILE.startswith("[bold]")
    assert "no guest or group matches '[red]'" in frame(View(pattern="[red]"), 80)


@pytest.mark.parametrize("path", ["/sys/fs/resctrl", "/" + "長" * 300, "/tmp/" + "x" * 300 + "/resctrl"])  # noqa: S108
def test_a_long_path_leaves_room_for_the_time_and_whether_it_is_paused(path: str) -> None:
    seen = every_state()
    summary = replace(summary_of(seen.usage, is_live=True), source=path)
    first = title(summary, ["every 1 s", "12:00:00", "PAUSED"], 80).plain
    assert first.endswith("  every 1 s  12:00:00  PAUSED")
    assert cell_len(first) <= 80
    assert path[-4:] in first


def test_without_color_every_state_is_a_word() -> None:
    states = {line[67:].strip() for line in frame(View(), 80)[5:-2]}
    assert states == {"over L3 0", "full L3 0", "Unavailable", "in use", "idle"}


def test_why_there_is_no_counter_is_said_in_full_where_there_is_room() -> None:
    assert any("no counter: llc_occupancy is Unavailable" in line for line in frame(View(), 200))


@pytest.mark.parametrize(
    ("fill", "filled"), [(0, 0), (0.001, 1), (0.5, 5), (0.94, 9), (0.9499, 9), (0.95, 10), (1, 10), (7, 10)]
)
def test_a_bar_is_full_only_if_the_row_is_and_empty_only_if_it_is(fill: float, filled: int) -> None:
    assert bar(fill, 10).count(FILLED) == filled
    assert len(bar(fill, 10)) == 10


def test_the_detail_of_a_row_says_what_its_columns_cannot() -> None:
    seen = every_state().seen
    rows = {row.name[:6]: row for row in rows_of(seen.host, seen.readings.monitors)}
    assert detail(rows["db"], 200).plain == (
        "mon_groups/cachetune-db-vcpus_1 and 1 more group; over L3 0; 44% of what its ways hold; "
        "* bandwidth without groups that have no counter"
    )
    assert detail(rows["COS1"], 200).plain == "COS1; idle; 2% of what its ways hold; made by pqos"
    cache = rows["db"].rows[1].rows[0]
    assert detail(cache, 200).plain == f"{DB}; over; 150% of what its ways hold; ways 18 of L3 0"


def test_two_hundred_guests_are_drawn_within_the_time_of_a_look() -> None:
    """On an idle machine it takes a twentieth of this."""
    of = host({"cachetune-g-vcpus_0": ()})
    seen = look(of, [reading(of, "cachetune-g-vcpus_0", (1, 1, 1), (1, 1, 1), guest=f"g{n}") for n in range(200)])
    began = time.process_time()
    session(seen).table(View(), 200)
    assert time.process_time() - began < 2


def test_the_page_shows_a_frame_as_it_is_printed() -> None:
    page = (ROOT / "docs" / "how-to" / "top.md").read_text()
    frame_ = (screens.DIRECTORY / "once-80.txt").read_text().replace("sim:skylake-2s", "/sys/fs/resctrl")
    assert frame_.replace("[bold]evil[/]\\x…", "app" + " " * 13) in page
    requests = (screens.DIRECTORY / "requests-80.txt").read_text().splitlines(keepends=True)
    assert "".join(line for line in requests if " mail " in line or " batch " in line) in page


def test_the_page_lists_the_states_and_the_orders() -> None:
    page = (ROOT / "docs" / "how-to" / "top.md").read_text()
    listed = re.findall(r"^\| `([a-z ]+)` \| ", page.partition("## States")[2].partition("## What")[0], re.MULTILINE)
    assert listed == [*REQUESTS[:3], *(state for state in STATES if state), "no request"]
    assert ", ".join(ORDERS) in page
