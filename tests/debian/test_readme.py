"""The README's other ways to install, in a fresh root of Debian 12, whose Python is externally managed."""

from pathlib import Path

import pytest

from cachetune import __version__
from tests.debian.conftest import README, Fresh, lines_of_readme
from tests.debian.root import Root

pytestmark = [pytest.mark.install, pytest.mark.xdist_group("debian-12")]  # it shares their first root


@pytest.fixture(scope="module")
def minimal(checkout: Path, fresh: Fresh) -> Root:
    root = fresh("12")
    root.add(checkout, "/root")
    return root


def test_a_virtual_environment_in_opt(minimal: Root) -> None:
    minimal.install("python3-venv")
    for line in lines_of_readme("python3 -m venv"):
        minimal.sh(f"cd /root/cachetune && {line}")
    assert minimal.run("cachetune", "--version") == f"cachetune {__version__}\n"
    assert "L3 0" in minimal.run("cachetune", "demo")
    minimal.run("cachetune-hook", "web", "start", "begin", "-")


def test_pipx(minimal: Root) -> None:
    line = "pipx install '.[all]'"
    assert f"`{line}`" in README
    minimal.install("pipx")
    minimal.sh(f"cd /root/cachetune && {line}")
    assert minimal.run("/root/.local/bin/cachetune", "--version") == f"cachetune {__version__}\n"
    minimal.run("/root/.local/bin/cachetune-hook", "web", "start", "begin", "-")
