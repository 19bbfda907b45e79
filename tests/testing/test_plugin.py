"""The pytest plugin, as another project uses it: a separate strict pytest, with warnings as errors."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cachetune.extras import how_to_install
from tests.sim.fuse.mounted import ROOT, need_fuse

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs" / "how-to" / "testing.md"

TESTS = """
import errno, os, subprocess
import pytest
from cachetune.errors import ResctrlError
from cachetune.testing import add_guest, profile_names

def test_memory(simulated_resctrl):
    simulated_resctrl.mkdir("web")
    simulated_resctrl.fail(errno.EBUSY)
    with pytest.raises(ResctrlError):
        simulated_resctrl.rmdir("web")

def test_each_test_starts_fresh(simulated_resctrl):
    assert not simulated_resctrl.exists("web")

@pytest.mark.parametrize("simulated_resctrl", profile_names(), indirect=True)
def test_profiles(simulated_resctrl):
    guest = add_guest(simulated_resctrl, vcpus=2)
    assert all(simulated_resctrl.state.tasks[thread.tid] for thread in guest.threads)
"""

MOUNTING = """
import subprocess
import pytest

opened = []

@pytest.mark.resctrl(profile="icelake")
def test_shell(mounted_resctrl):
    script = "mkdir g && echo L3:0=f >g/schemata && cat g/schemata"
    said = subprocess.run(["/bin/sh", "-c", script], cwd=mounted_resctrl.root, capture_output=True, text=True)
    assert "L3:0=00f" in said.stdout

def test_that_fails_with_the_mount_in_use(mounted_resctrl):
    opened.append((mounted_resctrl.root / "schemata").open())
    assert not "broken"
"""


def pytest_of(directory: Path, *words: str, **variables: str) -> str:
    """The output of pytest for the tests in a directory, with no plugin except ours."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **variables}
    strict = ("-W", "error", "--strict-markers", "--strict-config", "-rs", "-p", "no:cacheprovider")
    made = f"--basetemp={directory}/made"  # the default is shared, and each pytest removes old ones from there
    command = [sys.executable, "-m", "pytest", "-p", "cachetune.testing.plugin", *strict, made, *words]
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_another_project_tests_in_memory(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    assert re.search(r"\d+ passed in", pytest_of(tmp_path))


def test_another_project_tests_on_files_and_no_mount_is_left(tmp_path: Path) -> None:
    need_fuse()
    (tmp_path / "test_it.py").write_text(MOUNTING)
    said = pytest_of(tmp_path)
    assert "1 failed, 1 passed in" in said, said
    assert "assert not 'broken'" in said
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def test_without_mfusepy_a_test_on_files_is_skipped_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("import sys\nsys.modules['mfusepy'] = None\n")
    (tmp_path / "test_it.py").write_text("def test_it(mounted_resctrl): pass\n")
    said = pytest_of(tmp_path)
    assert "1 skipped" in said
    assert "cannot mount a simulated resctrl: " in said
    assert how_to_install("sim", "mfusepy") in said


@pytest.mark.parametrize("marker", ["resctrl(cores=4)", "resctrl('milan')"])
def test_a_marker_with_other_arguments_is_refused_with_those_it_takes(tmp_path: Path, marker: str) -> None:
    (tmp_path / "test_it.py").write_text(
        f"import pytest\n@pytest.mark.{marker}\ndef test_it(simulated_resctrl): pass\n"
    )
    assert "the resctrl marker takes profile, kernel, options, faults, tids" in pytest_of(tmp_path)


def test_pytest_shows_the_marker_and_the_fixtures(tmp_path: Path) -> None:
    assert "@pytest.mark.resctrl(profile='skylake-2s'" in pytest_of(tmp_path, "--markers")
    said = pytest_of(tmp_path, "--fixtures")
    assert "A simulated resctrl in memory" in said
    assert "A simulated resctrl mounted through FUSE" in said


def test_the_plugin_imports_only_itself() -> None:
    code = "import sys, pytest; old = {*sys.modules}; import cachetune.testing.plugin; print(*{*sys.modules} - old)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    assert sorted(done.stdout.split()) == [
        "cachetune",
        "cachetune.lazy",
        "cachetune.testing",
        "cachetune.testing.plugin",
    ]


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
def test_the_examples_of_the_documentation_run(tmp_path: Path, code: str) -> None:
    need_fuse()
    (tmp_path / "test_it.py").write_text(code)
    said = pytest_of(tmp_path)
    assert re.search(r"=+ \d+ passed in", said), said
