"""The page of ``report`` in a real browser: quiet, alone, readable, with the numbers of the database."""

import os
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachetune.units import about
from cachetune.watch.history import History, Recorder
from cachetune.watch.usage import Moment
from tests.cli.chromium import Page, chromium
from tests.cli.show.test_history_html import HOSTILE
from tests.sim.fuse.mounted import run
from tests.watch.moments import moments

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("report in chromium")]  # one browser

WIDTHS = (400, 1400)
SCHEMES = ("light", "dark")
SHOTS = os.environ.get("CACHETUNE_SHOTS")
"""A directory for pictures of the page, for people."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a history and the page of it."""
    directory = tmp_path_factory.mktemp("report")
    with Recorder(directory / "history.db") as recorder:
        for moment in moments(600):
            recorder.add(moment)
    done = run(
        *("report", "--since", "@0", "--until", "@3e9", "--db", directory / "history.db", "--run", directory),
        *("-o", directory / "report.html", "--resctrl", directory / "none"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    return directory


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("chromium")) as page:
        yield page


@pytest.fixture
def page(browser: Page, made: Path) -> Page:
    browser.requests.clear()
    browser.messages.clear()
    browser.show_as(1400, "light")
    browser.open((made / "report.html").as_uri())
    return browser


def test_a_page_that_is_not_alone_or_not_quiet_is_noticed(browser: Page, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text("<img src='http://127.0.0.1:9/x.png'><script>console.error('no'); undefined_function()</script>")
    browser.requests.clear()
    browser.messages.clear()
    browser.open(bad.as_uri())
    assert "http://127.0.0.1:9/x.png" in browser.requests
    assert any('"no"' in message for message in browser.messages)
    assert any("undefined_function" in message for message in browser.messages)


def test_no_request_leaves_it_and_the_console_is_empty(page: Page, made: Path) -> None:
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    assert {url for url in page.requests if not url.startswith("data:")} == {(made / "report.html").as_uri()}
    assert page.messages == []


def test_hostile_names_run_nothing(browser: Page, tmp_path: Path) -> None:
    from cachetune.cli.show.history_html import history_html
    from tests.cli.show.test_history_html import a_report

    (tmp_path / "hostile.html").write_bytes(history_html(a_report(HOSTILE, changes=8), HOSTILE[1]))
    browser.requests.clear()
    browser.messages.clear()
    browser.open((tmp_path / "hostile.html").as_uri())
    assert browser.messages == []
    assert {url for url in browser.requests if not url.startswith("data:")} == {(tmp_path / "hostile.html").as_uri()}
    assert browser.evaluate("document.querySelectorAll('script, img').length") == 0
    assert browser.evaluate("document.querySelector('td.name').innerText") == HOSTILE[0]


def test_the_numbers_are_those_of_the_database(page: Page, made: Path) -> None:
    with History(made / "history.db") as history:
        recorded = [*history.moments()]
    cells = "[...row.cells].map(cell => cell.innerText.trim())"
    rows = f"[...document.querySelectorAll('section:nth-of-type(3) tbody tr')].map(row => {cells})"
    shown = {(row[0], int(row[1])): row[2:] for row in page.evaluate(rows)}
    assert shown == {
        (f"guest-{guest}", cache): numbers_of(recorded, guest, cache) for guest in range(3) for cache in (0, 1)
    }


def numbers_of(recorded: list[Moment], guest: int, cache: int) -> list[str]:
    usages = [u for m in recorded for u in m.usages if (u.guest, u.cache_id) == (f"guest-{guest}", cache)]
    occupancy = [u.occupancy_bytes or 0 for u in usages]
    total = [u.total_bytes_per_second or 0.0 for u in usages]
    local = [u.local_bytes_per_second or 0.0 for u in usages]
    sizes = (6 << 20, occupancy[-1], statistics.fmean(occupancy), max(occupancy))
    allotted, last, mean, highest = (about(round(size)) for size in sizes)
    rates = [f"{about(round(rate))}/s" for rate in (statistics.fmean(total), max(total), statistics.fmean(local))]
    return ["2", allotted, f"{occupancy[-1] / (6 << 20):.0%}", last, mean, highest, *rates]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_and_its_text_stands_out(width: int, scheme: str, page: Page) -> None:
    page.show_as(width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("Math.min(...[...document.querySelectorAll('article svg')].map(s => s.clientWidth))") > 280
    for selector in ("body", ".dim", "th", "article h3", "figcaption .dim", ".ways span"):
        assert contrast(page, selector) >= 4.5, selector
    if SHOTS:
        (Path(SHOTS) / f"report-{width}-{scheme}.png").write_bytes(page.picture())


def test_in_print_it_is_dark_on_white(page: Page) -> None:
    page.show_as(800, "dark", "print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert contrast(page, ".dim") >= 7


def test_every_chart_says_in_words_what_it_shows(page: Page) -> None:
    labels = page.evaluate("[...document.querySelectorAll('figure svg')].map(s => s.getAttribute('aria-label'))")
    assert len(labels) == 2 + 3 * 2 * 2
    assert all(": " in label and "unknown" not in label for label in labels)


def contrast(page: Page, selector: str) -> float:
    """The contrast of an element's text with what is behind it. Source: WCAG 2.1, 1.4.3."""
    script = """(() => {
        let node = document.querySelector('%s'), color = getComputedStyle(node).color
        while (node && getComputedStyle(node).backgroundColor === 'rgba(0, 0, 0, 0)') node = node.parentElement
        return [color, getComputedStyle(node).backgroundColor].map(c => c.match(/[0-9.]+/g).slice(0, 3).map(Number))
    })()""".replace("%s", selector)
    one, other = sorted(map(luminance, page.evaluate(script)))
    return (other + 0.05) / (one + 0.05)


def luminance(color: list[float]) -> float:
    parts = [c / 255 / 12.92 if c / 255 <= 0.03928 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color]
    return sum(part * weight for part, weight in zip(parts, (0.2126, 0.7152, 0.0722), strict=True))
