"""Without root: what is readable is checked, the rest is skipped with the reason, and nothing fails for that."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from cachetune import documents
from cachetune.doctor.checks import CHECKS
from cachetune.doctor.examine import Scope, examine
from cachetune.doctor.model import CheckResult
from tests.doctor.servers import Server, results_of

NOBODY = 65534

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory that every user can look into; pytest's own belong to root alone."""
    path = Path(mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def as_nobody(function: Callable[[], dict[str, CheckResult]]) -> dict[str, CheckResult]:
    """The results of a function that runs as another user. It runs as root first, so that all modules are loaded."""
    function()
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(theirs, documents.encode(function()))
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as file:
        data = file.read()
    os.waitpid(child, 0)
    return documents.decode(data, dict[str, CheckResult], "results")


def test_this_machine_can_be_examined_without_root() -> None:
    results = as_nobody(lambda: results_of(examine(Scope())))
    assert len(results) == len(CHECKS)
    assert results["CT611"].status != "skipped"


def test_what_only_root_can_read_is_skipped_with_the_reason(directory: Path) -> None:
    server = Server(directory / "server")
    (server.run / "ledger.json").chmod(0o600)
    (server.root / "etc/libvirt/qemu").chmod(0o700)
    server.write("sys/fs/selinux/enforce", "1")
    server.write("var/log/audit/audit.log", "", 0o600)
    results = as_nobody(server.results)
    assert results["CT662"].status == results["CT663"].status == results["CT675"].status == "skipped"
    assert results["CT662"].text == f"only root can read {server.run}/ledger.json"
    assert results["CT675"].text == f"only root can read {server.root}/var/log/audit/audit.log"
    assert results["CT601"].status == results["CT611"].status == results["CT653"].status == "ok"
    assert {name for name, result in results.items() if result.status == "fail"} == set()


def test_a_resctrl_that_only_root_can_read_fails_with_the_reason(directory: Path) -> None:
    server = Server(directory / "server")
    (server.resctrl / "schemata").chmod(0o600)
    result = as_nobody(server.results)["CT622"]
    assert result.status == "fail"
    assert "EACCES" in result.text
