"""debian/ follows the project."""

from pathlib import Path

from cachetune import __version__

CHANGELOG = Path(__file__).parents[2] / "debian" / "changelog"


def test_the_changelog_of_the_package_is_about_this_version() -> None:
    assert CHANGELOG.read_text().startswith(f"cachetune ({__version__}-")
