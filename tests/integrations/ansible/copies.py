"""A copy of the collection as the tools that check one expect it: a git repository below ansible_collections."""

import shutil
import subprocess
from pathlib import Path

from tests.integrations.ansible.playing import COLLECTION


def copy_of_the_collection(directory: Path) -> Path:
    """Copy the collection below ``directory``; the path of the copy."""
    copy = directory / "ansible_collections/cachetune/resctrl"
    shutil.copytree(COLLECTION, copy, ignore=shutil.ignore_patterns("__pycache__", ".plugin-cache.yaml"))
    for words in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["/usr/bin/git", *words], cwd=copy, check=True)
    return copy
