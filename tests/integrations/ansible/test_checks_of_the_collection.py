"""What the community checks a collection with: ansible-lint, the linter of its documentation, ansible-test sanity."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import waiting
from tests.integrations.ansible.copies import copy_of_the_collection
from tests.integrations.ansible.playing import BIN, settings

if TYPE_CHECKING:
    import subprocess

pytestmark = pytest.mark.slow


def check(directory: Path, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a program of .venv in a fresh copy of the collection."""
    copy = copy_of_the_collection(directory)
    variables = settings(directory, directory) | environment
    return waiting.run([BIN / words[0], *words[1:]], capture_output=True, text=True, cwd=copy, env=variables)


def test_ansible_lint_passes_with_the_profile_production(tmp_path: Path) -> None:
    done = check(tmp_path, "ansible-lint", "--offline", "--nocolor", "--strict")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Profile 'production' was required, and it passed." in " ".join(done.stderr.split())


def test_the_documentation_is_complete_and_its_references_exist(tmp_path: Path) -> None:
    done = check(tmp_path, "antsibull-docs", "lint-collection-docs", "--plugin-docs", ".")
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.soak
def test_ansible_test_sanity_passes(tmp_path: Path) -> None:
    # ansible-test downloads the script that installs pip in its environments; Python has one, which needs no download.
    home = tmp_path / "home"
    script = home / ".ansible/test/cache/get_pip_24_2.py"
    script.parent.mkdir(parents=True)
    script.write_text("import ensurepip\nensurepip.bootstrap(upgrade=True)\n")
    words = ("sanity", "--requirements", "--python", "3.11", "--color", "no")
    done = check(tmp_path, "ansible-test", *words, HOME=str(home), PATH=f"{BIN}:{os.environ['PATH']}")
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    ran = re.findall('Running sanity test "([^"]+)"', text)
    assert len(ran) > 20, text
    assert {"import", "pylint", "validate-modules", "ansible-doc"} <= set(ran)
