"""The hook for pre-commit, run by the real pre-commit on a real git repository.

pre-commit clones this repository and installs it with pip in a new environment. No network is needed: pip finds
what cachetune requires among the packages of the tests.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.cli.formats.runs import BAD, GOOD, OTHER
from tests.missing import skip_without

ROOT = Path(__file__).parents[3]
PRE_COMMIT = Path(sys.executable).with_name("pre-commit")


def git(directory: Path, *words: str) -> str:
    """Run git without the settings of this user."""
    program = shutil.which("git")
    assert program
    settings = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "safe.directory=*")
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    return subprocess.run(
        [program, *settings, *words], cwd=directory, env=environment, capture_output=True, text=True, check=True
    ).stdout


def commit_all(directory: Path) -> str:
    """Make a repository of a directory; returns the id of its commit."""
    git(directory, "init", "-q", "-b", "main")
    git(directory, "add", "-A")
    git(directory, "commit", "-q", "-m", "all")
    return git(directory, "rev-parse", "HEAD").strip()


@pytest.fixture(scope="module")
def hooks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A repository with the files of this one, as they are now, and its commit."""
    if not shutil.which("git"):
        skip_without("git is not installed")
    copy = tmp_path_factory.mktemp("hooks") / "cachetune"
    copy.mkdir()
    for name in ("cachetune", "schemas", "scripts"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", ".pre-commit-hooks.yaml"):
        shutil.copy(ROOT / name, copy / name)
    return copy, commit_all(copy)


def test_the_manifest_is_valid() -> None:
    subprocess.run([PRE_COMMIT, "validate-manifest", ROOT / ".pre-commit-hooks.yaml"], check=True)


@pytest.mark.slow  # 20 s: pre-commit makes an environment and installs cachetune in it
def test_pre_commit_checks_the_domains_of_a_commit(hooks: tuple[Path, str], tmp_path: Path) -> None:
    repository, commit = hooks
    domains = tmp_path / "domains"
    domains.mkdir()
    (tmp_path / ".pre-commit-config.yaml").write_text(
        f"repos:\n- repo: {repository}\n  rev: {commit}\n  hooks:\n  - id: cachetune-validate\n"
    )
    for name, text in {"good.xml": GOOD, "network.xml": OTHER, "notes.txt": BAD}.items():
        (domains / name).write_text(text)
    commit_all(tmp_path)
    environment = {
        **os.environ,
        "PRE_COMMIT_HOME": str(tmp_path / ".cache"),
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip: 0 is "do not isolate"
        "PYTHONPATH": sysconfig.get_path("purelib"),
    }

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PRE_COMMIT, "run", "--color", "never", *words],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    passed = run("--all-files")
    assert passed.returncode == 0, passed.stdout
    assert "Passed" in passed.stdout
    (domains / "bad.xml").write_text(BAD)
    git(tmp_path, "add", "domains/bad.xml")
    failed = run()
    assert failed.returncode == 1, failed.stdout
    assert "domains/bad.xml:6:21: error: attribute 'levl' is not allowed on <cache>" in failed.stdout
    installed = next((tmp_path / ".cache").glob("repo*/py_env-*/bin/cachetune"))
    assert str(installed.parent / "python") in installed.read_text().splitlines()[0]
