"""Fifteen guests with 64 vCPUs each, real threads, on a mount with 16 CLOSIDs: count the system calls of apply."""

from pathlib import Path

import pytest

from tests.missing import skip_without
from tests.sim.fuse.fleet_on_mount import GUESTS, VCPUS, run_fleet
from tests.sim.fuse.mounted import need_fuse

pytestmark = pytest.mark.slow

STRACE = Path("/usr/bin/strace")


@pytest.fixture(autouse=True)
def _tools() -> None:
    need_fuse()
    if not STRACE.exists():
        skip_without("strace is missing: apt-get install strace")


def test_moving_960_threads_takes_few_more_system_calls_than_necessary(tmp_path: Path) -> None:
    """Uses the rules of 6.12, which accepts lists of threads; tests/kernel has a real 6.1."""
    outcome = run_fleet(tmp_path, "6.12")
    assert sum(len(guest.vcpus) for guest in outcome.guests) == GUESTS * VCPUS
    assert outcome.tids == outcome.expected()
    assert 1 <= outcome.first.ratio(lists=True) <= 1.5
    assert 1 <= outcome.others.ratio(lists=True) <= 1.5
