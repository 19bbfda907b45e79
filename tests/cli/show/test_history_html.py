"""The page of a history: all names are hostile, it stays small, and it needs nothing from elsewhere."""

import re
from datetime import UTC, datetime

import pytest
from lxml import html
from msgspec.structs import replace

from cachetune.apply.state.change_log import Change, ChangedGuest, User
from cachetune.cbm import Cbm
from cachetune.cli.show.history_html import MOST_CHARTED, history_html, way_map
from cachetune.cli.show.history_text import columns
from cachetune.errors import MissingExtraError
from cachetune.extras import how_to_install
from cachetune.service.history_report import SPANS, CacheCourse, Course, HistoryReport, Period, Tenant
from cachetune.watch.ranking import rank
from cachetune.watch.usage import Cache, Moment, Usage
from tests.watch.moments import NOON

HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "{{ 7 * 7 }}{% raw %}",
    "]]>--><!--",
    "evil\u202egpj.\x1b[31m\x00\x07",
    "אבג\u2067",
    "\udcff",
    "&amp;&#x3c;b&#x3e;",
)
GIB = float(1 << 30)


def a_course(spans: int) -> Course:
    values = tuple(GIB / (k % 7 + 1) for k in range(spans))
    return Course(values, GIB / 2, GIB, values[-1])


def a_report(names: tuple[str, ...], spans: int = 10, changes: int = 0) -> HistoryReport:
    course = a_course(spans)
    tenants = tuple(
        Tenant(name, name, cache_id, True, Cbm(3), course, course, course, course)
        for name in names
        for cache_id in (0, 1)
    )
    owners = tuple((name, Cbm(1 << k % 12)) for k, name in enumerate(names))
    free = Course((3.0,) * spans, 3.0, 3.0, 3.0)
    caches = tuple(CacheCourse(Cache(i, 36 << 20, 12), owners, free) for i in (0, 1))
    period = Period(NOON, NOON + 600, spans, 600, 600, 0.0, ((NOON + 100, NOON + 110),))
    made = tuple(_change(k, names[k % len(names)]) for k in range(changes))
    return HistoryReport(period=period, caches=caches, tenants=tenants, changes=made, findings=names)


def _change(number: int, name: str) -> Change:
    return Change(
        time=datetime.fromtimestamp(NOON + number, UTC),
        boot_id="",
        run_id="",
        program=name,
        user=User(uid=0, sudo_user=name),
        resctrl="",
        outcome="done",
        guests=(ChangedGuest(name, name),),
        plan=name,
        error=name,
    )


def test_hostile_names_are_text_and_nothing_else() -> None:
    page = history_html(a_report(HOSTILE, changes=8), f"{HOSTILE[0]}.db").decode()
    tree = html.fromstring(page)
    assert {element.tag for element in tree.iter() if isinstance(element.tag, str)} <= {
        *(
            "html",
            "head",
            "meta",
            "link",
            "title",
            "style",
            "body",
            "header",
            "main",
            "section",
            "article",
            "div",
            "figure",
        ),
        *(
            "figcaption",
            "h1",
            "h2",
            "h3",
            "p",
            "ul",
            "li",
            "b",
            "bdi",
            "span",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
        ),
        *("svg", "defs", "pattern", "g", "path", "rect", "text", "use"),
    }
    assert not [name for element in tree.iter() for name in element.attrib if name.startswith("on")]
    assert len([*tree.iter("html", "body")]) == 2
    cells = [cell.text_content() for cell in tree.iterfind(".//tbody//td[@class='name']/bdi")]
    assert cells[0] == HOSTILE[0]
    assert "{{ 7 * 7 }}{% raw %}" in cells
    assert "evil\\u202egpj.\\x1b[31m\\x00\\x07" in cells
    assert "אבג\\u2067" in cells
    assert "\\udcff" in cells
    assert "&amp;&#x3c;b&#x3e;" in cells
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08\x0b-\x1f]", page)


def test_every_name_stands_where_its_direction_changes_nothing_around_it() -> None:
    tree = html.fromstring(history_html(a_report(HOSTILE, changes=8), "history.db").decode())
    around = {text.getparent().tag for text in tree.xpath("//body//text()[contains(., 'אבג')]")}
    assert around == {"bdi"}


