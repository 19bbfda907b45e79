"""How to install what an extra of cachetune needs, in the environment that cachetune runs in.

The requirements come from the metadata of the installed package, so no index needs to have cachetune itself.
"""

import importlib.metadata
import importlib.util
import re
import shlex
import sys
import sysconfig
from functools import lru_cache
from pathlib import Path

_DEBIAN = "/usr/lib/cachetune"
_DEBIAN_NAMES = {"libvirt-python": "python3-libvirt"}
_NOT_IN_DEBIAN = {"ortools"}
_COMPILED = {"libvirt-python": " (it is compiled: needs gcc, pkgconf, libvirt-dev and python3-dev)"}


@lru_cache
def how_to_install(extra: str, package: str) -> str:
    """The command that installs the requirements of an extra; ``package`` is the one that is missing."""
    if sys.prefix == _DEBIAN and package not in _NOT_IN_DEBIAN:  # it has the other extras
        return f"run: apt-get install {_DEBIAN_NAMES.get(package, '--reinstall cachetune')}"
    return f"run: {shlex.join([*_installer(), *_requirements(extra, package)])}{_COMPILED.get(package, '')}"


def _installer() -> list[str]:
    """The program that installs packages in this environment, with its options."""
    if sys.prefix == _DEBIAN:  # an environment without pip
        return ["/usr/bin/python3", "-m", "pip", "--python", sys.executable, "install"]
    prefix = Path(sys.prefix)  # of pipx: HOME/venvs/cachetune
    if (prefix / "pipx_metadata.json").exists():
        home = [] if ".local" in prefix.parts else [f"PIPX_HOME={prefix.parent.parent}"]
        return [*home, "pipx", "inject", prefix.name]
    if importlib.util.find_spec("pip") is None:  # as uv makes environments
        return ["uv", "pip", "install", "--python", sys.executable]
    system = sys.prefix == sys.base_prefix and Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").exists()
    return [sys.executable, "-m", "pip", "install", *(["--break-system-packages"] if system else [])]


def _requirements(extra: str, package: str) -> list[str]:
    """The requirements of an extra, such as "textual<9,>=8.2"; the package alone where cachetune is not installed."""
    try:
        lines = importlib.metadata.requires("cachetune") or []
    except importlib.metadata.PackageNotFoundError:
        lines = []
    parts = [line.partition(";") for line in lines]
    found = [name.strip() for name, _, marker in parts if re.search(rf"""extra == (["']){extra}\1""", marker)]
    return found or [package]
