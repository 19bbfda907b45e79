"""A simulated host with a guest, and a copy of its tree on disk, which the services read as a live one."""

from pathlib import Path

import pytest

from cachetune.apply.run import Connection
from cachetune.host import SysfsResctrl
from cachetune.sim import SimulatedResctrl, write_tree
from tests.samples import host_with_guest


@pytest.fixture
def sim() -> SimulatedResctrl:
    return host_with_guest("skylake-2s")


@pytest.fixture
def connection(sim: SimulatedResctrl, tmp_path: Path) -> Connection:
    return Connection(sim, tmp_path / "run")


@pytest.fixture
def root(tmp_path: Path, sim: SimulatedResctrl) -> Path:
    """A copy of a resctrl tree."""
    write_tree(sim, tmp_path / "resctrl")
    return tmp_path / "resctrl"


@pytest.fixture
def live(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of files that passes for a mounted resctrl."""
    monkeypatch.setattr(SysfsResctrl, "is_live", True)
    return root
