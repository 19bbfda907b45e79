"""Write all pages below a directory: man1, man5, man8.

    python -m cachetune.cli.manual.write DIR DOCS

DOCS is the directory of the manual, which has the prose. The date of the pages is that of SOURCE_DATE_EPOCH, if a
package is built, else today.
"""

import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from cachetune import __version__
from cachetune.cli.manual import roff
from cachetune.cli.manual.prose import prose_body
from cachetune.cli.manual.verbs import Page, verb_pages


class _Prose(NamedTuple):
    name: str
    section: int
    summary: str
    see_also: str


PROSE = {
    "reference/tuning-file.md": _Prose(
        "cachetune-tuning",
        5,
        "what a guest should have of cache and memory bandwidth",
        "cachetune(1), cachetune-validate(1), cachetune-apply(1), cachetune-agent(8), cachetune-host.toml(5)",
    ),
    "reference/host-policy.md": _Prose(
        "cachetune-host.toml",
        5,
        "what plans leave to the default group of a host",
        "cachetune(1), cachetune-default(1), cachetune-plan(1), cachetune-agent(8), cachetune-tuning(5)",
    ),
    "reference/hook-program.md": _Prose(
        "cachetune-hook",
        8,
        "check and place libvirt guests at their start",
        "cachetune(1), cachetune-install(1), cachetune-agent(8), cachetune-tuning(5), cachetune-host.toml(5)",
    ),
}
"""The pages of prose, by their file below DOCS."""


def pages(docs: Path) -> Iterator[Page]:
    """All pages. Raises OSError for prose that cannot be read."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    date = f"{datetime.fromtimestamp(int(seconds), UTC) if seconds else datetime.now(UTC):%Y-%m-%d}"
    yield from verb_pages(date, __version__)
    for file, about in PROSE.items():
        body = [
            roff.section("Name"),
            f"{roff.code(about.name)} \\- {roff.prose(about.summary)}",
            *prose_body((docs / file).read_text("utf-8")),
            roff.section("See also"),
            *roff.lines(roff.prose(about.see_also)),
        ]
        yield Page(about.name, about.section, roff.page(about.name, about.section, date, __version__, body))


def main(directory: Path, docs: Path) -> None:
    """Write the pages. Raises OSError."""
    for page in pages(docs):
        path = directory / f"man{page.section}" / f"{page.name}.{page.section}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page.text, "utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
