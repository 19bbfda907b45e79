"""A missing extra names the command that installs it where cachetune runs, and needs no index that has cachetune."""

import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachetune import extras
from cachetune.errors import MissingExtraError
from cachetune.extras import how_to_install

LIBRARY = "textual<9,>=8.2"


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The metadata of an installed wheel, which tests/test_wheel.py has in full."""
    lines = ["click>=8.1", f"{LIBRARY}; extra == 'all'", f"{LIBRARY}; extra == 'top'", "mfusepy>=3.0; extra == 'sim'"]
    monkeypatch.setattr(extras.importlib.metadata, "requires", lambda _: lines)
    how_to_install.cache_clear()
    yield
    how_to_install.cache_clear()


def environment(monkeypatch: pytest.MonkeyPatch, prefix: Path | str, base: Path | str = "/usr") -> None:
    monkeypatch.setattr(sys, "prefix", str(prefix))
    monkeypatch.setattr(sys, "base_prefix", str(base))
    monkeypatch.setattr(sys, "executable", f"{prefix}/bin/python3")


def test_in_a_virtual_environment_it_is_its_own_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, "/opt/my tools")
    assert how_to_install("top", "textual") == f"run: '/opt/my tools/bin/python3' -m pip install '{LIBRARY}'"


def test_debians_python_must_be_persuaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, "/usr")
    (tmp_path / "EXTERNALLY-MANAGED").write_text("")
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    assert (
        how_to_install("top", "textual") == f"run: /usr/bin/python3 -m pip install --break-system-packages '{LIBRARY}'"
    )


@pytest.mark.parametrize(
    ("home", "command"), [(".local/share/pipx", "pipx"), ("opt/pipx", "PIPX_HOME={0}/opt/pipx pipx")]
)
def test_pipx_injects_into_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str, command: str
) -> None:
    prefix = tmp_path / home / "venvs" / "cachetune"
    prefix.mkdir(parents=True)
    (prefix / "pipx_metadata.json").write_text("{}")
    environment(monkeypatch, prefix)
    assert how_to_install("top", "textual") == f"run: {command.format(tmp_path)} inject cachetune '{LIBRARY}'"


def test_an_environment_without_pip_is_uvs(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, "/opt/cachetune")
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda _: None)
    command = f"run: uv pip install --python /opt/cachetune/bin/python3 '{LIBRARY}'"
    assert how_to_install("top", "textual") == command


def test_the_debian_package_lacks_only_libvirts_binding_and_the_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, "/usr/lib/cachetune")
    assert how_to_install("libvirt", "libvirt-python") == "run: apt-get install python3-libvirt"
    assert how_to_install("top", "textual") == "run: apt-get install --reinstall cachetune"
    pip = "/usr/bin/python3 -m pip --python /usr/lib/cachetune/bin/python3 install"
    assert how_to_install("fleet", "ortools") == f"run: {pip} ortools"


def test_without_metadata_it_is_the_package_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> list[str]:
        raise extras.importlib.metadata.PackageNotFoundError(name)

    environment(monkeypatch, "/opt/cachetune")
    monkeypatch.setattr(extras.importlib.metadata, "requires", missing)
    assert how_to_install("top", "textual") == "run: /opt/cachetune/bin/python3 -m pip install textual"


def test_what_is_compiled_says_what_that_needs() -> None:
    assert "libvirt-dev" in MissingExtraError("libvirt", "libvirt-python", "source libvirt").hint
