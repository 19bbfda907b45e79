"""The wheel works when it is installed into an empty environment."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from cachetune import __version__
from cachetune.sim import profile_names

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
SCHEMAS = ("cachetune.rng", "domain.rng", "cachetune.xsd", "domain.xsd", "bundle.rnc")

pytestmark = [pytest.mark.xdist_group("wheel"), pytest.mark.slow]


def run(directory: Path, *words: str | Path, code: int = 0) -> str:
    """Run a program outside of this checkout and return its output; fail unless it exits with ``code``."""
    return finished(directory, *words, code=code).stdout


def finished(directory: Path, *words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """As ``run``, with what it wrote to stderr."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run([*map(str, words)], cwd=directory, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    run(ROOT, sys.executable, "-m", "build", "--wheel", "--outdir", directory)
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def cachetune(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, in an environment with the wheel and its dependencies only."""
    directory = tmp_path_factory.mktemp("empty")
    run(directory, sys.executable, "-m", "venv", directory / "venv")
    run(directory, directory / "venv" / "bin" / "python", "-m", "pip", "install", "--quiet", wheel)
    return directory / "venv" / "bin" / "cachetune"


def test_the_wheel_has_the_schemas_the_profiles_and_py_typed(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"cachetune/schemas/{name}" for name in SCHEMAS} <= names
    assert {f"cachetune/sim/profiles/{name}.json" for name in profile_names()} <= names
    assert "cachetune/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "examples/"))]


def test_the_wheel_brings_the_pytest_plugin(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    test = tmp_path / "test_it.py"
    test.write_text("def test_it(simulated_resctrl): simulated_resctrl.mkdir('web')\n")
    path = f"PYTHONPATH={tmp_path / 'site'}"
    strict = ("-W", "error", "--strict-markers", f"--basetemp={tmp_path}/made")
    said = run(tmp_path, "/usr/bin/env", path, sys.executable, "-m", "pytest", *strict, test)
    assert "1 passed" in said
    assert f"cachetune-{__version__}" in said


def test_the_installed_command_prints_its_version(cachetune: Path, tmp_path: Path) -> None:
    assert run(tmp_path, cachetune, "--version") == f"cachetune {__version__}\n"


def test_the_installed_command_validates_with_both_engines(cachetune: Path, tmp_path: Path) -> None:
    for engine in ("rng", "xsd"):
        run(tmp_path, cachetune, "validate", "--engine", engine, EXAMPLES / "proposal.xml")


def test_the_installed_command_prints_the_schema_of_this_checkout(cachetune: Path, tmp_path: Path) -> None:
    assert run(tmp_path, cachetune, "schema", "rng") == (ROOT / "schemas" / "domain.rng").read_text()


def test_the_installed_command_prints_the_schemas_for_editors(cachetune: Path, tmp_path: Path) -> None:
    for language in ("rng", "xsd", "rnc"):
        assert "What the part holds" in run(tmp_path, cachetune, "schema", "--bundle", language)


def test_the_installed_command_plans_on_a_simulated_host(cachetune: Path, tmp_path: Path) -> None:
    words = ("plan", "--json", "--host", "sim:skylake-2s", "--shrink-default", "--vcpu", "0=10", "--vcpu", "1=11")
    plan = json.loads(run(tmp_path, cachetune, *words, EXAMPLES / "web.xml"))
    assert plan["summary"]["control_groups_created"] == 1


def test_the_installed_hook_starts_with_python_and_imports_only_itself(cachetune: Path, tmp_path: Path) -> None:
    hook = cachetune.with_name("cachetune-hook")
    lines = hook.read_text().splitlines()
    assert lines[0] == f"#!{cachetune.with_name('python')}"
    assert [line.strip() for line in lines if " import " in f" {line}"] == [
        "import sys",
        "from cachetune.hook import main",
    ]
    assert run(tmp_path, hook, "web", "start", "begin", "-") == ""


def test_the_installed_command_runs_the_demo(cachetune: Path, tmp_path: Path) -> None:
    assert "L3" in run(tmp_path, cachetune, "demo")


def test_the_command_in_the_hint_of_a_missing_extra_installs_it(cachetune: Path, tmp_path: Path) -> None:
    (tmp_path / "rdt.yaml").write_text("partitions: {all: {l3Allocation: 100%, classes: {web: {l3Allocation: 50%}}}}\n")
    words = (cachetune, "convert", "goresctrl", tmp_path / "rdt.yaml", "--host", "sim:skylake-2s")
    said = finished(tmp_path, *words, code=2).stderr.splitlines()
    command = said[1].partition("hint: run: ")[2]
    assert said[0] == "error: reading goresctrl's configuration requires the Python package PyYAML"
    assert command == f"{cachetune.with_name('python')} -m pip install 'pyyaml>=6.0'"
    run(tmp_path, "/bin/sh", "-c", f"{command} --quiet")
    assert "<cachetune" in run(tmp_path, *words)


def test_the_installed_command_writes_the_units_and_the_hook_for_itself(cachetune: Path, tmp_path: Path) -> None:
    run(tmp_path, cachetune, "install", "--hook", "--mount", "cdp", "--prefix", tmp_path / "root")
    assert "Options=cdp" in (tmp_path / "root/etc/systemd/system/sys-fs-resctrl.mount").read_text()
    hook = tmp_path / "root/etc/libvirt/hooks/qemu.d/cachetune"
    assert f"{cachetune.with_name('cachetune-hook')} $HOOK_OPTIONS" in hook.read_text()
    assert run(tmp_path, hook, "web", "start", "begin", "-") == ""
