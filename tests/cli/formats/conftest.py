"""The working directory of these tests is a new checkout."""

from pathlib import Path

import pytest

from tests.cli.formats.runs import BAD, GOOD, OTHER, WARNED


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one file of each kind in domains/, as the working directory."""
    for name in ("GITHUB_WORKSPACE", "CI_PROJECT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    for name, text in {"bad": BAD, "good": GOOD, "network": OTHER, "warned": WARNED}.items():
        path = tmp_path / "domains" / f"{name}.xml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path
