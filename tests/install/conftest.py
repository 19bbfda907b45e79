"""A program to install for, and what a root directory has."""

from pathlib import Path

import pytest

from cachetune.install import Program


@pytest.fixture
def program() -> Program:
    return Program("/usr/bin/cachetune", ("/usr/bin/cachetune-hook",), ("/usr/bin/cachetune",))


def tree(root: Path) -> dict[str, tuple[int, bytes | str]]:
    """Every path below a directory: its type and permissions, and its content or the target of the link."""
    found: dict[str, tuple[int, bytes | str]] = {}
    for path in root.rglob("*"):
        what = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
        found[str(path.relative_to(root))] = (path.lstat().st_mode, what)
    return found
