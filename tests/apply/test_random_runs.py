"""Several guests on one host, runs that fail or are killed, other programs: some of the episodes of ``make soak``."""

from pathlib import Path

import pytest

from cachetune.sim import SimulatedResctrl, load_profile
from tests.apply.random_runs import Counts, episode

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("episodes", [10, pytest.param(40, marks=pytest.mark.soak)])
def test_after_any_sequence_of_events_removing_all_guests_restores_the_host(episodes: int, tmp_path: Path) -> None:
    total = Counts()
    for number in range(episodes):
        total.add(episode(f"1 {number}", tmp_path / str(number)))
    assert min(total.runs, total.failures, total.deaths, total.deaths_of_recover) > 1.25 * episodes


@pytest.mark.parametrize("episodes", [3, pytest.param(12, marks=pytest.mark.soak)])
def test_counters_are_restored_with_everything_else(episodes: int, tmp_path: Path) -> None:
    total = Counts()
    for number in range(episodes):
        few = SimulatedResctrl(load_profile("turin-few-counters"), kernel="7.3")
        total.add(episode(f"2 {number}", tmp_path / str(number), few))
    assert min(total.runs, total.failures, total.deaths, total.deaths_of_recover) > 1.25 * episodes


def test_an_undo_that_fails_is_repeated_from_there_step_by_step(tmp_path: Path) -> None:
    """Found by a soak: a late undo moved a thread that was already back out of its monitor group."""
    episode("797434421 2376", tmp_path)
