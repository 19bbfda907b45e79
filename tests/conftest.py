"""Fixtures that all tests share."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from pyfakefs.fake_filesystem import FakeFilesystem

from cachetune.apply.run import Connection
from cachetune.sim import SimulatedResctrl
from cachetune.testing import plugin
from tests.samples import host_with_guest

# pytest-xdist pretends a terminal of 80 columns in its workers; output is that of a pipe unless a test wants another.
os.environ.pop("COLUMNS", None)

# Most tests of commands start real processes. Where Python may not write bytecode, each of them would compile every
# module, which takes longer than what it does; their bytecode is then kept out of the sources.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    sys.dont_write_bytecode = False
    sys.pycache_prefix = os.environ.setdefault("PYTHONPYCACHEPREFIX", str(Path(__file__).parents[1] / "build/pycache"))

# No check goes by the clock, which says nothing on a loaded machine. CI draws the same examples each time: fresh ones
# are for developers and the soak tests, and a failure prints how to reproduce it.
settings.register_profile(
    "cachetune",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
    print_blob=True,
)
settings.load_profile("cachetune")


def pytest_configure(config: pytest.Config) -> None:
    """Load our own plugin where the installed package does not yet name it."""
    if not config.pluginmanager.has_plugin("cachetune"):
        config.pluginmanager.register(plugin, "cachetune")


LONGEST = {"test_tutorial.py", "test_manual.py", "test_mounted_kernel.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests start first, so that one worker does not wait for the other's last test."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(autouse=True, scope="session")
def no_sync() -> Iterator[None]:
    """Nothing here needs to survive a power failure, and the disk would take longer than all else that a run does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture
def no_garbage() -> None:
    gc.collect()


@pytest.fixture
def fs(no_garbage: None, fs: FakeFilesystem) -> Iterator[FakeFilesystem]:  # noqa: ARG001 - only for the order
    """The fake file system, set up and torn down only after a garbage collection.

    An object from outside that closes its descriptor when it is collected would close another file with that number.
    """
    yield fs
    gc.collect()


@pytest.fixture
def sim() -> SimulatedResctrl:
    """A fresh simulated host on which a guest with four vCPUs runs."""
    return host_with_guest("skylake-2s")


@pytest.fixture
def connection(sim: SimulatedResctrl, tmp_path: Path) -> Connection:
    """The simulated host, and a run directory that does not exist yet."""
    return Connection(sim, tmp_path / "run")
