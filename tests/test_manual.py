"""The manual in a real browser, on a wide and on a narrow screen: alone, quiet, and no wider than the screen."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.chromium import Page, chromium, need_chromium

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
WIDTHS = (400, 1280)
# Code and tables may scroll within the page; the page itself must not.
TOO_WIDE = """
[...document.querySelectorAll("article *")]
    .filter(found => found.getBoundingClientRect().right > innerWidth && !found.closest("pre, .md-typeset__scrollwrap"))
    .map(found => found.outerHTML.slice(0, 200))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as ``make docs`` does."""
    need_chromium()
    directory = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", directory]
    subprocess.run(words, cwd=ROOT, env={"NO_MKDOCS_2_WARNING": "1", "PATH": "/usr/bin:/bin"}, check=True)
    return directory


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("chromium")) as page:
        yield page


@pytest.mark.parametrize("every", [6, pytest.param(1, marks=pytest.mark.soak)])
def test_each_page_is_alone_quiet_and_as_wide_as_the_screen(every: int, browser: Page, site: Path) -> None:
    pages = sorted({*site.rglob("*.html")} - {site / "404.html"})  # that one is for servers
    assert len(pages) > 100
    pages = [site / "index.html", *pages[::every]]
    faults = {}
    for page in pages:
        browser.requests.clear()
        browser.messages.clear()
        browser.open(page.as_uri())
        found = [url for url in browser.requests if not url.startswith(("data:", "blob:", site.as_uri()))]
        for width in WIDTHS:
            browser.show_as(width, "light")
            found += browser.evaluate(TOO_WIDE)
        if found or browser.messages:
            faults[str(page.relative_to(site))] = (found, browser.messages)
    assert faults == {}
