"""Roots of Debian 12 and 13, with the package as the README installs it."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.debian.root import PYTHONS, WHEELS, Root, mmdebstrap
from tests.missing import skip_without

CHECKOUT = Path(__file__).parents[2]
README = (CHECKOUT / "README.md").read_text()
Fresh = Callable[[str], Root]
_GENERATED = (".git", ".venv", "build", "dist", "__pycache__", ".*_cache", ".hypothesis")


class Installed(NamedTuple):
    """The package in a root: its file there, and the files of the root before it was installed."""

    release: str
    root: Root
    deb: str
    before: set[str]


def lines_of_readme(start: str) -> list[str]:
    """The block of commands in the section Install that begins with ``start``."""
    section = README[README.index("## Install") :].partition("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return next(block for block in blocks if block.startswith(start)).splitlines()


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, without what is generated."""
    copy = tmp_path_factory.mktemp("sources") / "cachetune"
    return shutil.copytree(CHECKOUT, copy, ignore=shutil.ignore_patterns(*_GENERATED), symlinks=True)


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    """A function that makes a minimal root of a release; all but the first are copies, which take less time."""
    made: dict[str, Root] = {}

    def root_of(release: str) -> Root:
        if release not in made:
            made[release] = _made(release, tmp_path_factory)
        return made[release].copy(tmp_path_factory.mktemp(f"debian-{release}") / "root")

    return root_of


def _made(release: str, tmp_path_factory: pytest.TempPathFactory) -> Root:
    """A minimal root, with the libraries that pip is to find there, for roots may not know the way to PyPI."""
    if os.getuid() != 0 or not shutil.which("mmdebstrap"):
        skip_without("root and mmdebstrap are required")
    try:
        root = mmdebstrap(release, tmp_path_factory.mktemp(f"debian-{release}"))
    except subprocess.CalledProcessError as error:
        skip_without(f"mmdebstrap cannot make Debian {release}: {error.stderr[-2000:].decode()}")
    wheels = [".[all]", "hatchling", "pip", "setuptools", "wheel"]
    options = ["-c", "constraints.txt", "--python-version", PYTHONS[release], "--only-binary", ":all:"]
    command = [sys.executable, "-m", "pip", "download", "-q", "-d", f"{root.directory}{WHEELS}", *options, *wheels]
    subprocess.run(command, cwd=CHECKOUT, check=True)
    return root


def built(release: str, root: Root, checkout: Path, command: str) -> str:
    """The package, in the root: built there, or on this machine if it runs that release, which is faster."""
    here = f'VERSION_ID="{release}"' in Path("/etc/os-release").read_text() and shutil.which("dh")
    if here:
        wheels = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": f"{root.directory}{WHEELS}"}
        subprocess.run(command, cwd=checkout, env={**os.environ, **wheels}, shell=True, check=True)  # noqa: S602
    root.add(checkout, "/root")
    if not here:
        root.install("make", "python3")
        root.sh(f"cd /root/cachetune && {command}")
    (package,) = (root.directory / "root" / "cachetune" / "dist").glob("cachetune_*.deb")
    return f"/root/cachetune/dist/{package.name}"


@pytest.fixture(
    scope="session", params=[pytest.param(r, marks=pytest.mark.xdist_group(f"debian-{r}")) for r in PYTHONS]
)
def installed(request: pytest.FixtureRequest, checkout: Path, fresh: Fresh) -> Installed:
    """The package, built and installed with the README's lines. Do not change the root: copy it."""
    release: str = request.param
    build, install = lines_of_readme("make deb")
    root = fresh(release)
    deb = built(release, root, checkout, build)
    root.install("man-db", "procps", "systemd", f"python{PYTHONS[release]}")
    before = root.files()
    root.sh(f"cd /root/cachetune && {install.replace(' install', ' install -qy --no-install-recommends')}")
    return Installed(release, root, deb, before)
