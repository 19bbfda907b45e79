"""A pytest plugin, loaded wherever cachetune is installed: a fresh simulated resctrl for each test.

Two fixtures::

    def test_in_memory(simulated_resctrl):
        simulated_resctrl.mkdir("web")

    @pytest.mark.resctrl(profile="milan", kernel="6.1", options=("cdp",), faults=("mkdir:ENOSPC:2",))
    def test_as_files(mounted_resctrl):
        (mounted_resctrl.root / "web").mkdir()

The marker's arguments are those of ``cachetune.testing.simulate`` and ``mounted``; a marker on a test adds to the one
on its class or module. To run a test on several processors, parametrize the fixture with names of profiles::

    @pytest.mark.parametrize("simulated_resctrl", profile_names(), indirect=True)

Everything is imported in the fixtures, because every pytest run of every project that has cachetune installed
imports this module.
"""

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cachetune.testing.mounting import MountedResctrl
    from cachetune.testing.simulated import SimulatedResctrl

_ARGUMENTS = ("profile", "kernel", "options", "faults", "tids", "workloads")
_MARKER = (
    "resctrl(profile='skylake-2s', kernel=None, options=None, faults=(), tids='real', workloads=()): "
    "the simulated_resctrl or mounted_resctrl that a test gets"
)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture
def simulated_resctrl(request: pytest.FixtureRequest) -> "SimulatedResctrl":
    """A simulated resctrl in memory (``cachetune.testing.SimulatedResctrl``)."""
    from cachetune.testing.simulated import simulate

    arguments = _arguments(request)
    arguments.pop("tids", None)
    return simulate(**arguments)


@pytest.fixture
def mounted_resctrl(request: pytest.FixtureRequest, tmp_path: "Path") -> "Iterator[MountedResctrl]":
    """A simulated resctrl mounted through FUSE (``cachetune.testing.MountedResctrl``).

    The test is skipped where FUSE or mfusepy is missing.
    """
    from cachetune.errors import CachetuneError
    from cachetune.sim.fuse.serve import load_fuse
    from cachetune.testing.mounting import mounted

    try:
        load_fuse()
    except CachetuneError as error:
        pytest.skip(f"cannot mount a simulated resctrl: {error} ({error.hint})")
    with mounted(tmp_path, **_arguments(request)) as mount:
        yield mount


def _arguments(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The arguments of all markers of a test, the nearest last, and the profile that it is parametrized with."""
    found: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("resctrl"))):
        unknown = sorted(marker.kwargs.keys() - set(_ARGUMENTS))
        if marker.args or unknown:
            what = f"not {', '.join(unknown)}" if unknown else "by name"
            raise pytest.UsageError(f"the resctrl marker takes {', '.join(_ARGUMENTS)}, {what}")
        found.update(marker.kwargs)
    if hasattr(request, "param"):
        found["profile"] = request.param
    return found