def test_it_loads_nothing() -> None:
    page = history_html(a_report(("web",), changes=2), "history.db").decode()
    assert not re.search(r"https?:|//|url\((?!#)|@import|<script|<iframe|srcset|<object|<embed", page)
    links = {value for _, name, value, _ in html.fromstring(page).iterlinks() if name != "fill"}
    assert {link for link in links if not link.startswith("#")} == {"data:,"}
    assert "default-src 'none'" in page


def test_who_takes_from_others_stands_first_with_the_evidence() -> None:
    found = replace(a_report(("web",)), ranking=rank(scene(HOSTILE[0])))
    tree = html.fromstring(history_html(found, "history.db").decode())
    (section,) = (each for each in tree.iterfind(".//section") if each.get("aria-labelledby") == "noisy")
    assert section.findtext(".//li/bdi").startswith(f"{HOSTILE[0]} takes from web: about ")
    rows = [[cell.text_content() for cell in row] for row in section.iterfind(".//tbody/tr")]
    assert [row[0] for row in rows] == [HOSTILE[0], "web"]
    assert [row[3] for row in rows] == ["15 MiB", "2.5 MiB"]


def scene(aggressor: str) -> list[Moment]:
    """A guest that streams through the ways that web has, too."""
    rates = {aggressor: (15 << 20, 4e9), "web": (5 << 19, 3e8)}
    usages = tuple(
        Usage(name, name, "control", 0, Cbm(0x3F), occupancy, rate, rate) for name, (occupancy, rate) in rates.items()
    )
    return [Moment(NOON + k, (Cache(0, 36 << 20, 12),), usages) for k in range(30)]


def test_with_very_many_guests_it_stays_below_two_megabytes_and_the_table_has_all() -> None:
    names = tuple(f"guest-with-a-long-name-{k:03}" for k in range(200))
    page = history_html(a_report(names, SPANS, 1000), "history.db")
    assert len(page) < 2_000_000
    tree = html.fromstring(page.decode())
    assert len(tree.findall(".//article")) == MOST_CHARTED
    assert len(tree.findall(".//section[2]//ul")) == 2
    assert sum(1 for _ in tree.iterfind(".//tbody/tr")) == 400 + 200
    assert f"{200 - MOST_CHARTED} more, with less bandwidth, are in the table only." in page.decode()
    assert "800 earlier changes are left out." in page.decode()


def test_the_map_has_a_letter_for_each_owner() -> None:
    course = CacheCourse(
        Cache(1, 36 << 20, 12), (("web", Cbm(0b111)), (".", Cbm(0b1111000)), ("db", Cbm(0b100))), a_course(1)
    )
    found = way_map(course)
    assert (found.title, found.ways) == ("L3 cache 1: 12 ways of 3 MiB", ".....dddd#AA")
    assert found.key == (("d", "the default group", "4 ways"), ("A", "web", "3 ways"), ("B", "db", "1 way"))


def test_without_allocation_there_is_no_map_and_no_free_way() -> None:
    report = a_report(("web",))
    bare = tuple(replace(each, cache=Cache(each.cache.id, None, 0), owners=()) for each in report.caches)
    tenants = tuple(
        replace(each, ways=None, allotted=Course((None,) * 10, None, None, None)) for each in report.tenants
    )
    tree = html.fromstring(history_html(replace(report, caches=bare, tenants=tenants), "history.db").decode())
    titles = [title.text_content() for title in tree.iterfind(".//h2")]
    assert titles == ["Findings", "Guests and groups", "Use over time", "Changes"]


def test_without_jinja2_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match="requires the Python package jinja2") as missing:
        history_html(a_report(("web",)), "history.db")
    assert missing.value.hint == how_to_install("report", "jinja2")


def test_a_course_is_a_row_of_columns() -> None:
    assert columns(Course((0.0, 3.5, 7.0, None), None, 7.0, None)) == "▁▅█ "
    assert columns(Course((1.0, 3.0, 8.0, 8.0), None, 8.0, None), None, 2) == "▃█"
    assert columns(Course((0.0, None), None, 0.0, None)) == "▁ "
    assert columns(Course((9.0,), None, 9.0, None), 3.0) == "█"
