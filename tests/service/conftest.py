"""A simulated host with a guest, and a copy of its tree on disk, which the services read as a live one."""

from pathlib import Path

import pytest

from cachetune.host import SysfsResctrl
from cachetune.sim import SimulatedResctrl, write_tree


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
